/**
 * The invariant, the other side: the client dies in each way at each point. No dot goes to the relay after a client
 * that left before its own; a dot that was given is seen through; a silent client is told; the log tells one true
 * outcome; and afterwards the proxy is well.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { loadServerTls } from "../../src/bun/tls.ts";
import {
  Authority,
  behindTrace,
  descriptors,
  eventually,
  ScriptedClient,
  ScriptedRelay,
  TestProxy,
} from "./support.ts";

const ways = ["reset", "FIN", "silence"] as const;
type Way = (typeof ways)[number];

const points = [
  "before the greeting",
  "after the greeting",
  "in a command line",
  "after EHLO",
  "after STARTTLS",
  "in the TLS handshake",
  "in TLS, after EHLO",
  "after MAIL",
  "while RCPT is with the relay",
  "while the relay is dialled",
  "after RCPT",
  "while DATA is with the relay",
  "after 354",
  "in the middle of the body",
  "right before the dot",
  "in the dot",
  "after the dot",
  "after the reply to the dot",
] as const;
type Point = (typeof points)[number];

const body = "Subject: one\r\n\r\nMIDDLE\r\nLAST\r\n";
const timeoutMs = 400;

const authority = new Authority();
const loaded = loadServerTls(...pairOf(authority.issue("proxy", "DNS:proxy.test")));
const baseline = { descriptors: 0 };

function pairOf({ cert, key }: { readonly cert: string; readonly key: string }): [string, string] {
  return [cert, key];
}

beforeAll(() => {
  baseline.descriptors = descriptors();
});

afterAll(async () => {
  await eventually(() => descriptors() <= baseline.descriptors + 2, "every descriptor is closed");
});

/** What the relay leaves unanswered, so that the client dies while it waits. */
function blockedStep(point: Point): "connect" | "RCPT" | "DATA" | "dot" | undefined {
  if (point === "while the relay is dialled") return "connect";
  if (point === "while RCPT is with the relay") return "RCPT";
  if (point === "while DATA is with the relay") return "DATA";
  return point === "after the dot" ? "dot" : undefined;
}

/** Brings a client up to the point of its death. */
async function arrive(
  proxy: TestProxy,
  relay: ScriptedRelay,
  point: Point,
  inTls: boolean,
  blocked: () => boolean,
) {
  const client = await ScriptedClient.connect(proxy.port);
  if (point === "before the greeting") return client;
  await client.reply();
  if (point === "after the greeting") return client;
  if (point === "in a command line") {
    client.say("EHLO clie");
    return client;
  }
  await client.ask("EHLO client.test");
  if (point === "after EHLO") return client;
  if (point === "after STARTTLS" || point === "in the TLS handshake") {
    await client.ask("STARTTLS");
    // The start of a ClientHello.
    if (point === "in the TLS handshake") client.say("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    return client;
  }
  if (point === "in TLS, after EHLO") {
    await client.startTls();
    return client;
  }
  if (inTls) await client.startTls();
  await client.ask("MAIL FROM:<sender@example.com>");
  if (point === "after MAIL") return client;
  const waits = async (): Promise<ScriptedClient> => {
    await eventually(blocked, `the relay has it: ${point}`);
    return client;
  };
  client.say("RCPT TO:<someone@example.org>\r\n");
  if (point === "while RCPT is with the relay" || point === "while the relay is dialled") return waits();
  await client.reply();
  if (point === "after RCPT") return client;
  client.say("DATA\r\n");
  if (point === "while DATA is with the relay") return waits();
  await client.reply();
  if (point === "after 354") return client;
  const [begin = "", rest = ""] = body.split(/(?<=MIDDLE\r\n)/);
  client.say(begin);
  await eventually(() => relay.last.bodyText.includes("MIDDLE"), "the relay has the first part");
  if (point === "in the middle of the body") return client;
  client.say(rest);
  await eventually(() => relay.last.bodyText.includes("LAST"), "the relay has the second part");
  if (point === "right before the dot") return client;
  client.say(point === "in the dot" ? ".\r" : ".\r\n");
  if (point === "in the dot") return client;
  if (point === "after the dot") return waits();
  await client.reply();
  return client;
}

function die(client: ScriptedClient, way: Way): void {
  if (way === "reset") client.rst();
  if (way === "FIN") client.fin();
}

const gaveDot: readonly Point[] = ["after the dot", "after the reply to the dot"];
const hasTransaction = (point: Point): boolean => points.indexOf(point) >= points.indexOf("after MAIL");

describe.each([
  ["", false],
  [" in TLS", true],
] as const)("the client dies%s", (_name, inTls) => {
  for (const point of points) {
    if (inTls && !hasTransaction(point)) continue;
    for (const way of ways) {
      test.concurrent(`${way} ${point}`, async () => {
        if (!loaded.ok) throw new Error(loaded.fault);
        const relay = await ScriptedRelay.start();
        const blocked = blockedStep(point);
        let reached = false;
        let release = (): void => {};
        relay.script = (step, count, talk) => {
          if (step !== blocked || count > 1 || talk.number > 1) return undefined;
          reached = true;
          release = () => {
            if (step === "DATA") talk.openBody();
            else if (step === "dot") talk.accept();
            else talk.say(step === "connect" ? "220 relay.test\r\n" : "250 2.1.5 ok\r\n");
          };
          return { say: "" };
        };
        const silent = way === "silence";
        const proxy = new TestProxy([relay.port], {
          tls: loaded.tls,
          policy: silent ? { commandTimeoutMs: timeoutMs, dataTimeoutMs: timeoutMs } : {},
        });
        try {
          const client = await arrive(proxy, relay, point, inTls, () => reached);
          die(client, way);
          if (reached && silent) release();
          else if (reached && (way === "reset" || point !== "after the dot")) {
            // The proxy hears of the death before the relay speaks: nothing may come of it.
            const known = way === "reset" || point === "while DATA is with the relay" ? 20 : 1;
            await Bun.sleep(known);
            release();
          } else if (reached) release();
          if (way === "FIN") await eventually(() => client.closed || client.ended, "the client is let go");
          if (silent) await eventually(() => client.ended || client.closed, "a silent client is sent away");
          const session = (): boolean => proxy.events.some(({ event }) => event === "session");
          await eventually(session, "the session is over");
          await eventually(() => proxy.server.sessions === 0, "no session is left");

          const given = gaveDot.includes(point);
          expect(relay.dots).toBe(given ? 1 : 0);
          expect(relay.mails.map((mail) => behindTrace(mail.body))).toEqual(given ? [body] : []);
          expect(proxy.outcomes).toEqual(hasTransaction(point) ? [given ? "relayed" : "abandoned"] : []);
          if (point === "after the dot") {
            expect(proxy.transactions[0]?.unheard === true).toBe(way === "reset");
            if (way !== "reset") {
              await eventually(() => client.heard.includes("250 2.0.0 queued as 4711\r\n"), "it hears of it");
            }
          }
          const inHandshake = point === "after STARTTLS" || point === "in the TLS handshake";
          if (silent && !inHandshake) expect(client.heard).toMatch(/421 4\.4\.2 [^\r\n]+\r\n$/);

          relay.script = undefined;
          const taken = relay.mails.length;
          expect(await proxy.mail(body)).toStartWith("250");
          expect(relay.mails.length).toBe(taken + 1);
          expect(relay.dots).toBe(taken + 1);
          await eventually(() => relay.open <= 1, "one idle connection at the most is left");
          await proxy.stop();
          await eventually(() => relay.open === 0, "no connection is left");
          expect(proxy.stacks).toEqual([]);
        } finally {
          relay.stop();
        }
      });
    }
  }
});

describe("the client dies while the relay reads nothing", () => {
  for (const way of ways) {
    test.concurrent(`${way}, its dot queued behind a congested relay: the dot was given and is seen through`, async () => {
      const relay = await ScriptedRelay.start();
      const proxy = new TestProxy([relay.port], {
        policy: { dataTimeoutMs: timeoutMs, commandTimeoutMs: timeoutMs },
      });
      proxy.network.holdable = true;
      try {
        const { client, held, long } = await behindCongestion(proxy, ".\r\n");
        die(client, way);
        if (way === "reset") await eventually(() => client.closed, "the client is gone");
        expect(relay.dots).toBe(0);
        held.letGo();
        await eventually(() => proxy.transactions.length === 1, "the outcome is logged");
        expect(proxy.outcomes).toEqual(["relayed"]);
        expect(relay.mails.map((mail) => behindTrace(mail.body) === long)).toEqual([true]);
        if (way !== "reset") {
          await eventually(() => client.heard.includes("250 2.0.0 queued"), "the client hears of it");
        }
        expect(await proxy.mail(body)).toStartWith("250");
        if (way === "silence") await eventually(() => client.ended, "the silent client is sent away");
        client.fin();
        await proxy.stop();
      } finally {
        relay.stop();
      }
    });

    test.concurrent(`${way}, its last octets but not the dot queued behind a congested relay: no dot`, async () => {
      const relay = await ScriptedRelay.start();
      const proxy = new TestProxy([relay.port], { policy: { dataTimeoutMs: timeoutMs } });
      proxy.network.holdable = true;
      try {
        const { client, held } = await behindCongestion(proxy, ".\r");
        die(client, way);
        if (way === "reset") await eventually(() => client.closed, "the client is gone");
        held.letGo();
        await eventually(() => proxy.transactions.length === 1, "the outcome is logged");
        expect(proxy.outcomes).toEqual(["abandoned"]);
        await eventually(() => relay.open === 0, "the relay connection is dropped");
        expect(relay.dots).toBe(0);
        expect(relay.mails).toEqual([]);
        client.fin();
        expect(await proxy.mail(body)).toStartWith("250");
        await proxy.stop();
      } finally {
        relay.stop();
      }
    });
  }

  test.concurrent("reset while the relay reads nothing for long: the session ends when RELAY_TIMEOUT does", async () => {
    const relay = await ScriptedRelay.start();
    const proxy = new TestProxy([relay.port], { pool: { replyTimeoutMs: timeoutMs } });
    proxy.network.holdable = true;
    try {
      const { client } = await behindCongestion(proxy, "");
      client.rst();
      await eventually(() => proxy.transactions.length === 1, "the outcome is logged");
      expect(["abandoned", "deferred"]).toContain(proxy.outcomes[0] ?? "");
      expect(relay.dots).toBe(0);
      await proxy.stop();
    } finally {
      relay.stop();
    }
  });
});

/** A client within its mail data, all of it with the proxy, and none of it with the relay. */
async function behindCongestion(proxy: TestProxy, end: string) {
  const client = await ScriptedClient.greeted(proxy.port);
  await client.ask("MAIL FROM:<sender@example.com>");
  await client.ask("RCPT TO:<someone@example.org>");
  await client.ask("DATA");
  const held = proxy.network.held.at(-1);
  if (held === undefined) throw new Error("the relay was dialled");
  held.holding = true;
  // Just less than 64 KiB, which the trace makes more: the proxy takes the end in the event that congests it.
  const long = `Subject: long\r\n\r\n${"0123456789abcdef\r\n".repeat(3637)}`;
  client.say(long + end);
  await eventually(() => held.queuedOctets >= long.length, "the proxy holds it all");
  return { client, held, long };
}
