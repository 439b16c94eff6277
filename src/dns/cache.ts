/**
 * Answers kept for their time to live, a bounded number of them: the oldest goes when there is no room. A TTL is
 * believed within a minute (0 would have every client ask) and an hour (a delisting must come through).
 * What is handed out says how long it still holds. Trouble is never kept: the next client asks again.
 * Not here: where a TTL is read (readAnswer in answer.ts); the clock, which comes in as a number.
 * Rejected: least recently used first out. An entry lives an hour at most, so age is as good, and costs nothing.
 */
import type { LookupAnswer } from "../client/messages.ts";

export const ttlMsMin = 60_000;
export const ttlMsMax = 3_600_000;

type Kept = Exclude<LookupAnswer, { kind: "trouble" | "busy" }>;

export class DnsCache {
  readonly #entriesMax: number;
  readonly #entries = new Map<string, { readonly answer: Kept; readonly expiresAt: number }>();

  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** `now` in milliseconds, on the clock that `put` was told. */
  get(key: string, now: number): Kept | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    const ttlMs = entry.expiresAt - now;
    if (ttlMs > 0) return { ...entry.answer, ttlMs, cached: true };
    this.#entries.delete(key);
    return undefined;
  }

  put(key: string, answer: Kept, now: number): void {
    // Deleted first, since a Map keeps the place of a key that it has.
    this.#entries.delete(key);
    if (this.#entries.size >= this.#entriesMax) {
      for (const oldest of this.#entries.keys()) {
        this.#entries.delete(oldest);
        break;
      }
    }
    this.#entries.set(key, { answer, expiresAt: now + answer.ttlMs });
  }

  clear(): void {
    this.#entries.clear();
  }
}

export function believedTtlMs(ttlMs: number): number {
  return Math.min(Math.max(ttlMs, ttlMsMin), ttlMsMax);
}
