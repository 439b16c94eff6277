/**
 * What became of a mail transaction, as its one log line tells it.
 * Not here: when it is over, and how (transaction.ts); how lines are written (ops/log.ts).
 */
import type { Outcome, TransactionEvent } from "../ops/events.ts";
import { formatPath } from "../smtp/paths.ts";
import { describeReply, type Reply } from "../smtp/replies.ts";
import { protocolKeyword } from "../smtp/trace.ts";
import type { Envelope } from "./envelope.ts";
import type { RelayFacts, TransactionOrigin } from "./messages.ts";

export interface TransactionRecord {
  readonly outcome: Outcome;
  readonly origin: TransactionOrigin;
  readonly envelope: Envelope;
  /** Size of the mail data as far as it came. */
  readonly octets: number;
  readonly relay: RelayFacts | undefined;
  /** The last word to the client, or what it would have been. */
  readonly reply: Reply | undefined;
  readonly reason: string | undefined;
  readonly isUnheard: boolean;
  /** In milliseconds of `now`; undefined: it did not come to that. */
  readonly startedAt: number;
  readonly connectMs: number | undefined;
  readonly dataAt: number | undefined;
  readonly dotAt: number | undefined;
  readonly now: number;
}

export function transactionEvent(record: TransactionRecord): TransactionEvent {
  const { outcome, envelope, relay, reply, reason, now, dataAt, dotAt } = record;
  const { session, id, address, heloName, extended, tls } = record.origin;
  return {
    event: "transaction",
    session,
    transaction: id,
    outcome,
    client: address,
    helo: heloName,
    protocol: protocolKeyword(extended, tls !== undefined, envelope.parameters.smtputf8),
    from: formatPath(envelope.path),
    to: envelope.accepted.join(","),
    relayTo: envelope.relayTo,
    recipients: envelope.accepted.length,
    refusedRecipients: envelope.refused,
    octets: record.octets,
    relay: relay?.name,
    relayTls: relay && describeTls(relay),
    reply: reply === undefined ? "" : describeReply(reply),
    reason,
    unheard: record.isUnheard || undefined,
    connectMs: record.connectMs,
    dataMs: since(dataAt, dotAt ?? now),
    answerMs: since(dotAt, now),
    totalMs: Math.round(now - record.startedAt),
  };
}

/** "none" where there could be one: that mail goes in plaintext is to be seen. */
function describeTls({ tls }: RelayFacts): string {
  return tls === undefined ? "none" : `${tls.version} ${tls.cipher}`;
}

export function outcomeOf(reply: Reply): Outcome {
  return reply.code >= 500 ? "refused" : "deferred";
}

export function since(start: number | undefined, end: number): number | undefined {
  return start === undefined ? undefined : Math.round(end - start);
}
