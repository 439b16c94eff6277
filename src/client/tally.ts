/**
 * What a client session counts, and the log event that tells it at the session's end.
 * `errors` are replies of 5yz since the last mail that was relayed, commands of no use beyond `junkCommandsMax`, and
 * recipients beyond MAX_RECIPIENTS and `overshootMax`. `inVain` are transactions that ended without a message, though
 * no reply of theirs was an error: a client that tries again and again against a relay that says 4yz ends at MAX_ERRORS
 * too, but it did nothing wrong, so it is not held in the tarpit.
 * What follows from too many is session.ts's. A mail that is relayed begins all counts anew.
 */

import type { ClientFacts, TlsAgreement } from "../mail/messages.ts";
import type { LogEvent } from "../ops/events.ts";

/** Commands of no use that a client may send for each mail that is relayed; further ones count as errors. */
export const junkCommandsMax = 100;
/** Recipients beyond MAX_RECIPIENTS that a session may try, as Postfix has it (smtpd_recipient_overshoot_limit). */
export const overshootMax = 1_000;
/** Lines about refused recipients and commands that a session may cause; the others are counted in its last line. */
export const refusalLinesMax = 100;

export class SessionTally {
  readonly #startedAt: number;
  readonly #junkMax: number;
  transactions = 0;
  commands = 0;
  errors = 0;
  inVain = 0;
  #junk = 0;
  #overshoot = 0;
  #refusalLines = 0;
  #unlogged = 0;
  /** Why the session ended; the first reason counts. */
  end: string | undefined;

  /** `isTrusted`: junk is not counted. */
  constructor(startedAt: number, isTrusted: boolean) {
    this.#startedAt = startedAt;
    this.#junkMax = isTrusted ? Number.POSITIVE_INFINITY : junkCommandsMax;
  }

  /** A command that is of no use. */
  countJunk(): void {
    this.#junk += 1;
    if (this.#junk > this.#junkMax) this.errors += 1;
  }

  countOvershoot(): void {
    this.#overshoot += 1;
    if (this.#overshoot > overshootMax) this.errors += 1;
  }

  /** Whether a line about a refusal may be logged; else it is counted. */
  admitsRefusalLine(): boolean {
    this.#refusalLines += 1;
    if (this.#refusalLines <= refusalLinesMax) return true;
    this.#unlogged += 1;
    return false;
  }

  /** The client is here for mail. */
  mailRelayed(): void {
    this.errors = 0;
    this.inVain = 0;
    this.#junk = 0;
    this.#overshoot = 0;
    this.#refusalLines = 0;
  }

  event(
    { session, address }: ClientFacts,
    heloName: string | undefined,
    tls: TlsAgreement | undefined,
    now: number,
  ): LogEvent {
    return {
      event: "session",
      session,
      client: address,
      helo: heloName ?? "",
      tls: tls === undefined ? undefined : `${tls.version} ${tls.cipher}`,
      transactions: this.transactions,
      commands: this.commands,
      errors: this.errors,
      unlogged: this.#unlogged === 0 ? undefined : this.#unlogged,
      end: this.end ?? "",
      totalMs: Math.round(now - this.#startedAt),
    };
  }
}
