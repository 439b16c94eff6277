/** The memory of passed clients: a day, bounded, and never an offender. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { PassedClients, rememberedMs } from "../../src/screening/passed-clients.ts";

describe("a client that passed", () => {
  test("is remembered for a day", () => {
    const passed = new PassedClients();
    expect(passed.has("192.0.2.1", 0)).toBe(false);
    passed.remember("192.0.2.1", 1000);
    expect(passed.has("192.0.2.1", 1000 + rememberedMs - 1)).toBe(true);
    expect(passed.has("192.0.2.1", 1000 + rememberedMs)).toBe(false);
    expect(passed.size).toBe(0);
  });

  test("is known by its IPv4 address or IPv6 /64", () => {
    const passed = new PassedClients();
    passed.remember("::ffff:192.0.2.1", 0);
    passed.remember("2001:db8::1", 0);
    const known = ["192.0.2.1", "192.0.2.2", "2001:db8::2", "2001:db8:0:1::1"].map((a) => passed.has(a, 1));
    expect(known).toEqual([true, false, true, false]);
    expect(passed.size).toBe(2);
  });

  test("that passes again is good for a day more, and is no longer the oldest", () => {
    const passed = new PassedClients(2);
    passed.remember("192.0.2.1", 0);
    passed.remember("192.0.2.2", 1);
    passed.remember("192.0.2.1", 2);
    passed.remember("192.0.2.3", 3);
    expect(["192.0.2.1", "192.0.2.2", "192.0.2.3"].map((a) => passed.has(a, 4))).toEqual([true, false, true]);
    expect(passed.has("192.0.2.1", rememberedMs + 1)).toBe(true);
  });
});

describe("an offender", () => {
  test("is forgotten, and not remembered for a day, whichever session comes first", () => {
    const passed = new PassedClients();
    passed.remember("192.0.2.1", 0);
    passed.forget("192.0.2.1", 10);
    expect(passed.has("192.0.2.1", 11)).toBe(false);
    passed.remember("192.0.2.1", 12);
    expect(passed.has("192.0.2.1", 13)).toBe(false);
    passed.remember("192.0.2.1", 10 + rememberedMs);
    expect(passed.has("192.0.2.1", 11 + rememberedMs)).toBe(true);
  });

  test("takes its /64 with it", () => {
    const passed = new PassedClients();
    passed.remember("2001:db8::1", 0);
    passed.forget("2001:db8::2", 1);
    expect(passed.has("2001:db8::1", 2)).toBe(false);
  });
});

test("what has expired goes while clients come", () => {
  const passed = new PassedClients();
  for (let n = 0; n < 100; n += 1) passed.remember(`10.0.0.${n}`, n);
  for (let n = 0; n < 100; n += 1) passed.remember(`10.0.1.${n}`, rememberedMs + 1000 + n);
  expect(passed.size).toBe(100);
});

test("bounded, and right for any history, against a list", () => {
  const addresses = fc.constantFrom(..."123456789".split("").map((last) => `192.0.2.${last}`));
  const steps = fc.array(
    fc.tuple(fc.constantFrom("remember", "remember", "forget", "has"), addresses, fc.nat(12)),
    { maxLength: 100 },
  );
  const lifetimeMs = 30;
  fc.assert(
    fc.property(steps, (all) => {
      const clientsMax = 4;
      const passed = new PassedClients(clientsMax, lifetimeMs);
      let now = 0;
      let good: { readonly address: string; readonly at: number }[] = [];
      let bad: { readonly address: string; readonly at: number }[] = [];
      for (const [what, address, elapsed] of all) {
        now += elapsed;
        const young = ({ at }: { readonly at: number }) => now < at + lifetimeMs;
        const others = (entry: { readonly address: string }) => entry.address !== address;
        good = good.filter(young);
        bad = bad.filter(young);
        if (what === "remember") {
          passed.remember(address, now);
          if (bad.every(others)) good = [...good.filter(others), { address, at: now }].slice(-clientsMax);
        } else if (what === "forget") {
          passed.forget(address, now);
          good = good.filter(others);
          bad = [...bad.filter(others), { address, at: now }].slice(-clientsMax);
        }
        expect(passed.has(address, now)).toBe(!good.every(others));
        expect(passed.size).toBeLessThanOrEqual(clientsMax);
        for (const offender of bad) expect(passed.has(offender.address, now)).toBe(false);
      }
    }),
    { numRuns: 1000 },
  );
});

test("a full memory costs no more than one that fills up", () => {
  const passed = new PassedClients(20_000);
  const addressOf = (n: number) => `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`;
  const started = performance.now();
  for (let n = 0; n < 200_000; n += 1) passed.remember(addressOf(n), n);
  expect(passed.size).toBe(20_000);
  expect(passed.has(addressOf(179_999), 200_000)).toBe(false);
  expect(passed.has(addressOf(180_000), 200_000)).toBe(true);
  expect(performance.now() - started).toBeLessThan(3000);
});
