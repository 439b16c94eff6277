/**
 * Many timers over one of the runtime's. A setTimeout costs 290 octets, its closure included, and most of the open
 * connections wait for a timeout, two a session.
 *
 * Contract: `set` calls back once, at its time or soon after it, never before and never from within `set`; a cancelled
 * alarm is not called any more. Alarms of the same time are called in no certain order. A callback is called by `call`,
 * which sees to what it throws; should that throw as well, the other alarms ring all the same.
 * The alarms are a binary heap, the next one first; each knows its place, so that to cancel it takes no search.
 */

import { assert } from "../lib/assert.ts";

/** setTimeout's limit is 2^31 - 1; an alarm further off is looked at again then. */
const delayMsMax = 0x7fff_ffff;
const nowhere = -1;

export class Alarm {
  readonly #clock: AlarmClock;
  readonly at: number;
  readonly callback: () => void;
  /** In the clock's heap. */
  place = nowhere;

  constructor(clock: AlarmClock, at: number, callback: () => void) {
    this.#clock = clock;
    this.at = at;
    this.callback = callback;
  }

  cancel(): void {
    this.#clock.remove(this);
  }
}

export class AlarmClock {
  readonly #call: (callback: () => void) => void;
  readonly #heap: Alarm[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #armedFor = Number.POSITIVE_INFINITY;

  constructor(call: (callback: () => void) => void) {
    this.#call = call;
  }

  /** Alarms that were neither called nor cancelled. */
  get size(): number {
    return this.#heap.length;
  }

  set(delayMs: number, callback: () => void): Alarm {
    assert(!Number.isNaN(delayMs), "an alarm has a time");
    const alarm = new Alarm(this, performance.now() + delayMs, callback);
    this.#rise(alarm, this.#heap.length);
    this.#arm();
    return alarm;
  }

  remove(alarm: Alarm): void {
    const { place } = alarm;
    if (place === nowhere) return;
    alarm.place = nowhere;
    const last = this.#heap.pop();
    if (this.#heap.length === 0) this.#disarm();
    if (last === undefined || last === alarm) return;
    this.#sink(last, place);
    this.#rise(last, last.place);
  }

  /** A timer that would fire too early is left alone. */
  #arm(): void {
    const [next] = this.#heap;
    if (next === undefined || next.at >= this.#armedFor) return;
    clearTimeout(this.#timer);
    this.#armedFor = next.at;
    const delayMs = Math.max(0, Math.ceil(next.at - performance.now()));
    this.#timer = setTimeout(() => this.#ring(), Math.min(delayMs, delayMsMax));
  }

  /** A program with nothing to wait for may end. */
  #disarm(): void {
    clearTimeout(this.#timer);
    this.#armedFor = Number.POSITIVE_INFINITY;
  }

  #ring(): void {
    const now = performance.now();
    this.#armedFor = Number.POSITIVE_INFINITY;
    try {
      for (let next = this.#heap[0]; next !== undefined && next.at <= now; next = this.#heap[0]) {
        this.remove(next);
        this.#call(next.callback);
      }
    } finally {
      this.#arm();
    }
  }

  /** Puts `alarm` at `place`, or above it, where nothing that is earlier stands below something later. */
  #rise(alarm: Alarm, place: number): void {
    let at = place;
    for (;;) {
      const above = (at - 1) >> 1;
      const other = at === 0 ? undefined : this.#heap[above];
      if (other === undefined || other.at <= alarm.at) break;
      this.#put(other, at);
      at = above;
    }
    this.#put(alarm, at);
  }

  #sink(alarm: Alarm, place: number): void {
    let at = place;
    for (;;) {
      const left = this.#heap[2 * at + 1];
      const right = this.#heap[2 * at + 2];
      const earlier = right !== undefined && left !== undefined && right.at < left.at ? right : left;
      if (earlier === undefined || earlier.at >= alarm.at) break;
      const below = earlier.place;
      this.#put(earlier, at);
      at = below;
    }
    this.#put(alarm, at);
  }

  #put(alarm: Alarm, place: number): void {
    this.#heap[place] = alarm;
    alarm.place = place;
  }
}
