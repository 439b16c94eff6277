/**
 * DNSBL the whole way, over real sockets: everything that a zone and its name servers may answer, and whether the
 * client's mail then goes through. What the client hears, weights, and SCREENING=observe: dnsbl-replies.test.ts;
 * verdicts by themselves: test/screening/dnsbl.test.ts; the resolver by itself: test/dns/resolver.test.ts.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  addresses,
  aliased,
  type Behaviour,
  both,
  DnsServer,
  forgedId,
  garbage,
  headerAlone,
  late,
  nodata,
  nxdomain,
  refused,
  say,
  sentFrom,
  servfail,
  silence,
  soa,
  truncated,
} from "../dns/server.ts";
import {
  atOnceMs,
  listed,
  nameOf,
  screenings,
  tarpitMs,
  timeoutMs,
  visit,
  warnings,
  withBench,
} from "./dnsbl-bench.ts";
import { eventually, ScriptedClient } from "./support.ts";

/** What nobody is to believe: a listing for every client. */
const lie = addresses(["127.0.0.9"]);

/** The right id and a lie about the right name, but not what was asked. */
const anotherQuestion: Behaviour = say(({ name }) => ({
  name: "9.9.9.9.list.test",
  answers: [{ type: "A", name, ttl: 300, data: "127.0.0.9" }],
}));

interface Case {
  readonly title: string;
  readonly udp: Behaviour;
  readonly tcp?: Behaviour;
  readonly listed: boolean;
  /** The list, or a name server of ours, said plainly that it does not know the client. */
  readonly answered?: true;
  readonly fails?: string;
}

const cases: readonly Case[] = [
  { title: "listed", udp: listed, listed: true },
  { title: "listed behind a CNAME", udp: aliased(["a.list.test"], ["127.0.0.4"]), listed: true },
  { title: "several addresses", udp: addresses(["127.0.0.4", "127.0.0.11"]), listed: true },
  { title: "listed, in time but late", udp: late(timeoutMs / 4, listed), listed: true },
  { title: "listed, TTL 0", udp: addresses(["127.0.0.2"], 0), listed: true },
  { title: "truncated, and listed over TCP", udp: truncated, tcp: listed, listed: true },
  {
    title: "truncated, and not listed over TCP",
    udp: truncated,
    tcp: nxdomain(soa(300)),
    listed: false,
    answered: true,
  },
  { title: "truncated, and nothing over TCP", udp: truncated, tcp: silence, listed: false },
  { title: "truncated over TCP too", udp: truncated, tcp: truncated, listed: false },
  { title: "NXDOMAIN", udp: nxdomain(soa(300)), listed: false, answered: true },
  { title: "NXDOMAIN, TTL 0", udp: nxdomain(soa(0, 0)), listed: false, answered: true },
  { title: "NODATA", udp: nodata(soa(300)), listed: false, answered: true },
  { title: "SERVFAIL", udp: servfail, listed: false },
  { title: "REFUSED", udp: refused, listed: false },
  { title: "REFUSED, the header alone", udp: headerAlone(5), listed: false, fails: "REFUSED" },
  { title: "FORMERR, the header alone", udp: headerAlone(1), listed: false, fails: "FORMERR" },
  { title: "silence", udp: silence, listed: false, fails: "no answer within 0.4s" },
  { title: "listed, but too late", udp: late(timeoutMs * 2, listed), listed: false },
  { title: "a forged id", udp: forgedId(lie), listed: false },
  {
    title: "a forged id, and then the truth",
    udp: both(forgedId(lie), nxdomain(soa(300))),
    listed: false,
    answered: true,
  },
  { title: "another question", udp: anotherQuestion, listed: false },
  {
    title: "another question, and then the truth",
    udp: both(anotherQuestion, nodata(soa(300))),
    listed: false,
    answered: true,
  },
  {
    title: "another port",
    udp: both(sentFrom("elsewhere", lie), nxdomain(soa(300))),
    listed: false,
    answered: true,
  },
  {
    title: "another address",
    udp: both(sentFrom("stranger", lie), nxdomain(soa(300))),
    listed: false,
    answered: true,
  },
  { title: "nonsense", udp: garbage, listed: false },
];

describe("what a zone says", () => {
  test.concurrent.each(cases)("$title", ({ udp, tcp, listed: isListed, answered = false, fails }) =>
    withBench(async (bench) => {
      const { proxy, relay, dns } = bench;
      dns.on(nameOf(7), udp, tcp);
      const { reply, accepted, rcptMs } = await visit(proxy.port, 7);
      expect(dns.asked(nameOf(7)).length).toBeGreaterThan(0);
      const isSilent = !isListed && !answered;
      expect(warnings(bench)).toMatchObject(isSilent ? [{ event: "dnsbl-silent", zone: "list.test" }] : []);
      if (fails !== undefined) expect(warnings(bench)).toMatchObject([{ reason: fails }]);
      expect(rcptMs).toBeLessThan(timeoutMs + tarpitMs + 2 * timeoutMs + atOnceMs);
      if (isListed) {
        expect(reply).toMatch(/^554 5\.7\.1 client \[127\.0\.0\.7\] is listed by list\.test$/);
        expect(relay.talks.length).toBe(0);
        await eventually(() => proxy.transactions.length === 1, "the outcome is logged");
        expect(screenings(bench)).toMatchObject([
          { client: "127.0.0.7", verdict: "listed", enforced: true, score: 1 },
        ]);
      } else {
        expect(reply).toStartWith("250 ");
        expect(accepted).toStartWith("250 ");
        expect(relay.mails.length).toBe(1);
        expect(screenings(bench)).toEqual([]);
        // Only an answer spares it the question the next time; and a listing that comes then counts.
        dns.on(nameOf(7), listed);
        const again = await visit(proxy.port, 7);
        expect(again.reply).toStartWith(answered ? "250 " : "554 5.7.1 ");
      }
    }),
  );

  test.concurrent("no zone delays a greeting, and RCPT waits no longer than DNSBL_TIMEOUT", () =>
    withBench(
      async ({ proxy, dns }) => {
        dns.otherwise = silence;
        const startedAt = performance.now();
        const client = await ScriptedClient.connect(proxy.port, "127.0.0.1", "127.0.0.7");
        expect(await client.reply()).toStartWith("220 ");
        expect(await client.ask("EHLO client.test")).toStartWith("250");
        expect(performance.now() - startedAt).toBeLessThan(atOnceMs);
        await client.ask("MAIL FROM:<sender@example.com>");
        expect(await client.ask("RCPT TO:<someone@example.org>")).toStartWith("250");
        const waited = performance.now() - startedAt;
        expect(waited).toBeGreaterThan(timeoutMs - 20);
        expect(waited).toBeLessThan(timeoutMs + atOnceMs);
        await client.quit();
      },
      { zones: "a.test b.test" },
    ));
});

describe("zones that do not serve us", () => {
  const answers = ["127.255.255.254", "127.255.255.252", "1.2.3.4", "0.0.0.0"];

  test.concurrent.each(answers)("%p is no listing: a warning, and the zone is left out", (answer) =>
    withBench(
      async (bench) => {
        const { proxy, relay, dns } = bench;
        for (const last of [7, 8, 9]) dns.on(nameOf(last, "secret.list.test"), addresses([answer]));
        for (const last of [7, 8, 9]) expect((await visit(proxy.port, last)).accepted).toStartWith("250 ");
        expect(relay.mails.length).toBe(3);
        expect(dns.queries.map(({ name }) => name)).toEqual([nameOf(7, "secret.list.test")]);
        expect(warnings(bench)).toEqual([{ event: "dnsbl-unusable", zone: "list.test", answer }]);
        expect(screenings(bench)).toEqual([]);
      },
      { zones: "secret.list.test=>list.test" },
    ),
  );

  test.concurrent("one zone that is parked does not keep the other from listing", () =>
    withBench(
      async (bench) => {
        const { proxy, relay, dns } = bench;
        for (const last of [7, 8]) {
          dns.on(nameOf(last, "parked.test"), addresses(["1.2.3.4", "127.0.0.2"]));
          dns.on(nameOf(last, "list.test"), listed);
          expect((await visit(proxy.port, last)).reply).toEndWith("is listed by list.test");
        }
        expect(relay.talks.length).toBe(0);
        expect(warnings(bench).length).toBe(1);
        expect(dns.asked(nameOf(8, "parked.test"))).toEqual([]);
        expect(screenings(bench)).toMatchObject([{ score: 1 }, { score: 1 }]);
      },
      { zones: "parked.test list.test" },
    ));
});

describe("the resolver behind it", () => {
  test.concurrent("an answer with TTL 0 is kept for a while: two mails, one question", () =>
    withBench(async ({ proxy, dns }) => {
      dns.on(nameOf(7), addresses(["127.0.0.2"], 0));
      for (let visits = 0; visits < 3; visits += 1) {
        expect((await visit(proxy.port, 7)).reply).toStartWith("554 5.7.1 ");
      }
      expect(dns.asked(nameOf(7)).filter(({ type }) => type === "A").length).toBe(1);
    }));

  test.concurrent("twenty connections of a client at once: one question", () =>
    withBench(async ({ proxy, dns, relay }) => {
      dns.on(nameOf(7), late(100, listed));
      const visits = await Promise.all(Array.from({ length: 20 }, () => visit(proxy.port, 7)));
      for (const { reply } of visits) expect(reply).toStartWith("554 5.7.1 ");
      expect(dns.asked(nameOf(7)).filter(({ type }) => type === "A").length).toBe(1);
      expect(relay.talks.length).toBe(0);
    }));

  test.concurrent("a name server that is not there, one that is silent, and one that knows", async () => {
    const gone = await DnsServer.start();
    const { address: dead } = gone;
    gone.stop();
    const mute = await DnsServer.start();
    mute.otherwise = silence;
    try {
      await withBench(
        async ({ proxy, dns }) => {
          dns.on(nameOf(7), listed);
          expect((await visit(proxy.port, 7)).reply).toStartWith("554 5.7.1 ");
          expect(mute.asked(nameOf(7)).length).toBeGreaterThan(0);
        },
        { deadServers: [dead, mute.address], dnsblTimeoutMs: 1_500 },
      );
    } finally {
      mute.stop();
    }
  });

  test.concurrent("a client that is gone before the answer leaves nothing behind", () =>
    withBench(async (bench) => {
      const { proxy, dns, resolver } = bench;
      dns.otherwise = late(150, listed);
      for (const [at, leave] of (["fin", "rst", "fin", "rst"] as const).entries()) {
        const client = await ScriptedClient.greeted(proxy.port, `127.0.0.${20 + at}`);
        if (at >= 2) client.say("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\n");
        await eventually(() => at < 2 || client.heard.includes("\r\n250 2.1.0 "), "it is under way");
        client[leave]();
      }
      await eventually(() => proxy.server.sessions === 0, "no session is left");
      await eventually(() => resolver.counts.outstanding === 0, "nothing is asked any more");
      expect(proxy.events.filter(({ event }) => event === "fault")).toEqual([]);
    }));
});

describe("addresses", () => {
  let hasIpv6 = true;
  beforeAll(() => {
    try {
      Bun.listen({ hostname: "::1", port: 0, socket: { data() {} } }).stop();
    } catch {
      hasIpv6 = false;
    }
  });
  afterAll(() => {
    if (!hasIpv6) console.error("this machine has no IPv6: not tried");
  });

  test.concurrent("::1 is asked for by its nibbles", () =>
    withBench(async ({ proxy, dns }) => {
      if (!hasIpv6) return;
      const { port } = proxy.server.listen({ host: "::1", port: 0 });
      const nibbles = `1.${"0.".repeat(31)}list.test`;
      dns.on(nibbles, listed);
      expect((await visit(port, 0, "::1")).reply).toBe("554 5.7.1 client [::1] is listed by list.test");
      expect(dns.asked(nibbles).length).toBeGreaterThan(0);
    }));

  test.concurrent("IPv4 on a listener of both families is asked for as IPv4", () =>
    withBench(async ({ proxy, dns }) => {
      if (!hasIpv6) return;
      const { port } = proxy.server.listen({ host: "::", port: 0 });
      dns.on(nameOf(7), listed);
      expect((await visit(port, 7)).reply).toBe("554 5.7.1 client [127.0.0.7] is listed by list.test");
    }));
});
