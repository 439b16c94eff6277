/**
 * What passes between a relay session and the others: settings, events and orders in; actions and reports out.
 * Data only. The session itself is session.ts; who orders is mail/transaction.ts; who performs is
 * shell/relay-connection.ts.
 */
import type { RelayTls } from "../lib/tls-modes.ts";
import type { RelayOffer } from "../smtp/ehlo.ts";
import type { MailParameters, RcptParameters } from "../smtp/parameters.ts";
import type { ReversePath } from "../smtp/paths.ts";
import type { Reply } from "../smtp/replies.ts";
import type { Failure } from "./failures.ts";

export interface RelaySettings {
  readonly heloName: string;
  /** What we say to a client that has our own name (client/offer.ts). A relay that says it is this program itself. */
  readonly loopMark: string;
  readonly tls: RelayTls;
  readonly credentials: { readonly username: string; readonly password: string } | undefined;
  /** From the dial to the greeting, for the reply to STARTTLS, and for a TLS handshake. */
  readonly connectTimeoutMs: number;
  /** Per reply; twice that after the end of mail data. */
  readonly replyTimeoutMs: number;
  /** How long the connection is kept between two mails; 0: not at all. */
  readonly idleTimeoutMs: number;
  /** Emit `dialogue` actions. They cost, so they are made only when somebody reads them. */
  readonly logDialogue: boolean;
}

/** What a transaction may ask for. `release` gives the connection back, `drop` breaks it without the dot. */
export type RelayOrder =
  | {
      readonly order: "mail";
      readonly path: ReversePath;
      readonly parameters: MailParameters;
      /** What we add in front of the message, so that a declared SIZE stays true. */
      readonly traceOctets: number;
    }
  | { readonly order: "rcpt"; readonly address: string; readonly parameters: RcptParameters }
  | { readonly order: "data" }
  /** `spent`: once these are with the relay, nobody looks at this Buffer or a slice of it any more. */
  | { readonly order: "octets"; readonly octets: Buffer; readonly spent?: Buffer | undefined }
  | { readonly order: "end-of-data" }
  | { readonly order: "release" }
  | { readonly order: "drop" };

export type RelayCommand = "MAIL" | "RCPT" | "DATA" | "end of mail data";

/** Why a session that wished for TLS goes without. `broke`: TLS was offered, and then refused. */
export interface Plaintext {
  readonly reason: string;
  readonly broke: boolean;
}

/** Mail may follow. `plaintext`: undefined if it is encrypted, or nobody wished for that. */
export interface RelayReady {
  readonly type: "ready";
  readonly offer: RelayOffer;
  readonly plaintext: Plaintext | undefined;
}

export type RelayReport =
  | RelayReady
  | { readonly type: "reply"; readonly to: RelayCommand; readonly reply: Reply }
  /** The reply that follows wants something of us (demands.ts). */
  | { readonly type: "demanded"; readonly reply: Reply }
  /** Clean after a `release`: the connection may serve another transaction. */
  | { readonly type: "idle" }
  | { readonly type: "congested" }
  | { readonly type: "drained" }
  /** The last report. `dotSent`: the end of mail data is out and unanswered, so the relay may have the message. */
  | { readonly type: "lost"; readonly failure: Failure; readonly dotSent: boolean };

export type RelayEvent =
  | { readonly type: "opened" }
  /** `unsent`: something that was written has not reached the relay yet, so it cannot have been answered. */
  | { readonly type: "octets"; readonly octets: Buffer; readonly unsent?: boolean }
  | { readonly type: "secured" }
  | { readonly type: "handshake-failed"; readonly reason: string }
  | { readonly type: "ended" }
  | { readonly type: "closed"; readonly reason: string }
  | { readonly type: "congested" }
  /** A deadline came, but the relay has read some of what was sent since it was last looked at. */
  | { readonly type: "progress" }
  | { readonly type: "drained" }
  | { readonly type: "time" }
  /** The idle connection is not wanted any more. */
  | { readonly type: "dismissed" }
  | { readonly type: "order"; readonly order: RelayOrder };

export type RelayAction =
  | { readonly type: "write"; readonly octets: Buffer; readonly spent?: Buffer | undefined }
  | { readonly type: "secure"; readonly verify: boolean }
  /** Orderly: what was written still goes out. */
  | { readonly type: "close" }
  /** At once: what is queued must not go out. */
  | { readonly type: "terminate" }
  | { readonly type: "report"; readonly report: RelayReport }
  | { readonly type: "dialogue"; readonly direction: "<" | ">"; readonly text: string };
