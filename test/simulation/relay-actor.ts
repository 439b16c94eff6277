/**
 * Plays a relay on one connection: an honest, strict SMTP server, that fails in its duties where its script has it.
 * Being strict, it is an oracle too: whatever is no well-formed command of the few that the program may send, or stands
 * where none may stand, is a violation. What it takes is written into the ledger.
 */
import type { End, Peer } from "./network.ts";
import {
  type RelayMessage,
  type RelayWord,
  speaksOutOfTurn,
  splitTrace,
  transactionOf,
} from "./relay-ledger.ts";
import { commandPatterns, type Duty, type RelaySurroundings, unasked } from "./relay-surroundings.ts";
import { RelayVoice, wire } from "./relay-voice.ts";
import type { Leaving, RelayConnectionScript, RelayDeed, RelayStep } from "./scenario.ts";

export class RelayActor implements Peer {
  readonly #around: RelaySurroundings;
  readonly #script: RelayConnectionScript;
  readonly #end: End;
  readonly #number: number;
  readonly #counts = new Map<RelayStep, number>();
  #input = "";
  #mode: "command" | "data-asked" | "data" | "auth" | "handshake" | "quit" = "command";
  #greeted = false;
  #authLines = 0;
  /** What it said to EHLO. */
  #offered: readonly string[] = [];
  #mail: { from: string; parameters: string; recipients: string[] } | undefined;
  #data: string[] = [];
  #dataOctets = 0;
  #dataTail = "\r\n";
  #answeredBefore = false;
  /** The last message, while nothing was said to it. */
  #unanswered: RelayMessage | undefined;
  readonly #voice: RelayVoice;
  #idle: { cancel(): void } | undefined;
  #gone = false;

  constructor(around: RelaySurroundings, script: RelayConnectionScript, end: End) {
    this.#around = around;
    this.#script = script;
    this.#end = end;
    this.#number = around.ledger.newConnection();
    this.#voice = new RelayVoice(around.clock, script.pieces, {
      says: (octets, word) => this.#says(octets, word),
      said: (word) => this.#said(word),
    });
    around.clock.timer(0, () => {
      if (around.implicitTls) this.#secure();
      else this.#duty("greeting", 220, ["relay.example ESMTP"]);
    });
  }

  // --- What it hears ---------------------------------------------------------------------------------------------

  octets(octets: Buffer): void {
    this.#around.history(`relay #${this.#number} hears`, octets);
    this.#around.ledger.lastEventAt = this.#around.clock.now;
    this.#idle?.cancel();
    let text = octets.toString("latin1");
    while (text !== "") {
      if (this.#mode === "data") text = this.#takeData(text);
      else text = this.#takeLine(text);
    }
  }

  ended(): void {
    this.#around.history(`relay #${this.#number} hears FIN`);
    this.#endMailData();
    this.#around.clock.timer(1, () => this.#leave("fin"));
  }

  secured(): void {
    this.#mode = "command";
    this.#input = "";
    if (this.#around.implicitTls) this.#duty("greeting", 220, ["relay.example ESMTP"]);
  }

  handshakeFailed(reason: string): void {
    this.#around.history(`relay #${this.#number}: handshake failed: ${reason}`);
  }

  closed(reason: string): void {
    this.#around.history(`relay #${this.#number} closed: ${reason}`);
    this.#endMailData();
    this.#gone = true;
    this.#voice.silence();
    this.#idle?.cancel();
  }

  #endMailData(): void {
    if (this.#mode !== "data" || this.#data.length === 0) return;
    this.#around.gotPart(this.#data.join(""));
    this.#data = [];
  }

  #takeLine(text: string): string {
    const lf = text.indexOf("\n");
    if (lf === -1) {
      this.#input += text;
      if (this.#input.length > 4_096) this.#violated("an overlong command", this.#input.slice(0, 80));
      return "";
    }
    const line = this.#input + text.slice(0, lf + 1);
    this.#input = "";
    this.#command(line);
    return text.slice(lf + 1);
  }

  #command(raw: string): void {
    const line = raw.slice(0, -2);
    if (!raw.endsWith("\r\n") || /[\0\r\n]/.test(line)) this.#violated("a command with stray line ends", raw);
    if (speaksOutOfTurn(this.#script.kind) && this.#mode !== "auth" && this.#mode !== "command") return;
    if (this.#mode === "data-asked" || this.#mode === "quit" || this.#mode === "handshake") {
      // Once it said what cannot answer DATA, the program is on its way out.
      this.#violated(`a command within ${this.#mode}`, raw);
      return;
    }
    if (this.#mode === "auth") {
      this.#authContinued();
      return;
    }
    for (const [step, pattern] of commandPatterns) {
      const [found, argument = "", parameters = ""] = pattern.exec(line) ?? [];
      if (found !== undefined) {
        this.#obey(step, argument, parameters);
        return;
      }
    }
    this.#violated("no command that the program may send", raw);
  }

  #obey(step: RelayStep, argument: string, parameters: string): void {
    if (!this.#greeted) this.#violated("a command before the greeting", step);
    if (/smuggled/.test(argument)) this.#violated("a smuggled command", `${step} ${argument}`);
    switch (step) {
      case "EHLO":
      case "HELO":
        if (argument !== this.#around.serverName) this.#violated("a wrong name in EHLO", argument);
        this.#mail = undefined;
        this.#duty(
          step,
          250,
          ["relay.example", ...(step === "EHLO" ? this.#offers() : [])],
          undefined,
          (_, text) => {
            this.#offered = text.slice(1);
          },
        );
        break;
      case "STARTTLS":
        this.#mode = "handshake";
        this.#duty(step, 220, ["2.0.0 go ahead"], undefined, (code) => {
          if (code === 220) this.#secure();
          else this.#mode = "command";
        });
        break;
      case "AUTH":
        if (!this.#end.isSecure) this.#violated("credentials in the clear", argument);
        if (argument === "LOGIN") {
          this.#mode = "auth";
          this.#authLines = 0;
          this.#askForMore();
        } else {
          this.#duty("AUTH", 235, ["2.7.0 welcome"]);
        }
        break;
      case "MAIL":
        if (this.#mail !== undefined) this.#violated("MAIL within a transaction", argument);
        this.#around.asked("MAIL", argument);
        this.#mail = { from: argument, parameters, recipients: [] };
        this.#duty(step, 250, ["2.1.0 sender ok"], undefined, (code) => {
          if (code < 200 || code > 299) this.#mail = undefined;
        });
        break;
      case "RCPT": {
        this.#around.asked("RCPT", argument);
        const { recipients = [] } = this.#mail ?? {};
        const code = this.#mail === undefined ? 503 : 250;
        this.#duty(
          step,
          code,
          [code === 250 ? "2.1.5 recipient ok" : "5.5.1 MAIL first"],
          argument,
          (said) => {
            if (said >= 200 && said <= 299) recipients.push(argument);
          },
        );
        break;
      }
      case "DATA":
        this.#dataAsked();
        break;
      case "RSET":
        this.#mail = undefined;
        this.#duty(step, 250, ["2.0.0 reset"], undefined, () => this.#rest());
        break;
      case "QUIT":
        this.#mode = "quit";
        this.#duty(step, 221, ["2.0.0 bye"], undefined, () => this.#leave("fin"));
        break;
    }
  }

  #offers(): readonly string[] {
    const { offers } = this.#script;
    return this.#end.isSecure ? offers.filter((offer) => offer !== "STARTTLS") : offers;
  }

  #askForMore(): void {
    this.#duty("AUTH", 334, ["VXNlcm5hbWU6"], undefined, (code) => {
      if (code !== 334) this.#mode = "command";
    });
  }

  #authContinued(): void {
    this.#authLines += 1;
    if (this.#authLines < 2) {
      this.#askForMore();
      return;
    }
    this.#mode = "command";
    this.#duty("AUTH", 235, ["2.7.0 welcome"]);
  }

  #dataAsked(): void {
    if (
      (this.#mail === undefined || this.#mail.recipients.length === 0) &&
      !speaksOutOfTurn(this.#script.kind)
    ) {
      this.#violated("DATA without a recipient", "");
    }
    this.#mode = "data-asked";
    this.#duty("DATA", 354, ["go ahead"], undefined, (code) => {
      if (code !== 354) {
        this.#mode = "command";
        return;
      }
      this.#mode = "data";
      this.#data = [];
      this.#dataOctets = 0;
      this.#dataTail = "\r\n";
      this.#answeredBefore = false;
      this.#within(0);
    });
  }

  /** Takes mail data. Returns what stands behind its end. */
  #takeData(text: string): string {
    const search = this.#dataTail + text;
    const at = search.indexOf("\r\n.\r\n");
    if (at === -1) {
      this.#data.push(text);
      this.#dataTail = search.slice(-4);
      this.#within(text.length);
      return "";
    }
    const taken = at + 5 - this.#dataTail.length;
    this.#data.push(text.slice(0, taken));
    const data = this.#data.join("").slice(0, -3);
    this.#mode = "command";
    this.#data = [];
    this.#within(taken);
    this.#gotMessage(data);
    return text.slice(taken);
  }

  #gotMessage(data: string): void {
    const { kind } = this.#script;
    const { from = "", recipients = [], parameters = "" } = this.#mail ?? {};
    const message: RelayMessage = {
      connection: this.#number,
      kind,
      from,
      mailParameters: parameters,
      offers: this.#offered,
      recipients: [...recipients],
      data,
      transaction: transactionOf(splitTrace(data)?.trace ?? ""),
      isAnsweredBefore: this.#answeredBefore,
      acceptance: undefined,
      isTaken: false,
    };
    this.#mail = undefined;
    this.#around.ledger.messages.push(message);
    this.#unanswered = message;
    this.#around.gotMessage(message);
    if (this.#answeredBefore) return;
    this.#duty("dot", 250, ["2.0.0 queued"], undefined, () => this.#rest(), message);
  }

  /** So much more of the mail data came. */
  #within(octets: number): void {
    const before = this.#dataOctets;
    this.#dataOctets += octets;
    const nth = this.#counts.get("dot") ?? 0;
    for (const deed of this.#script.deeds) {
      const isDue = deed.after === 0 ? octets === 0 : before < deed.after && this.#dataOctets >= deed.after;
      if (deed.at !== "body" || !isDue || (deed.nth !== 0 && deed.nth !== nth + 1)) continue;
      if (deed.deed.do === "say" && deed.deed.code >= 400) this.#answeredBefore = true;
      this.#misbehave(deed, unasked("body", 250, "2.0.0 within"));
    }
  }

  #rest(): void {
    this.#idle?.cancel();
    const nth = (this.#counts.get("idle") ?? 0) + 1;
    const deed = this.#script.deeds.find((one) => one.at === "idle" && (one.nth === 0 || one.nth === nth));
    if (deed === undefined) return;
    this.#idle = this.#around.clock.timer(deed.after, () => {
      this.#counts.set("idle", nth);
      this.#misbehave(deed, unasked("idle", 421, "4.4.2 idle"));
    });
  }

  #secure(): void {
    this.#mode = "handshake";
    this.#input = "";
    this.#end.startTls("server", this.#script.tls);
  }

  // --- What it says ----------------------------------------------------------------------------------------------

  /** Does what is due at a step, or what the script has instead. `then` hears the code that was said. */
  #duty(
    step: RelayStep,
    code: number,
    text: readonly string[],
    address?: string,
    then: Duty["done"] = () => {},
    message?: RelayMessage,
  ): void {
    const nth = (this.#counts.get(step) ?? 0) + 1;
    this.#counts.set(step, nth);
    const deed = this.#script.deeds.find((one) => one.at === step && (one.nth === 0 || one.nth === nth));
    const duty: Duty = { step, code, text, address, done: then, message };
    if (deed === undefined) this.#reply(duty);
    else this.#misbehave(deed, duty);
  }

  #misbehave({ deed }: RelayDeed, duty: Duty): void {
    switch (deed.do) {
      case "say":
        this.#reply({ ...duty, code: deed.code, text: [deed.text] });
        if (deed.leaving !== undefined) this.#leaveBehind(deed.leaving);
        break;
      case "late":
        this.#voice.utter({ octets: "", delayMs: deed.ms });
        this.#reply(duty);
        break;
      case "twice":
        this.#reply(duty);
        this.#reply({ ...duty, done: () => {}, message: undefined });
        break;
      case "babble":
        this.#around.ledger.babbles.push(deed.octets);
        this.#voice.utter({
          octets: deed.octets,
          delayMs: this.#script.replyMs,
          done: () => {
            const code = codeOf(deed.octets);
            if (duty.step === "greeting" && code !== 0) this.#greeted = true;
            duty.done(code, []);
          },
        });
        if (deed.leaving !== undefined) this.#leaveBehind(deed.leaving);
        break;
      case "half":
        if (duty.message !== undefined && duty.code < 300) duty.message.isTaken = true;
        this.#voice.utter({
          octets: wire(this.#word(duty)).slice(0, deed.octets),
          delayMs: this.#script.replyMs,
        });
        this.#leaveBehind(deed.leaving);
        break;
      case "leave":
        this.#leaveBehind(deed.how);
        break;
      case "duty-and-leave":
        this.#reply(duty);
        this.#leaveBehind(deed.how);
        break;
      case "deaf":
        this.#end.pause();
        this.#around.clock.timer(deed.ms, () => this.#end.resume());
        if (duty.step !== "body" && duty.step !== "idle") this.#reply(duty);
        break;
    }
  }

  #word({ step, code, text, address, message }: Duty): RelayWord {
    const { kind, multiLine } = this.#script;
    const lines = multiLine === true && step !== "EHLO" ? ["first line", ...text, "last line"] : text;
    return this.#around.ledger.word({
      connection: this.#number,
      kind,
      step,
      code,
      text: lines,
      address,
      message,
    });
  }

  #reply(duty: Duty): void {
    const word = this.#word(duty);
    this.#voice.utter({
      octets: wire(word),
      delayMs: this.#script.replyMs,
      word,
      done: () => duty.done(duty.code, duty.text),
    });
  }

  #leaveBehind(how: Leaving): void {
    this.#voice.utter({ octets: "", delayMs: 0, done: () => this.#leave(how) });
  }

  #says(octets: Buffer, word: RelayWord | undefined): void {
    // What was meant to come early comes in time, if the end of mail data is there by now.
    if (word?.step === "body" && this.#mode !== "data") word.message ??= this.#unanswered;
    if (word?.message !== undefined && word.code < 300) word.message.isTaken = true;
    this.#around.history(`relay #${this.#number} says`, octets);
    this.#around.ledger.lastEventAt = this.#around.clock.now;
    this.#end.write(octets);
  }

  #said(word: RelayWord): void {
    word.isWhole = true;
    if (word.message !== undefined) this.#unanswered = undefined;
    if (word.step === "greeting") this.#greeted = true;
    if (word.message !== undefined && word.code >= 200 && word.code < 300) {
      word.message.acceptance ??= word;
    }
  }

  #leave(how: Leaving): void {
    if (this.#gone) return;
    this.#around.history(`relay #${this.#number} leaves: ${how}`);
    if (how === "fin") this.#end.fin();
    else {
      this.#gone = true;
      this.#voice.silence();
    }
    if (how === "reset") this.#end.reset();
    else if (how === "close") this.#end.close();
  }

  #violated(invariant: string, detail: string): void {
    this.#around.violated(invariant, `relay connection ${this.#number}: ${JSON.stringify(detail)}`);
  }
}

/** What ends in a line with a code is that reply, whatever control characters or other lines are in it; else 0. */
function codeOf(babble: string): number {
  return Number(/(?:^|\n)([2-5]\d\d) [^\n]*\r\n$/.exec(babble)?.[1] ?? 0);
}
