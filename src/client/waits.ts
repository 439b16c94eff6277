/**
 * How long a client session waits for its client, and for what. Each wait has its own limit and its own end.
 *
 * The client is waited for in one of these states: "handshake", "mail-data" (octets are due), "word" (a command is
 * due), "holding" (a command is due, and the transaction has a relay connection meanwhile), or "none" (the session is
 * busy: the relay session keeps its own limits). Beside them the client may be congested: it does not read its replies.
 * What says nothing about the mail (NOOP, RSET of nothing, a typing error) prolongs no "holding", and under pressure
 * that is short, as in Postfix's stress mode (smtpd_timeout): else a few idle clients have all relay connections.
 * A client that is paused for the relay's sake is not waited for, and that time does not count against its rate.
 * Not here: what follows from a wait that is over (session.ts).
 * RFC 5321 §4.5.3.2.
 */
import type { SessionPolicy, Surroundings } from "./messages.ts";

export const handshakeMsMax = 60_000;
/** Before MIN_DATA_RATE is looked at. */
export const rateGraceMs = 60_000;
/** For the next command of a client that has a relay connection, while these are scarce. */
export const pressureMsMax = 10_000;

export type WaitState = "handshake" | "mail-data" | "word" | "holding" | "none";
export type WaitOver = "congested" | "handshake" | "silent" | "slow" | "idle";

const never = Number.POSITIVE_INFINITY;

/** What a client's silence is called. */
const silence: Record<WaitState, WaitOver | undefined> = {
  handshake: "handshake",
  "mail-data": "silent",
  word: "idle",
  holding: "idle",
  none: undefined,
};

export class ClientWaits {
  readonly #policy: SessionPolicy;
  readonly #surroundings: Surroundings;
  /** Since when the client is to speak; for "handshake" since when that runs; for "mail-data" its last octets. */
  #since: number;
  /** When the mail transaction last came forward. */
  #progressAt: number;
  #congestedSince: number | undefined;
  #pausedSince: number | undefined;
  /** When mail data began, moved on by the time for which it was paused. */
  #dataSince = 0;
  #dataOctets = 0;

  constructor(policy: SessionPolicy, surroundings: Surroundings, now: number) {
    this.#policy = policy;
    this.#surroundings = surroundings;
    this.#since = now;
    this.#progressAt = now;
  }

  /** The wait for the client begins now. */
  restart(now: number): void {
    this.#since = now;
  }

  /** The client asked for something of its mail, or the relay answered. */
  progressed(now: number): void {
    this.#progressAt = now;
  }

  dataBegins(now: number): void {
    this.#since = now;
    this.#dataSince = now;
    this.#dataOctets = 0;
    // A pause that began before mail data did is none of its time.
    if (this.isPaused) this.#pausedSince = now;
  }

  dataCame(octets: number, now: number): void {
    this.#since = now;
    this.#dataOctets += octets;
  }

  get isCongested(): boolean {
    return this.#congestedSince !== undefined;
  }

  congested(now: number): void {
    this.#congestedSince ??= now;
  }

  drained(): void {
    this.#congestedSince = undefined;
  }

  get isPaused(): boolean {
    return this.#pausedSince !== undefined;
  }

  paused(now: number): void {
    this.#pausedSince = now;
  }

  resumed(now: number): void {
    this.#dataSince += now - (this.#pausedSince ?? now);
    this.#pausedSince = undefined;
    this.#since = now;
  }

  deadline(state: WaitState): number {
    return Math.min(this.#congestedUntil, this.#silentUntil(state), this.#slowAt(state));
  }

  /** Which wait is over at `now`. */
  over(state: WaitState, now: number): WaitOver | undefined {
    if (now >= this.#congestedUntil) return "congested";
    if (now >= this.#silentUntil(state)) return silence[state];
    return now >= this.#slowAt(state) ? "slow" : undefined;
  }

  get #congestedUntil(): number {
    return this.#congestedSince === undefined ? never : this.#congestedSince + this.#policy.commandTimeoutMs;
  }

  #silentUntil(state: WaitState): number {
    const { commandTimeoutMs, dataTimeoutMs } = this.#policy;
    switch (state) {
      case "handshake":
        return this.#since + Math.min(handshakeMsMax, commandTimeoutMs);
      case "mail-data":
        return this.isPaused ? never : this.#since + dataTimeoutMs;
      case "word":
        return this.isCongested ? never : this.#since + commandTimeoutMs;
      case "holding":
        return this.isCongested ? never : this.#progressAt + this.#holdingMsMax;
      case "none":
        return never;
    }
  }

  get #holdingMsMax(): number {
    const { commandTimeoutMs } = this.#policy;
    return this.#surroundings.relayPressure ? Math.min(commandTimeoutMs, pressureMsMax) : commandTimeoutMs;
  }

  /** When the rate of mail data falls under MIN_DATA_RATE if nothing more comes. */
  #slowAt(state: WaitState): number {
    const { minDataRate } = this.#policy;
    if (state !== "mail-data" || this.isPaused || minDataRate === 0) return never;
    return this.#dataSince + Math.max(rateGraceMs, (this.#dataOctets * 1000) / minDataRate);
  }
}
