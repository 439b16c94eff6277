/**
 * STARTTLS towards the client, over real sockets: injection, broken and endless handshakes, many at once, a big mail
 * with TLS on both sides, and a certificate that is replaced while sessions run.
 */
import { describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { loadServerTls } from "../../src/bun/tls.ts";
import type { ServerTls } from "../../src/shell/network.ts";
import {
  Authority,
  behindTrace,
  descriptors,
  eventually,
  ScriptedClient,
  ScriptedRelay,
  sha256,
  TestProxy,
} from "./support.ts";

const authority = new Authority();
const ours = authority.issue("proxy", "DNS:proxy.test");
const body = "Subject: x\r\n\r\nx\r\n";

function contextOf({ cert, key }: { readonly cert: string; readonly key: string }): ServerTls {
  const loaded = loadServerTls(cert, key);
  if (!loaded.ok) throw new Error(loaded.fault);
  return loaded.tls;
}

const tls = contextOf(ours);

async function withProxy(
  run: (proxy: TestProxy, relay: ScriptedRelay) => Promise<void>,
  policy: ConstructorParameters<typeof TestProxy>[1] = {},
): Promise<void> {
  const relay = await ScriptedRelay.start();
  const proxy = new TestProxy([relay.port], { tls, ...policy });
  try {
    await run(proxy, relay);
    await proxy.stop();
    expect(proxy.stacks).toEqual([]);
  } finally {
    relay.stop();
  }
}

/** Nothing that was said in plain text behind STARTTLS was carried out. */
function expectUntouched(proxy: TestProxy, relay: ScriptedRelay): void {
  expect(relay.talks.length).toBe(0);
  expect(proxy.transactions).toEqual([]);
}

describe("octets injected behind STARTTLS (CVE-2011-0411)", () => {
  const injections = [
    "MAIL FROM:<evil@example.com>\r\n",
    "MAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.org>\r\n",
    "EHLO evil\r\nMAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nx\r\n.\r\n",
    "MA",
    "\n",
    "\x16\x03\x01",
  ];

  test.each(injections)("in one segment: %p is refused, not carried out", (injected) =>
    withProxy(async (proxy, relay) => {
      const client = await ScriptedClient.greeted(proxy.port);
      client.say(`STARTTLS\r\n${injected}`);
      const reply = await client.reply();
      expect(reply).toMatch(/^503 5\.5\.1 /);
      await eventually(() => client.ended, "the session is closed");
      expect(client.heard.match(/\r\n(?:220|354)/g)).toBeNull();
      client.fin();
      expectUntouched(proxy, relay);
    }),
  );

  test.each(injections)("in a segment of its own, without waiting: %p is not carried out", (injected) =>
    withProxy(async (proxy, relay) => {
      const client = await ScriptedClient.greeted(proxy.port);
      client.say("STARTTLS\r\n");
      client.say(injected);
      const reply = await client.reply();
      expect(reply).toMatch(/^(?:220 2\.0\.0|503 5\.5\.1) /);
      // A ClientHello behind it does not help: the plain octets stay part of the handshake, and break it.
      if (reply.startsWith("220")) await client.handshake().catch(() => {});
      client.fin();
      await eventually(() => proxy.server.sessions === 0, "the session is over");
      expect(client.secured && injected.length > 3).toBe(false);
      expectUntouched(proxy, relay);
    }),
  );

  test("EHLO, MAIL and STARTTLS in one go: nothing of before TLS is known after it", () =>
    withProxy(async (proxy, relay) => {
      const client = await ScriptedClient.greeted(proxy.port);
      await client.ask("MAIL FROM:<before@example.com>");
      expect(await client.ask("STARTTLS")).toStartWith("220");
      await client.handshake();
      expect(await client.ask("RCPT TO:<someone@example.org>")).toMatch(/^503 5\.5\.1 /);
      expect(await client.ask("MAIL FROM:<after@example.com>")).toMatch(/^503 5\.5\.1 /);
      const ehlo = await client.ask("EHLO client.test");
      expect(ehlo).not.toContain("STARTTLS");
      expect(await client.ask("STARTTLS")).toMatch(/^50[23] 5\.5\.1 /);
      expect(await client.mail(body)).toStartWith("250");
      await client.quit();
      expect(relay.mails.map(({ from }) => from)).toEqual(["MAIL FROM:<sender@example.com>"]);
      expect(relay.mails[0]?.body.toString("latin1")).toMatch(/with ESMTPS/);
      expect(proxy.outcomes).toEqual(["abandoned", "relayed"]);
    }));
});

describe("handshakes", () => {
  test("sixteen at once, each with a mail", () =>
    withProxy(async (proxy, relay) => {
      const mails = Array.from({ length: 16 }, async (_, n) => {
        const client = await ScriptedClient.greeted(proxy.port);
        await client.startTls();
        const reply = await client.mail(`Subject: ${n}\r\n\r\n${n}\r\n`);
        await client.quit();
        return reply;
      });
      for (const reply of await Promise.all(mails)) expect(reply).toStartWith("250");
      const bodies = relay.mails.map((mail) => behindTrace(mail.body)).sort();
      expect(bodies).toEqual(Array.from({ length: 16 }, (_, n) => `Subject: ${n}\r\n\r\n${n}\r\n`).sort());
    }));

  test("garbage instead of one: the session ends, nothing leaks", () =>
    withProxy(async (proxy, relay) => {
      const before = descriptors();
      for (let i = 0; i < 20; i += 1) {
        const client = await ScriptedClient.greeted(proxy.port);
        await client.ask("STARTTLS");
        client.say(i % 2 === 0 ? "MAIL FROM:<plain@example.com>\r\n" : Buffer.alloc(4096, 0x5a));
        await eventually(() => client.closed || client.ended, "it is closed");
        client.fin();
      }
      await eventually(() => proxy.server.sessions === 0, "no session is left");
      await eventually(() => descriptors() <= before, "no descriptor is left");
      expectUntouched(proxy, relay);
      const ends = proxy.events.flatMap((event) => (event.event === "session" ? [event.end] : []));
      for (const end of ends) expect(end).toContain("TLS handshake failed");
    }));

  test("never finished: cut off at the deadline, nothing leaks", () =>
    withProxy(
      async (proxy, relay) => {
        const before = descriptors();
        const clients = await Promise.all(
          Array.from({ length: 8 }, async () => {
            const client = await ScriptedClient.greeted(proxy.port);
            await client.ask("STARTTLS");
            client.say("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
            return client;
          }),
        );
        await eventually(() => proxy.server.sessions === 0, "all are cut off");
        await eventually(() => clients.every(({ closed, ended }) => closed || ended), "all hear of it");
        for (const client of clients) client.fin();
        await eventually(() => descriptors() <= before, "no descriptor is left");
        expectUntouched(proxy, relay);
      },
      { policy: { commandTimeoutMs: 300 } },
    ));

  test("of a client that left in it", () =>
    withProxy(async (proxy) => {
      for (const leave of ["rst", "fin"] as const) {
        const client = await ScriptedClient.greeted(proxy.port);
        await client.ask("STARTTLS");
        client.say("\x16\x03\x01\x02\x00\x01");
        client[leave]();
        await eventually(() => proxy.server.sessions === 0, `the session is over after ${leave}`);
      }
    }));
});

describe("mail in TLS", () => {
  test("20 MB, TLS on both sides: the same octets", async () => {
    const relay = await ScriptedRelay.start({ certificate: authority.issue("relay", "IP:127.0.0.1") });
    const proxy = new TestProxy([relay.port], { tls, pool: { tls: "required" } });
    const line = (n: number): string => `${n.toString(36)} .. \xe4\xf6\xfc ${"x".repeat(n % 70)}\r\n`;
    let text = "";
    for (let n = 0; text.length < 20_000_000; n += 1) text += n % 50 === 0 ? `..${line(n)}` : line(n);
    const octets = Buffer.from(text, "latin1");
    const client = await ScriptedClient.greeted(proxy.port);
    await client.startTls();
    await client.ask("MAIL FROM:<sender@example.com>");
    await client.ask("RCPT TO:<someone@example.org>");
    expect(await client.ask("DATA")).toStartWith("354");
    for (let at = 0; at < octets.length; at += 1_000_000)
      await client.pour(octets.subarray(at, at + 1_000_000));
    client.say(".\r\n");
    expect(await client.reply(20_000)).toStartWith("250");
    await client.quit();
    expect(relay.mails.map((mail) => [mail.sha256, mail.secured])).toEqual([[sha256(octets), true]]);
    expect(proxy.transactions[0]?.protocol).toBe("ESMTPS");
    await proxy.stop();
    relay.stop();
  }, 30_000);

  test("a client that is reset within: no dot", () =>
    withProxy(async (proxy, relay) => {
      const client = await ScriptedClient.greeted(proxy.port);
      await client.startTls();
      await client.ask("MAIL FROM:<sender@example.com>");
      await client.ask("RCPT TO:<someone@example.org>");
      await client.ask("DATA");
      client.say(body);
      await eventually(() => relay.last.bodyText.includes("x\r\n"), "the relay has the body");
      client.rst();
      await eventually(() => proxy.transactions.length === 1, "the outcome is logged");
      expect(proxy.outcomes).toEqual(["abandoned"]);
      await eventually(() => relay.open === 0, "the relay connection is dropped");
      expect(relay.dots).toBe(0);
    }));
});

test("a certificate that is replaced: new sessions get the new one, running ones keep theirs", () =>
  withProxy(async (proxy) => {
    const fingerprintOf = (path: string): string => new X509Certificate(readFileSync(path)).fingerprint256;
    const next = authority.issue("next", "DNS:proxy.test");
    const before = await ScriptedClient.greeted(proxy.port);
    await before.startTls();
    const between = await ScriptedClient.greeted(proxy.port);
    proxy.server.replaceTls(contextOf(next));
    await between.startTls();
    const after = await ScriptedClient.greeted(proxy.port);
    await after.startTls();
    expect([before, between, after].map(({ fingerprint }) => fingerprint)).toEqual([
      fingerprintOf(ours.cert),
      fingerprintOf(next.cert),
      fingerprintOf(next.cert),
    ]);
    for (const client of [before, between, after]) {
      expect(await client.mail(body)).toStartWith("250");
      await client.quit();
    }
  }));
