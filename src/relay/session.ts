/**
 * The client half of SMTP, towards the relay, as a machine without sockets or clock: from the greeting through
 * EHLO, STARTTLS and AUTH (setup.ts) to `ready`, then mail after mail until it is lost or told to end.
 *
 * Contract: `receive(event, now)`, then `drain()` the actions, then ask `deadline()`. Orders come from a transaction
 * and are answered by reports in the same order. After the report `lost` nothing follows and every event is ignored.
 * A reply counts only for a command that was sent and has not been answered; anything else loses the connection, so
 * that no stray 250 is ever taken for the relay's word on a message.
 *
 * Not here: what each reply of the set-up leads to (setup.ts); which relay is dialled, and when again
 * (route.ts); the client's replies (failures.ts, mail/transaction.ts); keeping idle connections (shell/relay-pool.ts).
 * Rejected: pipelining the dot with the next MAIL. The relay's answer to the dot decides what we do next.
 * RFC 5321 §4.1, §4.5.3.2; RFC 2920; RFC 3207; RFC 4954.
 */

import { assert, unreachable } from "../lib/assert.ts";
import { tlsModes } from "../lib/tls-modes.ts";
import { maskSecrets, secretsOf } from "../smtp/masking.ts";
import { formatMail, formatRcpt } from "../smtp/relay-commands.ts";
import { describeReply, type Reply } from "../smtp/replies.ts";
import { ReplyReader } from "../smtp/reply-reader.ts";
import { isDemand } from "./demands.ts";
import { judgeDotAnswer } from "./dot-answer.ts";
import type { Failure } from "./failures.ts";
import type {
  RelayAction,
  RelayCommand,
  RelayEvent,
  RelayOrder,
  RelayReport,
  RelaySettings,
} from "./messages.ts";
import { RelaySetup, type SetupAwaited, type SetupMove } from "./setup.ts";

/** What the next reply belongs to. */
type Step = SetupAwaited | RelayCommand | "RSET";
/** "setup" up to `ready`; "open": commands may be sent; "mail-data": 354 was said; "over": of no use any more. */
type Phase = "setup" | "handshake" | "open" | "mail-data" | "over";

const endOfData = Buffer.from(".\r\n");
const CR = 0x0d;
const LF = 0x0a;

const noSecrets: readonly string[] = [];

export class RelaySession {
  readonly #settings: RelaySettings;
  readonly #setup: RelaySetup;
  readonly #reader = new ReplyReader();
  readonly #secrets: readonly string[];
  #actions: RelayAction[] | undefined;
  #phase: Phase = "setup";
  /** Commands sent and not answered, oldest first. */
  readonly #awaited: Step[] = [];
  /** Commands not sent yet, since the relay does not offer PIPELINING. Bounded by the client's MAX_RECIPIENTS. */
  readonly #waiting: { step: Step; line: string; shown: string }[] = [];
  /** Since when the oldest awaited reply is due; for "handshake" since when that runs. */
  #since: number;
  #congestedSince: number | undefined;
  #idleSince: number | undefined;
  /** MAIL was sent and neither the end of mail data nor RSET was answered since. */
  #mailOpen = false;
  /** Replies that came together are being taken. */
  #reading = false;
  /** The end of mail data was sent and is not answered. */
  #dotSent = false;
  /** Read behind the dot, and of no clear meaning before the next reply is whole. */
  #heldBack: readonly Reply[] | undefined;
  #releasing = false;
  /** The last two octets of mail data, for the assertion before the dot. */
  #lastOctet = 0;
  #lastButOneOctet = 0;

  /** `dialledAt`: the connect timeout runs from there up to the relay's greeting. */
  constructor(settings: RelaySettings, dialledAt: number) {
    this.#settings = settings;
    this.#secrets = settings.credentials === undefined ? noSecrets : secretsOf(settings.credentials);
    this.#setup = new RelaySetup(settings);
    this.#since = dialledAt;
  }

  receive(event: RelayEvent, now: number): void {
    if (this.#phase === "over") return;
    switch (event.type) {
      case "opened":
        this.#setUp(this.#setup.opened(), now);
        if (this.#isSecuring()) this.#secure();
        break;
      case "octets":
        this.#read(event.octets, event.unsent ?? false, now);
        break;
      case "secured":
        this.#handshakeDone(now);
        break;
      case "handshake-failed":
        this.#lose({ kind: "lost", detail: event.reason }, "terminate");
        break;
      case "ended":
      case "closed":
        this.#lose(
          { kind: "lost", detail: event.type === "ended" ? "closed by the relay" : event.reason },
          "terminate",
        );
        break;
      case "congested":
        this.#congestedSince ??= now;
        this.#report({ type: "congested" });
        break;
      case "progress":
        if (this.#congestedSince === undefined) this.#since = now;
        else this.#congestedSince = now;
        break;
      case "drained":
        this.#congestedSince = undefined;
        // What waits for a reply has only now gone out.
        this.#since = now;
        this.#report({ type: "drained" });
        break;
      case "time":
        if (now >= this.deadline()) this.#expire(now);
        break;
      case "dismissed":
        assert(this.#idleSince !== undefined, "only an idle connection is dismissed");
        this.#quit({ kind: "lost", detail: "dismissed" });
        break;
      case "order":
        this.#obey(event.order, now);
        break;
      default:
        unreachable(event);
    }
  }

  /** Hands the actions over, oldest first. */
  drain(): readonly RelayAction[] {
    const actions = this.#actions ?? [];
    this.#actions = undefined;
    return actions;
  }

  /** When to send a `time` event at the latest, in the milliseconds of `now`. */
  deadline(): number {
    if (this.#phase === "over") return Number.POSITIVE_INFINITY;
    if (this.#congestedSince !== undefined) return this.#congestedSince + this.#settings.replyTimeoutMs;
    const { connectTimeoutMs, replyTimeoutMs, idleTimeoutMs } = this.#settings;
    const [awaited] = this.#awaited;
    if (this.#phase === "handshake" || awaited === "greeting" || awaited === "STARTTLS") {
      return this.#since + connectTimeoutMs;
    }
    if (awaited !== undefined) return this.#since + replyTimeoutMs * (awaited === "end of mail data" ? 2 : 1);
    return this.#idleSince === undefined ? Number.POSITIVE_INFINITY : this.#idleSince + idleTimeoutMs;
  }

  #expire(now: number): void {
    const waitedMs = now - (this.#congestedSince ?? this.#idleSince ?? this.#since);
    const awaited = this.#congestedSince === undefined ? this.#awaited[0] : undefined;
    if (this.#phase === "handshake") {
      this.#lose({ kind: "timeout", awaited: "its end", waitedMs }, "terminate");
    } else if (awaited === undefined && this.#idleSince !== undefined) {
      this.#quit({ kind: "timeout", awaited: "the next mail", waitedMs });
    } else {
      const what = awaited === undefined ? "mail data to be read" : `the reply to ${awaited}`;
      const named = awaited === "greeting" ? "the greeting" : what;
      this.#lose({ kind: "timeout", awaited: named, waitedMs }, "terminate");
    }
  }

  // --- Orders ------------------------------------------------------------------------------------------------

  #obey(order: RelayOrder, now: number): void {
    assert(this.#phase === "open" || this.#phase === "mail-data", "orders follow `ready`");
    switch (order.order) {
      case "mail":
        assert(!this.#mailOpen && this.#awaited.length === 0, "MAIL starts a transaction");
        this.#mailOpen = true;
        this.#idleSince = undefined;
        this.#send(
          "MAIL",
          formatMail(order.path, order.parameters, order.traceOctets, this.#setup.offer),
          now,
        );
        break;
      case "rcpt":
        assert(this.#mailOpen, "RCPT follows MAIL");
        this.#send("RCPT", formatRcpt(order.address, order.parameters, this.#setup.offer), now);
        break;
      case "data":
        assert(this.#mailOpen && this.#awaited.length === 0, "DATA follows the answers to the envelope");
        this.#send("DATA", "DATA", now);
        break;
      case "octets":
        assert(this.#phase === "mail-data", "mail data follows 354");
        this.#writeMailData(order.octets, order.spent);
        break;
      case "end-of-data":
        assert(this.#phase === "mail-data", "the dot follows mail data");
        assert(
          this.#lastOctet === LF && this.#lastButOneOctet === CR,
          "the dot stands at the start of a line",
        );
        this.#phase = "open";
        if (this.#saidTooMuch()) break;
        this.#dotSent = true;
        this.#await("end of mail data", now);
        this.#emit({ type: "write", octets: endOfData });
        break;
      case "release":
        this.#release(now);
        break;
      case "drop":
        this.#phase = "over";
        this.#emit({ type: "terminate" });
        break;
      default:
        unreachable(order);
    }
  }

  #release(now: number): void {
    assert(this.#phase === "open" && !this.#awaited.includes("DATA"), "a release does not follow DATA");
    this.#releasing = true;
    // RCPT commands that were not sent yet are nobody's wish any more.
    this.#waiting.length = 0;
    if (this.#mailOpen) this.#send("RSET", "RSET", now);
    else if (this.#awaited.length === 0) this.#rest(now);
  }

  #rest(now: number): void {
    this.#releasing = false;
    this.#idleSince = now;
    if (this.#settings.idleTimeoutMs === 0) this.#quit({ kind: "lost", detail: "not kept" });
    else this.#report({ type: "idle" });
  }

  #writeMailData(octets: Buffer, spent: Buffer | undefined): void {
    if (octets.length === 0) return;
    this.#lastButOneOctet = octets.length > 1 ? octets.readUInt8(octets.length - 2) : this.#lastOctet;
    this.#lastOctet = octets.readUInt8(octets.length - 1);
    this.#emit({ type: "write", octets, spent });
  }

  // --- What the relay says -----------------------------------------------------------------------------------

  /** What is said in answer waits until all that the relay has said is read: no reply may answer what comes later. */
  #read(octets: Buffer, unsent: boolean, now: number): void {
    if (this.#phase === "handshake") {
      this.#lose({ kind: "garbled", detail: "octets before the TLS handshake" }, "terminate");
      return;
    }
    const { replies: read, defect } = this.#reader.push(octets, this.#lenientReplies());
    const fresh = this.#secrets.length === 0 ? read : read.map((reply) => this.#withoutSecrets(reply));
    const replies = this.#heldBack === undefined ? fresh : [...this.#heldBack, ...fresh];
    const hasMore = this.#reader.pendingOctets > 0;
    const asAnswer = this.#dotSent && !unsent ? judgeDotAnswer(replies, defect, hasMore) : "clear";
    this.#heldBack = asAnswer === "unfinished" ? replies : undefined;
    if (asAnswer === "unfinished") return;
    if (asAnswer === "doubtful") {
      this.#lose({ kind: "garbled", detail: "two replies to the end of mail data" }, "terminate");
      return;
    }
    this.#reading = true;
    for (const reply of replies) {
      if (this.#settings.logDialogue) this.#say("<", describeReply(reply));
      if (unsent && this.#awaited.length === 1) this.#unsolicited(reply);
      else this.#answered(reply, now);
      if (this.#isOver()) return;
    }
    this.#reading = false;
    if (defect !== undefined) this.#lose({ kind: "garbled", detail: `${defect} reply` }, "terminate");
    else if (!this.#isSecuring()) this.#sendWaiting(now);
    else if (!this.#saidTooMuch()) this.#secure();
  }

  /** A relay that repeats our credentials, in its 535 say, does not make them known. */
  #withoutSecrets({ code, lines: [first, ...others] }: Reply): Reply {
    const masked = (text: string): string => maskSecrets(text, this.#secrets);
    return { code, lines: [masked(first), ...others.map(masked)] };
  }

  /**
   * How many replies may be odd in form: those that are awaited, but never the answer to the end of mail data, nor what
   * is said within mail data, which could be taken for it. That is decided when the first octet of a reply is read: the
   * end of mail data is not sent while a part of one is there, so none that began before it can answer it.
   */
  #lenientReplies(): number {
    return this.#awaited.includes("end of mail data") ? 0 : this.#awaited.length;
  }

  #answered(reply: Reply, now: number): void {
    const step = this.#awaited.shift();
    this.#since = now;
    switch (step) {
      case undefined:
        this.#unsolicited(reply);
        break;
      case "MAIL":
      case "RCPT":
      case "DATA":
      case "end of mail data":
        this.#mailAnswered(step, reply, now);
        break;
      case "RSET":
        if (reply.code < 300) {
          this.#mailOpen = false;
          this.#rest(now);
        } else this.#quit({ kind: "garbled", detail: "RSET refused" });
        break;
      default:
        this.#setUp(this.#setup.answered(step, reply), now);
    }
  }

  #mailAnswered(to: RelayCommand, reply: Reply, now: number): void {
    const refused = reply.code >= 400;
    if (reply.code === 421) {
      this.#lose({ kind: "refused-early", reply }, "terminate");
    } else if (!refused && (to === "DATA" ? reply.code !== 354 : reply.code >= 300)) {
      this.#lose({ kind: "garbled", detail: `${reply.code} in answer to ${to}` }, "terminate");
    } else {
      if (to === "DATA" && !refused) this.#phase = "mail-data";
      if (to === "end of mail data") {
        this.#mailOpen = false;
        this.#dotSent = false;
      }
      if (isDemand(reply)) this.#report({ type: "demanded", reply });
      this.#report({ type: "reply", to, reply });
      if (this.#releasing && !this.#mailOpen && this.#awaited.length === 0) this.#rest(now);
    }
  }

  /**
   * Nothing was asked, or what was asked has not left yet. During mail data a refusal is the relay's honest word;
   * everything else breaks the protocol.
   */
  #unsolicited(reply: Reply): void {
    const within = this.#phase === "mail-data" || this.#dotSent;
    const honest = reply.code === 421 || (within && reply.code >= 400);
    if (honest) this.#dotSent = false;
    if (honest) this.#lose({ kind: "refused-early", reply }, "terminate");
    else this.#lose({ kind: "garbled", detail: `${reply.code} in answer to nothing` }, "terminate");
  }

  // --- Setting up --------------------------------------------------------------------------------------------

  #setUp(move: SetupMove, now: number): void {
    switch (move.move) {
      case "send":
        this.#send(move.step, move.line, now, move.shown);
        break;
      case "await-greeting":
        this.#awaited.push("greeting");
        break;
      case "handshake":
        this.#phase = "handshake";
        break;
      case "ready":
        this.#phase = "open";
        this.#report({ type: "ready", offer: this.#setup.offer, plaintext: move.plaintext });
        break;
      default:
        move.move satisfies "quit";
        this.#quit(move.failure);
    }
  }

  #secure(): void {
    this.#emit({ type: "secure", verify: tlsModes[this.#settings.tls].isVerified });
  }

  #handshakeDone(now: number): void {
    assert(this.#phase === "handshake", "a handshake was under way");
    this.#phase = "setup";
    this.#since = now;
    this.#setUp(this.#setup.secured(), now);
  }

  // --- Sending and ending ------------------------------------------------------------------------------------

  #send(step: Step, line: string, now: number, shown = line): void {
    this.#waiting.push({ step, line, shown });
    if (!this.#reading) this.#sendWaiting(now);
  }

  #sendWaiting(now: number): void {
    while (this.#waiting.length > 0 && (this.#awaited.length === 0 || this.#setup.offer.pipelining)) {
      if (this.#isOver() || this.#saidTooMuch()) return;
      const next = this.#waiting.shift();
      assert(next !== undefined, "a command was waiting");
      if (this.#settings.logDialogue) this.#say(">", next.shown);
      this.#await(next.step, now);
      this.#emit({ type: "write", octets: Buffer.from(`${next.line}\r\n`, "latin1") });
    }
  }

  /** Half a reply to nothing would become the reply to the command that follows: the connection is lost instead. */
  #saidTooMuch(): boolean {
    const tooMuch = this.#awaited.length === 0 && this.#reader.pendingOctets > 0;
    if (tooMuch) this.#lose({ kind: "garbled", detail: "half a reply in answer to nothing" }, "terminate");
    return tooMuch;
  }

  #await(step: Step, now: number): void {
    if (this.#awaited.length === 0) this.#since = now;
    this.#awaited.push(step);
  }

  #quit(failure: Failure): void {
    if (this.#settings.logDialogue) this.#say(">", "QUIT");
    this.#emit({ type: "write", octets: Buffer.from("QUIT\r\n") });
    this.#lose(failure, "close");
  }

  #lose(failure: Failure, end: "close" | "terminate"): void {
    this.#phase = "over";
    this.#emit({ type: end });
    this.#report({ type: "lost", failure: this.#setup.explain(failure), dotSent: this.#dotSent });
  }

  // Methods, for the compiler does not see that a call in between may have changed the phase.
  #isOver(): boolean {
    return this.#phase === "over";
  }

  #isSecuring(): boolean {
    return this.#phase === "handshake";
  }

  #emit(action: RelayAction): void {
    if (this.#actions === undefined) this.#actions = [action];
    else this.#actions.push(action);
  }

  #report(report: RelayReport): void {
    this.#emit({ type: "report", report });
  }

  #say(direction: "<" | ">", text: string): void {
    this.#emit({ type: "dialogue", direction, text });
  }
}
