/**
 * The screening of one client, from its connection to the verdict, as a machine without sockets or clock.
 *
 *     connected: “220-name …” and the DNSBL queries go out            started()
 *       │  until GREETING_DELAY is over: a client that speaks is an early talker, and is never greeted
 *     greeted: “220 name …” goes out, and commands are welcome        isGreetingDue
 *       │  until DNSBL_TIMEOUT after the connection, at most: zones may still answer
 *     verdict                                                         needed at the first RCPT, which waits for it
 *
 * The greeting waits for GREETING_DELAY alone and never for a zone: a slow zone costs a client nothing before its
 * RCPT, and there at most what is left of DNSBL_TIMEOUT. A negative score, a client that is trusted, and one that has
 * waited within the last day are greeted at once. A listed client is greeted like any other, so that its HELO, sender
 * and recipient are in the log.
 * Each event first lets pass what time has brought: octets that are looked at when the delay is over are no offence,
 * for the last line is said before them. That includes a client whose octets cross that line.
 * Any split of the octets gives the same verdict. So an early talker is judged when it is clear whether its words are
 * SMTP at all, or when the delay is over.
 * First words that are no SMTP are an offence of every client: a browser that is made to send mail is mostly on a
 * trusted host.
 * With `observe`, an offender is greeted like everybody, and the verdict is for the log alone.
 *
 * Contract: `started` once; then events as they come; then `isGreetingDue`, `verdict` and `deadline()`. All of the
 * client's plain octets go through `octets` until `isDone`, before they are read as commands.
 * A verdict does not change. `said` may grow behind it; the log has what was said up to the verdict.
 * Not here: replies, the tarpit (tarpit.ts), who is remembered (passed-clients.ts), queries (net/).
 * Rejected: refusing a listed client instead of greeting it (nobody could see what mail was refused); judging an
 * early talker by its first octet (an HTTP client would be one verdict in one packet and another in two).
 * RFC 5321 §4.3.1 has clients wait for the greeting; §4.2.1, its lines.
 */
import type { DnsblQuery, DnsblScore, DnsblVerdict, ZoneAnswer, ZoneFailure, ZoneNews } from "./dnsbl.ts";
import { FirstWords, type NonSmtp } from "./first-words.ts";
import { type EarnedPasses, type Passes, rememberedMs } from "./passed-clients.ts";

const SECOND_MS = 1000;
/** How much of what a client said before its verdict, and right behind, is kept for the log. */
export const saidOctetsMax = 128;

export interface ScreenRules {
  /** GREETING_DELAY; 0: no delay. */
  readonly greetingDelayMs: number;
  /** DNSBL_TIMEOUT, from the connection on. */
  readonly dnsblTimeoutMs: number;
  /** SCREENING=observe. */
  readonly observe: boolean;
}

/** What a client is spared: all of it by TRUSTED_CLIENTS, or what it has passed before. */
export type Exemption = Passes;
export const exemptFromAll: Exemption = { delay: true, dnsbl: true };
export const exemptFromNothing: Exemption = { delay: false, dnsbl: false };

export type Verdict =
  /** `earned`: what the client is to be remembered for. */
  | { readonly kind: "pass"; readonly earned: EarnedPasses }
  /** `silentMs`: from the connection to its first octet. */
  | { readonly kind: "early-talker"; readonly silentMs: number }
  | { readonly kind: "non-smtp"; readonly looksLike: NonSmtp; readonly silentMs: number }
  | { readonly kind: "listed"; readonly dnsbl: DnsblVerdict }
  /** We were too busy to ask all the zones: whether it is listed, nobody knows. It has waited, which it has earned. */
  | { readonly kind: "unknown"; readonly earned: EarnedPasses };

export class Screen {
  readonly #rules: ScreenRules;
  readonly #exemption: Exemption;
  readonly #dnsbl: DnsblScore;
  readonly #firstWords = new FirstWords();
  #startedAt = 0;
  #delayOver = false;
  /** The delay was cut short, for the client is on an allowlist. */
  #delayWaived = false;
  #said = "";
  /** From the connection to the first octet, whenever that came. */
  #silentMs: number | undefined;
  #isEarly = false;
  #verdict: Verdict | undefined;

  /** `dnsbl`: the client's own; it is asked nothing if the client is exempt from that. */
  constructor(rules: ScreenRules, exemption: Exemption, dnsbl: DnsblScore) {
    this.#rules = rules;
    this.#exemption = exemption;
    this.#dnsbl = dnsbl;
  }

  /** The connection is there. The result is to be asked for, all at once. */
  started(address: string, now: number): readonly DnsblQuery[] {
    this.#startedAt = now;
    this.#delayOver = this.#exemption.delay || this.#rules.greetingDelayMs <= 0;
    const queries = this.#exemption.dnsbl ? [] : this.#dnsbl.queries(address, now);
    this.time(now);
    return queries;
  }

  /** The client's plain octets, greeted or not. */
  octets(octets: Buffer, now: number): void {
    this.time(now);
    if (octets.length === 0 || this.isDone) return;
    this.#silentMs ??= now - this.#startedAt;
    if (!this.#delayOver) this.#isEarly = true;
    this.#said += octets.toString("latin1", 0, saidOctetsMax - this.#said.length);
    this.#firstWords.receive(octets);
    this.#judge();
  }

  /** As DnsblScore's. Answers that come when the time for them is over are ignored. */
  dnsblAnswered(zone: string, answer: ZoneAnswer, now: number): void {
    this.time(now);
    this.#dnsbl.answered(zone, answer, now);
    this.#judge();
  }

  dnsblFailed(zone: string, failure: ZoneFailure, now: number): void {
    this.time(now);
    this.#dnsbl.failed(zone, failure, now);
    this.#judge();
  }

  /** There is no room to ask the zone. Its answer may still come. */
  dnsblNotAsked(zone: string, now: number): void {
    this.time(now);
    this.#dnsbl.notAsked(zone);
  }

  /** As DnsblScore's. */
  get unknownZones(): readonly string[] {
    return this.#dnsbl.unknown;
  }

  takeNews(): readonly ZoneNews[] {
    return this.#dnsbl.takeNews();
  }

  time(now: number): void {
    if (now >= this.#greetingAt) this.#delayOver = true;
    if (now >= this.#dnsblUntil) {
      this.#dnsbl.giveUp(`no answer within ${this.#rules.dnsblTimeoutMs / SECOND_MS}s`, now);
    }
    this.#judge();
  }

  /** When to call `time` at the latest. */
  deadline(): number {
    const greeting = this.#delayOver || this.#isRefused ? Number.POSITIVE_INFINITY : this.#greetingAt;
    const open = this.#verdict === undefined && this.#dnsbl.pending.length > 0;
    return open ? Math.min(greeting, this.#dnsblUntil) : greeting;
  }

  /** “220-name …” is to be said at `started`, for the rest of the greeting has to wait. */
  get isDelayed(): boolean {
    return !this.#delayOver;
  }

  /** The last line of the greeting may be said. Never true of an early talker, unless it is only observed. */
  get isGreetingDue(): boolean {
    return this.#delayOver && (!this.#isEarly || this.#rules.observe);
  }

  /** Undefined while anything that could change it is awaited. */
  get verdict(): Verdict | undefined {
    return this.#verdict;
  }

  /** The zones' part of it, for the log of any verdict. */
  get dnsbl(): DnsblVerdict {
    return this.#dnsbl.verdict();
  }

  /** The first `saidOctetsMax` octets of the client, as a wire string. */
  get said(): string {
    return this.#said;
  }

  /** Further octets cannot change the verdict, nor what is kept of them. */
  get isDone(): boolean {
    const isSaidFull = this.#said.length >= saidOctetsMax;
    return this.#firstWords.isDecided && (isSaidFull || this.#isHarmless);
  }

  get #isHarmless(): boolean {
    return !this.#isEarly && this.#firstWords.finding === undefined;
  }

  /** The verdict is one that ends the session before its greeting. */
  get #isRefused(): boolean {
    const { kind } = this.#verdict ?? {};
    return !this.#rules.observe && (kind === "early-talker" || kind === "non-smtp");
  }

  get #greetingAt(): number {
    return this.#startedAt + this.#rules.greetingDelayMs;
  }

  get #dnsblUntil(): number {
    return this.#startedAt + this.#rules.dnsblTimeoutMs;
  }

  #judge(): void {
    if (!this.#isEarly && !this.#delayOver && this.#dnsbl.isAllowlisted) {
      this.#delayOver = true;
      this.#delayWaived = true;
    }
    this.#verdict ??= this.#find();
  }

  #find(): Verdict | undefined {
    const silentMs = this.#silentMs;
    const looksLike = this.#firstWords.finding;
    if (silentMs !== undefined && looksLike !== undefined) return { kind: "non-smtp", looksLike, silentMs };
    const isClear = this.#firstWords.isDecided;
    if (silentMs !== undefined && this.#isEarly) {
      return isClear || this.#delayOver ? { kind: "early-talker", silentMs } : undefined;
    }
    if (!this.#delayOver || !isClear) return undefined;
    if (this.#dnsbl.isUnknown) return { kind: "unknown", earned: this.#earned };
    if (!this.#dnsbl.isSettled) return undefined;
    const dnsbl = this.#dnsbl.verdict();
    return dnsbl.listed ? { kind: "listed", dnsbl } : { kind: "pass", earned: this.#earned };
  }

  /** Nothing for what the client was spared: a pass is not prolonged by its own use. */
  get #earned(): EarnedPasses {
    const dnsblMs = this.#dnsbl.passMs;
    // An allowlist vouches for the client for as long as its answer holds.
    const waitedMs = this.#delayWaived ? dnsblMs : rememberedMs;
    return { delayMs: this.#exemption.delay ? 0 : waitedMs, dnsblMs };
  }
}
