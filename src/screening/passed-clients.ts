/**
 * The memory of clients that passed the screening. A client has two passes, each with its own time: that of the
 * greeting delay spares it the wait, for a day; that of the DNSBL zones spares them the questions, for as long as
 * their answers hold.
 *
 * Keys are those of clientKey: an IPv4 address or an IPv6 /64. Bounded: beyond the limit the oldest are forgotten,
 * and are screened once more. Every call takes the same time, whatever is remembered.
 * It never holds an offender: who offends is forgotten, and is not remembered again for as long as a pass would have
 * lasted. Otherwise a client with two sessions would be remembered for the one that behaved, just after the other
 * was caught.
 * Not here: whether the client passed, and for how long (greeting.ts, dnsbl.ts). Nothing is kept across a restart, for
 * nothing touches the disk.
 */
import { assert } from "../lib/assert.ts";
import { clientKey } from "./addresses.ts";

export const rememberedClientsMax = 100_000;
export const rememberedMs = 24 * 60 * 60 * 1000;

/** Which of its passes a client holds. */
export interface Passes {
  readonly delay: boolean;
  readonly dnsbl: boolean;
}

/** For how long each pass is good from now on; 0: it was not earned. */
export interface EarnedPasses {
  readonly delayMs: number;
  readonly dnsblMs: number;
}

/** Until when each pass is good. */
interface PassTimes {
  readonly delay: number;
  readonly dnsbl: number;
}

const never: PassTimes = { delay: Number.NEGATIVE_INFINITY, dnsbl: Number.NEGATIVE_INFINITY };

export class PassedClients {
  readonly #passed: ExpiringKeys<PassTimes>;
  readonly #offenders: ExpiringKeys<true>;
  readonly #lifetimeMs: number;

  /** `lifetimeMs`: no pass is good for longer. */
  constructor(clientsMax = rememberedClientsMax, lifetimeMs = rememberedMs) {
    this.#passed = new ExpiringKeys(clientsMax);
    this.#offenders = new ExpiringKeys(clientsMax);
    this.#lifetimeMs = lifetimeMs;
  }

  /** How many are remembered; some of them may have expired. */
  get size(): number {
    return this.#passed.size;
  }

  passes(address: string, now: number): Passes {
    const { delay, dnsbl } = this.#passed.get(clientKey(address), now) ?? never;
    return { delay: now < delay, dnsbl: now < dnsbl };
  }

  /** The client passed just now. To be called when a screening passed, not for each mail. */
  remember(address: string, { delayMs, dnsblMs }: EarnedPasses, now: number): void {
    const key = clientKey(address);
    if ((delayMs <= 0 && dnsblMs <= 0) || this.#offenders.get(key, now) !== undefined) return;
    const known = this.#passed.get(key, now) ?? never;
    const until = (earnedMs: number, knownUntil: number): number =>
      earnedMs <= 0 ? knownUntil : Math.max(knownUntil, now + Math.min(earnedMs, this.#lifetimeMs));
    const times = { delay: until(delayMs, known.delay), dnsbl: until(dnsblMs, known.dnsbl) };
    this.#passed.add(key, times, Math.max(times.delay, times.dnsbl), now);
  }

  /** The client offended. */
  forget(address: string, now: number): void {
    const key = clientKey(address);
    this.#passed.delete(key);
    this.#offenders.add(key, true, now + this.#lifetimeMs, now);
  }
}

/** A key, between the one that was added before it and the one after it. */
interface Entry<Value> {
  readonly key: string;
  readonly value: Value;
  readonly until: number;
  older: Entry<Value> | undefined;
  newer: Entry<Value> | undefined;
}

/**
 * Keys that are good until a time of their own, from the one that was added first to the one that was added last.
 * Rejected: a Map alone, which keeps the order too. To find its first key after many were deleted, JavaScriptCore
 * walks over all those that are gone: a tenth of a millisecond each time.
 * Rejected: an order by the times. The one that was added first is forgotten first, which is fair to all.
 */
class ExpiringKeys<Value> {
  readonly #entries = new Map<string, Entry<Value>>();
  readonly #keysMax: number;
  #oldest: Entry<Value> | undefined;
  #newest: Entry<Value> | undefined;

  constructor(keysMax: number) {
    assert(keysMax >= 1, "a memory has room for one");
    this.#keysMax = keysMax;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string, now: number): Value | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || now < entry.until) return entry?.value;
    this.#remove(entry);
    return undefined;
  }

  add(key: string, value: Value, until: number, now: number): void {
    this.delete(key);
    this.#makeRoom(now);
    const entry: Entry<Value> = { key, value, until, older: this.#newest, newer: undefined };
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

  #remove(entry: Entry<Value>): void {
    this.#entries.delete(entry.key);
    if (entry.older === undefined) this.#oldest = entry.newer;
    else entry.older.newer = entry.newer;
    if (entry.newer === undefined) this.#newest = entry.older;
    else entry.newer.older = entry.older;
  }
}
