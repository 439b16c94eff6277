/**
 * The server half of SMTP, towards the client, as a machine without sockets or clock: greeting, STARTTLS, whose turn
 * it is, deadlines and ends.
 *
 * Contract: `receive(event, now)`, then `drain()` the actions, then ask `deadline()`; `isOver` tells when nothing can
 * follow. Garbage in gives replies of 5yz, never an exception; what throws is an assertion of ours.
 * Each command is answered once and in order. RCPT commands may be with the relay while further ones are read; every
 * other command waits until all before it are answered.
 * Octets that came before TLS are never taken for commands after it, and nothing but the connection is remembered.
 *
 * Not here: the commands about mail (mail-dialogue.ts); what becomes of one (mail/transaction.ts); the screening, which
 * runs between `connected` and the greeting and may hold or refuse RCPT (screening.ts); how long is waited
 * (waits.ts); reply texts (smtp/catalogue.ts); sockets (shell/client-connection.ts).
 * RFC 5321 §3, §4.1, §4.3; RFC 2920; RFC 3207.
 */
import { unreachable } from "../lib/assert.ts";
import type { ClientFacts, TlsAgreement } from "../mail/messages.ts";
import type { Transaction } from "../mail/transaction.ts";
import * as catalogue from "../smtp/catalogue.ts";
import type { Reply } from "../smtp/replies.ts";
import { isOfMail, MailDialogue } from "./mail-dialogue.ts";
import type { ClientAction, ClientEvent, SessionPolicy, Surroundings } from "./messages.ts";
import { ClientOutput } from "./output.ts";
import { CommandReader, type ReadCommand } from "./reader.ts";
import { type ClientScreening, errorLimitReached, type Gate, type Offence } from "./screening.ts";
import { SessionTally } from "./tally.ts";
import { ClientWaits, type WaitState } from "./waits.ts";

/** Commands read ahead of their execution; with more than that the client is paused. */
export const inputOctetsMax = 64 * 1024;
/** Replies of one turn: further commands wait for the next, so that short ones with long replies pile up nothing. */
export const turnOctetsMax = 64 * 1024;
const openGate: Gate = { gate: "open" };

/** "greeting": the screening runs. "open": commands or mail data. "closing": the last reply is on its way. "gone": the client is. */
type Phase = "greeting" | "open" | "handshake" | "closing" | "gone";

export class ClientSession {
  readonly #policy: SessionPolicy;
  readonly #facts: ClientFacts;
  #input = new CommandReader();
  #phase: Phase = "greeting";
  #tls: TlsAgreement | undefined;
  #draining = false;
  /** The client sent FIN: what it asked for is still answered. */
  #ended = false;
  #relayCongested = false;
  /** Commands were left for the next turn, which is due at once. */
  #behindSince: number | undefined;
  /** A RCPT stands at the head until the verdict is known. */
  #isHeld = false;
  readonly #waits: ClientWaits;
  readonly #screening: ClientScreening | undefined;
  readonly #tally: SessionTally;
  readonly #output: ClientOutput;
  readonly #dialogue: MailDialogue;

  /** `screening`: undefined for a client that is greeted at once and never judged. */
  constructor(
    policy: SessionPolicy,
    surroundings: Surroundings,
    facts: ClientFacts,
    now: number,
    screening?: (output: ClientOutput) => ClientScreening,
  ) {
    this.#policy = policy;
    this.#facts = facts;
    this.#tally = new SessionTally(now, facts.isTrusted);
    this.#output = new ClientOutput(facts, this.#tally, policy.logDialogue);
    this.#waits = new ClientWaits(policy, surroundings, now);
    this.#screening = screening?.(this.#output);
    this.#dialogue = new MailDialogue(policy, surroundings, facts, this.#output, this.#tally, (at) => {
      this.#relayCongested = false;
      this.#waits.dataBegins(at);
    });
  }

  /** The client is gone and no transaction waits for the relay's last word. */
  get isOver(): boolean {
    return this.#phase === "gone" && this.#transaction === undefined;
  }

  receive(event: ClientEvent, now: number): void {
    switch (event.type) {
      case "connected":
        this.#screening?.start(now);
        break;
      case "looked-up":
        if (this.#phase !== "gone") this.#screening?.answered(event.record, event.zone, event.answer, now);
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
        this.#waits.congested(now);
        break;
      case "drained":
        this.#waits.drained();
        break;
      case "attached":
        this.#waits.progressed(now);
        this.#transaction?.attached(event.relay, now);
        break;
      case "unavailable":
        this.#transaction?.unavailable(event.failure);
        break;
      case "relay":
        if (event.report.type === "congested") this.#relayCongested = true;
        else if (event.report.type === "drained") this.#relayCongested = false;
        else {
          this.#waits.progressed(now);
          this.#transaction?.report(event.report, now);
        }
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
    this.#screen(now);
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
    const transaction = this.#transaction?.deadline() ?? Number.POSITIVE_INFINITY;
    const screening = this.#screening?.deadline() ?? Number.POSITIVE_INFINITY;
    return Math.min(this.#waits.deadline(this.#waitState), transaction, screening);
  }

  get #waitState(): WaitState {
    if (this.#phase === "handshake") return "handshake";
    if (this.#transaction?.takesMailData === true) return "mail-data";
    if (this.#phase !== "open" || this.#output.replies.pending > 0 || this.#isHeld) return "none";
    return this.#transaction?.holdsRelay === true ? "holding" : "word";
  }

  /** A `time` event that comes early ends no wait. */
  #expire(now: number): void {
    switch (this.#waits.over(this.#waitState, now)) {
      case "congested":
        this.#cutOff("client does not read its replies", now);
        break;
      case "handshake":
        this.#cutOff("TLS handshake timeout", now);
        break;
      case "silent":
        this.#endMailData(catalogue.idleTooLong, "mail data stopped", now);
        break;
      case "slow":
        this.#endMailData(catalogue.tooSlow, "mail data too slow", now);
        break;
      case "idle":
        this.#end(catalogue.idleTooLong, "timeout", now);
        break;
      case undefined:
        this.#screening?.time(now);
        this.#transaction?.time(now);
        break;
    }
  }

  /** Mail data is not read to its end; if a refusal is already certain, the client gets that reply instead. */
  #endMailData(reply: Reply, reason: string, now: number): void {
    const objection = this.#transaction?.objection;
    this.#transaction?.abandon(reason, now);
    this.#end(objection ?? reply, reason, now);
  }

  // --- Input -------------------------------------------------------------------------------------------------

  #take(octets: Buffer, now: number): void {
    if (this.#tls === undefined) this.#screening?.octets(octets, now);
    if (this.#phase === "open" || this.#phase === "greeting") {
      this.#input.push(octets);
      if (this.#transaction?.takesMailData === true) this.#waits.dataCame(octets.length, now);
    } else if (this.#phase === "handshake") {
      // Plain octets behind the reply to STARTTLS: they never reach TLS, and must not be taken for commands.
      this.#cutOff("octets between STARTTLS and the TLS handshake", now);
    }
  }

  /** The greeting when it is due, and the end of those that offended. */
  #screen(now: number): void {
    if (this.#phase !== "greeting" && this.#phase !== "open") return;
    const offence = this.#screening?.offence;
    if (offence !== undefined) this.#punish(offence, now);
    else if (this.#phase === "greeting" && this.#draining) this.#end(catalogue.shuttingDown, "shutdown", now);
    else if (this.#phase === "greeting" && (this.#screening?.isGreetingDue ?? true)) {
      this.#phase = "open";
      this.#output.replies.fill(this.#output.replies.open(), catalogue.greeting(this.#policy.serverName));
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
          this.#endMailData(catalogue.tooMuchMailData, "mail data too long", now);
        }
      } else if (this.#waits.isCongested) {
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
    const read = this.#input.peek(this.#dialogue.offered);
    if (read === undefined) return false;
    const { maxErrors } = this.#policy;
    const tooManyErrors = this.#tally.errors >= maxErrors && read.command.verb !== "QUIT";
    const inVain = this.#tally.errors + this.#tally.inVain >= maxErrors && read.command.verb === "MAIL";
    if (waits && (read.command.verb !== "RCPT" || this.#output.replies.full || tooManyErrors)) return false;
    if (this.#output.replies.full) this.#flush(now);
    this.#isHeld = read.command.verb === "RCPT" && this.#gate.gate === "wait";
    if (this.#isHeld) return false;
    this.#input.shift();
    this.#tally.commands += 1;
    this.#output.heard(read);
    const pipelined = this.#screening !== undefined && this.#isPipelinedBadly(read);
    const offence = pipelined ? this.#screening?.pipelinedBadly(now) : undefined;
    if (offence !== undefined) this.#punish(offence, now);
    else if (tooManyErrors && this.#facts.isTrusted)
      this.#end(catalogue.tooManyErrors, "too many errors", now);
    else if (tooManyErrors) this.#punish(errorLimitReached, now);
    else if (inVain && !this.#facts.isTrusted)
      this.#end(catalogue.tooManyInVain, "too many mails in vain", now);
    else this.#carryOut(read, now);
    return true;
  }

  /** Behind EHLO or HELO nothing may follow before the answer; without PIPELINING, behind no command but the last. */
  #isPipelinedBadly({ command: { verb } }: ReadCommand): boolean {
    if (this.#input.pendingOctets === 0 || verb === "STARTTLS" || verb === "QUIT") return false;
    return verb === "EHLO" || verb === "HELO" || !this.#dialogue.offered.extended;
  }

  #carryOut(read: ReadCommand, now: number): void {
    const { command } = read;
    if (command.verb === "STARTTLS") {
      this.#starttls(read, now);
    } else if (command.verb === "QUIT") {
      this.#transaction?.abandon("QUIT", now);
      this.#output.fill(this.#output.replies.open(), catalogue.closing(this.#policy.serverName));
      this.#close("QUIT");
    } else {
      const gate = this.#gate;
      if (isOfMail(command.verb)) this.#waits.progressed(now);
      // What was asked before is not to be said as slowly as the refusal.
      if (gate.gate === "refused") this.#flush(now);
      const refusal = this.#dialogue.carryOut(command, read, gate, this.#tls, now);
      if (refusal !== undefined) this.#tarpit("listed", refusal);
    }
  }

  /** There may be whole commands that were not looked at yet. */
  get #isBehind(): boolean {
    return this.#behindSince !== undefined || this.#waits.isCongested;
  }

  get #gate(): Gate {
    return this.#screening?.gate ?? openGate;
  }

  get #transaction(): Transaction | undefined {
    return this.#dialogue.transaction;
  }

  // --- TLS ---------------------------------------------------------------------------------------------------

  #starttls(read: ReadCommand, now: number): void {
    const slot = this.#output.replies.open();
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
    this.#dialogue.forget();
    this.#waits.restart(now);
  }

  // --- Output ------------------------------------------------------------------------------------------------

  /** Sends replies that are due; the command timeout then starts anew. */
  #flush(now: number): void {
    if (this.#output.flush()) this.#waits.restart(now);
  }

  /** After each event: replies go out, a finished session is closed, reading is paused or resumed. */
  #settle(now: number): void {
    if (this.#phase === "open") {
      this.#flush(now);
      if (this.#ended) this.#settleEnded(now);
    }
    if (this.#phase !== "open" && this.#phase !== "greeting") return;
    const within = this.#transaction?.takesMailData === true;
    const pause =
      this.#waits.isCongested ||
      (this.#transaction?.isStreaming === true && this.#relayCongested) ||
      (!within && this.#input.pendingOctets > inputOctetsMax);
    if (pause === this.#waits.isPaused) return;
    if (pause) this.#waits.paused(now);
    else this.#waits.resumed(now);
    this.#output.emit({ type: pause ? "pause" : "resume" });
  }

  /** The client sent FIN and all that it asked for before is carried out, or cannot be any more. */
  #settleEnded(now: number): void {
    if (this.#transaction?.takesMailData === true) {
      this.#transaction.abandon("client closed within mail data", now);
    } else if (this.#output.replies.pending > 0 || this.#isHeld || this.#isBehind) {
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
    if (this.#phase === "open" || this.#phase === "greeting") this.#output.sayLast(reply);
    this.#close(reason);
  }

  /** An offender is told why, slowly, or is disconnected without a reply. */
  #punish(offence: Offence, now: number): void {
    this.#screening?.offended(now);
    if (offence.end === "close") {
      this.#cutOff(offence.reason, now);
      return;
    }
    this.#transaction?.abandon(offence.reason, now);
    this.#flush(now);
    this.#tarpit(offence.reason, offence.reply);
  }

  /** The last reply is said as slowly as the tarpit has it. What still waits for the relay is never said. */
  #tarpit(reason: string, reply: Reply): void {
    this.#tally.end ??= reason;
    this.#phase = "closing";
    if (this.#ended) {
      // A client that has hung up need not be held.
      this.#output.sayLast(reply);
      this.#output.emit({ type: "close" });
    } else {
      this.#output.sayInTarpit(reply);
    }
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
    this.#output.log(this.#tally.event(this.#facts, this.#dialogue.heloName, this.#tls, now));
  }
}
