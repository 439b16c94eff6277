/**
 * Relay addresses with which opportunistic TLS broke lately: for an hour they are dialled without, so that neither
 * each mail pays for a dial in vain nor one bad moment switches TLS off for good.
 * Bounded memory, the oldest out first. Whether TLS is only a wish is not decided here (route.ts).
 */

/** How long an address is dialled without TLS. */
export const withoutTlsMs = 3_600_000;
const placesMax = 1_000;

interface Entry {
  readonly until: number;
  readonly reason: string;
}

export class PlaintextPlaces {
  /** By the place's key, oldest first. */
  readonly #entries = new Map<string, Entry>();

  tlsBroke(key: string, reason: string, now: number): void {
    this.#entries.delete(key);
    this.#entries.set(key, { until: now + withoutTlsMs, reason });
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= placesMax) break;
      this.#entries.delete(oldest);
    }
  }

  /** The relay insists on TLS: without it this address takes no mail at all. */
  forget(key: string): void {
    this.#entries.delete(key);
  }

  /** Why it is dialled without TLS; undefined: it is not. */
  reason(key: string, now: number): string | undefined {
    const entry = this.#entries.get(key);
    return entry === undefined || entry.until <= now ? undefined : entry.reason;
  }
}
