/**
 * Judges one client session from what its socket was given and what was written to it, in the order in which the
 * program saw it: an independent server that knows the replies and asks of each whether it may be one.
 * One reply a command, in order; none to nothing; the mail data and the envelope of each transaction as the client
 * meant them; nothing said of a relay that it did not say (relay-words.ts).
 * Not here: replies of a command (command-rules.ts), the log (outcome.ts), time (limits.ts).
 */
import { congestedOctets } from "../../src/shell/network.ts";
import {
  addressOf,
  allowedReplies,
  type CommandFacts,
  declaredSize,
  type ReadLine,
  readLine,
} from "./command-rules.ts";
import type { HeardReply, JudgedTransaction, JudgeSurroundings } from "./judged.ts";
import { readMailData } from "./mail-data-reference.ts";
import type { RelayWord } from "./relay-ledger.ts";
import { judgeDot, judgeRelayed, objectionsTo, type WordJudge } from "./relay-words.ts";
import type { SocketWatch } from "./watch.ts";

type Phase = "greeting" | "commands" | "data" | "handshake" | "over";
const replyLine = /^([2-5]\d\d)([ -])([^\r\n\0]*)$/;
const junkMax = 100;
/** From then on each recipient beyond MAX_RECIPIENTS is an error. */
const overshootMax = 1_000;

export class SessionJudge implements SocketWatch, WordJudge {
  /** "" until it has one: who is sent away at the door has none. */
  session = "";
  readonly address: string;
  readonly transactions: JudgedTransaction[] = [];
  readonly around: JudgeSurroundings;
  #phase: Phase = "greeting";
  #input = "";
  #output = "";
  #begun: HeardReply | undefined;
  #helo: { name: string; extended: boolean } | undefined;
  #isSecure = false;
  #errors = 0;
  /** Transactions that ended without a message, and without an error that counted. */
  #inVain = 0;
  #errorsBefore = 0;
  /** Recipients that were refused for being beyond MAX_RECIPIENTS. */
  #overshoot = 0;
  #junk = 0;
  #hasSpoken = false;
  #inTarpit = false;
  #saidLastWord = false;
  #writtenOctets = 0;
  #left: "close" | "terminate" | undefined;
  hasStartedTls = false;
  /** The socket is closed. */
  isGone = false;
  /** The client has sent FIN. */
  isEnded = false;
  /** When it began, when anything last happened, and when anything was last written. */
  readonly startedAt: number;
  lastEventAt: number;
  lastWrittenAt: number;
  readonly #onWrite: (octets: Buffer) => void;

  constructor(around: JudgeSurroundings, address: string, onWrite: (octets: Buffer) => void) {
    this.around = around;
    this.#onWrite = onWrite;
    this.address = address;
    this.startedAt = around.now();
    this.lastEventAt = this.startedAt;
    this.lastWrittenAt = this.startedAt;
  }

  get heloName(): string {
    return this.#helo?.name ?? "";
  }

  /** It said EHLO. */
  get isExtended(): boolean {
    return this.#helo?.extended === true;
  }

  get isSecure(): boolean {
    return this.#isSecure;
  }

  /** What the program is about: for its deadline. */
  get state(): Phase | "pending" | "tarpit" | "leaving" {
    if (this.#left !== undefined) return "leaving";
    if (this.#inTarpit) return "tarpit";
    return this.#phase === "commands" && this.#input.includes("\n") ? "pending" : this.#phase;
  }

  get current(): JudgedTransaction | undefined {
    const last = this.transactions.at(-1);
    return last === undefined || last.isOver ? undefined : last;
  }

  /** The mail data of a transaction as far as the program was given it, and whether its end was. */
  mailDataOf(transaction: JudgedTransaction): { readonly data: string; readonly isWhole: boolean } {
    if (transaction.data !== undefined) return { data: transaction.data, isWhole: !transaction.isCutShort };
    if (this.#phase !== "data" || transaction !== this.transactions.at(-1))
      return { data: "", isWhole: false };
    const read = readMailData(this.#input);
    return read === undefined ? { data: this.#input, isWhole: false } : { data: read.data, isWhole: true };
  }

  // --- What the watch tells --------------------------------------------------------------------------------------

  received(octets: Buffer): void {
    this.lastEventAt = this.around.now();
    if (this.#inTarpit || this.#left !== undefined) return;
    this.#hasSpoken = true;
    if (this.#phase !== "over" && this.#phase !== "handshake") this.#input += octets.toString("latin1");
  }

  wrote(octets: Buffer): void {
    this.#onWrite(octets);
    this.#writtenOctets += octets.length;
    this.lastEventAt = this.around.now();
    this.lastWrittenAt = this.lastEventAt;
    this.#output += octets.toString("latin1");
    for (let lf = this.#output.indexOf("\n"); lf !== -1; lf = this.#output.indexOf("\n")) {
      const line = this.#output.slice(0, lf + 1);
      this.#output = this.#output.slice(lf + 1);
      this.#line(line);
    }
  }

  ended(): void {
    this.isEnded = true;
    this.lastEventAt = this.around.now();
  }

  securing(): void {
    this.hasStartedTls = true;
    if (this.#phase !== "handshake") this.violated("TLS without 220 to STARTTLS", "");
    if (this.#input !== "") this.violated("octets in the clear are kept over the handshake", this.#input);
  }

  secured(): void {
    this.lastEventAt = this.around.now();
    this.lastWrittenAt = this.lastEventAt;
    this.#phase = "commands";
    this.#isSecure = true;
    this.#helo = undefined;
    this.#input = "";
  }

  left(how: "close" | "terminate"): void {
    this.lastEventAt = this.around.now();
    this.#left = how;
    if (how === "close" && this.#phase === "commands" && !this.#inTarpit) this.#closedWithoutWord();
  }

  handedOn(): void {
    this.#inTarpit = true;
    this.lastEventAt = this.around.now();
  }

  closed(): void {
    this.isGone = true;
    if (this.#output !== "" && !this.#inTarpit) this.violated("half a line of a reply", this.#output);
  }

  #closedWithoutWord(): void {
    if (!this.isEnded) this.violated("closed without a word", "");
    else if (this.#input.includes("\n")) {
      const wasCongested = this.#writtenOctets > congestedOctets;
      const invariant = wasCongested
        ? "commands left at FIN behind congestion"
        : "a command without an answer at FIN";
      this.violated(invariant, this.#input.slice(0, 80));
    }
  }

  // --- Replies ---------------------------------------------------------------------------------------------------

  #line(raw: string): void {
    const [found, code = "", separator, text = ""] = replyLine.exec(raw.slice(0, -2)) ?? [];
    if (found === undefined || !raw.endsWith("\r\n")) {
      this.violated("a reply that is none", raw);
      return;
    }
    const lines = [...(this.#begun?.lines ?? []), text];
    if (this.#begun !== undefined && this.#begun.code !== Number(code)) {
      // A greeting that was begun may end in another word.
      if (this.#phase !== "greeting") this.violated("a reply of two codes", raw);
      lines.splice(0, lines.length, text);
    }
    this.#begun = { code: Number(code), lines };
    if (separator === "-") return;
    const reply = this.#begun;
    this.#begun = undefined;
    this.#judge(reply);
  }

  #judge(reply: HeardReply): void {
    const head = `${reply.code} ${reply.lines[0]}`;
    const saidLastWord = reply.code === 421;
    switch (this.#phase) {
      case "greeting":
        this.#greeted(head);
        break;
      case "commands":
        this.#answered(reply, head);
        break;
      case "data":
        this.#answeredMailData(reply, head);
        break;
      case "handshake":
      case "over":
        this.violated(this.#saidLastWord ? "a reply behind 421" : "a reply to nothing", head);
        break;
    }
    this.#saidLastWord ||= saidLastWord;
  }

  #greeted(head: string): void {
    if (head === "220 mx.example ESMTP") this.#phase = "commands";
    else {
      this.#phase = "over";
      if (head.startsWith("554 5.5.1")) {
        if (!this.#hasSpoken) this.violated("a silent client is called an early talker", head);
      } else if (this.session === "") {
        if (!/^421 4\.(3\.2|7\.0) too many connections/.test(head))
          this.violated("no word at the door", head);
      } else if (!head.startsWith("421 4.3.2") || !this.around.isShuttingDown()) {
        this.violated("no greeting", head);
      }
    }
  }

  #answered(reply: HeardReply, head: string): void {
    const lf = this.#input.indexOf("\n");
    if (head.startsWith("421 4.3.2") && this.around.isShuttingDown()) {
      this.#phase = "over";
      return;
    }
    if (lf === -1) {
      if (!head.startsWith("421 4.4.2")) this.violated("a reply to nothing", head);
      this.#end();
      return;
    }
    const raw = this.#input.slice(0, lf + 1);
    this.#input = this.#input.slice(lf + 1);
    const line = readLine(raw);
    if (this.#isPunished(line, head)) {
      this.#end();
      return;
    }
    const facts = this.#commandFacts();
    const allowed = allowedReplies(line, facts);
    const isOwn = allowed.some((beginning) => beginning !== "relay" && head.startsWith(beginning));
    if (!isOwn && !allowed.includes("relay")) {
      this.violated(
        "a reply that the command cannot have",
        `${raw} -> ${head}; allowed: ${allowed.join(", ")}`,
      );
    } else if (!isOwn) {
      judgeRelayed(this, line, this.current, reply);
    }
    this.#take(line, reply, head);
    this.#count(line, reply);
  }

  /** An offence has its own reply, and is the end. */
  #isPunished({ verb, isDefective }: ReadLine, head: string): boolean {
    const isTooMany = this.#errors >= this.around.facts.maxErrors && !(verb === "QUIT" && !isDefective);
    // RCPT commands that are with the relay together are not stopped by the errors among them.
    const isSpared = verb === "QUIT" || (verb === "RCPT" && isTooMany);
    if (
      head.startsWith("421 4.7.0 too many errors") !== isTooMany &&
      !isSpared &&
      !head.startsWith("554 5.5.1 improper")
    ) {
      this.violated("MAX_ERRORS is not kept", `${this.#errors} errors, ${verb} -> ${head}`);
    }
    if (isTooMany && head.startsWith("421 4.7.0")) return true;
    const { maxErrors, isTrusted } = this.around.facts;
    // What is no MAIL in truth is an error by itself, and improper pipelining comes first.
    const isMail =
      verb === "MAIL" &&
      !isDefective &&
      !/^(?:50[01]|555) 5\.5\.|^550 5\.6\.7|^554 5\.5\.1 improper/.test(head);
    const isInVain = isMail && !isTooMany && this.#errors + this.#inVain >= maxErrors;
    if (head.startsWith("421 4.7.0 too many mails") !== (isInVain && !isTrusted(this.address)))
      this.violated("MAX_ERRORS is not kept", `${this.#errors} errors, ${this.#inVain} in vain -> ${head}`);
    if (isInVain && head.startsWith("421 4.7.0")) return true;
    if (head.startsWith("554 5.5.1 improper pipelining")) {
      const isBad = verb === "EHLO" || verb === "HELO" || this.#helo?.extended !== true;
      if (!isBad || this.#input === "") this.violated("proper pipelining is punished", head);
      return true;
    }
    if (verb === "RCPT" && head.startsWith("554 5.7.1 client [")) {
      if (!this.around.mayBeListed(this.address))
        this.violated("a client that no zone lists is refused", head);
      const { current } = this;
      if (current !== undefined) current.refused += 1;
      return true;
    }
    return false;
  }

  #commandFacts(): CommandFacts {
    const { facts, sizeMaxOfRelays } = this.around;
    const { current } = this;
    return {
      helo: this.#helo,
      isSecure: this.#isSecure,
      starttlsOffered: facts.starttlsOffered,
      isMoreBehind: this.#input !== "",
      transaction:
        current === undefined
          ? undefined
          : { accepted: current.accepted.length, refused: current.refused, ours: current.ours },
      sizeMax: facts.maxMessageOctets,
      sizeMaxOfRelays: Math.min(facts.maxMessageOctets, sizeMaxOfRelays),
      maxRecipients: facts.maxRecipients,
      validRecipients: facts.validRecipients,
    };
  }

  #count({ verb, isDefective }: ReadLine, reply: HeardReply): void {
    // Our own 501 and 555 say that it was no command of mail.
    const isOwn = this.around.ledger.traced(reply.lines.join("\n")) === undefined;
    const isRead = !isDefective && !(isOwn && [501, 555].includes(reply.code));
    const isOfMail = isRead && ["MAIL", "RCPT", "DATA"].includes(verb);
    if (reply.code >= 500) this.#errors += 1;
    if (isOwn && reply.lines[0] === "4.5.3 too many recipients") {
      this.#overshoot += 1;
      if (this.#overshoot > overshootMax) this.#errors += 1;
    }
    if (isOfMail || verb === "STARTTLS" || verb === "QUIT") return;
    if (verb === "MAIL" && reply.lines[0]?.startsWith("5.6.7") === true) return;
    this.#junk += 1;
    if (this.#junk > junkMax && !this.around.facts.isTrusted(this.address)) this.#errors += 1;
  }

  /** What follows from a command and its reply. */
  #take({ verb, argument }: ReadLine, reply: HeardReply, head: string): void {
    const { current } = this;
    const accepted = reply.code < 400;
    switch (verb) {
      case "EHLO":
      case "HELO":
        if (!accepted) break;
        this.#over();
        this.#helo = { name: argument, extended: verb === "EHLO" };
        break;
      case "RSET":
        if (accepted) this.#over();
        break;
      case "MAIL":
        if (accepted) this.#mailBegins(argument);
        else if (head.startsWith("552 5.3.4")) {
          this.#mailBegins(argument);
          this.#refusedWhole(reply);
        }
        break;
      case "RCPT":
        if (current === undefined) break;
        if (/^(?:501|555) 5\.5\.4 /.test(head)) break;
        if (!/^55[04] 5\.(?:7\.1 <|6\.7 non)/.test(head) && !head.startsWith("452 4.5.3 too many recipients"))
          current.ours += 1;
        if (accepted) current.accepted.push(addressOf(argument));
        else current.refused += 1;
        break;
      case "DATA":
        if (reply.code === 354) this.#phase = "data";
        else if (current !== undefined && reply.code !== 501 && !head.startsWith("503 5.5.1")) {
          this.#refusedWhole(reply);
        }
        break;
      case "STARTTLS":
        if (reply.code === 220) {
          this.#over();
          this.#phase = "handshake";
        } else if (head.startsWith("503 5.5.1 nothing may follow")) this.#end();
        break;
      case "QUIT":
        if (reply.code === 221) this.#end();
        break;
    }
  }

  /** The reply to MAIL or DATA is the end of the transaction. */
  #refusedWhole(reply: HeardReply): void {
    const { current } = this;
    if (current === undefined) return;
    current.dataReply = reply;
    current.isOver = true;
    this.#endedWithout(reply);
  }

  /** An error counts once: as the reply that it is, or as a mail in vain. */
  #endedWithout(reply: HeardReply | undefined): void {
    if (this.#errors === this.#errorsBefore && (reply?.code ?? 0) < 500) this.#inVain += 1;
  }

  #mailBegins(argument: string): void {
    this.#errorsBefore = this.#errors;
    this.transactions.push({
      id: `${this.session}-${this.transactions.length + 1}`,
      from: addressOf(argument),
      isExtended: this.isExtended,
      isSecure: this.isSecure,
      declaredSize: declaredSize(argument),
      body: / BODY=(\w+)/i.exec(argument)?.[1]?.toUpperCase(),
      accepted: [],
      refused: 0,
      ours: 0,
      toldMarks: new Set(),
      data: undefined,
      isCutShort: false,
      dotReply: undefined,
      dataReply: undefined,
      isOver: false,
    });
  }

  #over(): void {
    const { current } = this;
    if (current === undefined) return;
    current.isOver = true;
    if (current.accepted.length === 0) this.#endedWithout(undefined);
  }

  #end(): void {
    this.#over();
    this.#phase = "over";
  }

  // --- Mail data -------------------------------------------------------------------------------------------------

  #answeredMailData(reply: HeardReply, head: string): void {
    const transaction = this.transactions.at(-1);
    if (transaction === undefined) {
      this.violated("mail data without a transaction", head);
      return;
    }
    const read = readMailData(this.#input);
    if (read === undefined) {
      this.#endedWithin(transaction, head);
      return;
    }
    if (head.startsWith("421")) {
      // Its grace is over, and the relay has not answered.
      if (!head.startsWith("421 4.3.2") || !this.around.isShuttingDown())
        this.violated("421 to the end of mail data", head);
      transaction.data = read.data;
      this.#end();
      return;
    }
    transaction.data = read.data;
    transaction.dotReply = reply;
    transaction.isOver = true;
    this.#input = read.rest;
    this.#phase = "commands";
    this.#endedWithout(reply);
    if (reply.code >= 500) this.#errors += 1;
    if (reply.code < 300) {
      this.#errors = 0;
      this.#inVain = 0;
      this.#overshoot = 0;
      this.#junk = 0;
    }
    judgeDot(this, transaction, reply);
  }

  /** The replies that rules of ours have for a message; none, if it is to be relayed. */
  objectionsTo(transaction: JudgedTransaction): readonly string[] {
    return objectionsTo(this.around, transaction, this.mailDataOf(transaction).data);
  }

  /** The session ends within mail data. */
  #endedWithin(transaction: JudgedTransaction, head: string): void {
    const isLast = /^421 4\.(?:4|3)\.2 /.test(head);
    const word = this.around.ledger.traced(head);
    const isObjection =
      word !== undefined ||
      [...this.objectionsTo(transaction), "552 5.3.4", "451 4.4.2"].some((own) => head.startsWith(own));
    if (!isLast && !isObjection) this.violated("a reply within mail data", head);
    if (/^[23]/.test(head)) this.violated("a message is accepted before its end", head);
    transaction.isOver = true;
    // What came of it stays to be compared with what the relay got.
    transaction.data = this.#input;
    transaction.isCutShort = true;
    this.#phase = "over";
  }

  told(word: RelayWord): void {
    this.around.told(this, word);
  }

  violated(invariant: string, detail: string): void {
    this.around.violated(invariant, `session ${this.session}: ${JSON.stringify(detail.slice(0, 400))}`);
  }
}
