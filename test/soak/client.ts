/**
 * One session of a client with the proxy: one or several mails, over TLS or not, pipelined or not, to a decent end or
 * to a cut at some step. Every mail that was begun leaves an `Attempt`: what was said, and what was heard about it.
 * A mail that was delayed is not sent again by the session that heard it; whoever runs sessions goes on with new mails,
 * so that an id stands for one attempt.
 * Not here: what an attempt must have led to (ledger.ts).
 */
import type { Random } from "../simulation/random.ts";
import type { Attempt, Told } from "./ledger.ts";
import type { Mail } from "./mails.ts";
import { Wire } from "./wire.ts";

/** Where a client leaves without a word. "dot": right behind the end of mail data. */
const steps = [
  "connected",
  "greeted",
  "tls",
  "mail",
  "rcpt",
  "data",
  "body",
  "before the dot",
  "dot",
] as const;
export type Step = (typeof steps)[number];

export interface Plan {
  readonly tls: boolean;
  readonly pipelined: boolean;
  readonly mails: number;
  /** In the session's last mail; undefined: stays to QUIT. */
  readonly leavesAt: Step | undefined;
  readonly leavesBy: "close" | "reset";
}

export interface World {
  readonly port: number;
  readonly nextMail: () => Mail;
  /** Called once for each attempt, when all is known about it. */
  readonly done: (attempt: Attempt) => void;
  /** The session is to end after the mail in hand. */
  readonly isPausing: () => boolean;
  readonly now: () => number;
}

/** "again": trouble was met, so wait a little. */
export type End = "done" | "left" | "again" | "silent";

export function planOf(random: Random): Plan {
  return {
    tls: random.chance(0.4),
    pipelined: random.chance(0.5),
    mails: Math.floor(2 ** (random.below(5_000) / 1_000)),
    leavesAt: random.chance(0.2) ? random.pick(steps) : undefined,
    leavesBy: random.pick(["close", "reset"] as const),
  };
}

export async function session(world: World, plan: Plan): Promise<End> {
  const wire = await Wire.connect(world.port);
  if (wire === undefined) return "again";
  const end = await new Session(world, plan, wire).run();
  if (!wire.closed) wire.leave("close");
  return wire.silent ? "silent" : end;
}

const said = (reply: string | undefined, digit: "2" | "3"): boolean => reply?.startsWith(digit) === true;

class Session {
  readonly #world: World;
  readonly #plan: Plan;
  readonly #wire: Wire;

  constructor(world: World, plan: Plan, wire: Wire) {
    this.#world = world;
    this.#plan = plan;
    this.#wire = wire;
  }

  async run(): Promise<End> {
    const wire = this.#wire;
    const { leavesAt, mails, tls } = this.#plan;
    if (leavesAt === "connected") return this.#leave();
    if (!said(await wire.reply(), "2")) return "again";
    if (leavesAt === "greeted") return this.#leave();
    if (!said(await wire.ask("EHLO client.test"), "2")) return "again";
    if (tls) {
      if (!said(await wire.ask("STARTTLS"), "2")) return "again";
      if (leavesAt === "tls") return this.#leave();
      if (!(await wire.handshake()) || !said(await wire.ask("EHLO client.test"), "2")) return "again";
    }
    for (let left = mails; left > 0 && !this.#world.isPausing(); left -= 1) {
      const { told } = await this.#mail(left === 1 ? leavesAt : undefined);
      if (told !== "250") return wire.closed && left === 1 && leavesAt !== undefined ? "left" : "again";
    }
    await wire.ask("QUIT");
    return "done";
  }

  #leave(): "left" {
    this.#wire.leave(this.#plan.leavesBy);
    return "left";
  }

  async #mail(leavesAt: Step | undefined): Promise<Attempt> {
    const mail = this.#world.nextMail();
    const beganAt = this.#world.now();
    const spoken = new Spoken(mail);
    await (this.#plan.pipelined ? this.#pipelined(spoken, leavesAt) : this.#stepwise(spoken, leavesAt));
    const attempt = spoken.attempt(beganAt, this.#world.now());
    this.#world.done(attempt);
    return attempt;
  }

  async #stepwise(spoken: Spoken, leavesAt: Step | undefined): Promise<void> {
    const wire = this.#wire;
    wire.say(mailCommand(spoken.mail));
    if (leavesAt === "mail") return void this.#leave();
    if (!spoken.mailAnswered(await wire.reply())) return;
    for (const to of spoken.mail.to) {
      wire.say(`RCPT TO:<${to}>\r\n`);
      if (leavesAt === "rcpt") return void this.#leave();
      spoken.rcptAnswered(to, await wire.reply());
    }
    if (spoken.accepted.length === 0) return;
    wire.say("DATA\r\n");
    if (leavesAt === "data") return void this.#leave();
    if (spoken.dataAnswered(await wire.reply())) await this.#mailData(spoken, leavesAt);
  }

  /** RFC 2920: all commands up to DATA in one go. */
  async #pipelined(spoken: Spoken, leavesAt: Step | undefined): Promise<void> {
    const wire = this.#wire;
    const { mail } = spoken;
    const recipients = mail.to.map((to) => `RCPT TO:<${to}>\r\n`).join("");
    wire.say(`${mailCommand(mail)}${recipients}DATA\r\n`);
    if (leavesAt === "mail" || leavesAt === "rcpt" || leavesAt === "data") return void this.#leave();
    spoken.mailAnswered(await wire.reply());
    for (const to of mail.to) spoken.rcptAnswered(to, await wire.reply());
    if (spoken.dataAnswered(await wire.reply())) await this.#mailData(spoken, leavesAt);
  }

  async #mailData(spoken: Spoken, leavesAt: Step | undefined): Promise<void> {
    const wire = this.#wire;
    const [header = Buffer.alloc(0), body = Buffer.alloc(0)] = spoken.mail.wire;
    wire.say(header);
    await wire.pour(leavesAt === "body" ? body.subarray(0, body.length >> 1) : body);
    if (leavesAt === "body" || leavesAt === "before the dot") return void this.#leave();
    if (wire.closed) return;
    spoken.dotGoes();
    wire.say(".\r\n");
    if (leavesAt === "dot") return void this.#leave();
    spoken.dotAnswered(await wire.reply());
  }
}

function mailCommand({ from, octets }: Mail): string {
  return `MAIL FROM:<${from}> BODY=8BITMIME SIZE=${octets}\r\n`;
}

/** What was said and heard about one mail so far. */
class Spoken {
  readonly mail: Mail;
  readonly accepted: string[] = [];
  #dotSent = false;
  #begun = false;
  /** The first refusal; once the dot is sent, the reply to it alone. */
  #last: string | undefined;

  constructor(mail: Mail) {
    this.mail = mail;
  }

  mailAnswered(reply: string | undefined): boolean {
    this.#begun = said(reply, "2");
    if (!this.#begun) this.#refused(reply);
    return this.#begun;
  }

  rcptAnswered(to: string, reply: string | undefined): void {
    if (said(reply, "2")) this.accepted.push(to);
    else this.#refused(reply);
  }

  dataAnswered(reply: string | undefined): boolean {
    if (!said(reply, "3")) this.#refused(reply);
    return said(reply, "3");
  }

  dotGoes(): void {
    this.#dotSent = true;
    this.#last = undefined;
  }

  dotAnswered(reply: string | undefined): void {
    this.#last = reply;
  }

  attempt(beganAt: number, endedAt: number): Attempt {
    const { id, from, octets, sha256 } = this.mail;
    const to = this.accepted;
    const dotSent = this.#dotSent;
    const reply = this.#last;
    return {
      id,
      from,
      to,
      octets,
      sha256,
      begun: this.#begun,
      dotSent,
      told: toldBy(reply, dotSent),
      reply,
      beganAt,
      endedAt,
    };
  }

  #refused(reply: string | undefined): void {
    this.#last ??= reply;
  }
}

function toldBy(reply: string | undefined, dotSent: boolean): Told {
  if (reply?.startsWith("2")) return "250";
  if (reply?.startsWith("4")) return "4yz";
  if (reply?.startsWith("5")) return "5yz";
  return dotSent ? "unknown" : "not sent";
}
