/**
 * The invariant, one side: the relay dies in each way at each point. The client never hears 250 for octets to which
 * the relay did not say its whole 2yz, always hears 4yz and never silence; the log tells one true outcome; and
 * afterwards the proxy is well.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  type Act,
  Authority,
  behindTrace,
  descriptors,
  eventually,
  noReply,
  type RelayTalk,
  type Script,
  ScriptedClient,
  ScriptedRelay,
  TestProxy,
} from "./support.ts";

const ways = [
  "reset",
  "FIN",
  "silence",
  "garbage",
  "421",
  "early 250",
  "double reply",
  "half a reply",
] as const;
type Way = (typeof ways)[number];

const points = [
  "before the greeting",
  "in the greeting",
  "at EHLO",
  "at STARTTLS",
  "in the TLS handshake",
  "at AUTH",
  "at MAIL",
  "at the 1st RCPT",
  "at the 2nd RCPT",
  "at DATA",
  "after 354",
  "in the middle of the body",
  "right before the dot",
  "after the dot",
  "in the reply to the dot",
  "after the reply to the dot",
  "idle in the pool",
] as const;
type Point = (typeof points)[number];

const tlsPoints: readonly Point[] = ["at STARTTLS", "in the TLS handshake", "at AUTH"];
const timeoutMs = 400;

const first = "Subject: one\r\n\r\nMIDDLE\r\n";
const second = "..stuffed\r\nLAST\r\n";
const body = first + second;

/** `usual`: what the relay would have said here; "" where it is not its turn. */
function act(way: Way, usual: string, before = ""): Act {
  switch (way) {
    case "reset":
      return { say: before, after: "rst" };
    case "FIN":
      return { say: before, after: "fin" };
    case "silence":
      return { say: before, after: "silence" };
    case "garbage":
      return { say: `${before}\x00\xffno SMTP at all\r\n` };
    case "421":
      return { say: `${before}421 4.3.2 going down\r\n`, after: "fin" };
    case "early 250":
      return { say: `${before}250 2.0.0 early\r\n${usual}` };
    case "double reply":
      return { say: before + usual + usual };
    case "half a reply":
      return { say: before + usual.slice(0, Math.max(1, usual.length - 3)), after: "fin" };
  }
}

const usually: Partial<Record<Point, string>> = {
  "before the greeting": "220 relay.test ESMTP\r\n",
  "at EHLO": "250-relay.test\r\n250 PIPELINING\r\n",
  "at STARTTLS": "220 2.0.0 go ahead\r\n",
  "at AUTH": "235 2.7.0 welcome\r\n",
  "at MAIL": "250 2.1.0 sender ok\r\n",
  "at the 1st RCPT": "250 2.1.5 recipient ok\r\n",
  "at the 2nd RCPT": "250 2.1.5 recipient ok\r\n",
  "at DATA": "354 go ahead\r\n",
  "after the dot": "250 2.0.0 queued\r\n",
};

/** Fires once, at its point. */
function script(point: Point, way: Way, fired: { count: number }): Script {
  const at = (hit: boolean, before = ""): Act | undefined => {
    if (!hit || fired.count > 0) return undefined;
    fired.count += 1;
    return act(way, usually[point] ?? "", before);
  };
  return (step, count, talk) => {
    switch (point) {
      case "before the greeting":
        return at(step === "connect");
      case "in the greeting":
        return at(step === "connect", "220-relay.te");
      case "at EHLO":
        return at(step === "EHLO");
      case "at STARTTLS":
        return at(step === "STARTTLS");
      case "in the TLS handshake":
        return at(step === "handshake");
      case "at AUTH":
        return at(step === "AUTH");
      case "at MAIL":
        return at(step === "MAIL");
      case "at the 1st RCPT":
        return at(step === "RCPT" && count === 1);
      case "at the 2nd RCPT":
        return at(step === "RCPT" && count === 2);
      case "at DATA":
        return at(step === "DATA");
      case "after 354":
        return at(step === "DATA", "354 go ahead\r\n");
      case "in the middle of the body":
        return at(step === "body" && talk.bodyText.includes("MIDDLE"));
      case "right before the dot":
        return at(step === "body" && talk.bodyText.includes("LAST"));
      case "after the dot":
        return at(step === "dot");
      case "in the reply to the dot":
        return at(step === "dot", "250 2.0.0 que");
      case "after the reply to the dot":
        return at(step === "dot", "250 2.0.0 queued\r\n");
      case "idle in the pool":
        return undefined;
    }
  };
}

const authority = new Authority();
const certificate = authority.issue("relay", "IP:127.0.0.1");
const baseline = { descriptors: 0 };

beforeAll(() => {
  baseline.descriptors = descriptors();
});

afterAll(async () => {
  await eventually(() => descriptors() <= baseline.descriptors + 2, "every descriptor is closed");
});

/** Says a whole mail whatever is answered, as far as SMTP lets it; gives every reply behind EHLO. */
async function sendMail(client: ScriptedClient, relay: ScriptedRelay): Promise<string[]> {
  const replies: string[] = [];
  const hear = async (line: string): Promise<boolean> => {
    const reply = await client.ask(line);
    replies.push(reply);
    return /^[23]/.test(reply);
  };
  const talks = relay.talks.length;
  if (!(await hear("MAIL FROM:<sender@example.com>"))) return replies;
  const taken = [await hear("RCPT TO:<a@example.org>"), await hear("RCPT TO:<b@example.org>")];
  if (!(await hear("DATA")) || !taken.includes(true)) return replies;
  const talk = relay.talks[Math.max(talks, 1) - 1] ?? relay.last;
  const seen = (mark: string) =>
    eventually(() => relay.talks.some((t) => over(t, mark)), `the relay saw ${mark}`);
  client.say(first);
  await seen("MIDDLE");
  client.say(second);
  await seen("LAST");
  expect(talk).toBeDefined();
  await hear(".");
  return replies;
}

/** The relay has the octets up to the mark, or never will. */
function over(talk: RelayTalk, mark: string): boolean {
  return !talk.open || talk.ended || talk.bodyText.includes(mark);
}

/** What every case has to show once the transaction is over. */
function judge(proxy: TestProxy, relay: ScriptedRelay, replies: readonly string[], index: number): void {
  const last = replies.at(-1) ?? noReply;
  expect(replies).not.toContain(noReply);
  const refusals = replies.filter((reply) => !/^[23]/.test(reply));
  for (const refusal of refusals) expect(refusal).toMatch(/^(?:451|421)[ -]4\.\d\.\d/);
  const accepted = relay.mails.filter(({ body: octets }) => behindTrace(octets) === body);
  const outcome = proxy.outcomes[index];
  if (last.startsWith("250")) {
    expect(accepted.length).toBeGreaterThan(0);
    expect(outcome).toBe("relayed");
  } else {
    expect(outcome).toBe(relay.dots > 0 && !last.includes("going down") ? "unknown" : "deferred");
  }
  expect(relay.dots).toBeLessThanOrEqual(1);
}

/** The proxy carries the next mail, and has kept nothing of the last. */
async function proveWell(proxy: TestProxy, relay: ScriptedRelay, transactions: number): Promise<void> {
  relay.script = undefined;
  relay.catchesHello = false;
  const taken = relay.mails.length;
  expect(await proxy.mail("Subject: next\r\n\r\nnext\r\n")).toStartWith("250 2.0.0 queued");
  expect(relay.mails.slice(taken).map((mail) => behindTrace(mail.body))).toEqual([
    "Subject: next\r\n\r\nnext\r\n",
  ]);
  expect(proxy.transactions.length).toBe(transactions + 1);
  await eventually(() => relay.open <= 1, "one idle connection at the most is left");
  await proxy.stop();
  await eventually(() => relay.open === 0, "the idle connection is closed");
  expect(proxy.stacks).toEqual([]);
  expect(proxy.events.filter(({ event }) => event === "session").length).toBe(2);
}

function makeProxy(relay: ScriptedRelay, secured: boolean, silent: boolean): TestProxy {
  const limits = silent ? { connectTimeoutMs: timeoutMs, replyTimeoutMs: timeoutMs } : {};
  return new TestProxy([relay.port], {
    pool: secured
      ? { ...limits, tls: "required", credentials: { username: "me", password: "secret" } }
      : limits,
  });
}

const modes = [
  { mode: "pipelining", keywords: ["PIPELINING", "8BITMIME"], inTls: false },
  { mode: "step by step", keywords: ["8BITMIME"], inTls: false },
  { mode: "in TLS", keywords: ["PIPELINING", "8BITMIME"], inTls: true },
];

for (const { mode, keywords, inTls } of modes) {
  describe(`the relay dies, ${mode}`, () => {
    for (const point of points) {
      if (point === "idle in the pool") continue;
      if (tlsPoints.includes(point) && !inTls) continue;
      for (const way of ways) {
        test.concurrent(`${way} ${point}`, async () => {
          const secured = inTls;
          const relay = await ScriptedRelay.start({
            keywords,
            ...(secured ? { certificate, auth: "PLAIN" } : {}),
          });
          const fired = { count: 0 };
          relay.script = script(point, way, fired);
          relay.catchesHello = point === "in the TLS handshake";
          // What comes behind half a line may be the rest of it, and a line without a code is text of a reply that is
          // still to end: then the relay is only waiting.
          const silent = way === "silence" || way === "garbage" || point.startsWith("in the");
          const proxy = makeProxy(relay, secured, silent);
          try {
            const client = await ScriptedClient.greeted(proxy.port);
            const replies = await sendMail(client, relay);
            if (client.closed || client.ended) throw new Error("the client was sent away");
            expect(await client.quit()).toStartWith("221");
            await eventually(() => proxy.transactions.length > 0, "the outcome is logged");
            expect(fired.count).toBe(1);
            expect(proxy.transactions.length).toBe(1);
            judge(proxy, relay, replies, 0);
            await proveWell(proxy, relay, 1);
          } finally {
            relay.stop();
          }
        });
      }
    }
  });
}

describe("the relay dies while it reads nothing and the client is held back", () => {
  for (const way of ["reset", "FIN", "silence", "garbage", "421", "early 250"] as const) {
    test.concurrent(`${way}: the client is read on to its dot and told`, async () => {
      const relay = await ScriptedRelay.start({ keep: false });
      const proxy = makeProxy(relay, false, way === "silence" || way === "garbage");
      try {
        const client = await ScriptedClient.greeted(proxy.port);
        await client.ask("MAIL FROM:<sender@example.com>");
        await client.ask("RCPT TO:<someone@example.org>");
        expect(await client.ask("DATA")).toStartWith("354");
        relay.last.pause();
        // More than the kernel's buffers take: the proxy has to stop reading.
        const octets = Buffer.from("0123456789abcdef\r\n".repeat(1_500_000));
        client.say(octets);
        client.say(".\r\n");
        let unsent = -1;
        await eventually(() => {
          const still = client.unsent === unsent;
          unsent = client.unsent;
          return still && unsent > 0;
        }, "the client is held back");
        const { say, after } = act(way, "");
        if (say !== undefined && say !== "") relay.last.say(say);
        if (after === "rst" || after === "fin" || after === "silence") relay.last.die(after);
        expect(await client.reply(4_000)).toMatch(/^451 4\.\d\.\d /);
        expect(relay.dots).toBe(0);
        expect(relay.mails).toEqual([]);
        await client.quit();
        await eventually(() => proxy.transactions.length > 0, "the outcome is logged");
        expect(proxy.outcomes).toEqual(["deferred"]);
        relay.last.resume();
        expect(await proxy.mail(body)).toStartWith("250");
        await proxy.stop();
        await eventually(() => relay.open === 0, "no connection is left");
      } finally {
        relay.stop();
      }
    });
  }
});

describe("the relay dies idle in the pool", () => {
  for (const way of ways) {
    test.concurrent(`${way}: the next mail goes over a fresh connection, and nobody hears of it`, async () => {
      const relay = await ScriptedRelay.start();
      const proxy = makeProxy(relay, false, way === "silence");
      try {
        expect(await proxy.mail(body)).toStartWith("250");
        const { say, after } = act(way, "250 2.0.0 idle\r\n");
        if (say !== undefined) relay.last.say(say);
        if (after === "rst" || after === "fin" || after === "silence") relay.last.die(after);
        if (way !== "silence") await eventually(() => relay.open === 0, "the dead connection is dropped");
        expect(await proxy.mail(body)).toStartWith("250");
        expect(relay.mails.map(({ talk }) => talk)).toEqual([1, 2]);
        expect(proxy.outcomes).toEqual(["relayed", "relayed"]);
        await proxy.stop();
        await eventually(() => relay.open === 0, "no connection is left");
      } finally {
        relay.stop();
      }
    });
  }

  test.concurrent("in the instant in which the next MAIL is on its way", async () => {
    for (const way of ["rst", "fin", "421"] as const) {
      const relay = await ScriptedRelay.start();
      const proxy = makeProxy(relay, false, false);
      try {
        expect(await proxy.mail(body)).toStartWith("250");
        relay.script = (step, _count, { number }) =>
          step === "MAIL" && number === 1
            ? {
                say: way === "421" ? "421 4.4.2 idle for too long\r\n" : "",
                after: way === "rst" ? "rst" : "fin",
              }
            : undefined;
        expect(await proxy.mail(body)).toStartWith("250");
        expect(relay.mails.map(({ talk }) => talk)).toEqual([1, 2]);
        expect(proxy.outcomes).toEqual(["relayed", "relayed"]);
        await proxy.stop();
      } finally {
        relay.stop();
      }
    }
  });
});
