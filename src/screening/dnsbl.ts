/**
 * One client's DNSBL score: the sum of the weights of the entries that match what the zones answered.
 *
 * Contract: `queries` once; then for each query either `answered` or `failed`, in any order; `giveUp` for what is
 * still out when time is over; `takeNews` returns what is to be logged. What is wrong with a zone never counts against
 * a client: no answer, or one that is no listing, is not listed. A zone's answer counts once, also if it comes twice.
 * What was not asked for want of room on our side is another matter: `notAsked`. If its answer does not follow in
 * time, nothing is known, and it depends on it whether the client is listed, then `isUnknown`. Otherwise whoever keeps
 * us busy would open the door for those that are listed. An entry counts once, however many addresses of an answer
 * match it; a zone with several entries may count several times, as with postscreen. `isSettled` is true as soon as no
 * answer that is out can turn listed into not listed or the other way, so that a slow zone delays nobody without need.
 * A client that is not listed may be spared the questions for `passMs`: for as long as the answers hold, and not at
 * all if a zone that gave no usable answer could have listed it. Otherwise an outage of a name server would exempt
 * every spammer that connects meanwhile.
 * Not here: names, timeouts and packets (net/), what an address means (dnsbl-zones.ts).
 */
import type { DnsblZone } from "../config/kinds/dnsbl-zone.ts";
import { reversedName } from "./addresses.ts";
import { distinctZones, matches, meaningOf } from "./dnsbl-zones.ts";
import type { ZoneHealth } from "./zone-health.ts";

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
  /** From our own cache, which tells nothing of how the zone is now. */
  readonly cached: boolean;
}

/** Why there is no answer. */
export interface ZoneFailure {
  readonly reason: string;
  /** The name server that said so; undefined: none did. */
  readonly server: string | undefined;
}

/** What is to be logged about a zone. `zone`: the name that may be shown. */
export type ZoneNews =
  /** It refuses to serve us, or is no list, and is left out for an hour. */
  | { readonly news: "unusable"; readonly zone: string; readonly answer: string }
  | ({ readonly news: "silent"; readonly zone: string } & ZoneFailure)
  | { readonly news: "back"; readonly zone: string; readonly awayMs: number };

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
  /** What is not answered. These lists are short, and replaced when they change: mostly all are empty. */
  #out: readonly DnsblQuery[] = none;
  /** Zones that gave no usable answer, those that are left out among them. */
  #silent: readonly string[] = none;
  /** Zones that were not asked so far, for want of room here. */
  #notAsked: readonly string[] = none;
  /** Those of them whose time is over. */
  #unknown: readonly string[] = none;
  #matches: readonly DnsblMatch[] = none;
  #news: readonly ZoneNews[] = none;
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

  answered(zone: string, { addresses, ttlMs, cached }: ZoneAnswer, now: number): void {
    const query = this.#take(zone);
    if (query === undefined) return;
    const refusal = addresses.find((address) => meaningOf(address) === "refusal");
    if (refusal !== undefined) {
      this.#silent = [...this.#silent, zone];
      if (!this.#health.unusable(zone, now)) return;
      this.#tell({ news: "unusable", zone: this.#shown(zone), answer: refusal });
      return;
    }
    const awayMs = cached ? undefined : this.#health.answered(zone, now);
    if (awayMs !== undefined) this.#tell({ news: "back", zone: this.#shown(zone), awayMs });
    this.#holdsMs = Math.min(this.#holdsMs ?? passMsMax, ttlMs);
    for (const { filter, weight, shownName } of this.#entries(zone)) {
      const answer = addresses.find((address) => matches(filter, address));
      if (answer === undefined) continue;
      this.#score += weight;
      this.#matches = [...this.#matches, { ...query, shownName, weight, answer }];
    }
  }

  /** The zone could not be asked, or did not answer. */
  failed(zone: string, failure: ZoneFailure, now: number): void {
    if (this.#take(zone) === undefined) return;
    this.#silent = [...this.#silent, zone];
    if (this.#health.silent(zone, now)) this.#tell({ news: "silent", zone: this.#shown(zone), ...failure });
  }

  /** The query about `zone`, which is not out any more. */
  #take(zone: string): DnsblQuery | undefined {
    const query = this.#out.find((out) => out.zone === zone);
    if (query === undefined) return undefined;
    this.#out = this.#out.length > 1 ? this.#out.filter((out) => out !== query) : none;
    return query;
  }

  /** There is no room to ask the zone. Its answer may still come. */
  notAsked(zone: string): void {
    if (this.#out.some((out) => out.zone === zone)) this.#notAsked = [...this.#notAsked, zone];
  }

  /** Time is over: all that was asked and is out has failed. */
  giveUp(reason: string, now: number): void {
    for (const { zone } of this.#out) {
      if (!this.#notAsked.includes(zone)) this.failed(zone, { reason, server: undefined }, now);
      else if (this.#take(zone) !== undefined) this.#unknown = [...this.#unknown, zone];
    }
  }

  /** What is to be logged, once. */
  takeNews(): readonly ZoneNews[] {
    const news = this.#news;
    this.#news = none;
    return news;
  }

  #tell(news: ZoneNews): void {
    this.#news = [...this.#news, news];
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

  /** All that will ever be known is known, and it is not enough. */
  get isUnknown(): boolean {
    return this.#out.length === 0 && !this.isSettled;
  }

  /** Names, as they may be shown, of zones that were never asked. */
  get unknown(): readonly string[] {
    return this.#unknown.map((zone) => this.#shown(zone));
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
      const isOpen = this.#out.some((out) => out.zone === zone) || this.#unknown.includes(zone);
      if (!isOpen && !also.includes(zone)) continue;
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
