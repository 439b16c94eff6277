/** The tarpit: the schedule is monotone and ends with the whole reply; slots and the rate of reading have their limits. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  dueAfterMs,
  octetsDue,
  readBurstOctets,
  readOctetsPerSecond,
  TarpitSlots,
  type TarpitStay,
} from "../../src/screening/tarpit.ts";

const totals = fc.integer({ min: 1, max: 600 });
const durations = fc.integer({ min: 1, max: 3_600_000 });

function stay(slots: TarpitSlots, reply: string, durationMs: number, now = 0): TarpitStay {
  const taken = slots.take(Buffer.from(reply), durationMs, now);
  if (taken === undefined) throw new Error("no slot");
  return taken;
}

describe("the schedule", () => {
  test("of ten octets in ten seconds", () => {
    const times = [-1, 0, 999, 1000, 1999, 5000, 9999, 10_000, 99_999];
    expect(times.map((ms) => octetsDue(10, ms, 10_000))).toEqual([0, 0, 0, 1, 1, 5, 9, 10, 10]);
    expect([1, 2, 10].map((count) => dueAfterMs(count, 10, 10_000))).toEqual([1000, 2000, 10_000]);
    expect([octetsDue(10, 0, 0), octetsDue(0, 0, 10), dueAfterMs(1, 0, 10)]).toEqual([10, 0, 0]);
  });

  test("is monotone, starts with nothing and ends with everything", () => {
    const elapsed = fc.double({ min: 0, max: 4_000_000, noNaN: true });
    fc.assert(
      fc.property(totals, durations, elapsed, elapsed, (total, durationMs, a, b) => {
        const [early, late] = a < b ? [a, b] : [b, a];
        expect(octetsDue(total, early, durationMs)).toBeLessThanOrEqual(octetsDue(total, late, durationMs));
        expect(octetsDue(total, 0, durationMs)).toBe(0);
        expect(octetsDue(total, durationMs - 1, durationMs)).toBeLessThan(total);
        expect(octetsDue(total, durationMs, durationMs)).toBe(total);
      }),
    );
  });

  test("an octet is due from its time on, and not a millisecond before", () => {
    fc.assert(
      fc.property(totals, durations, fc.nat(), (total, durationMs, n) => {
        const count = (n % total) + 1;
        const at = dueAfterMs(count, total, durationMs);
        expect(octetsDue(total, at, durationMs)).toBeGreaterThanOrEqual(count);
        expect(octetsDue(total, at - 1, durationMs)).toBeLessThan(count);
      }),
    );
  });
});

describe("a stay", () => {
  test("hands out the reply octet by octet", () => {
    const guest = stay(new TarpitSlots(1), "554 no\r\n", 8000, 500);
    const heard: string[] = [];
    for (let now = guest.deadline(); Number.isFinite(now); now = guest.deadline()) {
      expect(guest.isOver).toBe(false);
      heard.push(`${now} ${guest.time(now).toString()}`);
    }
    expect(heard).toEqual(["1500 5", "2500 5", "3500 4", "4500  ", "5500 n", "6500 o", "7500 \r", "8500 \n"]);
    expect(guest.isOver).toBe(true);
    expect(guest.time(9000)).toHaveLength(0);
  });

  test("makes up for what was missed", () => {
    const guest = stay(new TarpitSlots(1), "554 no\r\n", 8000);
    expect(guest.time(0)).toHaveLength(0);
    expect(guest.time(4500).toString()).toBe("554 ");
    expect(guest.time(4501)).toHaveLength(0);
    expect(guest.time(99_999).toString()).toBe("no\r\n");
  });

  test("woken at its deadlines, or at any other times, it says the whole reply, and each deadline brings an octet", () => {
    const starts = fc.double({ min: 0, max: 1e10, noNaN: true });
    const wakes = fc.array(fc.nat(5000), { maxLength: 10 });
    fc.assert(
      fc.property(
        fc.string({ minLength: 1, maxLength: 90 }),
        durations,
        starts,
        wakes,
        (text, durationMs, start, early) => {
          const reply = Buffer.from(text).toString();
          const guest = stay(new TarpitSlots(1), reply, durationMs, start);
          const heard = early.toSorted((a, b) => a - b).map((elapsed) => guest.time(start + elapsed));
          for (let now = guest.deadline(); Number.isFinite(now); now = guest.deadline()) {
            const octets = guest.time(now);
            expect(octets.length).toBeGreaterThan(0);
            expect(now).toBeLessThanOrEqual(start + durationMs);
            heard.push(octets);
          }
          expect(Buffer.concat(heard).toString()).toBe(reply);
        },
      ),
    );
  });

  test("is read at a bounded rate", () => {
    const guest = stay(new TarpitSlots(1), "554 no\r\n", 60_000);
    guest.discard(readBurstOctets, 0);
    expect(guest.isReadingPaused).toBe(false);
    guest.discard(2 * readOctetsPerSecond, 0);
    expect(guest.isReadingPaused).toBe(true);
    expect(guest.deadline()).toBe(2000);
    guest.time(1999);
    expect(guest.isReadingPaused).toBe(true);
    guest.time(2000);
    expect(guest.isReadingPaused).toBe(false);
    expect(guest.deadline()).toBe(7500);
    expect(guest.octetsThrownAway).toBe(readBurstOctets + 2 * readOctetsPerSecond);
  });

  test("a peer that sends all it can is read no faster, and the deadline always moves on", () => {
    const chunks = fc.array(fc.integer({ min: 1, max: 65_536 }), { minLength: 1, maxLength: 50 });
    fc.assert(
      fc.property(chunks, (sizes) => {
        const guest = stay(new TarpitSlots(1), "554 5.5.1 no\r\n", 60_000);
        let now = 0;
        for (const size of sizes) {
          while (guest.isReadingPaused && !guest.isOver) {
            const next = guest.deadline();
            expect(next).toBeGreaterThan(now);
            now = next;
            guest.time(now);
          }
          if (guest.isOver) return;
          const before = guest.octetsThrownAway;
          expect(before).toBeLessThanOrEqual(readBurstOctets + (readOctetsPerSecond * now) / 1000);
          guest.discard(size, now);
        }
      }),
    );
  });
});

describe("slots", () => {
  test("are as many as there are, and free again when a guest leaves", () => {
    const slots = new TarpitSlots(2);
    const first = stay(slots, "x", 1000);
    stay(slots, "x", 1000);
    expect(slots.take(Buffer.from("x"), 1000, 0)).toBeUndefined();
    first.leave();
    first.leave();
    expect(slots.taken).toBe(1);
    stay(slots, "x", 1000);
    expect(slots.take(Buffer.from("x"), 1000, 0)).toBeUndefined();
  });

  test("are not to be had without a duration, or without slots", () => {
    const slots = new TarpitSlots(1);
    expect(slots.take(Buffer.from("x"), 0, 0)).toBeUndefined();
    expect(new TarpitSlots(0).take(Buffer.from("x"), 1000, 0)).toBeUndefined();
    expect(slots.taken).toBe(0);
  });

  test("never more than the limit", () => {
    fc.assert(
      fc.property(fc.nat(5), fc.array(fc.boolean(), { maxLength: 50 }), (most, steps) => {
        const slots = new TarpitSlots(most);
        const guests: TarpitStay[] = [];
        for (const comes of steps) {
          const guest = comes ? slots.take(Buffer.from("x"), 1000, 0) : undefined;
          if (guest !== undefined) guests.push(guest);
          else if (!comes) guests.shift()?.leave();
          expect(slots.taken).toBe(guests.length);
          expect(slots.taken).toBeLessThanOrEqual(most);
        }
      }),
    );
  });
});
