/**
 * The commands of a client session that are about mail, one at a time: EHLO to RSET, and those that ask for nothing.
 * Keeps what the client said of itself, what it was offered, and its mail transaction of the moment.
 *
 * Contract: `carryOut` opens one slot, which is filled at once or by the transaction (this class is its host). Returns
 * the refusal that ends the session when a listed client named its recipient.
 * Not here: STARTTLS, QUIT, whose turn it is, ends and waits (session.ts); what becomes of a mail
 * (mail/transaction.ts).
 * RFC 5321 §4.1.1, §4.1.4.
 */
import { assert } from "../lib/assert.ts";
import type { ClientFacts, Slot, TlsAgreement, TransactionOrigin } from "../mail/messages.ts";
import { sizeLimit } from "../mail/size-limit.ts";
import { Transaction, type TransactionHost } from "../mail/transaction.ts";
import type { LogEvent, Outcome } from "../ops/events.ts";
import * as catalogue from "../smtp/catalogue.ts";
import type { Command } from "../smtp/commands.ts";
import type { Offered } from "../smtp/parameters.ts";
import type { Reply } from "../smtp/replies.ts";
import type { ClientAction, SessionPolicy, Surroundings } from "./messages.ts";
import { answerGreeting, nothingOffered } from "./offer.ts";
import type { ClientOutput } from "./output.ts";
import type { MalformedCommand, ReadCommand } from "./reader.ts";
import type { Gate } from "./screening.ts";
import type { SessionTally } from "./tally.ts";

/** All but those that are the session's own. */
type DialogueCommand = Exclude<Command, { verb: "STARTTLS" | "QUIT" }> | MalformedCommand;

/** The commands that bring a mail forward. */
export function isOfMail(verb: string): boolean {
  return verb === "MAIL" || verb === "RCPT" || verb === "DATA";
}

export class MailDialogue implements TransactionHost {
  readonly #policy: SessionPolicy;
  readonly #surroundings: Surroundings;
  readonly #facts: ClientFacts;
  readonly #output: ClientOutput;
  readonly #tally: SessionTally;
  readonly #mailDataBegins: (now: number) => void;
  #heloName: string | undefined;
  #offered: Offered = nothingOffered;
  #transaction: Transaction | undefined;
  /** At the start of the transaction: one whose replies count as errors does not count once more. */
  #errorsBefore = 0;

  /** `mailDataBegins`: the client was told 354. */
  constructor(
    policy: SessionPolicy,
    surroundings: Surroundings,
    facts: ClientFacts,
    output: ClientOutput,
    tally: SessionTally,
    mailDataBegins: (now: number) => void,
  ) {
    this.#policy = policy;
    this.#surroundings = surroundings;
    this.#facts = facts;
    this.#output = output;
    this.#tally = tally;
    this.#mailDataBegins = mailDataBegins;
  }

  get heloName(): string | undefined {
    return this.#heloName;
  }

  get offered(): Offered {
    return this.#offered;
  }

  get transaction(): Transaction | undefined {
    return this.#transaction;
  }

  /** After a TLS handshake nothing but the connection is remembered (RFC 3207 §4.2). */
  forget(): void {
    this.#heloName = undefined;
    this.#offered = nothingOffered;
  }

  /** `gate`: what the screening says to a RCPT. Returns the last reply to a client that it refuses. */
  carryOut(
    command: DialogueCommand,
    read: ReadCommand,
    gate: Gate,
    tls: TlsAgreement | undefined,
    now: number,
  ): Reply | undefined {
    if (command.verb === "RCPT" && gate.gate === "refused" && this.#transaction !== undefined) {
      this.#tally.errors += 1;
      this.#transaction.refuse(command.path, gate.reply);
      this.#transaction.abandon("screening", now);
      return gate.reply;
    }
    const slot = this.#output.replies.open();
    const isMail = isOfMail(command.verb);
    if (!isMail) this.#tally.countJunk();
    if (isMail && this.#heloName === undefined) {
      this.#output.refuse(slot, catalogue.greetFirst, read);
      return undefined;
    }
    switch (command.verb) {
      case "EHLO":
      case "HELO":
        this.#greeted(command.verb, command.name, slot, tls, now);
        break;
      case "MAIL":
        this.#mail(command, slot, read, tls, now);
        break;
      case "RCPT":
        this.#rcpt(command, slot, read, gate, now);
        break;
      case "DATA":
        if (this.#transaction === undefined) this.#output.refuse(slot, catalogue.mailFirst, read);
        else this.#transaction.data(slot, now);
        break;
      case "RSET":
        this.#transaction?.abandon("RSET", now);
        this.#output.fill(slot, catalogue.reset);
        break;
      case "NOOP":
        this.#output.fill(slot, catalogue.noop);
        break;
      case "HELP":
        this.#output.fill(slot, catalogue.help);
        break;
      case "VRFY":
        this.#output.fill(slot, catalogue.vrfy);
        break;
      // What is left is malformed.
      default:
        this.#output.refuse(slot, catalogue.malformedCommand(command.defect, command.detail), read);
    }
    return undefined;
  }

  #greeted(
    verb: "EHLO" | "HELO",
    name: string,
    slot: Slot,
    tls: TlsAgreement | undefined,
    now: number,
  ): void {
    this.#transaction?.abandon(verb, now);
    this.#heloName = name;
    const { offered, reply } = answerGreeting(
      verb,
      name,
      this.#policy,
      this.#surroundings,
      tls !== undefined,
    );
    this.#offered = offered;
    this.#output.fill(slot, reply);
  }

  #mail(
    command: Extract<Command, { verb: "MAIL" }>,
    slot: Slot,
    read: ReadCommand,
    tls: TlsAgreement | undefined,
    now: number,
  ): void {
    assert(this.#heloName !== undefined, "MAIL follows the greeting");
    if (this.#transaction !== undefined) {
      this.#output.refuse(slot, catalogue.nestedMail, read);
      return;
    }
    this.#tally.transactions += 1;
    const origin: TransactionOrigin = {
      ...this.#facts,
      id: `${this.#facts.session}-${this.#tally.transactions}`,
      heloName: this.#heloName,
      extended: this.#offered.extended,
      tls,
      unixEpochMs: this.#surroundings.unixEpochMs,
    };
    this.#transaction = new Transaction(this, this.#policy, origin, command, now);
    this.#errorsBefore = this.#tally.errors;
    const limit = sizeLimit(this.#policy.maxMessageOctets, this.#surroundings.relayOffer);
    if ((command.parameters.size ?? 0) > limit.octetsMax) this.#transaction.refuseSize(limit, slot, now);
    else this.#output.fill(slot, catalogue.mailAccepted);
  }

  #rcpt(
    command: Extract<Command, { verb: "RCPT" }>,
    slot: Slot,
    read: ReadCommand,
    gate: Gate,
    now: number,
  ): void {
    assert(gate.gate !== "wait", "a RCPT waits for the verdict");
    if (this.#transaction === undefined) {
      this.#output.refuse(slot, catalogue.mailFirst, read);
    } else if (gate.gate === "deferred") {
      this.#transaction.refuse(command.path, gate.reply);
      this.#output.fill(slot, gate.reply);
    } else {
      this.#transaction.rcpt(command.path, command.parameters, slot, now);
    }
  }

  // --- What the transaction asks -------------------------------------------------------------------------------

  emit(action: ClientAction): void {
    this.#output.emit(action);
  }

  openSlot(): Slot {
    return this.#output.replies.open();
  }

  fill(slot: Slot, reply: Reply): void {
    this.#output.fill(slot, reply);
  }

  mailDataBegins(now: number): void {
    this.#mailDataBegins(now);
  }

  logRefusal(event: Extract<LogEvent, { event: "recipient-refused" }>): void {
    this.#output.logRefusal(event);
  }

  overshot(): void {
    this.#tally.countOvershoot();
  }

  over(outcome: Outcome, isProbe: boolean): void {
    this.#transaction = undefined;
    if (outcome === "relayed") this.#tally.mailRelayed();
    else if (!isProbe && this.#tally.errors === this.#errorsBefore) this.#tally.inVain += 1;
  }
}
