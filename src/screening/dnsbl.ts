/**
 * One client's DNSBL score: the sum of the weights of the entries that match what the zones answered.
 *
 * Contract: `queries` once; then for each query either `answered` or `failed`, in any order; `giveUp` for what is
 * still out when time is over. What is wrong with a zone never counts against a client: no answer, or one that is no
 * listing, is not listed. A zone's answer counts once, also if it comes twice.
 * An entry counts once, however many addresses of an answer match it; a zone with several entries may count several
 * times, as with postscreen.
 * `isSettled` is true as soon as no answer that is out can turn listed into not listed or the other way, so that a
 * slow zone delays nobody without need.
 * A client that is not listed may be spared the questions for `passMs`: for as long as the answers hold, and not at
 * all if a zone that gave no usable answer could have listed it. Otherwise an outage of a name server would exempt
 * every spammer that connects meanwhile.
 * Not here: names, timeouts and packets (net/), what an address means (dnsbl-zones.ts).
 */
import type { DnsblZone } from "../config/dnsbl-zone.ts";
import { reversedName } from "./addresses.ts";
import { distinctZones, matches, meaningOf, type ZoneHealth } from "./dnsbl-zones.ts";

/** Ask for A records of `name`; for the TXT records of a listing too. */
export interface DnsblQuery {
  readonly zone: string;
  readonly name: string;
}

/** What a zone answered about a client. */
export interface ZoneAnswer {
  /** Empty when the zone knows nothing of the client. */
  readonly addresses: readonly string[];
  /** How long that holds. */
  readonly ttlMs: number;
}

/** To be logged as a warning: the zone refuses to serve us, or is none, and is left out for an hour. */
export interface ZoneWarning {
  /** The name that may be shown. */
  readonly zone: string;
  readonly answer: string;
}

/** An entry that matched. */
export interface DnsblMatch extends DnsblQuery {
  readonly shownName: string;
  readonly weight: number;
  /** The first address that matched. */
  readonly answer: string;
}

export interface DnsblVerdict {
  readonly listed: boolean;
  /** The score is negative, and will be. */
  readonly allowlisted: boolean;
  readonly score: number;
  /** The highest weight first: that one is named to the client. */
  readonly matches: readonly DnsblMatch[];
  /** Names, as they may be shown, of zones that gave no usable answer, or not yet. */
  readonly silent: readonly string[];
}

/** As postscreen_dnsbl_min_ttl and postscreen_dnsbl_max_ttl: 0 would spare nobody, and a new listing must count. */
export const passMsMin = 60_000;
export const passMsMax = 3_600_000;

const none: readonly never[] = [];

export class DnsblScore {
  readonly #zones: readonly DnsblZone[];
  readonly #threshold: number;
  readonly #health: ZoneHealth;
  /** What is not answered. These lists are short, and replaced when they change: mostly all three are empty. */
  #out: readonly DnsblQuery[] = none;
  /** Zones that gave no usable answer, those that are left out among them. */
  #silent: readonly string[] = none;
  #matches: readonly DnsblMatch[] = none;
  #score = 0;
  /** For how long all usable answers hold; undefined: there was none. */
  #holdsMs: number | undefined;

  constructor(zones: readonly DnsblZone[], threshold: number, health: ZoneHealth) {
    this.#zones = zones;
    this.#threshold = threshold;
    this.#health = health;
  }

  /** What to ask about this client: nothing about one without an IP address, nothing of a zone that is left out. */
  queries(address: string, now: number): readonly DnsblQuery[] {
    const reversed = reversedName(address);
    if (reversed === undefined) return [];
    if (this.#zones.length === 0) return none;
    const zones = distinctZones(this.#zones);
    this.#silent = zones.filter((zone) => this.#health.isLeftOut(zone, now));
    this.#out = zones
      .filter((zone) => !this.#silent.includes(zone))
      .map((zone) => ({ zone, name: `${reversed}.${zone}` }));
    return this.#out;
  }

  /** The result is to be logged, if there is one. */
  answered(zone: string, { addresses, ttlMs }: ZoneAnswer, now: number): ZoneWarning | undefined {
    const query = this.#take(zone);
    if (query === undefined) return undefined;
    const refusal = addresses.find((address) => meaningOf(address) === "refusal");
    if (refusal !== undefined) {
      this.#silent = [...this.#silent, zone];
      return this.#health.refused(zone, now) ? { zone: this.#shown(zone), answer: refusal } : undefined;
    }
    this.#holdsMs = Math.min(this.#holdsMs ?? passMsMax, ttlMs);
    for (const { filter, weight, shownName } of this.#entries(zone)) {
      const answer = addresses.find((address) => matches(filter, address));
      if (answer === undefined) continue;
      this.#score += weight;
      this.#matches = [...this.#matches, { ...query, shownName, weight, answer }];
    }
    return undefined;
  }

  /** The zone could not be asked, or did not answer. */
  failed(zone: string): void {
    if (this.#take(zone) !== undefined) this.#silent = [...this.#silent, zone];
  }

  /** The query about `zone`, which is not out any more. */
  #take(zone: string): DnsblQuery | undefined {
    const query = this.#out.find((out) => out.zone === zone);
    if (query === undefined) return undefined;
    this.#out = this.#out.length > 1 ? this.#out.filter((out) => out !== query) : none;
    return query;
  }

  /** Time is over: all that is out has failed. */
  giveUp(): void {
    for (const { zone } of this.#out) this.failed(zone);
  }

  /** Zones that have not answered yet. */
  get pending(): readonly string[] {
    return this.#out.map(({ zone }) => zone);
  }

  get score(): number {
    return this.#score;
  }

  get isSettled(): boolean {
    const { lowest, highest } = this.#bounds();
    return lowest >= this.#threshold || highest < this.#threshold;
  }

  /** Whether the score is negative, whatever is still to come. */
  get isAllowlisted(): boolean {
    return this.#bounds().highest < 0;
  }

  /** For how long the client need not be asked about again; 0: it has to be, the next time it comes. */
  get passMs(): number {
    if (this.#holdsMs === undefined || this.#bounds(this.#silent).highest >= this.#threshold) return 0;
    return Math.max(this.#holdsMs, passMsMin);
  }

  /** As things are; final once `isSettled`. */
  verdict(): DnsblVerdict {
    return {
      listed: this.#bounds().lowest >= this.#threshold,
      allowlisted: this.isAllowlisted,
      score: this.#score,
      matches: this.#matches.toSorted((a, b) => b.weight - a.weight),
      silent: [...this.#silent, ...this.pending].map((zone) => this.#shown(zone)),
    };
  }

  /** Between what the score can be when everything has answered, `also` included. */
  #bounds(also: readonly string[] = none): { readonly lowest: number; readonly highest: number } {
    let lowest = this.#score;
    let highest = this.#score;
    for (const { zone, weight } of this.#zones) {
      if (!this.#out.some((out) => out.zone === zone) && !also.includes(zone)) continue;
      if (weight < 0) lowest += weight;
      else highest += weight;
    }
    return { lowest, highest };
  }

  #entries(zone: string): readonly DnsblZone[] {
    return this.#zones.filter((entry) => entry.zone === zone);
  }

  #shown(zone: string): string {
    return this.#entries(zone)[0]?.shownName ?? zone;
  }
}
