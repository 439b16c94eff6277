/** Alarms over the runtime's own clock: each is called once, in order, and not before its time. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { type Alarm, AlarmClock } from "../../src/bun/alarm-clock.ts";
import { eventually } from "./support.ts";

const call = (callback: () => void): void => callback();

test("alarms are called in the order of their times, and those that were cancelled are not", async () => {
  const plans = fc.array(
    fc.record({ delayMs: fc.nat(30), fate: fc.constantFrom("stays", "goes", "called off") }),
    {
      minLength: 1,
      maxLength: 300,
    },
  );
  await fc.assert(
    fc.asyncProperty(plans, async (plan) => {
      const clock = new AlarmClock(call);
      const called: Alarm[] = [];
      const early: Alarm[] = [];
      const alarms = plan.map(({ delayMs }) => {
        const alarm: Alarm = clock.set(delayMs, () => {
          called.push(alarm);
          if (performance.now() < alarm.at) early.push(alarm);
          // These wait, and are called off by the first that is called.
          if (called.length === 1) for (const other of calledOff()) other.cancel();
        });
        return alarm;
      });
      const of = (fate: string): Alarm[] => alarms.filter((_, index) => plan[index]?.fate === fate);
      const calledOff = (): Alarm[] => of("called off").filter((alarm) => !called.includes(alarm));
      for (const alarm of of("goes")) alarm.cancel();
      expect(clock.size).toBe(alarms.length - of("goes").length);
      await eventually(() => clock.size === 0, "all alarms to be called");

      const times = called.map(({ at }) => at);
      expect(times).toEqual(times.toSorted((a, b) => a - b));
      expect(early).toEqual([]);
      expect(new Set(called).size).toBe(called.length);
      expect(called.filter((alarm) => of("goes").includes(alarm))).toEqual([]);
      expect(of("stays").filter((alarm) => !called.includes(alarm))).toEqual([]);
    }),
    { numRuns: 20 },
  );
});

test("whoever takes the place of a cancelled alarm may be earlier than what stands above", async () => {
  const clock = new AlarmClock(call);
  const said: number[] = [];
  const set = (delayMs: number): Alarm => clock.set(delayMs, () => said.push(delayMs));
  const alarms = [1, 30, 2, 31, 32, 3, 4].map(set);
  alarms[3]?.cancel();
  for (const delayMs of [40, 41, 42]) set(delayMs);
  await eventually(() => clock.size === 0, "all alarms to be called");
  expect(said).toEqual([1, 2, 3, 4, 30, 32, 40, 41, 42]);
});

test("an alarm that is set while others are called is not called among them", async () => {
  const clock = new AlarmClock(call);
  const said: string[] = [];
  clock.set(1, () => {
    said.push("first");
    clock.set(0, () => said.push("third"));
  });
  clock.set(1, () => said.push("second"));
  await eventually(() => said.length === 3, "three alarms");
  expect(said).toEqual(["first", "second", "third"]);
});

test("an earlier alarm does not wait for a later one, and one of next year is not called today", async () => {
  const clock = new AlarmClock(call);
  const said: string[] = [];
  const far = clock.set(365 * 86_400_000, () => said.push("far"));
  clock.set(20_000, () => said.push("later"));
  clock.set(5, () => said.push("soon"));
  await eventually(() => said.length > 0, "the first alarm");
  expect(said).toEqual(["soon"]);
  far.cancel();
  far.cancel();
  expect(clock.size).toBe(1);
});

test("what throws does not keep the others from being called", async () => {
  const faults: unknown[] = [];
  const clock = new AlarmClock((callback) => {
    try {
      callback();
    } catch (error) {
      faults.push(error);
    }
  });
  const said: string[] = [];
  clock.set(1, () => {
    throw new Error("of ours");
  });
  clock.set(2, () => said.push("next"));
  await eventually(() => said.length === 1, "the alarm behind it");
  expect(faults).toHaveLength(1);
});
