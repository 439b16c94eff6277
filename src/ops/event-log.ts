/**
 * From an event to its line: its level, then its bound, then the log.
 * What LOG_LEVEL hides is neither written nor counted as left out.
 * Not here: which events there are (events.ts), the bounds' arithmetic (log-limits.ts), writing (log.ts).
 */
import { type LogEvent, logLine } from "./events.ts";
import type { Log } from "./log.ts";
import { LogLimits } from "./log-limits.ts";

export interface EventLogSurroundings {
  /** The key under which a client's lines are counted. */
  network(address: string): string;
  /** Monotonic, in milliseconds. */
  now(): number;
  /** In milliseconds since 1970. */
  date(): number;
}

export class EventLog {
  readonly #log: Log;
  readonly #around: EventLogSurroundings;
  readonly #limits: LogLimits;

  constructor(log: Log, around: EventLogSurroundings) {
    this.#log = log;
    this.#around = around;
    this.#limits = new LogLimits((address) => around.network(address));
  }

  write(event: LogEvent): void {
    const line = logLine(event);
    if (!this.#log.enabled(line.level)) return;
    const leftOut = this.#limits.admit(event, this.#around.now());
    if (leftOut === undefined) return;
    this.#log.write(leftOut === 0 ? line : logLine(event, leftOut), this.#around.date());
  }

  /** Tells what was left out. Once a minute, and before the end: then `isLast`. */
  settle(isLast = false): void {
    for (const event of this.#limits.settle(this.#around.now(), isLast)) this.write(event);
  }
}
