/**
 * The tarpit: an offender gets its reply one octet at a time, until its time is over, and whatever it sends
 * meanwhile is thrown away. spamd(8)'s idea as data: a stay is a start, two counts and one deadline.
 *
 * Contract of a stay: `time(now)` gives the octets to write; `discard(count, now)` takes the number of octets that
 * were read and thrown away; then ask `deadline()` when to call `time` next, and `isReadingPaused`. When `isOver`, all
 * of the reply was handed out: close. Call `leave()` when the connection is gone, for whatever reason.
 * A peer is read at `readOctetsPerSecond` on average after a first `readBurstOctets`; beyond that it is not to be read
 * until the deadline. Its own sending then comes to rest, and costs us neither time nor memory.
 * A reply comes whole at the end of the duration, so that a well-meaning peer still learns why.
 *
 * Not here: sockets and the loop over all stays (shell/tarpit.ts), and what is said.
 */
import { assert } from "../lib/assert.ts";

export const readOctetsPerSecond = 1024;
export const readBurstOctets = 4096;

const SECOND_MS = 1000;
const NOTHING = Buffer.alloc(0);

/** How many of `total` octets are due after `elapsedMs` of `durationMs`: none at first, all of them at the end. */
export function octetsDue(total: number, elapsedMs: number, durationMs: number): number {
  if (elapsedMs >= durationMs) return total;
  return Math.floor((total * Math.max(elapsedMs, 0)) / durationMs);
}

/** After how many whole milliseconds `count` of `total` octets are due. */
export function dueAfterMs(count: number, total: number, durationMs: number): number {
  return total === 0 ? 0 : Math.ceil((count * durationMs) / total);
}

/** How many may stay at once. */
export class TarpitSlots {
  readonly #slotsMax: number;
  #taken = 0;

  constructor(slotsMax: number) {
    this.#slotsMax = slotsMax;
  }

  get taken(): number {
    return this.#taken;
  }

  /** A stay, or undefined if none is available: then send `reply` at once and close. */
  take(reply: Buffer, durationMs: number, now: number): TarpitStay | undefined {
    if (durationMs <= 0 || this.#taken >= this.#slotsMax) return undefined;
    this.#taken += 1;
    return new TarpitStay(reply, durationMs, now, this);
  }

  /** A stay has ended; called by its `leave`. */
  free(): void {
    assert(this.#taken > 0, "no more slots are freed than were taken");
    this.#taken -= 1;
  }
}

/** One offender's stay. */
export class TarpitStay {
  readonly #reply: Buffer;
  readonly #durationMs: number;
  readonly #start: number;
  #slots: TarpitSlots | undefined;
  #sent = 0;
  #thrownAway = 0;
  #readingPaused = false;

  constructor(reply: Buffer, durationMs: number, start: number, slots: TarpitSlots) {
    this.#reply = reply;
    this.#durationMs = durationMs;
    this.#start = start;
    this.#slots = slots;
  }

  /** The octets that are due and were not handed out before; often none. */
  time(now: number): Buffer {
    if (now >= this.#readableFrom()) this.#readingPaused = false;
    let due = octetsDue(this.#reply.length, now - this.#start, this.#durationMs);
    // The difference of two times may be a hair less than what was added for the deadline.
    if (due < this.#reply.length && now >= this.#dueAt(due + 1)) due += 1;
    if (due <= this.#sent) return NOTHING;
    const octets = this.#reply.subarray(this.#sent, due);
    this.#sent = due;
    return octets;
  }

  /** The peer sent `count` octets more, and they were thrown away. */
  discard(count: number, now: number): void {
    this.#thrownAway += count;
    this.#readingPaused = now < this.#readableFrom();
  }

  get startedAt(): number {
    return this.#start;
  }

  get octetsThrownAway(): number {
    return this.#thrownAway;
  }

  get isReadingPaused(): boolean {
    return this.#readingPaused;
  }

  /** The whole reply was handed out. */
  get isOver(): boolean {
    return this.#sent === this.#reply.length;
  }

  /** When to call `time` at the latest. */
  deadline(): number {
    if (this.isOver) return Number.POSITIVE_INFINITY;
    const next = this.#dueAt(this.#sent + 1);
    return this.#readingPaused ? Math.min(next, this.#readableFrom()) : next;
  }

  /** Frees the slot; a second call does nothing. */
  leave(): void {
    this.#slots?.free();
    this.#slots = undefined;
  }

  #dueAt(count: number): number {
    return this.#start + dueAfterMs(count, this.#reply.length, this.#durationMs);
  }

  /** From when on the average is kept again. */
  #readableFrom(): number {
    const beyond = Math.max(this.#thrownAway - readBurstOctets, 0);
    return this.#start + Math.ceil((beyond * SECOND_MS) / readOctetsPerSecond);
  }
}
