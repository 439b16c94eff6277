/**
 * What a client session counts, and the log event that tells it at the session's end.
 * `errors` are replies of 5yz since the last mail that was relayed; what follows from too many is client-session.ts's.
 */
import type { LogEvent } from "../ops/events.ts";
import type { ClientFacts, TlsAgreement } from "./client-messages.ts";

/** Commands of no use that a client may send for each mail that is relayed; further ones count as errors. */
export const junkCommandsMax = 100;

export class SessionTally {
  readonly #startedAt: number;
  readonly #junkMax: number;
  transactions = 0;
  commands = 0;
  errors = 0;
  #junk = 0;
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

  /** A mail was relayed: the client is here for mail. */
  forgive(): void {
    this.errors = 0;
    this.#junk = 0;
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
      end: this.end ?? "",
      totalMs: Math.round(now - this.#startedAt),
    };
  }
}
