/** Virtual time and seeded randomness: order, cancelling, microtasks, leaps; streams that depend on the seed alone. */
import { describe, expect, test } from "bun:test";
import { Clock } from "./clock.ts";
import { Random } from "./random.ts";

describe("the clock", () => {
  test("timers run by time, and by age where they are due together, whatever was cancelled", () => {
    const clock = new Clock();
    const random = new Random(3);
    const ran: { readonly dueAt: number; readonly order: number }[] = [];
    const made = Array.from({ length: 1_000 }, (_, order) => {
      const dueAt = random.below(50);
      return { dueAt, order, timer: clock.timer(dueAt, () => ran.push({ dueAt, order })) };
    });
    const kept = made.filter(({ timer }) => {
      const cancels = random.chance(0.7);
      if (cancels) timer.cancel();
      return !cancels;
    });
    expect(clock.pending).toBe(kept.length);
    while (clock.step()) if (clock.now !== ran.at(-1)?.dueAt) throw new Error("ran at another time");
    const wanted = kept.map(({ dueAt, order }) => ({ dueAt, order }));
    expect(ran).toEqual(wanted.sort((one, other) => one.dueAt - other.dueAt || one.order - other.order));
    expect(clock.pending).toBe(0);
  });

  test("microtasks have settled before the next timer", () => {
    const clock = new Clock();
    const ran: string[] = [];
    clock.timer(0, async () => {
      await Promise.resolve();
      queueMicrotask(() => ran.push("microtask"));
    });
    clock.timer(0, () => ran.push("timer"));
    while (clock.step());
    expect(ran).toEqual(["microtask", "timer"]);
  });

  test("a leap makes all that is due by then late, and no later", () => {
    const clock = new Clock();
    const ran: string[] = [];
    for (const ms of [10, 20, 300]) clock.timer(ms, () => ran.push(`${ms} at ${clock.now}`));
    clock.jump(100);
    while (clock.step());
    expect(ran).toEqual(["10 at 100", "20 at 100", "300 at 300"]);
  });

  test("runUntil runs what is due and lets it be that time; a timer that ran or was cancelled stays so", () => {
    const clock = new Clock();
    let ran = 0;
    const timer = clock.timer(5, () => {
      ran += 1;
    });
    clock.runUntil(4);
    expect([clock.now, ran]).toEqual([4, 0]);
    clock.runUntil(6);
    timer.cancel();
    timer.cancel();
    expect([clock.now, ran, clock.pending, clock.step()]).toEqual([6, 1, 0, false]);
  });
});

describe("randomness", () => {
  function draws(random: Random): number[] {
    return Array.from({ length: 20 }, () => random.below(1_000_000));
  }

  test("a seed is a stream; a fork depends on the seed and the label, not on what was drawn", () => {
    expect(draws(new Random(1))).toEqual(draws(new Random(1)));
    expect(draws(new Random(1))).not.toEqual(draws(new Random(2)));
    expect(draws(new Random(2n ** 40n))).not.toEqual(draws(new Random(0)));
    const used = new Random(1);
    draws(used);
    expect(draws(used.fork("client 1"))).toEqual(draws(new Random(1).fork("client 1")));
    expect(draws(used.fork("client 1"))).not.toEqual(draws(used.fork("client 2")));
    expect(draws(used.fork("client 1"))).not.toEqual(draws(new Random(2).fork("client 1")));
  });

  test("bounds are reached and kept, chances and weights are about what they say", () => {
    const random = new Random(5);
    const seen = new Set(Array.from({ length: 500 }, () => random.between(-2, 3)));
    expect([...seen].sort((one, other) => one - other)).toEqual([-2, -1, 0, 1, 2, 3]);
    const share = (draw: () => boolean) =>
      Array.from({ length: 10_000 }, draw).filter(Boolean).length / 10_000;
    expect(share(() => random.chance(0.25))).toBeCloseTo(0.25, 1);
    expect(share(() => random.weighted([["a", 1] as const, ["b", 3] as const]) === "b")).toBeCloseTo(0.75, 1);
    expect([random.chance(0), random.chance(1)]).toEqual([false, true]);
    expect(
      random.weighted([
        ["never", 0],
        ["always", 1],
      ]),
    ).toBe("always");
    expect(random.below(2 ** 50)).toBeLessThan(2 ** 50);
    expect(() => random.pick([])).toThrow();
  });

  test("a shuffle keeps the items and changes their order", () => {
    const list = Array.from({ length: 50 }, (_, index) => index);
    const shuffled = new Random(9).shuffle(list);
    expect(shuffled).not.toEqual(list);
    expect(shuffled.sort((one, other) => one - other)).toEqual(list);
  });
});
