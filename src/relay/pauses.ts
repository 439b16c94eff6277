/**
 * How long a relay that refuses us is not dialled, once for all transactions.
 *
 * Refused credentials lock accounts when they are tried again for each mail, and a relay that refuses its greeting is
 * not helped by thousands of dials a second. So each failure in a row makes a pause twice as long as the one before,
 * from a second up to the longest of its kind. While it lasts nobody dials; when it is over one transaction does, and
 * until that knows, the others do as if the pause went on. What works ends all of it.
 * The first failure of a connection makes no pause: one hiccup delays no mail. Failures of dials that began before the
 * last one was known are the same failure.
 *
 * Keys are opaque: an address, or a whole relay where every address would fail alike. Time is a number in milliseconds
 * that only grows. Memory: `entriesMax` entries, the oldest are forgotten first.
 * Not here: what is a failure, and what is dialled instead (route.ts). RestingPlaces are no pauses: an
 * address that was set aside is dialled after all others, and then at once.
 */

export type PauseKind = "connection" | "credentials" | "loop";

interface PauseRule {
  /** Failures in a row that make no pause. */
  readonly free: number;
  readonly firstMs: number;
  readonly longestMs: number;
}

export const pauseRules: Record<PauseKind, PauseRule> = {
  connection: { free: 1, firstMs: 1_000, longestMs: 30_000 },
  credentials: { free: 0, firstMs: 1_000, longestMs: 300_000 },
  loop: { free: 0, firstMs: 1_000, longestMs: 300_000 },
};

/** So long behind its pause a failure is forgotten, and the next one counts as the first. */
const forgottenAfterMs = 3_600_000;
const entriesMax = 1_000;

export interface Pause {
  /** What failed, one line for the log. */
  readonly reason: string;
  /** How long it still lasts; 0: it is over, and one transaction tries. */
  readonly forMs: number;
}

/** Failures in a row. */
export interface Outage {
  readonly failures: number;
  /** Since the first of them. */
  readonly outMs: number;
}

interface Entry {
  readonly failures: number;
  readonly firstFailedAt: number;
  readonly failedAt: number;
  readonly pauseMs: number;
  readonly reason: string;
  /** The transaction that tries, once the pause is over. */
  trial: object | undefined;
}

export class RelayPauses {
  readonly #entries = new Map<string, Entry>();

  /** Why `by` may not dial now; undefined: it may. */
  pause(key: string, by: object, now: number): Pause | undefined {
    const entry = this.#entry(key, now);
    if (entry === undefined || entry.pauseMs === 0) return undefined;
    const forMs = Math.max(0, entry.failedAt + entry.pauseMs - now);
    const isTried = entry.trial !== undefined && entry.trial !== by;
    return forMs > 0 || isTried ? { reason: entry.reason, forMs } : undefined;
  }

  /** `by` dials. If a pause was before, all others wait for what comes of it: end it by `failed`, `worked` or `calledOff`. */
  tries(key: string, by: object): void {
    const entry = this.#entries.get(key);
    if (entry !== undefined) entry.trial ??= by;
  }

  /** `by` tries no more, and nothing is known that was not known before. */
  calledOff(key: string, by: object): void {
    const entry = this.#entries.get(key);
    if (entry?.trial === by) entry.trial = undefined;
  }

  /** `begunAt`: when it was dialled. */
  failed(key: string, kind: PauseKind, reason: string, begunAt: number, now: number): void {
    const before = this.#entry(key, now);
    if (before !== undefined && begunAt < before.failedAt) return;
    const failures = (before?.failures ?? 0) + 1;
    const firstFailedAt = this.#entries.get(key)?.firstFailedAt ?? now;
    this.#entries.delete(key);
    this.#entries.set(key, {
      failures,
      firstFailedAt,
      failedAt: now,
      pauseMs: pauseMs(pauseRules[kind], failures),
      reason,
      trial: undefined,
    });
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= entriesMax) break;
      this.#entries.delete(oldest);
    }
  }

  /** Returns what is over by that. */
  worked(key: string, now: number): Outage | undefined {
    const entry = this.#entries.get(key);
    this.#entries.delete(key);
    return entry === undefined
      ? undefined
      : { failures: entry.failures, outMs: Math.round(now - entry.firstFailedAt) };
  }

  #entry(key: string, now: number): Entry | undefined {
    const entry = this.#entries.get(key);
    return entry === undefined || now > entry.failedAt + entry.pauseMs + forgottenAfterMs ? undefined : entry;
  }
}

function pauseMs({ free, firstMs, longestMs }: PauseRule, failures: number): number {
  return failures <= free ? 0 : Math.min(longestMs, firstMs * 2 ** (failures - free - 1));
}
