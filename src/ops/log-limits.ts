/**
 * How often lines that a stranger can cause at will are written: of each kind and each client (relay, zone) the first
 * few, then so many a minute. Those in between are counted, and the next line that is written has their number
 * (`left_out`); if none follows, `settle` reports it.
 *
 * Pure. Contract: `admit` for every event, `settle` once a minute and before the end. Time is a number in milliseconds
 * that only grows. Memory: `subjectsMax` entries a kind; all further clients share one.
 * Not here: the bounds themselves, (line-bounds.ts).
 * Rejected: a bound for all events together, since noise of one kind would hide the others; leaving out in silence,
 * since a count is what tells an attack from a quiet day.
 */
import type { LogEvent } from "./events.ts";
import { type LineBound, lineBound } from "./line-bounds.ts";
import type { LogValue } from "./log.ts";

const minuteMs = 60_000;
/** Clients (relays, zones) that are told apart in one kind of line. */
const subjectsMax = 500;
/** Of a stack, which is what faults are told apart by. */
const subjectCharsMax = 200;
/** Stands for everybody that there was no entry for. */
const others = "others";

interface Entry {
  readonly bound: LineBound;
  /** Milliseconds saved up as of `at`; a line costs `costMs`. No more than `first` lines' worth. */
  savedMs: number;
  at: number;
  leftOut: number;
  /** When a line or `settle` last reported their number. */
  toldAt: number;
}

export class LogLimits {
  readonly #networkOf: (address: string) => string;
  readonly #kinds = new Map<string, Map<string, Entry>>();

  /** `networkOf`: the key of a client, since an IPv6 client has a whole network of addresses. */
  constructor(networkOf: (address: string) => string) {
    this.#networkOf = networkOf;
  }

  /** How many of its kind were left out since the last line; undefined: this one is left out, and counted. */
  admit(event: LogEvent, now: number): number | undefined {
    const bound = lineBound(event);
    if (bound === undefined) return 0;
    const entry = this.#entry(event, bound, now);
    save(entry, now);
    if (entry.savedMs < costMs(bound)) {
      entry.leftOut += 1;
      return undefined;
    }
    entry.savedMs -= costMs(bound);
    const { leftOut } = entry;
    entry.leftOut = 0;
    entry.toldAt = now;
    return leftOut;
  }

  /**
   * What was left out and not reported for as long as a line of its kind takes to come. Forgets clients without a line
   * for long enough. `isLast`: reports all, since nothing comes after it.
   */
  settle(now: number, isLast = false): readonly LogEvent[] {
    const told: LogEvent[] = [];
    for (const [of, entries] of this.#kinds) {
      for (const [about, entry] of entries) {
        save(entry, now);
        const isDue = isLast || now - entry.toldAt >= Math.max(minuteMs, costMs(entry.bound));
        if (entry.leftOut > 0 && isDue) {
          told.push({ event: "log-lines-left-out", of, about, lines: entry.leftOut });
          entry.leftOut = 0;
          entry.toldAt = now;
        }
        if (entry.leftOut === 0 && entry.savedMs >= savedMsMax(entry.bound)) entries.delete(about);
      }
    }
    return told;
  }

  #entry(event: LogEvent, bound: LineBound, now: number): Entry {
    const kind = bound.name ?? event.event;
    let entries = this.#kinds.get(kind);
    if (entries === undefined) {
      entries = new Map();
      this.#kinds.set(kind, entries);
    }
    const subject = this.#subject(event, bound);
    const known = entries.get(subject);
    if (known !== undefined) return known;
    const about = entries.size < subjectsMax ? subject : others;
    const entry = entries.get(about) ?? {
      bound,
      savedMs: savedMsMax(bound),
      at: now,
      leftOut: 0,
      toldAt: now,
    };
    entries.set(about, entry);
    return entry;
  }

  #subject(event: LogEvent, { by }: LineBound): string {
    const values: Readonly<Record<string, LogValue>> = event;
    const text = String(values[by] ?? "").slice(0, subjectCharsMax);
    // An IPv4 address is its own network; and this is asked at every session.
    return by === "client" && text.includes(":") ? this.#networkOf(text) : text;
  }
}

function costMs({ perMinute }: LineBound): number {
  return minuteMs / perMinute;
}

function savedMsMax(bound: LineBound): number {
  return bound.first * costMs(bound);
}

function save(entry: Entry, now: number): void {
  entry.savedMs = Math.min(savedMsMax(entry.bound), entry.savedMs + now - entry.at);
  entry.at = now;
}
