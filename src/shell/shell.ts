/**
 * What every part of the imperative shell is given: the network, the log, and randomness for names.
 * Not here: configuration; each part takes its own (server.ts puts them together).
 */
import type { LogEvent } from "../ops/events.ts";
import type { Network } from "./network.ts";

export interface Shell {
  readonly network: Network;
  log(event: LogEvent): void;
  /** Names a session: an atom, unique in the log. */
  newSessionId(): string;
  /** Collects young garbage, where the runtime can be asked to (session-memory.ts). */
  readonly collectYoung?: () => void;
  /** Milliseconds, to measure one's own work by; the network's clock without it. A simulator's stands still meanwhile. */
  readonly stopwatch?: () => number;
}

/** What the log says of a throw: the stack, on one line after escaping. */
export function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
