/**
 * DNSBL the whole way, over real sockets: what a listed client hears and the log says, several zones and their
 * weights, and SCREENING=observe. What a zone may answer: dnsbl.test.ts.
 */
import { describe, expect, test } from "bun:test";
import { addresses, late, nxdomain, silence, soa, texts, truncated } from "../dns/server.ts";
import {
  atOnceMs,
  body,
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

describe("what the client hears", () => {
  test.concurrent("the zone and its text, slowly, and then it is closed; the log has sender and recipient", () =>
    withBench(async (bench) => {
      const { proxy, relay, dns } = bench;
      dns.on(nameOf(7), listed);
      const text = "Sends spam, see https://list.test/q?ip=127.0.0.7";
      dns.on(nameOf(7), (query) =>
        (query.type === "TXT" ? texts([[text.slice(0, 9), text.slice(9)]]) : listed)(query),
      );
      const { reply, rcptMs } = await visit(proxy.port, 7);
      expect(reply).toBe(`554 5.7.1 client [127.0.0.7] is listed by list.test: ${text}`);
      expect(rcptMs).toBeGreaterThan(tarpitMs - 20);
      expect(dns.asked(nameOf(7)).map(({ type }) => type)).toEqual(["A", "TXT"]);
      expect(relay.talks.length).toBe(0);
      await eventually(() => proxy.events.some(({ event }) => event === "tarpit"), "the tarpit lets it go");
      expect(proxy.transactions).toMatchObject([
        { outcome: "refused", client: "127.0.0.7", helo: "client.test", relay: undefined, reply },
      ]);
      expect(proxy.events).toContainEqual(
        expect.objectContaining({
          event: "recipient-refused",
          client: "127.0.0.7",
          helo: "client.test",
          from: "<sender@example.com>",
          to: "someone@example.org",
          reply,
        }),
      );
      expect(screenings(bench)).toMatchObject([{ verdict: "listed", zones: "list.test=127.0.0.2*1" }]);
      expect(proxy.events).toContainEqual(
        expect.objectContaining({ event: "tarpit", client: "127.0.0.7", end: "complete" }),
      );
      expect(proxy.events).toContainEqual(expect.objectContaining({ event: "session", end: "listed" }));
    }));

  test.concurrent("an octet at a time", () =>
    withBench(async ({ proxy, dns }) => {
      dns.on(nameOf(7), listed);
      const client = await ScriptedClient.greeted(proxy.port, "127.0.0.7");
      await client.ask("MAIL FROM:<sender@example.com>");
      const before = client.heard.length;
      client.say("RCPT TO:<someone@example.org>\r\n");
      const lengths = new Set<number>();
      await eventually(() => {
        lengths.add(client.heard.length - before);
        return client.ended;
      }, "it is told");
      expect(lengths.size).toBeGreaterThan(5);
      client.fin();
    }));

  test.concurrent("a shown name instead of the key, in the reply and in the log", () =>
    withBench(
      async (bench) => {
        const { proxy, dns } = bench;
        const key = "hunter2.dq.test";
        dns.on(nameOf(7, key), (query) =>
          (query.type === "TXT"
            ? texts([[`https://HUNTER2.dq.test/?zone=${key}`]])
            : addresses(["127.0.0.4"]))(query),
        );
        dns.on(nameOf(8, key), addresses(["127.255.255.250"]));
        const { reply } = await visit(proxy.port, 7);
        expect(reply).toBe(
          "554 5.7.1 client [127.0.0.7] is listed by zen.test: https://zen.test/?zone=zen.test",
        );
        await visit(proxy.port, 8);
        expect(warnings(bench)).toMatchObject([{ zone: "zen.test" }]);
        expect(screenings(bench)).toMatchObject([{ zones: "zen.test=127.0.0.4*2" }]);
        expect(JSON.stringify(proxy.events).toLowerCase()).not.toContain("hunter2");
      },
      { zones: "hunter2.dq.test=127.0.0.[2..11]*2=>zen.test" },
    ));

  const strange: readonly (readonly [string, readonly (string | Buffer)[], string])[] = [
    ["of two lines and a reply of its own", ["x\r\n250 2.0.0 ok\r\n"], ": x?250 2.0.0 ok?"],
    ["in 8-bit", [Buffer.from("sp\xe4m\x00", "latin1")], ": sp?m?"],
    ["that is empty", [""], ""],
  ];
  test.concurrent.each(strange)("a text %s", (_title, strings, shown) =>
    withBench(async ({ proxy, dns }) => {
      dns.on(nameOf(7), (query) => (query.type === "TXT" ? texts([strings]) : listed)(query));
      const { reply } = await visit(proxy.port, 7);
      expect(reply).toBe(`554 5.7.1 client [127.0.0.7] is listed by list.test${shown}`);
    }),
  );

  test.concurrent("a text that does not come: the reply waits for it no longer than a look-up takes", () =>
    withBench(async ({ proxy, dns }) => {
      dns.on(nameOf(7), (query) => (query.type === "TXT" ? silence : listed)(query));
      const { reply, rcptMs } = await visit(proxy.port, 7);
      expect(reply).toEndWith("is listed by list.test");
      expect(rcptMs).toBeLessThan(timeoutMs + tarpitMs + atOnceMs);
    }));

  test.concurrent("a text of 4,000 octets, over TCP: cut", () =>
    withBench(async ({ proxy, dns }) => {
      const long = texts([Array.from({ length: 20 }, () => "y".repeat(200))]);
      dns.on(
        nameOf(7),
        (query) => (query.type === "TXT" ? truncated : listed)(query),
        (query) => (query.type === "TXT" ? long : listed)(query),
      );
      const { reply } = await visit(proxy.port, 7);
      expect(reply).toMatch(/list\.test: y{100,400}$/);
    }));
});

describe("several zones", () => {
  const five = "a.test b.test c.test d.test e.test";

  test.concurrent("are asked all at once, while the client waits", () =>
    withBench(
      async ({ proxy, dns }) => {
        dns.otherwise = late(150, nxdomain(soa(300)));
        const client = await ScriptedClient.connect(proxy.port, "127.0.0.1", "127.0.0.7");
        await eventually(() => dns.queries.length === 5, "all five are asked", 100);
        expect(client.heard).toBe("220-proxy.test ESMTP\r\n");
        expect(new Set(dns.queries.map(({ name }) => name))).toEqual(
          new Set(five.split(" ").map((zone) => nameOf(7, zone))),
        );
        expect(new Set(dns.queries.map(({ port }) => port)).size).toBe(5);
        expect(new Set(dns.queries.map(({ id }) => id)).size).toBeGreaterThan(2);
        await client.reply();
        await client.ask("EHLO client.test");
        const startedAt = performance.now();
        expect(await client.mail(body)).toStartWith("250");
        expect(performance.now() - startedAt).toBeLessThan(atOnceMs);
        await client.quit();
      },
      { zones: five, greetingDelayMs: 300 },
    ));

  test.concurrent("weights: a score under the threshold passes, at it the heaviest zone is named", () =>
    withBench(
      async (bench) => {
        const { proxy, relay, dns } = bench;
        dns.on(nameOf(7, "a.test"), listed);
        dns.on(nameOf(8, "a.test"), listed);
        dns.on(nameOf(8, "b.test"), addresses(["127.0.0.5"]));
        dns.on(nameOf(9, "a.test"), listed);
        dns.on(nameOf(9, "b.test"), addresses(["127.0.0.9"]));
        dns.on(nameOf(10, "a.test"), listed);
        dns.on(nameOf(10, "b.test"), addresses(["127.0.0.5"]));
        dns.on(nameOf(10, "good.test"), addresses(["127.0.5.3"]));
        expect((await visit(proxy.port, 7)).accepted).toStartWith("250");
        expect((await visit(proxy.port, 8)).reply).toEndWith("is listed by b.test");
        expect((await visit(proxy.port, 9)).accepted).toStartWith("250");
        expect((await visit(proxy.port, 10)).accepted).toStartWith("250");
        expect(relay.mails.length).toBe(3);
        expect(screenings(bench)).toMatchObject([
          { client: "127.0.0.8", score: 3, zones: "b.test=127.0.0.5*2 a.test=127.0.0.2*1" },
        ]);
      },
      { zones: "a.test b.test=127.0.0.[4..5]*2 good.test=127.0.5.[0..9]*-5", threshold: 3 },
    ));

  test.concurrent("a zone with several entries is asked once", () =>
    withBench(
      async (bench) => {
        const { proxy, dns } = bench;
        dns.on(nameOf(7), addresses(["127.0.0.2", "127.0.0.10"]));
        expect((await visit(proxy.port, 7)).reply).toStartWith("554 5.7.1 ");
        expect(dns.asked(nameOf(7)).map(({ type }) => type)).toEqual(["A", "TXT"]);
        expect(screenings(bench)).toMatchObject([{ score: 5 }]);
      },
      { zones: "list.test=127.0.0.2*3 list.test=127.0.0.10*2 list.test=127.0.0.11*7", threshold: 5 },
    ));

  test.concurrent("a negative score is greeted at once, and remembered", () =>
    withBench(
      async ({ proxy, relay, dns }) => {
        dns.on(nameOf(7, "good.test"), late(50, listed));
        const startedAt = performance.now();
        const client = await ScriptedClient.greeted(proxy.port, "127.0.0.7");
        expect(performance.now() - startedAt).toBeLessThan(50 + atOnceMs);
        expect(await client.mail(body)).toStartWith("250");
        await client.quit();
        expect(client.heard).toStartWith("220-proxy.test ESMTP\r\n220 proxy.test ESMTP\r\n");
        const asked = dns.queries.length;
        const again = await ScriptedClient.connect(proxy.port, "127.0.0.1", "127.0.0.7");
        expect(await again.reply()).toBe("220 proxy.test ESMTP");
        await again.quit();
        expect(dns.queries.length).toBe(asked);
        expect(relay.mails.length).toBe(1);
      },
      { zones: "good.test*-1", greetingDelayMs: 5_000 },
    ));
});

test.concurrent("observe: the verdict is in the log, the mail goes through, the client is not remembered", () =>
  withBench(
    async (bench) => {
      const { proxy, relay, dns } = bench;
      dns.on(nameOf(7), listed);
      for (let visits = 0; visits < 2; visits += 1) {
        expect((await visit(proxy.port, 7)).accepted).toStartWith("250 ");
      }
      expect(relay.mails.length).toBe(2);
      expect(proxy.outcomes).toEqual(["relayed", "relayed"]);
      const verdict = { client: "127.0.0.7", verdict: "listed", enforced: false, score: 1 };
      expect(screenings(bench)).toMatchObject([verdict, verdict]);
    },
    { observe: true },
  ));

test.concurrent("neither RSET nor another EHLO washes a listing off", () =>
  withBench(async ({ proxy, dns, relay }) => {
    dns.on(nameOf(7), listed);
    const client = await ScriptedClient.greeted(proxy.port, "127.0.0.7");
    await client.ask("MAIL FROM:<sender@example.com>");
    await client.ask("RSET");
    await client.ask("EHLO another.test");
    await client.ask("MAIL FROM:<another@example.com>");
    expect(await client.ask("RCPT TO:<someone@example.org>")).toStartWith("554 5.7.1 ");
    client.fin();
    expect(relay.talks.length).toBe(0);
  }));
