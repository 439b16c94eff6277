/**
 * The memory of clients that passed the screening, so that they are greeted at once for a day.
 *
 * Keys are those of clientKey: an IPv4 address or an IPv6 /64. Bounded: beyond the limit the oldest are forgotten,
 * and are screened once more. Every call takes the same time, whatever is remembered.
 * It never holds an offender: who offends is forgotten, and is not remembered again for as long as a pass would have
 * lasted. Otherwise a client with two sessions would be remembered for the one that behaved, just after the other
 * was caught.
 * Not here: whether the client passed (greeting.ts). Nothing is kept across a restart, for nothing touches the disk.
 */
import { assert } from "../ops/assert.ts";
import { clientKey } from "./addresses.ts";

export const rememberedClientsMax = 100_000;
export const rememberedMs = 24 * 60 * 60 * 1000;

export class PassedClients {
  readonly #passed: ExpiringKeys;
  readonly #offenders: ExpiringKeys;

  constructor(clientsMax = rememberedClientsMax, lifetimeMs = rememberedMs) {
    this.#passed = new ExpiringKeys(clientsMax, lifetimeMs);
    this.#offenders = new ExpiringKeys(clientsMax, lifetimeMs);
  }

  /** How many are remembered; some of them may have expired. */
  get size(): number {
    return this.#passed.size;
  }

  has(address: string, now: number): boolean {
    return this.#passed.has(clientKey(address), now);
  }

  /** The client passed just now, which is good for a day. To be called when a screening passed, not for each mail. */
  remember(address: string, now: number): void {
    const key = clientKey(address);
    if (!this.#offenders.has(key, now)) this.#passed.add(key, now);
  }

  /** The client offended. */
  forget(address: string, now: number): void {
    const key = clientKey(address);
    this.#passed.delete(key);
    this.#offenders.add(key, now);
  }
}

/** A key, between the one that was added before it and the one after it. */
interface Entry {
  readonly key: string;
  readonly until: number;
  older: Entry | undefined;
  newer: Entry | undefined;
}

/**
 * Keys that are good for the same time each, from the oldest to the newest.
 * Rejected: a Map alone, which keeps the order too. To find its first key after many were deleted, JavaScriptCore
 * walks over all those that are gone: a tenth of a millisecond each time.
 */
class ExpiringKeys {
  readonly #entries = new Map<string, Entry>();
  readonly #keysMax: number;
  readonly #lifetimeMs: number;
  #oldest: Entry | undefined;
  #newest: Entry | undefined;

  constructor(keysMax: number, lifetimeMs: number) {
    assert(keysMax >= 1, "a memory has room for one");
    this.#keysMax = keysMax;
    this.#lifetimeMs = lifetimeMs;
  }

  get size(): number {
    return this.#entries.size;
  }

  has(key: string, now: number): boolean {
    const entry = this.#entries.get(key);
    if (entry === undefined || now < entry.until) return entry !== undefined;
    this.#remove(entry);
    return false;
  }

  add(key: string, now: number): void {
    this.delete(key);
    this.#makeRoom(now);
    const entry: Entry = { key, until: now + this.#lifetimeMs, older: this.#newest, newer: undefined };
    if (this.#newest === undefined) this.#oldest = entry;
    else this.#newest.newer = entry;
    this.#newest = entry;
    this.#entries.set(key, entry);
  }

  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (entry !== undefined) this.#remove(entry);
  }

  /** For one; and two that have expired go for each that comes, so the memory shrinks again after a rush. */
  #makeRoom(now: number): void {
    for (let removed = 0; removed < 2; removed += 1) {
      const oldest = this.#oldest;
      if (oldest === undefined || (now < oldest.until && this.#entries.size < this.#keysMax)) return;
      this.#remove(oldest);
    }
  }

  #remove(entry: Entry): void {
    this.#entries.delete(entry.key);
    if (entry.older === undefined) this.#oldest = entry.newer;
    else entry.older.newer = entry.newer;
    if (entry.newer === undefined) this.#newest = entry.older;
    else entry.newer.older = entry.older;
  }
}
