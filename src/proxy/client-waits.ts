/**
 * How long a client session waits for its client, and for what. Each wait has its own limit and its own end.
 *
 * The client is waited for in one of these states: "handshake", "mail-data" (octets are due), "word" (a command is
 * due), or "none" (the session is busy: the relay session keeps its own limits). Beside them the client may be
 * congested: it does not read its replies.
 * A client that is paused for the relay's sake is not waited for, and that time does not count against its rate.
 * Not here: what follows from a wait that is over (client-session.ts).
 * RFC 5321 §4.5.3.2.
 */
import type { SessionPolicy } from "./client-messages.ts";

export const handshakeMsMax = 60_000;
/** Before MIN_DATA_RATE is looked at. */
export const rateGraceMs = 60_000;

export type WaitState = "handshake" | "mail-data" | "word" | "none";
export type WaitOver = "congested" | "handshake" | "silent" | "slow" | "idle";

const never = Number.POSITIVE_INFINITY;

/** What a client's silence is called. */
const silence: Record<WaitState, WaitOver | undefined> = {
  handshake: "handshake",
  "mail-data": "silent",
  word: "idle",
  none: undefined,
};

export class ClientWaits {
  readonly #policy: SessionPolicy;
  /** Since when the client has the word; for "handshake" since when that runs; for "mail-data" its last octets. */
  #since: number;
  #congestedSince: number | undefined;
  #pausedSince: number | undefined;
  /** When mail data began, moved on by the time for which it was paused. */
  #dataSince = 0;
  #dataOctets = 0;

  constructor(policy: SessionPolicy, now: number) {
    this.#policy = policy;
    this.#since = now;
  }

  /** The wait begins anew. */
  restart(now: number): void {
    this.#since = now;
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
      case "none":
        return never;
    }
  }

  /** When the rate of mail data falls under MIN_DATA_RATE if nothing more comes. */
  #slowAt(state: WaitState): number {
    const { minDataRate } = this.#policy;
    if (state !== "mail-data" || this.isPaused || minDataRate === 0) return never;
    return this.#dataSince + Math.max(rateGraceMs, (this.#dataOctets * 1000) / minDataRate);
  }
}
