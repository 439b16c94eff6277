/**
 * What a mail transaction is given and what it asks for. Data only.
 * Not here: what passes between a client session and the shell (client/messages.ts); what a relay session is ordered and
 * reports (relay/messages.ts).
 */
import type { LogEvent } from "../ops/events.ts";
import type { RelayOrder } from "../relay/messages.ts";
import type { RelayOffer } from "../smtp/ehlo.ts";
import type { BareNewline } from "../smtp/mail-data.ts";
import type { Reply } from "../smtp/replies.ts";
import type { RecipientRules } from "./recipients.ts";

/** The operator's choices for a mail, fixed for the life of the program. */
export interface MailPolicy extends RecipientRules {
  readonly serverName: string;
  readonly bareNewline: BareNewline;
  readonly maxMessageOctets: number;
  readonly maxRecipients: number;
  readonly maxHops: number;
}

export interface ClientFacts {
  /** Unique in the log: an atom of RFC 5322. */
  readonly session: string;
  /** Normalised IPv4 or IPv6 address; "" for a unix socket. */
  readonly address: string;
  /** In TRUSTED_CLIENTS: neither screened nor limited. */
  readonly isTrusted: boolean;
}

export interface TlsAgreement {
  readonly version: string;
  readonly cipher: string;
}

/** Who sends, as the transaction's trace and log line need it. */
export interface TransactionOrigin extends ClientFacts {
  readonly id: string;
  readonly heloName: string;
  readonly extended: boolean;
  readonly tls: TlsAgreement | undefined;
  /** Unix time in milliseconds at `now` = 0, for the date of the trace line. */
  readonly unixEpochMs: number;
}

export interface RelayFacts {
  /** "host:port [address]", for the log. */
  readonly name: string;
  readonly offer: RelayOffer;
  readonly tls: TlsAgreement | undefined;
  /** It has served a mail before. */
  readonly reused: boolean;
}

/** The place of the reply to one command of the client. It is filled once. */
export interface Slot {
  reply: Reply | undefined;
}

export type MailAction =
  /** The session gives up these octets and all slices of them. */
  | { readonly type: "spent"; readonly octets: Buffer }
  /** Ask for a relay connection: answered by `attached` or `unavailable`. `fresh`: none that was used before. */
  | { readonly type: "acquire"; readonly fresh: boolean }
  /** To the relay connection. `release` and `drop` end the tie; before `attached` they take the request back. */
  | { readonly type: "relay"; readonly order: RelayOrder }
  | { readonly type: "log"; readonly event: LogEvent };
