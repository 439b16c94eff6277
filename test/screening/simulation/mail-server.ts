/**
 * A client that behaves: it waits for the greeting and for answers, and pipelines as it was offered. Whatever it hears
 * has to be a welcome, an acceptance, a “later”, or one of the limits that it reached itself.
 */
import type { LogEvent } from "../../../src/ops/events.ts";
import { Peer } from "./peer.ts";
import type { SimulatedServer } from "./server.ts";

export interface Manners {
  readonly kind: string;
  readonly address: string;
  readonly latencyMs: number;
  /** How long it thinks before it speaks; 0: it speaks in the instant in which it hears. */
  readonly thinkMs: number;
  readonly mails: number;
  readonly pipelines: boolean;
  /** Says HELO. */
  readonly isOld: boolean;
  readonly wantsTls: boolean;
  /** Octets a second of mail data; 0: at once. */
  readonly rate: number;
  readonly faultAfterMs: number | undefined;
}

type Step = "greeting" | "hello" | "STARTTLS" | "MAIL" | "RCPT" | "DATA" | "dot" | "RSET" | "QUIT";

/** The most that is said before 421 is a fault of the proxy's; see `replied`. */
const laterCodes: ReadonlySet<number> = new Set([421, 450, 451, 452]);

export class MailServer extends Peer {
  readonly #manners: Manners;
  readonly #awaited: Step[] = ["greeting"];
  #mailsLeft: number;
  #isSecured = false;
  #accepted = 0;
  #sentAway = false;
  #isDone = false;
  readonly #startedAt: number;

  constructor(server: SimulatedServer, manners: Manners) {
    super(server, manners.kind, manners.address, manners.latencyMs);
    this.#manners = manners;
    this.#mailsLeft = manners.mails;
    this.#startedAt = server.clock.now;
  }

  protected override begin(): void {
    const { faultAfterMs } = this.#manners;
    if (faultAfterMs !== undefined) this.failAfter(faultAfterMs);
  }

  override logged(event: LogEvent): void {
    this.must(event.event !== "screening", "nothing is found");
  }

  protected override replied(code: number, lines: readonly string[]): void {
    if (code === 421) {
      this.must(
        /^421 4\.(3\.2 too many|7\.0 too many connections)/.test(lines[0] ?? ""),
        "it is not sent away",
      );
      this.#sentAway = true;
      return;
    }
    const step = this.#awaited.shift();
    this.must(step !== undefined, "nothing is said that was not asked");
    const refusedByAll = step === "DATA" && lines[0] === "503 5.5.1 no valid recipients";
    const deferredByMail = step === "DATA" && code === 451;
    this.must(code < 400 || laterCodes.has(code) || refusedByAll || deferredByMail, `${step} is not refused`);
    this.server.count("good replies");
    this.#next(step, code, lines);
  }

  #next(step: Step, code: number, lines: readonly string[]): void {
    switch (step) {
      case "greeting": {
        this.server.count(lines.length === 1 ? "greeted at once" : "greeted in two lines");
        const waitedMs = this.clock.now - this.#startedAt;
        if (lines.length === 2 && waitedMs < 5000) this.server.count("greeted early for an allowlist");
        this.#speak(this.#hello, "hello");
        break;
      }
      case "hello":
        if (this.#manners.wantsTls && !this.#isSecured && lines.some((line) => line.endsWith("STARTTLS"))) {
          this.#speak("STARTTLS\r\n", "STARTTLS");
        } else {
          this.#mail();
        }
        break;
      case "STARTTLS":
        break;
      case "MAIL":
        if (!this.#manners.pipelines) this.#speak("RCPT TO:<x@example.org>\r\n", "RCPT");
        break;
      case "RCPT":
        if (code < 300) this.#accepted += 1;
        if (this.#manners.pipelines) break;
        if (this.#accepted > 0) this.#speak("DATA\r\n", "DATA");
        else this.#giveUp();
        break;
      case "DATA":
        if (code === 354) this.#body();
        else this.#giveUp();
        break;
      case "dot":
        this.server.count(code === 250 ? "mails of good clients" : "mails deferred");
        this.#after();
        break;
      case "RSET":
        this.#after();
        break;
      case "QUIT":
        this.#isDone = true;
        break;
    }
  }

  get #hello(): string {
    return this.#manners.isOld ? "HELO mail.example\r\n" : "EHLO mail.example\r\n";
  }

  override secured(): void {
    this.#isSecured = true;
    this.#speak(this.#hello, "hello");
  }

  #mail(): void {
    this.#mailsLeft -= 1;
    this.#accepted = 0;
    if (!this.#manners.pipelines) {
      this.#speak("MAIL FROM:<a@mail.example>\r\n", "MAIL");
      return;
    }
    const recipients = this.chance.between(1, 5);
    const rcpt = Array.from({ length: recipients }, (_, index) => `RCPT TO:<x${index}@example.org>\r\n`);
    this.#speak(
      `MAIL FROM:<a@mail.example>\r\n${rcpt.join("")}DATA\r\n`,
      "MAIL",
      ...rcpt.map(() => "RCPT" as const),
      "DATA",
    );
  }

  #body(): void {
    const { rate } = this.#manners;
    const line = `${"x".repeat(70)}\r\n`;
    const lines = this.chance.between(0, rate === 0 ? 100 : 700);
    if (rate === 0) {
      this.#speak(`${line.repeat(lines)}.\r\n`, "dot");
      return;
    }
    this.#awaited.push("dot");
    const perPiece = Math.max(1, Math.round(rate / line.length));
    const piece = (left: number): void => {
      if (this.isClosed || this.fault !== undefined) return;
      if (left <= 0) this.say(".\r\n");
      else {
        this.say(line.repeat(Math.min(left, perPiece)));
        this.clock.after((1000 * perPiece * line.length) / rate, () => piece(left - perPiece));
      }
    };
    piece(lines);
  }

  /** Everybody was refused for now. */
  #giveUp(): void {
    this.server.count("mails deferred");
    this.#speak("RSET\r\n", "RSET");
  }

  #after(): void {
    if (this.#mailsLeft > 0) this.#mail();
    else this.#speak("QUIT\r\n", "QUIT");
  }

  #speak(text: string, ...awaited: Step[]): void {
    const { thinkMs } = this.#manners;
    const say = (): void => {
      if (this.isClosed || this.fault !== undefined) return;
      this.#awaited.push(...awaited);
      this.say(text);
    };
    if (thinkMs === 0) say();
    else this.clock.after(this.chance.between(0, thinkMs), say);
  }

  protected override over(): void {
    const isFair = this.#isDone || this.#sentAway || this.fault !== undefined;
    this.must(isFair, "it is not closed before it is through");
    this.must(this.connection?.wasTarpitted !== true, "it is not held");
    if (this.#isDone) this.server.count(`through: ${this.kind}`);
  }
}
