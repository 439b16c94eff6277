/** The memory of passed clients: two passes with times of their own, bounded, and never an offender. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { PassedClients, rememberedMs } from "../../src/screening/passed-clients.ts";

const minuteMs = 60_000;
/** A pass for the delay alone, for a day. */
const patient = { delayMs: rememberedMs, dnsblMs: 0 };
const both = { delay: true, dnsbl: true };
const delayAlone = { delay: true, dnsbl: false };
const dnsblAlone = { delay: false, dnsbl: true };
const neither = { delay: false, dnsbl: false };

describe("a client that passed", () => {
  test("is remembered for each pass as long as that is good, and for no longer than a day", () => {
    const passed = new PassedClients();
    expect(passed.passes("192.0.2.1", 0)).toEqual(neither);
    passed.remember("192.0.2.1", { delayMs: 2 * rememberedMs, dnsblMs: minuteMs }, 1000);
    expect(passed.passes("192.0.2.1", 1000 + minuteMs - 1)).toEqual(both);
    expect(passed.passes("192.0.2.1", 1000 + minuteMs)).toEqual(delayAlone);
    expect(passed.passes("192.0.2.1", 1000 + rememberedMs - 1)).toEqual(delayAlone);
    expect(passed.passes("192.0.2.1", 1000 + rememberedMs)).toEqual(neither);
    expect(passed.size).toBe(0);
  });

  test("may hold the second pass longer than the first", () => {
    const passed = new PassedClients();
    passed.remember("192.0.2.1", patient, 0);
    passed.remember("192.0.2.1", { delayMs: 0, dnsblMs: 2 * minuteMs }, rememberedMs - minuteMs);
    expect(passed.passes("192.0.2.1", rememberedMs - 1)).toEqual(both);
    expect(passed.passes("192.0.2.1", rememberedMs)).toEqual(dnsblAlone);
    expect(passed.passes("192.0.2.1", rememberedMs + minuteMs)).toEqual(neither);
  });

  test("loses nothing by a pass that it did not earn, or that is good for less", () => {
    const passed = new PassedClients();
    passed.remember("192.0.2.1", { delayMs: rememberedMs, dnsblMs: 10 * minuteMs }, 0);
    passed.remember("192.0.2.1", { delayMs: minuteMs, dnsblMs: 0 }, 1);
    expect(passed.passes("192.0.2.1", 10 * minuteMs - 1)).toEqual(both);
    expect(passed.passes("192.0.2.1", rememberedMs - 1)).toEqual(delayAlone);
  });

  test("is known by its IPv4 address or IPv6 /64", () => {
    const passed = new PassedClients();
    passed.remember("::ffff:192.0.2.1", patient, 0);
    passed.remember("2001:db8::1", patient, 0);
    const known = ["192.0.2.1", "192.0.2.2", "2001:db8::2", "2001:db8:0:1::1"].map(
      (address) => passed.passes(address, 1).delay,
    );
    expect(known).toEqual([true, false, true, false]);
    expect(passed.size).toBe(2);
  });

  test("that passes again is no longer the oldest", () => {
    const passed = new PassedClients(2);
    passed.remember("192.0.2.1", patient, 0);
    passed.remember("192.0.2.2", patient, 1);
    passed.remember("192.0.2.1", patient, 2);
    passed.remember("192.0.2.3", patient, 3);
    const known = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map((address) => passed.passes(address, 4).delay);
    expect(known).toEqual([true, false, true]);
    expect(passed.passes("192.0.2.1", rememberedMs + 1)).toEqual(delayAlone);
  });

  test("that earned nothing takes no place", () => {
    const passed = new PassedClients();
    passed.remember("192.0.2.1", { delayMs: 0, dnsblMs: 0 }, 0);
    expect([passed.size, passed.passes("192.0.2.1", 0)]).toEqual([0, neither]);
  });
});

describe("an offender", () => {
  test("is forgotten, and not remembered for a day, whichever session comes first", () => {
    const passed = new PassedClients();
    const clean = { delayMs: rememberedMs, dnsblMs: 10 * minuteMs };
    passed.remember("192.0.2.1", clean, 0);
    passed.forget("192.0.2.1", 10);
    expect(passed.passes("192.0.2.1", 11)).toEqual(neither);
    passed.remember("192.0.2.1", clean, 12);
    expect(passed.passes("192.0.2.1", 13)).toEqual(neither);
    passed.remember("192.0.2.1", clean, 10 + rememberedMs);
    expect(passed.passes("192.0.2.1", 11 + rememberedMs)).toEqual(both);
  });

  test("takes its /64 with it", () => {
    const passed = new PassedClients();
    passed.remember("2001:db8::1", patient, 0);
    passed.forget("2001:db8::2", 1);
    expect(passed.passes("2001:db8::1", 2)).toEqual(neither);
  });
});

test("what has expired goes while clients come", () => {
  const passed = new PassedClients();
  for (let n = 0; n < 100; n += 1) passed.remember(`10.0.0.${n}`, patient, n);
  for (let n = 0; n < 100; n += 1) passed.remember(`10.0.1.${n}`, patient, rememberedMs + 1000 + n);
  expect(passed.size).toBe(100);
});

test("bounded, and right for any history, against a list", () => {
  const addresses = fc.constantFrom(..."123456789".split("").map((last) => `192.0.2.${last}`));
  const earned = fc.record({ delayMs: fc.constantFrom(0, 10, 60), dnsblMs: fc.constantFrom(0, 5, 20) });
  const steps = fc.array(
    fc.tuple(fc.constantFrom("remember", "remember", "forget", "asks"), addresses, earned, fc.nat(12)),
    { maxLength: 100 },
  );
  const lifetimeMs = 30;
  interface Known {
    readonly address: string;
    readonly delay: number;
    readonly dnsbl: number;
  }
  fc.assert(
    fc.property(steps, (all) => {
      const clientsMax = 4;
      const passed = new PassedClients(clientsMax, lifetimeMs);
      let now = 0;
      let good: Known[] = [];
      let bad: Known[] = [];
      for (const [what, address, { delayMs, dnsblMs }, elapsed] of all) {
        now += elapsed;
        const others = (entry: Known) => entry.address !== address;
        const young = ({ delay, dnsbl }: Known) => now < delay || now < dnsbl;
        // The oldest is forgotten for want of room, whether or not a younger one has expired: so it stays in the list.
        const expired = good.filter((entry) => !young(entry)).map((entry) => entry.address);
        bad = bad.filter(young);
        const known = good.find((entry) => !others(entry) && young(entry));
        if (what === "remember") {
          passed.remember(address, { delayMs, dnsblMs }, now);
          if (delayMs + dnsblMs > 0 && bad.every(others)) {
            const delay = Math.max(
              known?.delay ?? 0,
              delayMs === 0 ? 0 : now + Math.min(delayMs, lifetimeMs),
            );
            const dnsbl = Math.max(
              known?.dnsbl ?? 0,
              dnsblMs === 0 ? 0 : now + Math.min(dnsblMs, lifetimeMs),
            );
            good = [...good.filter(others), { address, delay, dnsbl }];
          }
        } else if (what === "forget") {
          passed.forget(address, now);
          good = good.filter(others);
          const until = now + lifetimeMs;
          bad = [...bad.filter(others), { address, delay: until, dnsbl: until }].slice(-clientsMax);
        }
        const mine = good.find((entry) => !others(entry));
        const { delay, dnsbl } = passed.passes(address, now);
        // What is remembered is right; and who is forgotten was expired, or one of so many that came before others.
        if (delay) expect(mine?.delay).toBeGreaterThan(now);
        if (dnsbl) expect(mine?.dnsbl).toBeGreaterThan(now);
        const newest = good.slice(-clientsMax).filter((entry) => !expired.includes(entry.address));
        if (mine !== undefined && newest.includes(mine)) {
          expect({ delay, dnsbl }).toEqual({ delay: now < mine.delay, dnsbl: now < mine.dnsbl });
        }
        expect(passed.size).toBeLessThanOrEqual(clientsMax);
        for (const offender of bad) expect(passed.passes(offender.address, now)).toEqual(neither);
      }
    }),
    { numRuns: 1000 },
  );
});

test("a full memory costs no more than one that fills up", () => {
  const passed = new PassedClients(20_000);
  const addressOf = (n: number) => `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`;
  const started = performance.now();
  for (let n = 0; n < 200_000; n += 1) passed.remember(addressOf(n), patient, n);
  expect(passed.size).toBe(20_000);
  expect(passed.passes(addressOf(179_999), 200_000)).toEqual(neither);
  expect(passed.passes(addressOf(180_000), 200_000)).toEqual(delayAlone);
  expect(performance.now() - started).toBeLessThan(3000);
});
