/**
 * The server half of SMTP, towards the client, as a machine without sockets or clock: greeting, commands, STARTTLS,
 * replies in order, deadlines, and the mail transaction of the moment (transaction.ts).
 *
 * Contract: `receive(event, now)`, then `drain()` the actions, then ask `deadline()`; `isOver` tells when nothing can
 * follow. Garbage in gives replies of 5yz, never an exception; what throws is an assertion of ours.
 * Each command is answered once and in order. RCPT commands may be with the relay while further ones are read; every
 * other command waits until all before it are answered.
 * Octets that came before TLS are never taken for commands after it, and nothing but the connection is remembered.
 *
 * Not here: what becomes of a mail (transaction.ts); reply texts (smtp/catalogue.ts); sockets
 * (net/client-connection.ts). Screening takes its place between `connected` and the greeting, and in RCPT.
 * RFC 5321 §3, §4.1, §4.3; RFC 2920; RFC 3207.
 */
import { assert, unreachable } from "../ops/assert.ts";
import * as catalogue from "../smtp/catalogue.ts";
import type { Command } from "../smtp/commands.ts";
import type { Offered } from "../smtp/parameters.ts";
import type { Reply } from "../smtp/replies.ts";
import type {
  ClientAction,
  ClientEvent,
  ClientFacts,
  SessionPolicy,
  Surroundings,
  TlsAgreement,
  TransactionOrigin,
} from "./client-messages.ts";
import { ClientOutput } from "./client-output.ts";
import { CommandReader, type ReadCommand } from "./command-reader.ts";
import { answerGreeting, messageOctetsMax, nothingOffered } from "./offer.ts";
import type { Slot } from "./reply-queue.ts";
import { SessionTally } from "./session-tally.ts";
import { Transaction, type TransactionHost } from "./transaction.ts";

/** Commands read ahead of their execution; beyond it the client is not read. */
export const inputOctetsMax = 64 * 1024;
/** Replies of one turn: further commands wait for the next, so that short ones with long replies pile up nothing. */
export const turnOctetsMax = 64 * 1024;
export const handshakeMsMax = 60_000;

/** "open": commands or mail data. "closing": the last reply is on its way. "gone": the client is. */
type Phase = "open" | "handshake" | "closing" | "gone";

export class ClientSession {
  readonly #policy: SessionPolicy;
  readonly #surroundings: Surroundings;
  readonly #facts: ClientFacts;
  readonly #host: TransactionHost = {
    emit: (action) => this.#output.emit(action),
    openSlot: () => this.#output.replies.open(),
    fill: (slot, reply) => this.#output.fill(slot, reply),
    over: (relayed) => {
      this.#transaction = undefined;
      this.#relayCongested = false;
      if (relayed) this.#tally.errors = 0;
    },
  };
  #input = new CommandReader();
  #phase: Phase = "open";
  #heloName: string | undefined;
  #offered: Offered = nothingOffered;
  #tls: TlsAgreement | undefined;
  #transaction: Transaction | undefined;
  #draining = false;
  /** The client sent FIN: what it asked for is still answered. */
  #ended = false;
  #paused = false;
  #relayCongested = false;
  #congestedSince: number | undefined;
  /** Commands were left for the next turn, which is due at once. */
  #behindSince: number | undefined;
  /** Since when the client has the word; for "handshake" since when that runs. */
  #waitingSince: number;
  readonly #tally: SessionTally;
  readonly #output: ClientOutput;

  constructor(policy: SessionPolicy, surroundings: Surroundings, facts: ClientFacts, now: number) {
    this.#policy = policy;
    this.#surroundings = surroundings;
    this.#facts = facts;
    this.#tally = new SessionTally(now);
    this.#output = new ClientOutput(facts, this.#tally, policy.logDialogue);
    this.#waitingSince = now;
  }

  /** The client is gone and no transaction waits for the relay's last word. */
  get isOver(): boolean {
    return this.#phase === "gone" && this.#transaction === undefined;
  }

  receive(event: ClientEvent, now: number): void {
    switch (event.type) {
      case "connected":
        this.#output.replies.fill(this.#output.replies.open(), catalogue.greeting(this.#policy.serverName));
        break;
      case "octets":
        this.#take(event.octets, now);
        break;
      case "ended":
        this.#ended = true;
        break;
      case "closed":
        this.#gone(event.reason, now);
        break;
      case "secured":
        this.#secured(event.tls, now);
        break;
      case "handshake-failed":
        this.#tally.end ??= `TLS handshake failed: ${event.reason}`;
        break;
      case "congested":
        this.#congestedSince ??= now;
        break;
      case "drained":
        this.#congestedSince = undefined;
        break;
      case "attached":
        this.#transaction?.attached(event.relay, now);
        break;
      case "unavailable":
        this.#transaction?.unavailable(event.failure);
        break;
      case "relay":
        if (event.report.type === "congested") this.#relayCongested = true;
        else if (event.report.type === "drained") this.#relayCongested = false;
        else this.#transaction?.report(event.report, now);
        break;
      case "time":
        this.#expire(now);
        break;
      case "shutdown":
        this.#draining = true;
        break;
      case "grace-over":
        this.#cut(catalogue.shuttingDown, "shutdown", now);
        break;
      case "fault":
        this.#cut(catalogue.ownFault, "internal error", now);
        break;
      default:
        unreachable(event);
    }
    this.#work(now);
    this.#settle(now);
  }

  /** Hands the actions over, oldest first. */
  drain(): readonly ClientAction[] {
    return this.#output.drain();
  }

  /** When to send a `time` event at the latest, in the milliseconds of `now`. */
  deadline(): number {
    if (this.#phase === "closing" || this.#phase === "gone") return Number.POSITIVE_INFINITY;
    if (this.#behindSince !== undefined) return this.#behindSince;
    let deadline = this.#transaction?.deadline() ?? Number.POSITIVE_INFINITY;
    if (this.#phase === "handshake") {
      deadline = this.#waitingSince + Math.min(handshakeMsMax, this.#policy.commandTimeoutMs);
    } else if (this.#transaction?.takesMailData === true) {
      if (!this.#paused) deadline = this.#waitingSince + this.#policy.dataTimeoutMs;
    } else if (this.#hasTheWord) {
      deadline = Math.min(deadline, this.#waitingSince + this.#policy.commandTimeoutMs);
    }
    if (this.#congestedSince !== undefined) {
      deadline = Math.min(deadline, this.#congestedSince + this.#policy.commandTimeoutMs);
    }
    return deadline;
  }

  /** The client has all its replies, as far as we know, and is to say something. */
  get #hasTheWord(): boolean {
    return this.#output.replies.pending === 0 && this.#congestedSince === undefined;
  }

  /** Each wait has its own end; a `time` event that comes early ends none. */
  #expire(now: number): void {
    const { commandTimeoutMs, dataTimeoutMs } = this.#policy;
    const within = this.#transaction?.takesMailData === true;
    if (this.#congestedSince !== undefined && now >= this.#congestedSince + commandTimeoutMs) {
      this.#cutOff("client does not read its replies", now);
    } else if (this.#phase === "handshake") {
      if (now >= this.deadline()) this.#cutOff("TLS handshake timeout", now);
    } else if (within && !this.#paused && now >= this.#waitingSince + dataTimeoutMs) {
      const objection = this.#transaction?.objection;
      this.#transaction?.abandon("mail data stopped", now);
      this.#end(objection ?? catalogue.idleTooLong, "mail data stopped", now);
    } else if (
      !within &&
      this.#output.replies.pending === 0 &&
      now >= this.#waitingSince + commandTimeoutMs
    ) {
      this.#end(catalogue.idleTooLong, "timeout", now);
    } else {
      this.#transaction?.time(now);
    }
  }

  // --- Input -------------------------------------------------------------------------------------------------

  #take(octets: Buffer, now: number): void {
    if (this.#phase === "open") {
      this.#input.push(octets);
      if (this.#transaction?.takesMailData === true) this.#waitingSince = now;
    } else if (this.#phase === "handshake") {
      // Plain octets behind the reply to STARTTLS: they never reach TLS, and must not be taken for commands.
      this.#cutOff("octets between STARTTLS and the TLS handshake", now);
    }
  }

  /** Carries out what can be carried out: mail data, then commands as far as their order allows. */
  #work(now: number): void {
    this.#behindSince = undefined;
    while (this.#phase === "open") {
      const transaction = this.#transaction;
      if (transaction?.takesMailData === true) {
        if (this.#input.pendingOctets === 0) break;
        const rest = transaction.octets(this.#input.takeRest(), now);
        if (rest !== undefined) this.#input.push(rest);
        if (transaction.isBeyondPatience) {
          const objection = transaction.objection;
          assert(objection !== undefined, "mail data is discarded for a reason");
          transaction.abandon("mail data too long", now);
          this.#end(objection, "mail data too long", now);
        }
      } else if (this.#congestedSince !== undefined) {
        break;
      } else if (this.#output.octets > turnOctetsMax) {
        this.#behindSince = now;
        break;
      } else if (this.#draining && transaction === undefined && this.#output.replies.pending === 0) {
        this.#end(catalogue.shuttingDown, "shutdown", now);
      } else if (!this.#carryOutNext(now)) {
        break;
      }
    }
  }

  /** False if there is no whole command, or if it has to wait for replies to those before it. */
  #carryOutNext(now: number): boolean {
    // While DATA waits for its answer, what follows may be mail data: it is not looked at as a command.
    const waits = this.#output.replies.pending > 0;
    if (waits && this.#transaction?.takesRecipients !== true) return false;
    const read = this.#input.peek(this.#offered);
    if (read === undefined) return false;
    const tooManyErrors = this.#tally.errors >= this.#policy.maxErrors && read.command.verb !== "QUIT";
    if (waits && (read.command.verb !== "RCPT" || this.#output.replies.full || tooManyErrors)) return false;
    if (this.#output.replies.full) this.#flush(now);
    this.#input.shift();
    this.#tally.commands += 1;
    this.#output.heard(read);
    if (tooManyErrors) this.#end(catalogue.tooManyErrors, "too many errors", now);
    else this.#carryOut(read, now);
    return true;
  }

  #carryOut(read: ReadCommand, now: number): void {
    const { command } = read;
    const slot = this.#output.replies.open();
    const needsGreeting = command.verb === "MAIL" || command.verb === "RCPT" || command.verb === "DATA";
    if (needsGreeting && this.#heloName === undefined) {
      this.#output.refuse(slot, catalogue.greetFirst, read);
      return;
    }
    switch (command.verb) {
      case "EHLO":
      case "HELO":
        this.#greeted(command, slot, now);
        break;
      case "MAIL":
        this.#mail(command, slot, read, now);
        break;
      case "RCPT":
        if (this.#transaction === undefined) this.#output.refuse(slot, catalogue.mailFirst, read);
        else this.#transaction.rcpt(command.path, command.parameters, slot, now);
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
      case "STARTTLS":
        this.#starttls(slot, read, now);
        break;
      case "QUIT":
        this.#transaction?.abandon("QUIT", now);
        this.#output.fill(slot, catalogue.closing(this.#policy.serverName));
        this.#close("QUIT");
        break;
      case "malformed":
        this.#output.refuse(slot, catalogue.malformedCommand(command.defect, command.detail), read);
        break;
      default:
        unreachable(command);
    }
  }

  // --- Commands ----------------------------------------------------------------------------------------------

  #greeted(
    command: { readonly verb: "EHLO" | "HELO"; readonly name: string },
    slot: Slot,
    now: number,
  ): void {
    this.#transaction?.abandon(command.verb, now);
    this.#heloName = command.name;
    const { offered, reply } = answerGreeting(
      command.verb,
      this.#policy,
      this.#surroundings,
      this.#tls !== undefined,
    );
    this.#offered = offered;
    this.#output.fill(slot, reply);
  }

  #mail(command: Extract<Command, { verb: "MAIL" }>, slot: Slot, read: ReadCommand, now: number): void {
    assert(this.#heloName !== undefined, "MAIL follows the greeting");
    if (this.#transaction !== undefined) {
      this.#output.refuse(slot, catalogue.nestedMail, read);
      return;
    }
    if ((command.parameters.size ?? 0) > messageOctetsMax(this.#policy, this.#surroundings)) {
      this.#output.refuse(slot, catalogue.messageTooBig, read);
      return;
    }
    this.#tally.transactions += 1;
    const origin: TransactionOrigin = {
      ...this.#facts,
      id: `${this.#facts.session}-${this.#tally.transactions}`,
      heloName: this.#heloName,
      extended: this.#offered.extended,
      tls: this.#tls,
      unixEpochMs: this.#surroundings.unixEpochMs,
    };
    this.#transaction = new Transaction(this.#host, this.#policy, origin, command, now);
    this.#output.fill(slot, catalogue.mailAccepted);
  }

  #starttls(slot: Slot, read: ReadCommand, now: number): void {
    if (!this.#policy.starttlsOffered) {
      this.#output.refuse(slot, catalogue.starttlsNotOffered, read);
    } else if (this.#tls !== undefined) {
      this.#output.refuse(slot, catalogue.tlsActive, read);
    } else if (this.#input.pendingOctets > 0) {
      // CVE-2011-0411: whoever stands between could have put these octets there.
      this.#output.refuse(slot, catalogue.pipelinedStarttls, read);
      this.#transaction?.abandon("STARTTLS", now);
      this.#close("octets pipelined behind STARTTLS");
    } else {
      this.#transaction?.abandon("STARTTLS", now);
      this.#output.fill(slot, catalogue.readyForTls);
      this.#flush(now);
      this.#phase = "handshake";
      this.#output.emit({ type: "secure" });
    }
  }

  #secured(tls: TlsAgreement, now: number): void {
    if (this.#phase !== "handshake") return;
    this.#phase = "open";
    this.#tls = tls;
    this.#input = new CommandReader();
    this.#heloName = undefined;
    this.#offered = nothingOffered;
    this.#waitingSince = now;
  }

  // --- Output ------------------------------------------------------------------------------------------------

  /** The word is the client's again, once it has its reply. */
  #flush(now: number): void {
    if (this.#output.flush()) this.#waitingSince = now;
  }

  /** After each event: replies go out, a finished session is closed, reading is paused or resumed. */
  #settle(now: number): void {
    if (this.#phase !== "open") return;
    this.#flush(now);
    if (this.#ended) this.#settleEnded(now);
    const within = this.#transaction?.takesMailData === true;
    const pause =
      this.#congestedSince !== undefined ||
      (this.#transaction?.isStreaming === true && this.#relayCongested) ||
      (!within && this.#input.pendingOctets > inputOctetsMax);
    if (pause === this.#paused) return;
    this.#paused = pause;
    if (!pause) this.#waitingSince = now;
    this.#output.emit({ type: pause ? "pause" : "resume" });
  }

  /** The client sent FIN and all that it asked for before is carried out, or cannot be any more. */
  #settleEnded(now: number): void {
    if (this.#transaction?.takesMailData === true) {
      this.#transaction.abandon("client closed within mail data", now);
    } else if (this.#output.replies.pending > 0) {
      return;
    }
    this.#transaction?.abandon("client closed", now);
    this.#close("closed by the client");
  }

  /** Ends everything now, a transaction that waits for the relay's last word included. */
  #cut(reply: Reply, reason: string, now: number): void {
    this.#transaction?.cut(reason, now);
    this.#end(reply, reason, now);
  }

  /** Says a last reply, whatever else is pending, and closes. */
  #end(reply: Reply, reason: string, now: number): void {
    if (this.#phase === "gone" || this.#phase === "closing") return;
    this.#transaction?.abandon(reason, now);
    if (this.#phase === "open") this.#output.sayLast(reply);
    this.#close(reason);
  }

  /** Without a word, for nobody listens. */
  #cutOff(reason: string, now: number): void {
    this.#tally.end ??= reason;
    this.#transaction?.abandon(reason, now);
    this.#phase = "closing";
    this.#output.emit({ type: "terminate" });
  }

  #close(reason: string): void {
    this.#tally.end ??= reason;
    this.#output.flush();
    this.#phase = "closing";
    this.#output.emit({ type: "close" });
  }

  #gone(reason: string, now: number): void {
    this.#phase = "gone";
    this.#transaction?.abandon(`client lost: ${reason}`, now);
    this.#tally.end ??= `client lost: ${reason}`;
    this.#output.log(this.#tally.event(this.#facts, this.#heloName, this.#tls, now));
  }
}
