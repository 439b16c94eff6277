/**
 * Somebody keeps the resolver busy, over real sockets: listed clients are not let in for that. What a zone may answer:
 * dnsbl.test.ts; whose look-up has its turn: test/dns/look-up-turns.test.ts.
 */
import { describe, expect, test } from "bun:test";
import { late, nxdomain, silence, soa } from "../dns/server.ts";
import {
  atOnceMs,
  type Bench,
  listed,
  nameOf,
  timeoutMs,
  visit,
  warnings,
  withBench,
} from "./dnsbl-bench.ts";
import { eventually, ScriptedClient } from "./support.ts";

const limits = { runningMax: 20, shareMax: 4, waitingMax: 60 };

/** Clients of as many networks, `each` from an address of its own; `round`: others than before. */
async function flood({ proxy }: Bench, networks: number, each = 1, round = 0): Promise<ScriptedClient[]> {
  const addresses = Array.from({ length: networks * each }, (_, at) => {
    const network = at % networks;
    return `127.${1 + (network >> 8)}.${network & 255}.${1 + ((round * each + Math.floor(at / networks)) & 127)}`;
  });
  return Promise.all(addresses.map((address) => ScriptedClient.connect(proxy.port, "127.0.0.1", address)));
}

/** What 127.0.0.`last` hears to RCPT, and after how long. */
async function rcpt({ proxy }: Bench, last: number): Promise<{ reply: string; waitedMs: number }> {
  const client = await ScriptedClient.greeted(proxy.port, `127.0.0.${last}`);
  await client.ask("MAIL FROM:<sender@example.com>");
  const askedAt = performance.now();
  const reply = await client.ask("RCPT TO:<someone@example.org>");
  const waitedMs = performance.now() - askedAt;
  client.fin();
  return { reply, waitedMs };
}

describe("listed clients", () => {
  test.concurrent("are refused while short connections come from many addresses", () =>
    withBench(
      async (bench) => {
        const { dns, resolver, relay } = bench;
        dns.otherwise = silence;
        const guests = Array.from({ length: 12 }, (_, at) => at + 7);
        for (const last of guests) dns.on(nameOf(last), listed);
        let isOver = false;
        const floods = (async () => {
          for (let round = 0; !isOver; round += 1) {
            for (const client of await flood(bench, 60, 1, round)) client.rst();
            await Bun.sleep(10);
          }
        })();
        const visits = await Promise.all(guests.map((last) => rcpt(bench, last)));
        isOver = true;
        await floods;
        // Some may come when all are busy: that is a matter of later, and never of welcome.
        for (const { reply } of visits) expect(reply).toMatch(/^(554 5\.7\.1|451 4\.7\.1) /);
        expect(visits.filter(({ reply }) => reply.startsWith("554 ")).length).toBeGreaterThan(0);
        expect(relay.talks.length).toBe(0);
        await eventually(
          () => resolver.counts.outstanding === 0,
          "the look-ups of those that left are given up",
        );
      },
      { limits: { ...limits, waitingMax: 300 }, dnsblTimeoutMs: 2_500 },
    ));

  test.concurrent("have a share of their own while one network holds all it can have", () =>
    withBench(
      async (bench) => {
        const { proxy, dns, resolver } = bench;
        dns.otherwise = silence;
        dns.on(nameOf(7), listed);
        const clients = [...(await flood(bench, 1, 15)), ...(await flood(bench, 2, 15))];
        await eventually(() => resolver.counts.waiting > 5, "they wait for their turns");
        expect((await visit(proxy.port, 7)).reply).toStartWith("554 5.7.1 ");
        for (const client of clients) client.rst();
      },
      { limits, dnsblTimeoutMs: 2_000 },
    ));

  test.concurrent("and all others hear 451 where there is no room to ask about them, and one line tells why", () =>
    withBench(
      async (bench) => {
        const { proxy, dns, resolver, relay } = bench;
        dns.otherwise = silence;
        for (const last of [7, 8]) dns.on(nameOf(last), last === 7 ? listed : nxdomain(soa(300)));
        const clients = await flood(bench, 90);
        await eventually(
          () => resolver.counts.waiting === limits.waitingMax,
          "there is not even room to wait",
        );
        const visits = await Promise.all([7, 8].map((last) => rcpt(bench, last)));
        for (const { reply, waitedMs } of visits) {
          expect(reply).toBe("451 4.7.1 too busy to look up your address, try again later");
          expect(waitedMs).toBeLessThan(timeoutMs + atOnceMs);
        }
        expect(relay.talks.length).toBe(0);
        const overloads = warnings(bench).filter(({ event }) => event === "dnsbl-overload");
        expect(overloads[0]).toMatchObject({ zones: "list.test", reason: "too many look-ups at once" });
        for (const client of clients) client.rst();
        // The zone was not to blame for those that were not asked; and when there is room, they are asked.
        await eventually(() => resolver.counts.outstanding === 0, "nobody waits any more");
        expect((await visit(proxy.port, 7)).reply).toStartWith("554 5.7.1 ");
        expect((await visit(proxy.port, 8)).accepted).toStartWith("250 ");
      },
      { limits },
    ));

  test.concurrent("wait for their turn, and are refused when it comes in time", () =>
    withBench(
      async (bench) => {
        const { proxy, dns } = bench;
        dns.otherwise = late(300, nxdomain(soa(300)));
        dns.on(nameOf(7), listed);
        const clients = await flood(bench, 60);
        expect((await visit(proxy.port, 7)).reply).toStartWith("554 5.7.1 ");
        for (const client of clients) client.rst();
      },
      { limits, dnsblTimeoutMs: 4_000 },
    ));
});
