/**
 * A relay for property tests: answers what it hears in a `World` by rules, and keeps what it was given.
 * `misbehave` is asked before each answer and may do something else instead.
 */
import type { RelayPeer } from "../transcripts/relay-peer.ts";
import type { World } from "../transcripts/world.ts";

export type Step = "greeting" | "EHLO" | "MAIL" | "RCPT" | "DATA" | "mail data" | "dot" | "RSET" | "QUIT";

/** `undefined`: answer as a good relay does. Octets: say that instead. */
export type Misdeed = string | "closes" | "resets" | "is silent" | undefined;

interface Conversation {
  readonly peer: RelayPeer;
  pending: string;
  /** Mail data so far, from 354 on. */
  message: string | undefined;
}

export class ScriptedRelay {
  readonly #world: World;
  readonly #misbehave: (step: Step) => Misdeed;
  readonly #conversations: Conversation[] = [];
  /** Messages that came to their dot, without it; and those of them that were acknowledged with 2yz. */
  readonly received: string[] = [];
  readonly acknowledged: string[] = [];
  readonly commands: string[] = [];

  constructor(world: World, misbehave: (step: Step) => Misdeed = () => undefined) {
    this.#world = world;
    this.#misbehave = misbehave;
  }

  /** Answers until there is nothing to answer. */
  run(): void {
    for (let busy = true; busy; ) {
      this.#world.endTurn();
      busy = false;
      for (const peer of this.#world.relays.slice(this.#conversations.length)) {
        this.#conversations.push({ peer, pending: "", message: undefined });
        peer.outbox.heard.shift();
        peer.act("opens");
        this.#answer({ peer, pending: "", message: undefined }, "greeting", "220 relay.example\r\n");
        busy = true;
      }
      for (const conversation of this.#conversations) busy = this.#hear(conversation) || busy;
    }
  }

  #hear(conversation: Conversation): boolean {
    const { heard, closed } = conversation.peer.outbox;
    if (heard.length === 0) return false;
    const octets = heard.splice(0).filter((output) => typeof output === "object");
    conversation.pending += Buffer.concat(octets).toString("latin1");
    // What was said to a connection that was broken since got through all the same.
    while (this.#take(conversation)) if (closed && conversation.message === undefined) break;
    return true;
  }

  /** Takes one command or the mail data. False if neither is whole. */
  #take(conversation: Conversation): boolean {
    const { pending, message } = conversation;
    if (message !== undefined) {
      const text = message + pending;
      const end = `\r\n${text}`.indexOf("\r\n.\r\n");
      conversation.message = text;
      conversation.pending = "";
      if (end === -1) {
        if (pending !== "") this.#interrupt(conversation);
        return false;
      }
      conversation.message = undefined;
      conversation.pending = text.slice(end + 3);
      this.#dot(conversation, text.slice(0, end));
      return true;
    }
    const lf = pending.indexOf("\r\n");
    if (lf === -1) return false;
    const line = pending.slice(0, lf);
    conversation.pending = pending.slice(lf + 2);
    this.commands.push(line);
    this.#command(conversation, line);
    return true;
  }

  #command(conversation: Conversation, line: string): void {
    const verb = line.slice(0, 4);
    switch (verb) {
      case "EHLO":
        this.#answer(conversation, verb, "250-relay.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n");
        break;
      case "MAIL":
      case "RCPT":
        this.#answer(
          conversation,
          verb,
          line.includes("bad") ? "550 5.1.1 bad\r\n" : `250 2.1.0 ${line}\r\n`,
        );
        break;
      case "DATA":
        if (this.#answer(conversation, verb, "354 go\r\n")) conversation.message = "";
        break;
      case "RSET":
        this.#answer(conversation, verb, "250 2.0.0 reset\r\n");
        break;
      default:
        this.#answer(conversation, "QUIT", "221 bye\r\n");
    }
  }

  #dot(conversation: Conversation, message: string): void {
    this.received.push(message);
    const misdeed = this.#misbehave("dot");
    if (misdeed === undefined || /^2\d\d /.test(misdeed)) this.acknowledged.push(message);
    this.#do(conversation, misdeed ?? `250 2.0.0 queued ${message.length}\r\n`);
  }

  #interrupt(conversation: Conversation): void {
    const misdeed = this.#misbehave("mail data");
    if (misdeed !== undefined) this.#do(conversation, misdeed);
  }

  /** True if it was the good answer. */
  #answer(conversation: Conversation, step: Step, good: string): boolean {
    const misdeed = this.#misbehave(step);
    this.#do(conversation, misdeed ?? good);
    return misdeed === undefined || misdeed.startsWith("354");
  }

  #do({ peer }: Conversation, deed: string): void {
    if (peer.outbox.closed || deed === "is silent") return;
    if (deed === "closes") peer.act("ends");
    else if (deed === "resets") peer.act("resets");
    else peer.send(Buffer.from(deed, "latin1"));
  }
}
