/** The clients that the screening is for. What each must not reach, and when it must be gone, is said with it. */
import { Peer } from "./peer.ts";
import type { SimulatedServer } from "./server.ts";

const second = 1000;

export interface Timing {
  readonly greetingDelayMs: number;
  readonly commandTimeoutMs: number;
  readonly dnsblTimeoutMs: number;
  readonly tarpitDurationMs: number;
}

/** Scripts against a patient server: what to say to which reply. */
abstract class Spammer extends Peer {
  protected readonly timing: Timing;
  readonly #until: number;

  /** `staysMs`: by then at the latest it is gone, whatever it does; the tarpit's time is added. */
  constructor(server: SimulatedServer, kind: string, address: string, timing: Timing, staysMs: number) {
    super(server, kind, address, server.chance.between(0, 300));
    this.timing = timing;
    // A late wake or two, the way of the octets, and an orderly end.
    this.#until = server.clock.now + staysMs + timing.tarpitDurationMs + 7 * second;
  }

  protected override replied(_code: number, _lines: readonly string[]): void {}

  protected override over(): void {
    this.must(this.clock.now <= this.#until, "it is gone in time");
    this.server.count(`gone: ${this.kind}`);
  }

  protected mustHaveNoRelay(): void {
    this.must(this.connection === undefined || this.connection.relayOrders === 0, "no relay hears of it");
  }
}

const session =
  "EHLO spam.example\r\nMAIL FROM:<a@spam.example>\r\nRCPT TO:<x@example.org>\r\nDATA\r\nspam\r\n.\r\nQUIT\r\n";

/** Speaks before the greeting is over. */
export class EarlyTalker extends Spammer {
  constructor(server: SimulatedServer, address: string, timing: Timing) {
    super(server, "early talker", address, timing, timing.greetingDelayMs);
  }

  protected override begin(): void {
    if (this.chance.happens(0.1)) this.failAfter(this.chance.between(0, 10 * second));
    const { greetingDelayMs } = this.timing;
    const says = this.chance.one("E", "EHLO spam.example\r\n", session, "\r\n", "EHL", "NOOP\r\n".repeat(3));
    const connection = this.connection;
    const at =
      this.clock.now + this.chance.one(0, this.chance.between(0, greetingDelayMs - 1), greetingDelayMs - 1);
    this.clock.at(at, () => connection?.octets(Buffer.from(says)));
    // And goes on as if it had been answered.
    this.clock.at(at + this.chance.between(0, 8 * second), () => connection?.octets(Buffer.from(session)));
  }

  protected override replied(code: number, lines: readonly string[]): void {
    this.must(code === 554 || code === 421, "it is never greeted");
    if (code === 554) this.must(lines.at(-1)?.startsWith("554 5.5.1 you spoke") === true, "it is told why");
    this.server.count(`early talker told ${code}`);
  }

  protected override over(): void {
    this.mustHaveNoRelay();
    super.over();
  }
}

/** Says what is no SMTP, before or behind the greeting. */
export class Browser extends Spammer {
  constructor(server: SimulatedServer, address: string, timing: Timing) {
    super(server, "browser", address, timing, timing.greetingDelayMs + 5 * second);
  }

  protected override begin(): void {
    const words = this.chance.one(
      "GET / HTTP/1.1\r\nHost: mx.example\r\n\r\n",
      `POST / HTTP/1.1\r\nContent-Type: text/plain\r\n\r\n${session}`,
      "CONNECT mx.example:25 HTTP/1.1\r\n\r\n",
      "Host: mx.example\r\n",
      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
      "\x80\x00\x01",
      "SSH-2.0-x\r\n",
    );
    const waitMs = this.chance.one(0, this.chance.between(0, this.timing.greetingDelayMs + 2 * second));
    this.clock.after(waitMs, () => this.say(words));
  }

  protected override replied(code: number, lines: readonly string[]): void {
    // Half of what it says may not tell it from a client that says half a command too early.
    const isEarly = lines.at(-1)?.startsWith("554 5.5.1 you spoke") === true;
    this.must(code === 220 || code === 421 || isEarly, "nothing it says is answered");
  }

  protected override over(): void {
    this.mustHaveNoRelay();
    super.over();
  }
}

/** Waits for the greeting, and then for nothing. */
export class Pipeliner extends Spammer {
  constructor(server: SimulatedServer, address: string, timing: Timing) {
    super(server, "pipeliner", address, timing, timing.greetingDelayMs + 5 * second);
  }

  protected override replied(code: number): void {
    if (code === 220) this.say(this.chance.one(session, session.replace("EHLO", "HELO")), 1);
    else {
      this.must(code === 554 || code === 421, "it is refused");
      this.server.count(`pipeliner told ${code}`);
    }
  }

  protected override over(): void {
    this.mustHaveNoRelay();
    super.over();
  }
}

/** Was offered no pipelining, and begins with it while its first RCPT is on its way. */
export class LatePipeliner extends Spammer {
  #replies = 0;

  constructor(server: SimulatedServer, address: string, timing: Timing) {
    super(server, "late pipeliner", address, timing, timing.commandTimeoutMs + 120 * second);
  }

  protected override replied(code: number): void {
    this.#replies += 1;
    if (code === 220) this.say("HELO spam.example\r\n");
    else if (this.#replies === 2) this.say("MAIL FROM:<a@spam.example>\r\n");
    else if (this.#replies === 3) {
      this.say("RCPT TO:<x@example.org>\r\n", 1);
      const more = this.chance.one(
        "RCPT TO:<y@example.org>\r\nRCPT TO:<z@example.org>\r\n",
        "DATA\r\nspam\r\n.\r\n",
      );
      this.clock.after(this.chance.between(0, 100), () => this.say(more, 1));
    }
  }
}

/** Behaves, but a zone knows better. */
export class Listed extends Spammer {
  #replies = 0;
  readonly #pipelines: boolean;

  constructor(server: SimulatedServer, address: string, timing: Timing) {
    super(server, "listed", address, timing, timing.commandTimeoutMs + 120 * second);
    this.#pipelines = server.chance.happens(0.5);
  }

  protected override begin(): void {
    if (this.chance.happens(0.1)) this.failAfter(this.chance.between(0, 12 * second));
  }

  protected override replied(code: number, lines: readonly string[]): void {
    this.#replies += 1;
    if (code === 554) {
      const why =
        /^554 5\.7\.1 client \[[0-9a-f.:]+\] is listed by (bad|flaky)\.example(: listed, see \?https:\/\/bad\.example)?$/;
      this.must(why.test(lines[0] ?? ""), "it is told why");
      this.server.count("listed told 554");
    } else if (code === 220) this.say("EHLO spam.example\r\n");
    else if (this.#replies === 2) {
      this.say("MAIL FROM:<a@spam.example>\r\n", 1);
      if (this.#pipelines) this.say("RCPT TO:<x@example.org>\r\nRCPT TO:<y@example.org>\r\nDATA\r\n", 1);
    } else if (this.#replies === 3 && !this.#pipelines) this.say("RCPT TO:<x@example.org>\r\n");
    else this.say("QUIT\r\n");
  }

  protected override over(): void {
    const connection = this.connection;
    if (connection?.isScreened === true && connection.score >= 1) {
      this.server.count("listed in time");
      this.mustHaveNoRelay();
    }
    super.over();
  }
}

/** An octet of a command now and then, and never its end. */
export class SlowCommands extends Spammer {
  constructor(server: SimulatedServer, address: string, timing: Timing) {
    super(server, "slowloris", address, timing, timing.greetingDelayMs + timing.commandTimeoutMs);
  }

  protected override replied(code: number): void {
    if (code === 220) this.#drip(0);
  }

  #drip(index: number): void {
    if (this.isClosed) return;
    this.say("EHLO xxxxxxxxx"[index % 14] ?? "x");
    this.clock.after(this.chance.between(1, 9) * second, () => this.#drip(index + 1));
  }

  protected override over(): void {
    this.mustHaveNoRelay();
    super.over();
  }
}

/** Mail data at a trickle. */
export class SlowData extends Spammer {
  constructor(server: SimulatedServer, address: string, timing: Timing) {
    // 60 s of grace, to which comes what its relay needs, and is stalled for.
    super(server, "slow mail data", address, timing, 60 * second + timing.commandTimeoutMs + 240 * second);
  }

  protected override replied(code: number, lines: readonly string[]): void {
    if (code === 220) this.say("EHLO spam.example\r\n");
    else if (lines.length > 1) this.say("MAIL FROM:<a@spam.example>\r\nRCPT TO:<x@example.org>\r\nDATA\r\n");
    else if (code === 354) this.#drip();
    else if (code >= 400) {
      if (lines[0]?.includes("too slowly") === true) this.server.count("too slow");
      this.finish();
    }
  }

  #drip(): void {
    if (this.isClosed) return;
    this.say(this.chance.one("x", "spam and spam", "x\r\n", "\r\n"));
    this.clock.after(this.chance.between(100, 9 * second), () => this.#drip());
  }
}

/** Commands of no use, or none at all, as fast as they are answered. */
export class Junk extends Spammer {
  readonly #command: string;
  #sent = 0;

  constructor(server: SimulatedServer, address: string, timing: Timing) {
    super(server, "junk", address, timing, timing.greetingDelayMs + 150 * second);
    this.#command = server.chance.one("NOOP", "RSET", "VRFY x", "HELP", "EHLO x", "FOO", "RCPT TO:<x@y>");
  }

  protected override replied(code: number): void {
    if (code === 421) this.server.count("junk told 421");
    else if (this.#sent < 1000) {
      this.#sent += 1;
      this.say(this.#sent === 1 ? "EHLO spam.example\r\n" : `${this.#command}\r\n`);
    }
  }

  protected override over(): void {
    this.must(this.#sent <= 130 || this.fault !== undefined, "it is told to go in the end");
    this.mustHaveNoRelay();
    super.over();
  }
}

/** Asks for more recipients than it may have, again and again, and reads none of the answers. */
export class Deaf extends Spammer {
  override readonly isDeaf = true;

  constructor(server: SimulatedServer, address: string, timing: Timing) {
    // What its relay needs comes on top.
    super(server, "deaf", address, timing, timing.greetingDelayMs + timing.commandTimeoutMs + 240 * second);
  }

  protected override begin(): void {
    const from = this.timing.greetingDelayMs;
    this.clock.after(from + second, () => this.say("EHLO spam.example\r\n", 1));
    this.clock.after(from + 2 * second, () => {
      this.say("MAIL FROM:<a@spam.example>\r\n", 1);
      for (let index = 0; index < 40; index += 1) this.say("RCPT TO:<x@example.org>\r\n".repeat(200), 1);
    });
  }
}

/** Connects and waits, for as long as it may. */
export class Mute extends Spammer {
  constructor(server: SimulatedServer, kind: string, address: string, timing: Timing) {
    super(server, kind, address, timing, timing.greetingDelayMs + timing.commandTimeoutMs);
  }

  protected override over(): void {
    this.mustHaveNoRelay();
    super.over();
  }
}
