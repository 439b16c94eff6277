/**
 * Stops accepting before descriptors run out, and goes on when there is room. Without a free one Bun's accept fails
 * again and again with the processor at 100 %, and tells nobody (oven-sh/bun #32705); and a client that is let in
 * without one left for the relay gets a 451 and nothing else.
 * Sockets are counted as they open and close. What else is open (the log, files, DNS) is counted by /proc, at most once a
 * second and only where it matters, since that costs some 0.3 ms for a thousand.
 *
 * Contract: `opened` and `closed` once a descriptor; `limit` once, before there is much to count.
 * Not here: how many are needed (commands/descriptors.ts); how a listener is paused (pausable-listener.ts).
 * Rejected: a descriptor in reserve that is closed to accept and refuse (Bun accepts by itself); to wait for EMFILE,
 * which nothing reports.
 */
import { readdirSync } from "node:fs";
import type { PausableListener } from "./pausable-listener.ts";

export interface DescriptorLimit {
  /** Of the process. */
  readonly limit: number;
  /** So many are kept for everything but clients, in use or not. */
  readonly reserve: number;
  /** `open`: how many are in use. */
  changed(isScarce: boolean, open: number): void;
}

export type Whose = "client" | "dial";

export interface GuardSurroundings {
  now(): number;
  timer(delayMs: number, callback: () => void): { cancel(): void };
  /** All that the process has open; undefined: nobody can tell. */
  openDescriptors(): number | undefined;
}

const calibrationMs = 1_000;
const roomLookMs = 100;
/** So many are free, whatever else has used more than its reserve. */
const spare = 8;
/** So many more clients can come, before it goes on. */
const roomClients = 2;
/** Until /proc was asked: log, event loop, files. */
const othersAtFirst = 16;

export class DescriptorGuard {
  readonly #around: GuardSurroundings;
  readonly #listeners = new Set<PausableListener>();
  #limit: DescriptorLimit | undefined;
  #clients = 0;
  #dials = 0;
  #others = othersAtFirst;
  #calibratedAt = Number.NEGATIVE_INFINITY;
  #isScarce = false;

  constructor(around: GuardSurroundings) {
    this.#around = around;
  }

  limit(limit: DescriptorLimit): void {
    this.#limit = limit;
  }

  add(listener: PausableListener): void {
    this.#listeners.add(listener);
  }

  remove(listener: PausableListener): void {
    this.#listeners.delete(listener);
  }

  /** A client, or a dial from its beginning. */
  opened(whose: Whose): void {
    if (whose === "dial") this.#dials += 1;
    else this.#clients += 1;
    if (this.#limit !== undefined && !this.#isScarce) this.#look(this.#limit);
  }

  closed(whose: Whose): void {
    if (whose === "dial") this.#dials -= 1;
    else this.#clients -= 1;
  }

  get #open(): number {
    return this.#clients + this.#dials + this.#others;
  }

  /** How many more clients there may be. */
  #room({ limit, reserve }: DescriptorLimit): number {
    return limit - this.#clients - Math.max(this.#dials + this.#others + spare, reserve);
  }

  #look(limit: DescriptorLimit): void {
    if (this.#open < limit.limit / 2 && this.#room(limit) > 0) return;
    const isDue = this.#around.now() - this.#calibratedAt >= calibrationMs;
    if (isDue || this.#room(limit) <= 0) this.#calibrate();
    if (this.#room(limit) > 0) return;
    this.#isScarce = true;
    for (const listener of this.#listeners) listener.pause();
    limit.changed(true, this.#open);
    this.#waitForRoom(limit);
  }

  #waitForRoom(limit: DescriptorLimit): void {
    this.#around.timer(roomLookMs, () => {
      if (this.#listeners.size === 0) return;
      this.#calibrate();
      const hasRoom = this.#room(limit) >= roomClients;
      if (!hasRoom || ![...this.#listeners].every((listener) => listener.resume())) {
        this.#waitForRoom(limit);
        return;
      }
      this.#isScarce = false;
      limit.changed(false, this.#open);
    });
  }

  #calibrate(): void {
    this.#calibratedAt = this.#around.now();
    const open = this.#around.openDescriptors();
    if (open !== undefined) this.#others = Math.max(open - this.#clients - this.#dials, 0);
  }
}

export function openDescriptors(): number | undefined {
  try {
    return readdirSync("/proc/self/fd").length - 1; // Less the one that reads the folder.
  } catch {
    return undefined;
  }
}
