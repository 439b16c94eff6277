/**
 * Virtual time: a heap of timers, and the way to run the next one. The one source of events in a simulated world.
 *
 * Timers that are due at the same time run in the order in which they were made. Before and after each one the microtasks
 * are run out, so that promises and `queueMicrotask` of the program have settled before anything else happens.
 * Not here: real time. Nothing moves unless `step`, `runUntil` or `jump` is called.
 */
import { drainMicrotasks } from "bun:jsc";

export interface Timer {
  cancel(): void;
}

class Entry implements Timer {
  /** Undefined once it has run or was cancelled. */
  callback: (() => void) | undefined;
  readonly dueAt: number;
  readonly order: number;
  readonly #clock: Clock;

  constructor(clock: Clock, dueAt: number, order: number, callback: () => void) {
    this.#clock = clock;
    this.dueAt = dueAt;
    this.order = order;
    this.callback = callback;
  }

  cancel(): void {
    if (this.callback === undefined) return;
    this.callback = undefined;
    this.#clock.forget();
  }
}

/** Cancelled timers are left in the heap until they come up, or until they are most of it. */
const sweptFrom = 64;

export class Clock {
  /** Milliseconds since the world began. */
  #now = 0;
  #heap: Entry[] = [];
  #made = 0;
  #cancelled = 0;

  get now(): number {
    return this.#now;
  }

  /** Timers that have neither run nor been cancelled. */
  get pending(): number {
    return this.#heap.length - this.#cancelled;
  }

  timer(delayMs: number, callback: () => void): Timer {
    this.#made += 1;
    const entry = new Entry(this, this.#now + Math.max(0, delayMs), this.#made, callback);
    this.#heap.push(entry);
    this.#rise(this.#heap.length - 1);
    return entry;
  }

  /** Runs the next timer, then the microtasks. False: nothing is left to happen. */
  step(): boolean {
    drainMicrotasks();
    for (let entry = this.#pop(); entry !== undefined; entry = this.#pop()) {
      const { callback } = entry;
      if (callback === undefined) {
        this.#cancelled -= 1;
        continue;
      }
      entry.callback = undefined;
      if (entry.dueAt > this.#now) this.#now = entry.dueAt;
      callback();
      drainMicrotasks();
      return true;
    }
    return false;
  }

  /** Runs all that is due by `time`, and lets it be that time. */
  runUntil(time: number): void {
    drainMicrotasks();
    for (let due = this.#nextDueAt(); due !== undefined && due <= time; due = this.#nextDueAt()) this.step();
    this.#now = Math.max(this.#now, time);
  }

  /** Time leaps, as for a process that was stopped: all that is due by then is late, and still runs in order. */
  jump(ms: number): void {
    this.#now += Math.max(0, ms);
  }

  /** For timers only: one of them was cancelled. */
  forget(): void {
    this.#cancelled += 1;
    if (this.#cancelled < sweptFrom || this.#cancelled * 2 < this.#heap.length) return;
    this.#heap = this.#heap.filter((entry) => entry.callback !== undefined);
    this.#cancelled = 0;
    for (let at = (this.#heap.length >> 1) - 1; at >= 0; at -= 1) this.#sink(at);
  }

  #nextDueAt(): number | undefined {
    while (this.#heap[0] !== undefined && this.#heap[0].callback === undefined) {
      this.#pop();
      this.#cancelled -= 1;
    }
    return this.#heap[0]?.dueAt;
  }

  #pop(): Entry | undefined {
    const first = this.#heap[0];
    const last = this.#heap.pop();
    if (last === undefined || last === first) return first;
    this.#heap[0] = last;
    this.#sink(0);
    return first;
  }

  #rise(from: number): void {
    const heap = this.#heap;
    const entry = heap[from];
    if (entry === undefined) return;
    let at = from;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = heap[above];
      if (parent === undefined || !precedes(entry, parent)) break;
      heap[at] = parent;
      at = above;
    }
    heap[at] = entry;
  }

  #sink(from: number): void {
    const heap = this.#heap;
    const entry = heap[from];
    if (entry === undefined) return;
    let at = from;
    for (;;) {
      let below = 2 * at + 1;
      let child = heap[below];
      if (child === undefined) break;
      const right = heap[below + 1];
      if (right !== undefined && precedes(right, child)) {
        below += 1;
        child = right;
      }
      if (!precedes(child, entry)) break;
      heap[at] = child;
      at = below;
    }
    heap[at] = entry;
  }
}

function precedes(one: Entry, other: Entry): boolean {
  return one.dueAt < other.dueAt || (one.dueAt === other.dueAt && one.order < other.order);
}
