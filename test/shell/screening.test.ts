/**
 * The screening over real sockets: the delayed greeting, early talkers, first words that are no SMTP, pipelining,
 * too many errors, who is let in at all, and what is left behind by those who are not. DNSBL: dnsbl.test.ts; the
 * tarpit: tarpit.test.ts; crowds: load.test.ts. The rules at each instant: test/transcripts.
 */
import { describe, expect, test } from "bun:test";
import { AddressSet } from "../../src/screening/addresses.ts";
import { PassedClients } from "../../src/screening/passed-clients.ts";
import { type Bent, eventually, noReply, ScriptedClient, ScriptedRelay, TestProxy } from "./support.ts";

const body = "Subject: x\r\n\r\nx\r\n";
const delayMs = 300;
const tarpitMs = 200;
/** What may pass on a slow machine before something that happens at once is seen. */
const atOnceMs = 200;
const begins = "220-proxy.test ESMTP\r\n";
const greeting = "220 proxy.test ESMTP";

interface Bench {
  readonly proxy: TestProxy;
  readonly relay: ScriptedRelay;
}

const nobody = new AddressSet([]);
const local = (last: number): string => `127.0.0.${last}`;

async function withProxy(run: (bench: Bench) => Promise<void>, bent: Bent = {}): Promise<void> {
  const relay = await ScriptedRelay.start();
  const proxy = new TestProxy([relay.port], {
    ...bent,
    screening: { greetingDelayMs: delayMs, ...bent.screening },
    server: { trusted: nobody, tarpitDurationMs: tarpitMs, ...bent.server },
  });
  try {
    await run({ proxy, relay });
    await eventually(() => proxy.server.tarpitted === 0, "the tarpit is empty");
    await proxy.stop();
    expect(proxy.stacks).toEqual([]);
  } finally {
    relay.stop();
  }
}

const from = ({ proxy }: Bench, last: number): Promise<ScriptedClient> =>
  ScriptedClient.connect(proxy.port, "127.0.0.1", local(last));

function screenings({ proxy }: Bench) {
  return proxy.events.filter((event) => event.event === "screening");
}

/** Until the proxy has closed; what was heard. */
async function untilClosed(client: ScriptedClient): Promise<string> {
  await eventually(() => client.ended || client.closed, "it is closed");
  client.fin();
  return client.heard;
}

async function since(start: number, wait: Promise<unknown>): Promise<number> {
  await wait;
  return performance.now() - start;
}

describe("the delayed greeting", () => {
  test.concurrent("begins at once and ends when the delay is over; the second time there is none", () =>
    withProxy(async (bench) => {
      const start = performance.now();
      const client = await from(bench, 7);
      await eventually(() => client.heard === begins, "it begins at once", atOnceMs);
      expect(await client.reply()).toBe(`220-proxy.test ESMTP\n${greeting}`);
      expect(performance.now() - start).toBeGreaterThan(delayMs - 10);
      expect(performance.now() - start).toBeLessThan(delayMs + atOnceMs);
      await client.ask("EHLO client.test");
      expect(await client.mail(body)).toStartWith("250 ");
      await client.quit();

      for (let again = 0; again < 3; again += 1) {
        const next = await from(bench, 7);
        expect(await since(performance.now(), next.reply())).toBeLessThan(atOnceMs);
        expect(next.heard).toBe(`${greeting}\r\n`);
        await next.ask("EHLO client.test");
        expect(await next.mail(body)).toStartWith("250 ");
        await next.quit();
      }
      const other = await from(bench, 8);
      await eventually(() => other.heard !== "", "another client is not known");
      expect(other.heard).toBe(begins);
      await other.reply();
      await other.quit();
      expect(bench.relay.mails.length).toBe(4);
      expect(screenings(bench)).toEqual([]);
    }));

  test.concurrent("a client that takes its time, and one whose EHLO comes as soon as can be", () =>
    withProxy(async (bench) => {
      const slow = await from(bench, 7);
      const eager = await from(bench, 8);
      await eager.reply();
      eager.say("EHLO eager.test\r\n");
      expect(await eager.reply()).toStartWith("250");
      await Bun.sleep(delayMs);
      await slow.reply();
      expect(await slow.ask("HELO slow.test")).toStartWith("250 ");
      for (const client of [slow, eager]) {
        expect(await client.mail(body)).toStartWith("250 ");
        await client.quit();
      }
      expect(screenings(bench)).toEqual([]);
    }));

  test.concurrent("trusted clients are greeted at once, and may speak at once", () =>
    withProxy(
      async (bench) => {
        const client = await from(bench, 7);
        client.say("EHLO trusted.test\r\n");
        expect(await client.reply()).toBe(greeting);
        expect(await client.reply()).toStartWith("250-");
        expect(await client.mail(body)).toStartWith("250 ");
        await client.quit();
        expect(screenings(bench)).toEqual([]);
      },
      { server: { trusted: new AddressSet([{ octets: [127, 0, 0, 7], prefixBits: 32 }]) } },
    ));

  test.concurrent("no delay, no beginning", () =>
    withProxy(
      async (bench) => {
        const client = await from(bench, 7);
        expect(await since(performance.now(), client.reply())).toBeLessThan(atOnceMs);
        expect(client.heard).toBe(`${greeting}\r\n`);
        await client.quit();
      },
      { screening: { greetingDelayMs: 0 } },
    ));

  test.concurrent("a client that leaves meanwhile", () =>
    withProxy(async (bench) => {
      const clients = await Promise.all([7, 8, 9, 10].map((last) => from(bench, last)));
      await eventually(() => clients.every(({ heard }) => heard === begins), "it begins");
      for (const [at, client] of clients.entries()) client[at % 2 === 0 ? "rst" : "fin"]();
      await eventually(() => bench.proxy.server.sessions === 0, "the sessions are over");
      expect(screenings(bench)).toEqual([]);
    }));
});

describe("an early talker", () => {
  test.concurrent("is never greeted, hears 554 slowly, is closed, and what it said is in the log", () =>
    withProxy(async (bench) => {
      const client = await from(bench, 7);
      client.say("EHLO spam.test\r\nMAIL FROM:<a@spam.test>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n");
      const start = performance.now();
      expect(await untilClosed(client)).toBe(`${begins}554 5.5.1 you spoke before the greeting was over\r\n`);
      expect(performance.now() - start).toBeGreaterThan(tarpitMs - 20);
      await eventually(() => bench.proxy.events.some(({ event }) => event === "tarpit"), "it is let go");
      expect(bench.relay.talks.length).toBe(0);
      expect(bench.proxy.transactions).toEqual([]);
      const [found, ...others] = screenings(bench);
      expect(others).toEqual([]);
      expect(found).toMatchObject({ client: local(7), verdict: "early-talker", enforced: true });
      expect(found?.said).toStartWith("EHLO spam.test\r\nMAIL");
      expect(found?.silentMs).toBeLessThan(atOnceMs);
    }));

  test.concurrent("in pieces that say nothing yet is judged when the delay is over", () =>
    withProxy(async (bench) => {
      const client = await from(bench, 7);
      client.say("E");
      await Bun.sleep(30);
      client.say("H");
      expect(await untilClosed(client)).toStartWith(`${begins}554 5.5.1 `);
      expect(screenings(bench)).toMatchObject([{ verdict: "early-talker", said: "EH" }]);
    }));

  test.concurrent("is not remembered, though it behaves well afterwards or in another session", () =>
    withProxy(async (bench) => {
      const good = await from(bench, 7);
      const bad = await from(bench, 7);
      bad.say("HELO x\r\n");
      await good.reply();
      await good.ask("EHLO client.test");
      expect(await good.mail(body)).toStartWith("250 ");
      await good.quit();
      await untilClosed(bad);
      const again = await from(bench, 7);
      await eventually(() => again.heard !== "", "it hears something");
      expect(again.heard).toBe(begins);
      await again.reply();
      await again.quit();
    }));

  test.concurrent("that was remembered is forgotten when it offends", () =>
    withProxy(async (bench) => {
      const good = await from(bench, 7);
      await good.reply();
      await good.ask("EHLO client.test");
      await good.quit();
      const bad = await from(bench, 7);
      expect(await bad.reply()).toBe(greeting);
      bad.say("EHLO x\r\nMAIL FROM:<>\r\n");
      expect(await untilClosed(bad)).toEndWith("554 5.5.1 improper pipelining\r\n");
      const again = await from(bench, 7);
      await eventually(() => again.heard !== "", "it hears something");
      expect(again.heard).toBe(begins);
      again.rst();
    }));

  test.concurrent("is let through where it is only observed, and not remembered", () =>
    withProxy(
      async (bench) => {
        const client = await from(bench, 7);
        client.say("EHLO spam.test\r\n");
        expect(await client.reply()).toEndWith(greeting);
        expect(await client.reply()).toStartWith("250");
        expect(await client.mail(body)).toStartWith("250 ");
        await client.quit();
        expect(screenings(bench)).toMatchObject([{ verdict: "early-talker", enforced: false }]);
        const good = await from(bench, 7);
        await good.reply();
        await good.ask("EHLO client.test");
        expect(await good.mail(body)).toStartWith("250 ");
        await good.quit();
        const again = await from(bench, 7);
        await eventually(() => again.heard !== "", "it hears something");
        expect(again.heard).toBe(begins);
        again.rst();
      },
      { screening: { observe: true } },
    ));
});

describe("first words that are no SMTP", () => {
  /** The head of a real one, by OpenSSL: record, handshake, version, random. */
  const clientHello = `\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03${"\x5a".repeat(32)}\x20${"\xa5".repeat(32)}`;
  const words: readonly (readonly [string, string, string])[] = [
    ["GET", "GET / HTTP/1.1\r\nHost: proxy.test\r\n\r\n", "HTTP request"],
    [
      "POST with a mail in its body",
      "POST / HTTP/1.1\r\nContent-Type: text/plain\r\n\r\nEHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n",
      "HTTP request",
    ],
    ["CONNECT", "CONNECT mx.test:25 HTTP/1.0\r\n\r\n", "HTTP request"],
    ["a header line", "Host: proxy.test\r\n", "header line"],
    ["a TLS ClientHello", clientHello, "TLS handshake"],
    ["SSH", "SSH-2.0-Go\r\n", "SSH banner"],
    ["zeros", "\0\0\0\0", "binary data"],
    ["digits", "123\r\n", "no command"],
  ];

  for (const when of ["before", "behind"] as const) {
    test.concurrent.each(words)(`%s, ${when} the greeting: closed without a word`, (_title, said) =>
      withProxy(async (bench) => {
        const client = await from(bench, 7);
        if (when === "behind") await client.reply();
        client.say(said);
        const heard = await untilClosed(client);
        expect(heard).toBe(when === "before" ? begins : `${begins}${greeting}\r\n`);
        await eventually(() => bench.proxy.events.some(({ event }) => event === "session"), "it is over");
        expect(bench.relay.talks.length).toBe(0);
        expect(bench.proxy.transactions).toEqual([]);
        expect(bench.proxy.events.some(({ event }) => event === "tarpit")).toBe(false);
        const [found] = screenings(bench);
        expect(found).toMatchObject({ verdict: "non-smtp", enforced: true });
        expect(said.startsWith(found?.said ?? "nothing")).toBe(true);
      }),
    );
  }

  test.concurrent("of a trusted client too", () =>
    withProxy(
      async (bench) => {
        const client = await ScriptedClient.connect(bench.proxy.port);
        client.say("GET / HTTP/1.1\r\n\r\n");
        expect(await untilClosed(client)).toBe(`${greeting}\r\n`);
      },
      { server: { trusted: new AddressSet([{ octets: [127, 0, 0, 0], prefixBits: 8 }]) } },
    ));

  test.concurrent("behind EHLO they are unknown commands", () =>
    withProxy(async (bench) => {
      const client = await from(bench, 7);
      await client.reply();
      await client.ask("EHLO client.test");
      expect(await client.ask("GET / HTTP/1.1")).toStartWith("500 5.5.2 ");
      expect(await client.mail(body)).toStartWith("250 ");
      await client.quit();
    }));
});

describe("pipelining", () => {
  test.concurrent("behind EHLO's answer, and QUIT behind the end of mail data, are welcome", () =>
    withProxy(async (bench) => {
      const client = await from(bench, 7);
      await client.reply();
      await client.ask("EHLO client.test");
      client.say(`MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n`);
      for (const code of ["250 ", "250 ", "354 "]) expect(await client.reply()).toStartWith(code);
      client.say(`${body}.\r\nQUIT\r\n`);
      expect(await client.reply()).toStartWith("250 ");
      expect(await client.reply()).toStartWith("221 ");
      client.fin();
      expect(screenings(bench)).toEqual([]);
    }));

  const improper = [
    ["EHLO x\r\nMAIL FROM:<a@b.test>\r\n", "behind EHLO"],
    ["HELO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n", "behind HELO"],
  ] as const;
  test.concurrent.each(improper)("%p: 554 5.5.1, slowly", (said) =>
    withProxy(async (bench) => {
      const client = await from(bench, 7);
      await client.reply();
      client.say(said);
      expect(await untilClosed(client)).toEndWith("554 5.5.1 improper pipelining\r\n");
      expect(screenings(bench)).toMatchObject([{ verdict: "pipelining", enforced: true }]);
      expect(bench.relay.talks.length).toBe(0);
    }),
  );
});

describe("who is let in", () => {
  test.concurrent("MAX_CONNECTIONS_PER_CLIENT: 421 4.7.0 at once; others and trusted clients are let in", () =>
    withProxy(
      async (bench) => {
        const three = await Promise.all([7, 7, 7].map((last) => from(bench, last)));
        const start = performance.now();
        const fourth = await from(bench, 7);
        expect(await fourth.reply()).toStartWith("421 4.7.0 ");
        expect(performance.now() - start).toBeLessThan(atOnceMs);
        await untilClosed(fourth);
        const other = await from(bench, 8);
        await eventually(() => other.heard === begins, "another client is let in");
        const trusted = await Promise.all(Array.from({ length: 6 }, () => from(bench, 99)));
        for (const client of trusted) expect(await client.reply()).toBe(greeting);
        three[0]?.rst();
        await eventually(() => bench.proxy.server.sessions === 9, "one has left");
        const next = await from(bench, 7);
        await eventually(() => next.heard === begins, "there is room for one");
        for (const client of [...three.slice(1), other, next, ...trusted]) client.rst();
        expect(bench.proxy.events.filter(({ event }) => event === "connection-refused")).toMatchObject([
          { client: local(7), connections: 3 },
        ]);
      },
      {
        server: {
          maxConnectionsPerClient: 3,
          trusted: new AddressSet([{ octets: [127, 0, 0, 99], prefixBits: 32 }]),
        },
      },
    ));

  test.concurrent("who is in the tarpit counts, until it is gone", () =>
    withProxy(
      async (bench) => {
        const early = [await from(bench, 7), await from(bench, 7)];
        for (const client of early) client.say("HELO x\r\n");
        await eventually(() => bench.proxy.server.tarpitted === 2, "both are in the tarpit");
        expect(bench.proxy.server.sessions).toBe(0);
        const third = await from(bench, 7);
        expect(await third.reply()).toStartWith("421 4.7.0 ");
        await untilClosed(third);
        early[0]?.rst();
        await eventually(() => bench.proxy.server.tarpitted === 1, "one has left");
        const next = await from(bench, 7);
        await eventually(() => next.heard === begins, "there is room for one");
        next.rst();
        early[1]?.rst();
      },
      { server: { maxConnectionsPerClient: 2, tarpitDurationMs: 60_000 } },
    ));

  test.concurrent("MAX_CONNECTIONS: 421 4.3.2, to trusted clients too", () =>
    withProxy(
      async (bench) => {
        const all = await Promise.all([7, 8, 9, 99].map((last) => from(bench, last)));
        await eventually(() => all.every(({ heard }) => heard !== ""), "all are let in");
        for (const last of [10, 99]) {
          const late = await from(bench, last);
          expect(await late.reply()).toStartWith("421 4.3.2 ");
          await untilClosed(late);
        }
        for (const client of all) client.rst();
      },
      {
        maxConnections: 4,
        server: { trusted: new AddressSet([{ octets: [127, 0, 0, 99], prefixBits: 32 }]) },
      },
    ));

  test.concurrent("a rush of 200 that are not let in: each hears why or is reset, nothing is left", () =>
    withProxy(
      async (bench) => {
        const first = await from(bench, 7);
        await eventually(() => first.heard === begins, "the first is let in");
        const rush = await Promise.all(Array.from({ length: 200 }, (_, at) => from(bench, 10 + (at % 40))));
        const replies = await Promise.all(rush.map((client) => client.reply()));
        for (const reply of replies)
          expect([true, reply === noReply]).toContain(reply.startsWith("421 4.3.2 "));
        expect(replies.filter((reply) => reply !== noReply).length).toBeGreaterThan(0);
        for (const client of rush) client.fin();
        await eventually(() => rush.every(({ closed }) => closed), "all are gone");
        first.rst();
        await eventually(() => bench.proxy.server.sessions === 0, "the first is gone");
        const next = await from(bench, 8);
        await eventually(() => next.heard === begins, "the next is let in");
        next.rst();
      },
      { maxConnections: 1 },
    ));
});

describe("errors", () => {
  test.concurrent("MAX_ERRORS: 421 4.7.0, slowly", () =>
    withProxy(
      async (bench) => {
        const client = await from(bench, 7);
        await client.reply();
        await client.ask("EHLO client.test");
        for (let errors = 0; errors < 4; errors += 1) expect(await client.ask("WHAT")).toStartWith("500 ");
        const start = performance.now();
        expect(await client.ask("NOOP")).toStartWith("421 4.7.0 ");
        expect(performance.now() - start).toBeGreaterThan(tarpitMs - 20);
        await untilClosed(client);
        expect(bench.proxy.events).toContainEqual(
          expect.objectContaining({ event: "session", end: "too many errors" }),
        );
      },
      { policy: { maxErrors: 4 } },
    ));

  test.concurrent("commands of no use become errors beyond a hundred", () =>
    withProxy(
      async (bench) => {
        const client = await from(bench, 7);
        await client.reply();
        await client.ask("EHLO client.test");
        client.say("NOOP\r\nRSET\r\nHELP\r\nVRFY x\r\n".repeat(40));
        const heard = await untilClosed(client);
        expect(heard).toEndWith("421 4.7.0 too many errors, closing connection\r\n");
        expect(heard.match(/^(?:250 2\.0\.0|214|252)/gm)?.length).toBeLessThan(110);
      },
      { policy: { maxErrors: 4 } },
    ));
});

test.concurrent("shutdown: who waits for its greeting hears 421, and who is in the tarpit is not waited for", () =>
  withProxy(
    async (bench) => {
      const { proxy } = bench;
      const early = await from(bench, 7);
      early.say("HELO x\r\n");
      await eventually(() => proxy.server.tarpitted === 1, "one is in the tarpit");
      const waiting = await from(bench, 8);
      await eventually(() => waiting.heard === begins, "the other waits");
      const start = performance.now();
      const cut = proxy.server.shutdown(30_000);
      expect(await waiting.reply()).toMatch(/^421 4\.3\.2 |\n421 4\.3\.2 /);
      await untilClosed(waiting);
      expect(await cut).toBe(0);
      expect(performance.now() - start).toBeLessThan(1_000);
      early.rst();
    },
    {
      screening: { greetingDelayMs: 20_000, memory: new PassedClients() },
      server: { tarpitDurationMs: 60_000 },
    },
  ));
