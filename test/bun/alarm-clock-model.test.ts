/**
 * Alarms over a clock that the test turns, against a model that is a plain list of what is pending: any mixture of
 * setting, calling off, and time that goes by, also from within alarms and with alarms that throw.
 * Not here: that the runtime's own clock does the same (alarm-clock.test.ts).
 */
import { afterEach, beforeEach, expect, jest, spyOn, test } from "bun:test";
import fc from "fast-check";
import { type Alarm, AlarmClock } from "../../src/bun/alarm-clock.ts";

/** What an alarm does when it is called. */
type Deed =
  | { readonly deed: "nothing" | "throw" }
  | { readonly deed: "set"; readonly delayMs: number }
  | { readonly deed: "cancel"; readonly which: number };
type Step =
  | { readonly step: "set"; readonly delayMs: number; readonly does: Deed }
  | { readonly step: "cancel"; readonly which: number }
  | { readonly step: "wait"; readonly ms: number };

const timeoutMsMax = 0x7fff_ffff;
const delays = fc.oneof(
  { weight: 8, arbitrary: fc.nat(40) },
  { weight: 1, arbitrary: fc.constantFrom(-3, timeoutMsMax, timeoutMsMax + 1, 3 * timeoutMsMax, Infinity) },
);
const which = fc.nat(40);
const deeds: fc.Arbitrary<Deed> = fc.oneof(
  fc.record({ deed: fc.constantFrom("nothing", "throw") }),
  fc.record({ deed: fc.constant("set"), delayMs: delays }),
  fc.record({ deed: fc.constant("cancel"), which }),
);
const steps: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ step: fc.constant("set"), delayMs: delays, does: deeds }) },
  { weight: 2, arbitrary: fc.record({ step: fc.constant("cancel"), which }) },
  { weight: 2, arbitrary: fc.record({ step: fc.constant("wait"), ms: fc.nat(30) }) },
);

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

/** An alarm clock and the list that tells what it has to do. */
class Model {
  readonly faults: unknown[] = [];
  thrown = 0;
  readonly #clock = new AlarmClock((callback) => {
    try {
      callback();
    } catch (error) {
      this.faults.push(error);
    }
  });
  readonly #alarms: Alarm[] = [];
  /** When each is due: its time, or when it was set if that is past. */
  readonly #pending = new Map<Alarm, number>();
  /** What an alarm was wrong about when it was called. */
  readonly wrongs: string[] = [];

  set(delayMs: number, does: Deed): void {
    const alarm: Alarm = this.#clock.set(delayMs, () => this.#called(alarm, does));
    this.#alarms.push(alarm);
    this.#pending.set(alarm, Math.max(alarm.at, performance.now()));
  }

  cancel(which: number): void {
    const alarm = this.#alarms[which % this.#alarms.length];
    if (alarm === undefined) return;
    alarm.cancel();
    this.#pending.delete(alarm);
  }

  /** A timer of the runtime takes a millisecond at least. */
  check(): void {
    expect(this.wrongs).toEqual([]);
    expect(this.#clock.size).toBe(this.#pending.size);
    const late = [...this.#pending.values()].filter((due) => due <= performance.now() - 1);
    expect(late).toEqual([]);
    expect(this.faults).toHaveLength(this.thrown);
    expect(jest.getTimerCount()).toBeLessThanOrEqual(1);
  }

  #called(alarm: Alarm, does: Deed): void {
    if (!this.#pending.delete(alarm)) this.wrongs.push("called again, or though it was cancelled");
    if (performance.now() < alarm.at) this.wrongs.push("called early");
    if ([...this.#pending.keys()].some(({ at }) => at < alarm.at))
      this.wrongs.push("called before an earlier one");
    if (does.deed === "set") this.set(does.delayMs, { deed: "nothing" });
    if (does.deed === "cancel") this.cancel(does.which);
    if (does.deed === "throw") {
      this.thrown += 1;
      throw new Error("of ours");
    }
  }
}

test("whatever is set, called off and thrown, each alarm is called once, in order, at its time", () => {
  fc.assert(
    fc.property(fc.array(steps, { minLength: 1, maxLength: 120, size: "max" }), (plan) => {
      jest.clearAllTimers();
      const model = new Model();
      for (const step of plan) {
        if (step.step === "set") model.set(step.delayMs, step.does);
        if (step.step === "cancel") model.cancel(step.which);
        if (step.step === "wait") jest.advanceTimersByTime(step.ms);
        model.check();
      }
      // Behind all that is not far off.
      jest.advanceTimersByTime(100);
      model.check();
    }),
    { numRuns: 300 },
  );
});

test("an alarm that is further off than the runtime's timers reach is called at its time", () => {
  const delays = spyOn(globalThis, "setTimeout");
  const clock = new AlarmClock((callback) => callback());
  const said: string[] = [];
  clock.set(2 * timeoutMsMax + 5, () => said.push("far"));
  // Of a longer one the runtime would make 1.
  expect(delays.mock.calls.map(([, delayMs]) => delayMs)).toEqual([timeoutMsMax]);
  for (const ms of [timeoutMsMax, timeoutMsMax, 4]) jest.advanceTimersByTime(ms);
  expect(said).toEqual([]);
  jest.advanceTimersByTime(1);
  expect(said).toEqual(["far"]);
  delays.mockRestore();
});

test("an alarm for never is never called, takes no timer, and stands in nobody's way", () => {
  const clock = new AlarmClock((callback) => callback());
  const said: string[] = [];
  const never = clock.set(Infinity, () => said.push("never"));
  expect(jest.getTimerCount()).toBe(0);
  clock.set(5, () => said.push("soon"));
  jest.advanceTimersByTime(timeoutMsMax);
  expect(said).toEqual(["soon"]);
  expect(jest.getTimerCount()).toBe(0);
  never.cancel();
  expect(clock.size).toBe(0);
});

test("a timer that was to fire for alarms that are all cancelled fires for none of them, and the next is on time", () => {
  const clock = new AlarmClock((callback) => callback());
  const said: string[] = [];
  const set = (delayMs: number, word: string): Alarm => clock.set(delayMs, () => said.push(word));
  for (const alarm of [set(10, "ten"), set(20, "twenty")]) alarm.cancel();
  // A program with nothing else to do may end.
  expect(jest.getTimerCount()).toBe(0);
  jest.advanceTimersByTime(5);
  set(10, "later than the cancelled one");
  jest.advanceTimersByTime(9);
  expect(said).toEqual([]);
  jest.advanceTimersByTime(1);
  expect(said).toEqual(["later than the cancelled one"]);
});

test("what even `call` lets through stops no other alarm", () => {
  const said: string[] = [];
  const clock = new AlarmClock((callback) => callback());
  clock.set(1, () => {
    throw new Error("not caught");
  });
  clock.set(1, () => said.push("same time"));
  clock.set(9, () => said.push("later"));
  expect(() => jest.advanceTimersByTime(1)).toThrow("not caught");
  jest.advanceTimersByTime(20);
  expect(said).toEqual(["same time", "later"]);
});

test("no time is no alarm", () => {
  const clock = new AlarmClock((callback) => callback());
  expect(() => clock.set(Number.NaN, () => {})).toThrow("an alarm has a time");
  expect(clock.size).toBe(0);
});
