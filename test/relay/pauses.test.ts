import { describe, expect, test } from "bun:test";
import { pauseRules, RelayPauses } from "../../src/relay/pauses.ts";

const [us, others] = [{}, {}];

describe("pauses", () => {
  /** Fails again as soon as it may; returns how long each pause was. */
  function pausesOf(kind: "connection" | "credentials", failures: number): number[] {
    const pauses = new RelayPauses();
    const lengths: number[] = [];
    let now = 0;
    for (let count = 0; count < failures; count += 1) {
      pauses.failed("relay", kind, "no", now, now);
      const forMs = pauses.pause("relay", us, now)?.forMs ?? 0;
      lengths.push(forMs);
      now += forMs + 1;
      expect(pauses.pause("relay", us, now)).toBeUndefined();
    }
    return lengths;
  }

  test("grow from a second to the longest; a connection's first failure makes none", () => {
    expect(pausesOf("connection", 8)).toEqual([0, 1, 2, 4, 8, 16, 30, 30].map((s) => s * 1_000));
    expect(pausesOf("credentials", 11)).toEqual(
      [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300].map((s) => s * 1_000),
    );
  });

  test("a client that tries all day logs in a few hundred times", () => {
    const pauses = new RelayPauses();
    let logins = 0;
    for (let now = 0; now < 86_400_000; now += 100) {
      if (pauses.pause("relay", us, now) !== undefined) continue;
      logins += 1;
      pauses.failed("relay", "credentials", "535", now, now);
    }
    expect(logins).toBeLessThan(300);
  });

  test("are over for one at a time, and for the next when that one leaves", () => {
    const pauses = new RelayPauses();
    pauses.failed("relay", "credentials", "535", 0, 0);
    expect(pauses.pause("relay", us, 999)).toEqual({ reason: "535", forMs: 1 });
    expect(pauses.pause("relay", us, 1_000)).toBeUndefined();
    pauses.tries("relay", us);
    pauses.tries("relay", others);
    expect(pauses.pause("relay", us, 1_001)).toBeUndefined();
    expect(pauses.pause("relay", others, 1_001)).toEqual({ reason: "535", forMs: 0 });
    pauses.calledOff("relay", others);
    expect(pauses.pause("relay", others, 1_001)).toBeDefined();
    pauses.calledOff("relay", us);
    expect(pauses.pause("relay", others, 1_002)).toBeUndefined();
  });

  test("hold nobody back behind the first failure of a connection", () => {
    const pauses = new RelayPauses();
    pauses.failed("relay", "connection", "ECONNREFUSED", 0, 0);
    pauses.tries("relay", us);
    expect(pauses.pause("relay", others, 1)).toBeUndefined();
  });

  test("do not grow by dials that began before the failure was known", () => {
    const pauses = new RelayPauses();
    for (let dial = 0; dial < 50; dial += 1) pauses.failed("relay", "credentials", "535", dial, 100 + dial);
    expect(pauses.pause("relay", us, 100)?.forMs).toBe(pauseRules.credentials.firstMs);
  });

  test("end with what works, and are forgotten in the end", () => {
    const pauses = new RelayPauses();
    pauses.failed("relay", "credentials", "535", 0, 0);
    expect(pauses.worked("relay", 700)).toEqual({ failures: 1, outMs: 700 });
    expect(pauses.worked("relay", 800)).toBeUndefined();
    expect(pauses.pause("relay", us, 1)).toBeUndefined();
    for (let now = 0; now < 7_000; now += 3_000) pauses.failed("relay", "credentials", "535", now, now);
    const later = 2 * 3_600_000;
    pauses.failed("relay", "credentials", "535", later, later);
    expect(pauses.pause("relay", us, later)?.forMs).toBe(pauseRules.credentials.firstMs);
    expect(pauses.worked("relay", later)?.outMs).toBe(later);
  });

  test("have a limit, beyond which the oldest are forgotten", () => {
    const pauses = new RelayPauses();
    for (let index = 0; index < 2_000; index += 1) pauses.failed(`${index}`, "credentials", "535", 0, 0);
    expect(pauses.pause("0", us, 1)).toBeUndefined();
    expect(pauses.pause("1999", us, 1)).toBeDefined();
  });
});
