/**
 * The recipients of one transaction: who is refused by a rule of ours, who is put to the relay, and which of the
 * client's RCPT commands each answer of the relay belongs to.
 *
 * Every RCPT that comes in here gets its slot filled once: at once by a rule, later by the relay's answer, or by the
 * one reply that ends the transaction. With OVERRIDE_RECIPIENT one RCPT to the relay serves all that are ours.
 * Not here: MAIL, and the tie to the relay (transaction.ts); the recipient rules (recipients.ts).
 * RFC 5321 §3.3, §4.5.3.1.8.
 */
import { assert } from "../ops/assert.ts";
import { tooManyRecipients, utf8AddressRefused } from "../smtp/catalogue.ts";
import type { MailParameters, RcptParameters } from "../smtp/parameters.ts";
import { formatPath, isAscii, type Mailbox, type ReversePath } from "../smtp/paths.ts";
import { describeReply, type Reply } from "../smtp/replies.ts";
import type { ClientAction, SessionPolicy, TransactionOrigin } from "./client-messages.ts";
import { judgeRecipient, type RecipientVerdict } from "./recipients.ts";
import type { Slot } from "./reply-queue.ts";

/** One RCPT to the relay and the client's commands that wait for its answer. */
export interface Recipient {
  readonly relayAddress: string;
  readonly parameters: RcptParameters;
  readonly waiting: { readonly slot: Slot; readonly address: string }[];
  answer: Reply | undefined;
}

export interface EnvelopeHost {
  emit(action: ClientAction): void;
  fill(slot: Slot, reply: Reply): void;
}

export class Envelope {
  readonly #host: EnvelopeHost;
  readonly #policy: SessionPolicy;
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
    policy: SessionPolicy,
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

  get refused(): number {
    return this.#refused;
  }

  get lastRefusal(): Reply | undefined {
    return this.#lastRefusal;
  }

  /** Takes a RCPT. Returns what the relay has to be asked, if it has. `verdict`: what all that are ours hear now. */
  rcpt(
    path: Mailbox,
    parameters: RcptParameters,
    slot: Slot,
    verdict: Reply | undefined,
  ): Recipient | undefined {
    const { address } = path;
    const judged = this.#judge(path, parameters, verdict);
    if (judged.verdict === "refused") {
      this.#refuse(address, slot, judged.reply);
      return undefined;
    }
    this.#ours += 1;
    const [shared] = this.#policy.overrideRecipient === undefined ? [] : this.#recipients;
    if (shared === undefined) {
      const { relayAddress } = judged;
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

  #judge(path: Mailbox, { orcpt = "" }: RcptParameters, verdict: Reply | undefined): RecipientVerdict {
    const utf8 = path.utf8 || !isAscii(orcpt);
    if (utf8 && !this.parameters.smtputf8) return { verdict: "refused", reply: utf8AddressRefused };
    const judged = judgeRecipient(path, this.#policy);
    if (judged.verdict === "refused") return judged;
    if (verdict !== undefined) return { verdict: "refused", reply: verdict };
    if (this.#ours >= this.#policy.maxRecipients) return { verdict: "refused", reply: tooManyRecipients };
    return judged;
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

  /** No answer will come: all that wait for one hear this. */
  refuseWaiting(reply: Reply): void {
    for (const recipient of this.#recipients) {
      for (const { slot, address } of recipient.waiting.splice(0)) this.#refuse(address, slot, reply);
    }
  }

  #answer(address: string, slot: Slot, reply: Reply): void {
    if (reply.code >= 400) {
      this.#refuse(address, slot, reply);
    } else {
      this.#accepted.push(address);
      this.#host.fill(slot, reply);
    }
  }

  #refuse(address: string, slot: Slot, reply: Reply): void {
    this.noteRefusal(address, reply);
    this.#host.fill(slot, reply);
  }

  /** Counts and logs a refusal that the client hears from somebody else. */
  noteRefusal(address: string, reply: Reply): void {
    this.#refused += 1;
    this.#lastRefusal = reply;
    const { session, id, address: client, heloName } = this.#origin;
    this.#host.emit({
      type: "log",
      event: {
        event: "recipient-refused",
        session,
        transaction: id,
        client,
        helo: heloName,
        from: formatPath(this.path),
        to: address,
        reply: describeReply(reply),
      },
    });
  }
}
