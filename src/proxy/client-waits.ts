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
    const limits = this.#limits(state);
    return limits.reduce((first, [, at]) => Math.min(first, at), never);
  }

  /** Which wait is over at `now`. */
  over(state: WaitState, now: number): WaitOver | undefined {
    return this.#limits(state).find(([, at]) => now >= at)?.[0];
  }

  #limits(state: WaitState): readonly (readonly [WaitOver, number])[] {
    const { commandTimeoutMs, dataTimeoutMs } = this.#policy;
    const limits: (readonly [WaitOver, number])[] = [];
    if (this.#congestedSince !== undefined)
      limits.push(["congested", this.#congestedSince + commandTimeoutMs]);
    if (state === "handshake") {
      limits.push(["handshake", this.#since + Math.min(handshakeMsMax, commandTimeoutMs)]);
    } else if (state === "mail-data" && !this.isPaused) {
      limits.push(["silent", this.#since + dataTimeoutMs], ["slow", this.#tooSlowAt()]);
    } else if (state === "word" && this.#congestedSince === undefined) {
      limits.push(["idle", this.#since + commandTimeoutMs]);
    }
    return limits;
  }

  /** When the rate falls under MIN_DATA_RATE if nothing more comes. */
  #tooSlowAt(): number {
    const { minDataRate } = this.#policy;
    if (minDataRate === 0) return never;
    return this.#dataSince + Math.max(rateGraceMs, (this.#dataOctets * 1000) / minDataRate);
  }
}
