/**
 * What a client session counts, and the log event that tells it at the session's end.
 * `errors` are replies of 5yz since the last mail that was relayed; what follows from too many is client-session.ts's.
 */
import type { LogEvent } from "../ops/events.ts";
import type { ClientFacts, TlsAgreement } from "./client-messages.ts";

export class SessionTally {
  readonly #startedAt: number;
  transactions = 0;
  commands = 0;
  errors = 0;
  /** Why the session ended; the first reason counts. */
  end: string | undefined;

  constructor(startedAt: number) {
    this.#startedAt = startedAt;
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
