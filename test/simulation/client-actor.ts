/**
 * Plays one client: speaks the octets of its script, reads replies, and leaves as the script has it.
 * It knows as much of SMTP as it needs to wait for a reply to each command, and judges nothing.
 */
import type { Clock } from "./clock.ts";
import type { End, Peer } from "./network.ts";
import { type ClientScript, type ClientStep, type Leaving, type MailScript, mailDataOf } from "./scenario.ts";

/** What a script waits for. */
type Wait =
  | { readonly wait: "replies" }
  | { readonly wait: "greeting" }
  | { readonly wait: "time"; readonly ms: number }
  | { readonly wait: "handshake" }
  | { readonly wait: "for-ever" };

export interface ClientHistory {
  said(octets: Buffer): void;
  heard(octets: Buffer): void;
  note(what: string): void;
}

/** A client's own FIN, in answer to the program's, comes so much later. */
const finMs = 5;

export class ClientActor implements Peer {
  readonly #clock: Clock;
  readonly #script: ClientScript;
  readonly #end: End;
  readonly #history: ClientHistory;
  readonly #play: Iterator<Wait, void>;
  #wait: Wait | undefined;
  #woken: { cancel(): void } | undefined;
  #patience: { cancel(): void } | undefined;
  #greeted = false;
  /** Replies that are due. */
  #due = 0;
  #lastCode = 0;
  #heard = "";
  #handshake: "none" | "running" | "secured" | "failed" = "none";
  #saidOctets = 0;
  #queue: Buffer[] = [];
  #sending = false;
  #gone = false;
  /** How it leaves once what it wrote is out. */
  #leaving: Leaving | undefined;

  constructor(clock: Clock, script: ClientScript, end: End, history: ClientHistory) {
    this.#clock = clock;
    this.#script = script;
    this.#end = end;
    this.#history = history;
    this.#play = this.#steps();
    // Nothing is done from within `connect`.
    clock.timer(0, () => this.#advance());
  }

  octets(octets: Buffer): void {
    // Behind STARTTLS only TLS is heard; an alert in the clear is no reply.
    if (this.#handshake !== "none" && !this.#end.isSecure) return;
    this.#history.heard(octets);
    this.#heard += octets.toString("latin1");
    for (let lf = this.#heard.indexOf("\n"); lf !== -1; lf = this.#heard.indexOf("\n")) {
      const line = this.#heard.slice(0, lf);
      this.#heard = this.#heard.slice(lf + 1);
      if (line[3] === "-") continue;
      this.#lastCode = Number(line.slice(0, 3));
      if (!this.#greeted) this.#greeted = true;
      else this.#due -= 1;
    }
    this.#look();
  }

  ended(): void {
    this.#history.note("hears FIN");
    if (this.#script.holdsOn === true) return;
    this.#clock.timer(finMs, () => this.#leave("fin"));
  }

  secured(): void {
    this.#handshake = "secured";
    this.#look();
  }

  handshakeFailed(reason: string): void {
    this.#history.note(`handshake failed: ${reason}`);
    this.#handshake = "failed";
    this.#look();
  }

  closed(reason: string): void {
    this.#history.note(`closed: ${reason}`);
    this.#gone = true;
    this.#woken?.cancel();
    this.#patience?.cancel();
  }

  // --- The script ------------------------------------------------------------------------------------------------

  #advance(): void {
    if (this.#gone) return;
    const { value, done } = this.#play.next();
    this.#wait = done === true ? { wait: "for-ever" } : value;
    this.#woken?.cancel();
    this.#patience?.cancel();
    if (this.#wait?.wait === "time") {
      this.#woken = this.#clock.timer(this.#wait.ms, () => this.#advance());
    } else {
      this.#patience = this.#clock.timer(this.#script.patienceMs, () => this.#leave("close"));
      this.#look();
    }
  }

  /** Goes on if what is waited for is there. */
  #look(): void {
    const isThere =
      (this.#wait?.wait === "greeting" && this.#greeted) ||
      (this.#wait?.wait === "replies" && this.#due <= 0) ||
      (this.#wait?.wait === "handshake" && this.#handshake !== "running");
    if (!isThere) return;
    this.#wait = undefined;
    this.#clock.timer(0, () => this.#advance());
  }

  *#steps(): Generator<Wait, void> {
    for (const step of this.#script.steps) {
      if (this.#leaving !== undefined) return;
      yield* this.#step(step);
    }
  }

  *#step(step: ClientStep): Generator<Wait, void> {
    switch (step.step) {
      case "greeting":
        yield { wait: "greeting" };
        break;
      case "say":
        this.#say(`${step.line}\r\n`, 1);
        if (step.await) yield* this.#replies();
        break;
      case "octets":
        this.#say(step.octets, step.replies);
        if (step.replies > 0) yield* this.#replies();
        break;
      case "mail":
        yield* this.#mail(step.mail);
        break;
      case "starttls":
        this.#say(`STARTTLS\r\n${step.behind === "command" ? "NOOP\r\n" : ""}`, 1);
        yield* this.#replies();
        if (this.#lastCode !== 220) break;
        if (step.behind === "reply") this.#say("NOOP\r\n", 0);
        this.#handshake = "running";
        this.#end.startTls("client", step.how);
        yield { wait: "handshake" };
        break;
      case "wait":
        yield { wait: "time", ms: step.ms };
        break;
      case "deaf":
        this.#end.pause();
        yield { wait: "time", ms: step.ms };
        this.#end.resume();
        break;
      case "leave":
        this.#depart(step.how);
        break;
    }
  }

  *#mail(mail: MailScript): Generator<Wait, void> {
    const { style, to } = mail;
    const commands = [
      `MAIL FROM:<${mail.from}>${mail.parameters}\r\n`,
      ...to.map((address) => `RCPT TO:<${address}>${mail.rcptParameters}\r\n`),
    ];
    const octets = `${mailDataOf(mail)}.\r\n`;
    if (style === "blind") {
      this.#say(`${commands.join("")}DATA\r\n${octets}`, commands.length + 2);
      yield* this.#replies();
      return;
    }
    if (style === "pipelined") {
      this.#say(`${commands.join("")}DATA\r\n`, commands.length + 1);
      yield* this.#replies();
    } else {
      let accepted = 0;
      for (const command of commands) {
        this.#say(command, 1);
        yield* this.#replies();
        if (this.#lastCode < 300) accepted += 1;
      }
      if (accepted > 1) this.#say("DATA\r\n", 1);
      else this.#say("RSET\r\n", 1);
      yield* this.#replies();
    }
    if (this.#lastCode !== 354) {
      // A transaction that is still open would stand in the way of the next one.
      if (style === "pipelined") {
        this.#say("RSET\r\n", 1);
        yield* this.#replies();
      }
      return;
    }
    this.#say(`${octets}${mail.behind?.octets ?? ""}`, 1 + (mail.behind?.replies ?? 0));
    if (mail.leaves !== undefined) this.#depart(mail.leaves);
    else if (mail.goesOn !== true) yield* this.#replies();
  }

  *#replies(): Generator<Wait, void> {
    yield { wait: "replies" };
  }

  // --- Octets ----------------------------------------------------------------------------------------------------

  #say(octets: string, replies: number): void {
    this.#due += replies;
    this.#queue.push(Buffer.from(octets, "latin1"));
    this.#send();
  }

  /** Writes what is queued at the pace of the script, up to where the client vanishes. */
  #send(): void {
    if (this.#sending) return;
    const { pace } = this.#script;
    for (let octets = this.#queue.shift(); octets !== undefined; octets = this.#queue.shift()) {
      const piece = pace === undefined ? octets : octets.subarray(0, pieceOctets(octets, pace));
      if (piece.length < octets.length) this.#queue.unshift(octets.subarray(piece.length));
      this.#write(piece);
      if (this.#gone) return;
      if (pace !== undefined) {
        this.#sending = true;
        this.#clock.timer(pace.pauseMs, () => {
          this.#sending = false;
          this.#send();
        });
        return;
      }
    }
    if (this.#leaving !== undefined) this.#leave(this.#leaving);
  }

  #write(octets: Buffer): void {
    const { vanishes } = this.#script;
    const left = vanishes === undefined ? octets.length : vanishes.afterOctets - this.#saidOctets;
    const said = left < octets.length ? octets.subarray(0, left) : octets;
    this.#saidOctets += said.length;
    if (said.length > 0 && !this.#gone) {
      this.#history.said(said);
      this.#end.write(said);
    }
    if (vanishes !== undefined && this.#saidOctets >= vanishes.afterOctets) this.#leave(vanishes.how);
  }

  /** Leaves behind all that was said. */
  #depart(how: Leaving): void {
    this.#leaving = how;
    this.#send();
  }

  #leave(how: Leaving): void {
    if (this.#gone) return;
    this.#history.note(`leaves: ${how}`);
    if (how === "reset") this.#end.reset();
    else if (how === "fin") this.#end.fin();
    else if (how === "close") this.#end.close();
    this.#queue = [];
    if (how !== "fin") this.#gone = how !== "silence" || this.#gone;
    this.#wait = { wait: "for-ever" };
    this.#leaving = "silence";
  }
}

function pieceOctets(
  octets: Buffer,
  { octets: atLeast, wholeLines }: NonNullable<ClientScript["pace"]>,
): number {
  const lf = wholeLines === true ? octets.indexOf("\n", atLeast - 1) : atLeast - 1;
  return lf === -1 ? octets.length : lf + 1;
}
