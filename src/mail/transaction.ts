/**
 * One mail transaction: joins the client session and the relay session from MAIL to the relay's answer to the dot.
 *
 * Contract: the client session calls `rcpt`, `data`, `octets` and `abandon` as commands and octets come, and
 * `attached`, `unavailable`, `report` as the relay speaks. Each command's reply goes into its slot, exactly once.
 * The dot goes to the relay only when every witness agrees (witnesses.ts), and the client gets 2yz only if the relay
 * answered 2yz to it. One `transaction` event is logged, when the transaction is over.
 *
 * A reused relay connection that is lost before anything was answered is replaced by a fresh one, once and silently:
 * nothing was told to the client yet, and the relay took nothing.
 *
 * Not here: reading commands (client/session.ts); recipients and their answers (envelope.ts); the log line
 * (record.ts); SMTP to the relay (relay/session.ts).
 * Rejected: to hold the body until the relay is known to be alive. It would be a spool.
 * RFC 5321 §3.3, §4.1.1, §6.1; RFC 1047.
 */
import { assert } from "../lib/assert.ts";
import type { Outcome } from "../ops/events.ts";
import {
  describeDemand,
  describeFailure,
  type Failure,
  relayReply,
  replyToFailure,
} from "../relay/failures.ts";
import type { RelayCommand, RelayOrder, RelayReport } from "../relay/messages.ts";
import { noValidRecipients, rcptFirst } from "../smtp/catalogue.ts";
import { MailDataScanner } from "../smtp/mail-data.ts";
import type { MailParameters, RcptParameters } from "../smtp/parameters.ts";
import type { Mailbox, ReversePath } from "../smtp/paths.ts";
import type { Reply } from "../smtp/replies.ts";
import { receivedLine } from "../smtp/trace.ts";
import { Envelope, type EnvelopeHost, type Recipient, type Refuser } from "./envelope.ts";
import type { MailAction, MailPolicy, RelayFacts, Slot, TransactionOrigin } from "./messages.ts";
import { outcomeOf, since, transactionEvent } from "./record.ts";
import { type SizeLimit, sizeLimit, tooBig } from "./size-limit.ts";
import { callWitnesses, hearWitnesses, type Witness } from "./witnesses.ts";

/** How long a client is kept waiting at RCPT for a relay connection: under the 5 minutes that it must grant. */
export const acquireMsMax = 240_000;

/** What the client session does for its transaction. */
export interface TransactionHost extends EnvelopeHost {
  emit(action: MailAction): void;
  /** A slot for the reply to the end of mail data. */
  openSlot(): Slot;
  /** Mail data is the client's to send from now on. */
  mailDataBegins(now: number): void;
  /** The transaction is over. `isProbe`: recipients were accepted, and the client did not ask for more. */
  over(outcome: Outcome, isProbe: boolean): void;
}

/**
 * "envelope": collecting recipients. "data": DATA is with the relay. "streaming": mail data goes to the relay.
 * "discarding": an objection or failure is certain, the client is read to its own dot. "answer": the dot is sent.
 */
type Phase = "envelope" | "data" | "streaming" | "discarding" | "answer" | "over";

export class Transaction {
  readonly #host: TransactionHost;
  readonly #policy: MailPolicy;
  readonly #origin: TransactionOrigin;
  readonly #envelope: Envelope;
  /** Until it was sent, in front of the mail data. */
  #traceLine: Buffer | undefined;
  readonly #startedAt: number;
  readonly #scanner: MailDataScanner;

  #phase: Phase = "envelope";
  #tie: "none" | "acquiring" | "attached" = "none";
  #relay: RelayFacts | undefined;
  /** The relay answered something: from here on a loss shows. */
  #answered = false;
  /** Set once the transaction cannot succeed any more: the reply to all that follows, and why. */
  #verdict: { readonly reply: Reply; readonly reason: string | undefined; readonly by?: Refuser } | undefined;
  #dataSlot: Slot | undefined;
  #witnesses: readonly Witness[] = [];
  #sizeLimit: SizeLimit;
  #rawOctets = 0;
  #clientGone = false;

  #acquiringSince: number | undefined;
  #connectMs: number | undefined;
  #dataAt: number | undefined;
  #dotAt: number | undefined;

  constructor(
    host: TransactionHost,
    policy: MailPolicy,
    origin: TransactionOrigin,
    mail: { readonly path: ReversePath; readonly parameters: MailParameters },
    now: number,
  ) {
    this.#host = host;
    this.#policy = policy;
    this.#origin = origin;
    this.#envelope = new Envelope(host, policy, origin, mail);
    this.#startedAt = now;
    this.#sizeLimit = sizeLimit(policy.maxMessageOctets, undefined);
    this.#scanner = new MailDataScanner(policy.bareNewline);
    this.#traceLine = receivedLine({
      heloName: origin.heloName,
      clientAddress: origin.address,
      serverName: policy.serverName,
      extended: origin.extended,
      utf8: mail.parameters.smtputf8,
      ...(origin.tls === undefined ? {} : { tls: origin.tls }),
      id: origin.id,
      dateMs: origin.unixEpochMs + now,
    });
  }

  /** RCPT may follow. */
  get takesRecipients(): boolean {
    return this.#phase === "envelope";
  }

  /** MAIL announced more than has a chance. */
  refuseSize(limit: SizeLimit, slot: Slot, now: number): void {
    const reply = tooBig(limit);
    this.#host.fill(slot, reply);
    this.#finish("refused", reply, `announced ${this.#envelope.parameters.size ?? 0} octets`, now);
  }

  /** A relay connection waits for what the client says next. */
  get holdsRelay(): boolean {
    return this.#phase === "envelope" && this.#tie === "attached";
  }

  /** Mail data is expected from the client. */
  get takesMailData(): boolean {
    return this.#phase === "streaming" || this.#phase === "discarding";
  }

  /** Mail data goes on to the relay as it comes. */
  get isStreaming(): boolean {
    return this.#phase === "streaming";
  }

  /** The reply to a client that falls silent within mail data, if its mail is refused already. */
  get objection(): Reply | undefined {
    return this.#verdict?.reply;
  }

  /** When to send a `time` event at the latest. The relay session keeps its own deadlines. */
  deadline(): number {
    return this.#acquiringSince === undefined
      ? Number.POSITIVE_INFINITY
      : this.#acquiringSince + acquireMsMax;
  }

  time(now: number): void {
    if (now < this.deadline()) return;
    this.#order({ order: "release" });
    this.unavailable({ kind: "timeout", awaited: "a relay connection", waitedMs: acquireMsMax });
  }

  // --- What the client asks ----------------------------------------------------------------------------------

  rcpt(path: Mailbox, parameters: RcptParameters, slot: Slot, now: number): void {
    assert(this.#phase === "envelope", "RCPT belongs to the envelope");
    const recipient = this.#envelope.rcpt(path, parameters, slot, this.#verdict);
    if (recipient === undefined) return;
    if (this.#tie === "attached") this.#orderRcpt(recipient);
    else if (this.#tie === "none") this.#acquire(false, now);
  }

  /** Takes note of a recipient that is refused for its client's sake. The reply is said by others. */
  refuse(path: Mailbox, reply: Reply): void {
    this.#envelope.noteRefusal(path.address, reply, "screening");
  }

  data(slot: Slot, now: number): void {
    assert(this.#phase === "envelope", "DATA ends the envelope");
    if (this.#verdict !== undefined) {
      this.#phase = "data";
      this.#host.fill(slot, this.#verdict.reply);
      this.#finish(outcomeOf(this.#verdict.reply), this.#verdict.reply, this.#verdict.reason, now);
    } else if (this.#envelope.accepted.length === 0) {
      this.#host.fill(slot, this.#envelope.refused > 0 ? noValidRecipients : rcptFirst);
    } else {
      this.#phase = "data";
      this.#dataSlot = slot;
      this.#dataAt = now;
      this.#order({ order: "data" });
    }
  }

  /**
   * Takes mail data. Returns what stands behind its end, once that was found. `octets` are the transaction's from
   * here on: their memory is given back when the relay has them, unless something stands behind the end.
   */
  octets(octets: Buffer, now: number): Buffer | undefined {
    assert(this.takesMailData, "mail data follows 354");
    this.#rawOctets += octets.length;
    const { octets: forward, areCopies, rest } = this.#scanner.scan(octets);
    const isSpent = rest === undefined || rest.length === 0;
    let keepsChunk = false;
    if (this.#phase === "streaming") {
      const objection = hearWitnesses(this.#witnesses, forward);
      if (objection === undefined) {
        if (forward.length > 0) this.#orderTrace();
        keepsChunk = forward.length > 0 && !areCopies;
        for (const [index, slice] of forward.entries()) {
          const whole = isSpent && index === forward.length - 1 ? octets : undefined;
          this.#order({ order: "octets", octets: slice, spent: areCopies ? slice : whole });
        }
      } else {
        this.#order({ order: "drop" });
        this.#discard(objection, undefined);
      }
    }
    if (isSpent && !keepsChunk) this.#host.emit({ type: "spent", octets });
    if (rest !== undefined) this.#endOfData(now);
    return rest;
  }

  /** The line in front of the message leaves with its first octets, which saves a system call and a packet. */
  #orderTrace(): void {
    if (this.#traceLine === undefined) return;
    this.#order({ order: "octets", octets: this.#traceLine });
    this.#traceLine = undefined;
  }

  /** A client that sends on and on behind an objection has been read far enough. */
  get isBeyondPatience(): boolean {
    return this.#phase === "discarding" && this.#rawOctets > 2 * this.#policy.maxMessageOctets;
  }

  #endOfData(now: number): void {
    const slot = this.#host.openSlot();
    this.#dotAt = now;
    if (this.#verdict !== undefined) {
      this.#host.fill(slot, this.#verdict.reply);
      this.#finish(outcomeOf(this.#verdict.reply), this.#verdict.reply, this.#verdict.reason, now);
    } else {
      this.#dataSlot = slot;
      this.#phase = "answer";
      this.#orderTrace();
      this.#order({ order: "end-of-data" });
    }
  }

  /**
   * The client began anew, quit, left, or is sent away. Nothing that is on its way to the relay is committed by it.
   * After the dot only the relay can say what became of the mail: the transaction lives on until it did.
   */
  abandon(reason: string, now: number): void {
    if (this.#phase === "answer") {
      this.#clientGone = true;
      return;
    }
    this.#untie(this.#phase === "envelope" ? "release" : "drop");
    const said =
      this.#verdict?.reply ?? (this.#envelope.accepted.length === 0 ? this.#envelope.lastRefusal : undefined);
    const outcome = said === undefined ? "abandoned" : outcomeOf(said);
    this.#finish(outcome, said, this.#verdict?.reason ?? reason, now);
  }

  /** Ends at once, whatever the phase: the grace of a shutdown is over, or an assertion of ours failed. */
  cut(reason: string, now: number): void {
    if (this.#phase === "answer") {
      this.#untie("drop");
      this.#finish("unknown", undefined, reason, now);
    } else {
      this.abandon(reason, now);
    }
  }

  // --- What the relay says -----------------------------------------------------------------------------------

  attached(relay: RelayFacts, now: number): void {
    assert(this.#tie === "acquiring", "a relay connection was asked for");
    this.#tie = "attached";
    this.#relay = relay;
    this.#connectMs = since(this.#acquiringSince, now);
    this.#acquiringSince = undefined;
    if (this.#envelope.parameters.smtputf8 && !relay.offer.smtputf8) {
      this.#order({ order: "release" });
      this.unavailable({ kind: "extension-not-offered", keyword: "SMTPUTF8" });
      return;
    }
    this.#sizeLimit = sizeLimit(this.#policy.maxMessageOctets, relay.offer);
    assert(this.#traceLine !== undefined, "the relay hears of the mail before its data");
    this.#order({
      order: "mail",
      path: this.#envelope.path,
      parameters: this.#envelope.parameters,
      traceOctets: this.#traceLine.length,
    });
    for (const recipient of this.#envelope.recipients) this.#orderRcpt(recipient);
  }

  unavailable(failure: Failure): void {
    this.#tie = "none";
    this.#acquiringSince = undefined;
    this.#refuseEnvelope(replyToFailure(failure, "setup"), describeFailure(failure), "relay trouble");
  }

  /** Of what a relay session reports these two are about the mail. */
  report(report: RelayReport, now: number): void {
    if (report.type === "reply") this.#replied(report.to, report.reply, now);
    else if (report.type === "lost") this.#lost(report.failure, report.dotSent, now);
  }

  #replied(to: RelayCommand, original: Reply, now: number): void {
    this.#answered = true;
    const reply = this.#envelope.asWritten(relayReply(original));
    const accepted = reply.code < 400;
    const demand = describeDemand(original);
    switch (to) {
      case "MAIL":
        if (!accepted) {
          this.#order({ order: "release" });
          this.#refuseEnvelope(reply, demand ?? "relay refused MAIL", "relay");
        }
        break;
      case "RCPT":
        this.#envelope.answered(relayReply(original));
        break;
      case "DATA":
        this.#dataAnswered(reply, accepted, demand, now);
        break;
      default:
        to satisfies "end of mail data";
        assert(this.#phase === "answer", "the dot was sent");
        this.#order({ order: "release" });
        this.#fillDataSlot(reply);
        this.#finish(accepted ? "relayed" : outcomeOf(reply), reply, demand, now);
    }
  }

  #dataAnswered(reply: Reply, accepted: boolean, demand: string | undefined, now: number): void {
    assert(this.#phase === "data", "DATA was with the relay");
    this.#fillDataSlot(reply);
    if (accepted) {
      this.#phase = "streaming";
      this.#envelope.close();
      this.#host.mailDataBegins(now);
      this.#witnesses = callWitnesses(this.#scanner, {
        size: this.#sizeLimit,
        maxHops: this.#policy.maxHops,
      });
    } else {
      this.#order({ order: "release" });
      this.#finish(outcomeOf(reply), reply, demand, now);
    }
  }

  #lost(failure: Failure, dotSent: boolean, now: number): void {
    this.#tie = "none";
    if (this.#phase === "envelope" && this.#relay?.reused === true && !this.#answered) {
      this.#acquire(true, now);
    } else if (this.#phase === "data" || this.#phase === "answer") {
      const reply = replyToFailure(failure, dotSent ? "answer" : "mail");
      this.#fillDataSlot(reply);
      const known = !dotSent || failure.kind === "refused-early";
      this.#finish(known ? outcomeOf(reply) : "unknown", reply, describeFailure(failure), now);
    } else {
      const reply = replyToFailure(failure, "mail");
      if (this.#phase === "streaming") this.#discard(reply, describeFailure(failure));
      else this.#refuseEnvelope(reply, describeFailure(failure), "relay trouble");
    }
  }

  /** The relay is of no use to this envelope any more. Waiting and further RCPT commands get the same reply. */
  #refuseEnvelope(reply: Reply, reason: string, by: Refuser): void {
    this.#verdict = { reply, reason, by };
    this.#envelope.refuseWaiting(reply, by);
  }

  #discard(reply: Reply, reason: string | undefined): void {
    this.#verdict = { reply, reason };
    this.#phase = "discarding";
    this.#scanner.discard();
  }

  // --- The tie to the relay ----------------------------------------------------------------------------------

  #acquire(fresh: boolean, now: number): void {
    this.#tie = "acquiring";
    this.#acquiringSince = now;
    this.#host.emit({ type: "acquire", fresh });
  }

  #orderRcpt({ relayAddress, parameters }: Recipient): void {
    this.#order({ order: "rcpt", address: relayAddress, parameters });
  }

  #untie(order: "release" | "drop"): void {
    if (this.#tie !== "none") this.#order({ order });
  }

  #order(order: RelayOrder): void {
    if (order.order === "release" || order.order === "drop") this.#tie = "none";
    this.#host.emit({ type: "relay", order });
  }

  #fillDataSlot(reply: Reply): void {
    assert(this.#dataSlot !== undefined, "DATA or the dot waits for its reply");
    this.#host.fill(this.#dataSlot, reply);
    this.#dataSlot = undefined;
  }

  // --- The end -----------------------------------------------------------------------------------------------

  #finish(outcome: Outcome, reply: Reply | undefined, reason: string | undefined, now: number): void {
    assert(this.#phase !== "over", "a transaction has one outcome");
    const isProbe = this.#phase === "envelope" && this.#envelope.accepted.length > 0;
    this.#phase = "over";
    this.#acquiringSince = undefined;
    const event = transactionEvent({
      outcome,
      origin: this.#origin,
      envelope: this.#envelope,
      octets: this.#scanner.messageOctets,
      relay: this.#relay,
      reply,
      reason,
      isUnheard: this.#clientGone,
      startedAt: this.#startedAt,
      connectMs: this.#connectMs,
      dataAt: this.#dataAt,
      dotAt: this.#dotAt,
      now,
    });
    this.#host.emit({ type: "log", event });
    this.#host.over(outcome, isProbe);
  }
}
