/**
 * The recipients of one transaction: who is refused by a rule of ours, who is put to the relay, and which of the
 * client's RCPT commands each answer of the relay belongs to.
 *
 * Every RCPT that comes in here gets its slot filled once: at once by a rule, later by the relay's answer, or by the
 * one reply that ends the transaction. With OVERRIDE_RECIPIENT one RCPT to the relay serves all that are ours.
 * Not here: MAIL, and the tie to the relay (transaction.ts); the recipient rules (recipients.ts).
 * RFC 5321 §3.3, §4.5.3.1.8.
 */
import { assert } from "../lib/assert.ts";
import type { LogEvent } from "../ops/events.ts";
import { tooManyRecipients, utf8AddressRefused } from "../smtp/catalogue.ts";
import type { MailParameters, RcptParameters } from "../smtp/parameters.ts";
import { formatPath, isAscii, type Mailbox, type ReversePath } from "../smtp/paths.ts";
import { describeReply, type Reply } from "../smtp/replies.ts";
import type { MailPolicy, Slot, TransactionOrigin } from "./messages.ts";
import { judgeRecipient, type RecipientVerdict, withAddress } from "./recipients.ts";

/** Who refused a recipient: our rules or screening, the relay in its own words, or trouble between us and it. */
export type Refuser = "rules" | "screening" | "relay" | "relay trouble";

/** One RCPT to the relay and the client's commands that wait for its answer. */
export interface Recipient {
  readonly relayAddress: string;
  readonly parameters: RcptParameters;
  readonly waiting: { readonly slot: Slot; readonly address: string }[];
  answer: Reply | undefined;
}

export interface EnvelopeHost {
  fill(slot: Slot, reply: Reply): void;
  /** A recipient beyond MAX_RECIPIENTS was refused. */
  overshot(): void;
  logRefusal(event: Extract<LogEvent, { event: "recipient-refused" }>): void;
}

export class Envelope {
  readonly #host: EnvelopeHost;
  readonly #policy: MailPolicy;
  readonly #origin: TransactionOrigin;
  readonly path: ReversePath;
  readonly parameters: MailParameters;
  #recipients: Recipient[] = [];
  readonly #accepted: string[] = [];
  #ours = 0;
  #refused = 0;
  #lastRefusal: Reply | undefined;

  constructor(
    host: EnvelopeHost,
    policy: MailPolicy,
    origin: TransactionOrigin,
    mail: { readonly path: ReversePath; readonly parameters: MailParameters },
  ) {
    this.#host = host;
    this.#policy = policy;
    this.#origin = origin;
    this.path = mail.path;
    this.parameters = mail.parameters;
  }

  /** What is to be put to the relay, in order. */
  get recipients(): readonly Recipient[] {
    return this.#recipients;
  }

  /** Addresses that were accepted, as the client wrote them. */
  get accepted(): readonly string[] {
    return this.#accepted;
  }

  /** Where the relay was asked to deliver, if not to the addresses that the client wrote. */
  get relayTo(): string | undefined {
    return this.#accepted.length === 0 ? undefined : this.#policy.overrideRecipient;
  }

  get refused(): number {
    return this.#refused;
  }

  get lastRefusal(): Reply | undefined {
    return this.#lastRefusal;
  }

  /** A relay's reply to the message speaks of the address that the client wrote, if there is one. */
  asWritten(reply: Reply): Reply {
    const [address] = this.#accepted;
    return address === undefined ? reply : this.#asWritten(reply, address);
  }

  #asWritten(reply: Reply, address: string): Reply {
    const { overrideRecipient } = this.#policy;
    return overrideRecipient === undefined ? reply : withAddress(reply, overrideRecipient, address);
  }

  /** Takes a RCPT. Returns what the relay has to be asked, if it has. `verdict`: the reply to all that are ours now. */
  rcpt(
    path: Mailbox,
    parameters: RcptParameters,
    slot: Slot,
    verdict: { readonly reply: Reply; readonly by?: Refuser } | undefined,
  ): Recipient | undefined {
    const { address } = path;
    const judged = this.#judge(path, parameters);
    const { by = "relay" } = verdict ?? {};
    if (judged.verdict === "refused") this.#refuse(address, slot, judged.reply, "rules");
    else if (verdict !== undefined) this.#refuse(address, slot, verdict.reply, by);
    else if (this.#ours >= this.#policy.maxRecipients) {
      this.#host.overshot();
      this.#refuse(address, slot, tooManyRecipients, "rules");
    } else return this.#take(judged.relayAddress, address, parameters, slot);
    return undefined;
  }

  #take(
    relayAddress: string,
    address: string,
    parameters: RcptParameters,
    slot: Slot,
  ): Recipient | undefined {
    this.#ours += 1;
    const [shared] = this.#policy.overrideRecipient === undefined ? [] : this.#recipients;
    if (shared === undefined) {
      const recipient: Recipient = {
        relayAddress,
        parameters,
        waiting: [{ slot, address }],
        answer: undefined,
      };
      this.#recipients.push(recipient);
      return recipient;
    }
    if (shared.answer === undefined) shared.waiting.push({ slot, address });
    else this.#answer(address, slot, shared.answer);
    return undefined;
  }

  #judge(path: Mailbox, { orcpt = "" }: RcptParameters): RecipientVerdict {
    const utf8 = path.utf8 || !isAscii(orcpt);
    if (utf8 && !this.parameters.smtputf8) return { verdict: "refused", reply: utf8AddressRefused };
    return judgeRecipient(path, this.#policy);
  }

  /** The relay answered the oldest RCPT that it has not answered. */
  answered(reply: Reply): void {
    const recipient = this.#recipients.find(({ answer }) => answer === undefined);
    assert(recipient !== undefined, "a RCPT was with the relay");
    recipient.answer = reply;
    for (const { slot, address } of recipient.waiting.splice(0)) this.#answer(address, slot, reply);
  }

  /** All are answered and no RCPT follows: what was accepted is all that matters now. */
  close(): void {
    this.#recipients = [];
  }

  /** No answer will come: all that wait for one get this. */
  refuseWaiting(reply: Reply, by: Refuser): void {
    for (const recipient of this.#recipients) {
      for (const { slot, address } of recipient.waiting.splice(0)) {
        this.#refuse(address, slot, this.#asWritten(reply, address), by);
      }
    }
  }

  #answer(address: string, slot: Slot, original: Reply): void {
    const reply = this.#asWritten(original, address);
    if (reply.code >= 400) {
      this.#refuse(address, slot, reply, "relay");
    } else {
      this.#accepted.push(address);
      this.#host.fill(slot, reply);
    }
  }

  #refuse(address: string, slot: Slot, reply: Reply, by: Refuser): void {
    this.noteRefusal(address, reply, by);
    this.#host.fill(slot, reply);
  }

  /** Counts and logs a refusal whose reply the caller sends. */
  noteRefusal(address: string, reply: Reply, by: Refuser): void {
    this.#refused += 1;
    this.#lastRefusal = reply;
    const { session, id, address: client, heloName } = this.#origin;
    this.#host.logRefusal({
      event: "recipient-refused",
      session,
      transaction: id,
      client,
      helo: heloName,
      from: formatPath(this.path),
      to: address,
      by,
      relayTo: by === "relay" ? this.#policy.overrideRecipient : undefined,
      reply: describeReply(reply),
    });
  }
}
