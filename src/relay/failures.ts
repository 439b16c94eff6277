/**
 * What can go wrong between us and the relay, as a closed union, and the one table that maps it to the client's reply:
 * always 4yz, for mail is delayed by our trouble and never lost.
 * Not here: what the relay itself answers to MAIL, RCPT, DATA and the dot; that is the client's answer, verbatim.
 */

import { unreachable } from "../lib/assert.ts";
import { afterWait } from "../lib/errors.ts";
import {
  ownFaultAtRelay,
  relayBusy,
  relayDemands,
  relayLacksExtension,
  relayLost,
  relayOutcomeUnknown,
  relayUnavailable,
} from "../smtp/catalogue.ts";
import { asTemporary, describeReply, presentable, type Reply, withEnhancedCode } from "../smtp/replies.ts";
import { isDemand } from "./demands.ts";
import { describeTls, type TlsStage } from "./tls-trouble.ts";

/** A step of setting up the relay session at which the relay can say no. */
export type SetupStep = "greeting" | "EHLO" | "STARTTLS" | "AUTH";

export type Failure =
  /** Name not found, connection refused, timeout: `detail` is one line for the log. */
  | { readonly kind: "unreachable"; readonly detail: string }
  | { readonly kind: "refused-setup"; readonly step: SetupStep; readonly reply: Reply }
  | { readonly kind: "tls-not-offered" }
  /** TLS was tried and broke: at STARTTLS, in the handshake, or before the first reply within. */
  | { readonly kind: "tls"; readonly stage: TlsStage; readonly detail: string }
  | { readonly kind: "auth-not-offered" }
  | { readonly kind: "extension-not-offered"; readonly keyword: "SMTPUTF8" }
  /** The relay is this program itself. */
  | { readonly kind: "loop" }
  | { readonly kind: "busy" }
  /** Every relay failed lately, and is not dialled for so long (pauses.ts). */
  | { readonly kind: "paused"; readonly reason: string; readonly forMs: number }
  /** An assertion of ours failed in the relay connection. */
  | { readonly kind: "fault" }
  /** FIN, reset. */
  | { readonly kind: "lost"; readonly detail: string }
  | { readonly kind: "timeout"; readonly awaited: string; readonly waitedMs: number }
  /** What came is no reply, or a reply to nothing, or of a kind that the command cannot have. */
  | { readonly kind: "garbled"; readonly detail: string }
  /** The relay refused while mail data was still on its way, or said 421: its words are the client's answer. */
  | { readonly kind: "refused-early"; readonly reply: Reply };

/** "setup": before the relay took a command of this mail. "answer": the dot is out, so the outcome is unknown. */
export type FailureStage = "setup" | "mail" | "answer";

/** The reply to the client. */
export function replyToFailure(failure: Failure, stage: FailureStage): Reply {
  switch (failure.kind) {
    case "busy":
      return relayBusy;
    case "fault":
      return ownFaultAtRelay;
    case "extension-not-offered":
      return relayLacksExtension;
    case "unreachable":
    case "refused-setup":
    case "tls-not-offered":
    case "tls":
    case "auth-not-offered":
    case "loop":
    case "paused":
      return relayUnavailable;
    case "lost":
    case "timeout":
    case "garbled":
      return lossReplies[stage];
    case "refused-early":
      return stage === "setup" ? relayUnavailable : relayReply(failure.reply);
    default:
      return unreachable(failure);
  }
}

const lossReplies: Record<FailureStage, Reply> = {
  setup: relayUnavailable,
  mail: relayLost,
  answer: relayOutcomeUnknown,
};

/**
 * A relay's reply as the client receives it: verbatim as far as that is presentable, except 421, which is about a
 * connection that is not the client's, and except demands, which are on us and not on the client.
 */
export function relayReply(reply: Reply): Reply {
  if (isDemand(reply)) return relayDemands;
  return presentable(reply.code === 421 ? asTemporary(reply) : withEnhancedCode(reply));
}

/** Why a relay's reply is not the client's answer as it was said; undefined: it is. One line for the log. */
export function describeDemand(reply: Reply): string | undefined {
  return isDemand(reply) ? `relay wants TLS or a login of us: ${describeReply(reply)}` : undefined;
}

/** One line for the log. */
export function describeFailure(failure: Failure): string {
  switch (failure.kind) {
    case "unreachable":
      return failure.detail;
    case "refused-setup":
      return `relay refused ${failure.step}: ${describeReply(failure.reply)}`;
    case "tls-not-offered":
      return "relay does not offer STARTTLS";
    case "tls":
      return describeTls(failure.stage, failure.detail);
    case "auth-not-offered":
      return "relay offers neither AUTH PLAIN nor AUTH LOGIN over TLS";
    case "extension-not-offered":
      return `relay does not offer ${failure.keyword}`;
    case "loop":
      return "loop";
    case "busy":
      return "RELAY_MAX_CONNECTIONS reached";
    case "paused":
      return failure.forMs > 0
        ? `${failure.reason} (not tried again for another ${Math.ceil(failure.forMs / 1000)} s)`
        : `${failure.reason} (another mail tries it at present)`;
    case "fault":
      return "internal error";
    case "lost":
      return `relay connection lost: ${failure.detail}`;
    case "timeout":
      return `relay timeout${afterWait(failure.waitedMs)}, awaited ${failure.awaited}`;
    case "garbled":
      return `relay broke the protocol: ${failure.detail}`;
    case "refused-early":
      return failure.reply.code === 421
        ? `relay closes the connection: ${describeReply(failure.reply)}`
        : `relay refused before the end of mail data: ${describeReply(failure.reply)}`;
    default:
      return unreachable(failure);
  }
}
