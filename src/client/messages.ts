/**
 * What passes between a client session and the others: policy, facts and events in; actions out. Data only.
 * The session itself is session.ts; who performs the actions is shell/client-connection.ts.
 */

import type { MailAction, MailPolicy, RelayFacts, TlsAgreement } from "../mail/messages.ts";
import type { Failure } from "../relay/failures.ts";
import type { RelayReport } from "../relay/messages.ts";
import type { RelayOffer } from "../smtp/ehlo.ts";

/** The operator's choices, fixed for the life of the program. */
export interface SessionPolicy extends MailPolicy {
  /** Random, one for the life of the program: how a relay session finds out that it leads back here. */
  readonly loopMark: string;
  readonly starttlsOffered: boolean;
  readonly maxErrors: number;
  readonly commandTimeoutMs: number;
  readonly dataTimeoutMs: number;
  /** Octets a second of mail data; 0: any rate will do. */
  readonly minDataRate: number;
  /** Emit `dialogue` events. They cost, so they are made only when somebody reads them. */
  readonly logDialogue: boolean;
}

/** What all sessions share and the shell keeps up to date. */
export interface Surroundings {
  /** What the relay offers whose turn it is now (relay/offers.ts). */
  readonly relayOffer: RelayOffer;
  /** Relay connections are scarce. Whoever changes it asks each session for its deadline again. */
  readonly relayPressure: boolean;
  /** Unix time in milliseconds at `now` = 0. */
  readonly unixEpochMs: number;
}

/** What became of a look-up. */
export type LookupAnswer =
  /** Type A: IPv4 addresses, in the answer's order. */
  | ({ readonly kind: "found"; readonly addresses: readonly string[] } & AnswerAge)
  /** Type TXT: one wire string a record, its strings joined. */
  | ({ readonly kind: "texts"; readonly texts: readonly string[] } & AnswerAge)
  /** No such name, or nothing of this type there. */
  | ({ readonly kind: "none" } & AnswerAge)
  /** Nobody was asked so far, for want of room here. The answer may still follow. */
  | { readonly kind: "busy"; readonly reason: string }
  /** One line for the log; no octet of a peer's is in it. `server`: "host:port" of the one it is about, if any. */
  | { readonly kind: "trouble"; readonly reason: string; readonly server: string | undefined };

interface AnswerAge {
  /** How long it still holds. */
  readonly ttlMs: number;
  /** Nobody was asked for it now. */
  readonly cached?: true;
}

export type ClientEvent =
  | { readonly type: "connected" }
  | { readonly type: "octets"; readonly octets: Buffer }
  /** FIN: the client says nothing more, but may listen. */
  | { readonly type: "ended" }
  | { readonly type: "closed"; readonly reason: string }
  | { readonly type: "secured"; readonly tls: TlsAgreement }
  | { readonly type: "handshake-failed"; readonly reason: string }
  /** Replies pile up, for the client does not read; and: it read them. */
  | { readonly type: "congested" }
  | { readonly type: "drained" }
  /** The answers to `acquire`. */
  | { readonly type: "attached"; readonly relay: RelayFacts }
  | { readonly type: "unavailable"; readonly failure: Failure }
  | { readonly type: "relay"; readonly report: RelayReport }
  | {
      readonly type: "looked-up";
      readonly record: "A" | "TXT";
      readonly zone: string;
      readonly answer: LookupAnswer;
    }
  | { readonly type: "time" }
  /** SIGTERM: no new transaction; and: its grace is over, end now. */
  | { readonly type: "shutdown" }
  | { readonly type: "grace-over" }
  /** An assertion of ours failed in this session. */
  | { readonly type: "fault" };

export type ClientAction =
  | MailAction
  | { readonly type: "write"; readonly octets: Buffer }
  /** Start TLS as server, once what was written is out. */
  | { readonly type: "secure" }
  /** Orderly: what was written still goes out. */
  | { readonly type: "close" }
  | { readonly type: "terminate" }
  /** Hand the client over to the tarpit, which sends it these octets slowly and closes it. */
  | { readonly type: "tarpit"; readonly octets: Buffer }
  | { readonly type: "look-up"; readonly record: "A" | "TXT"; readonly zone: string; readonly name: string }
  | { readonly type: "pause" }
  | { readonly type: "resume" };
