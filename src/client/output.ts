/**
 * What a client session gives out: replies in order, log events, and the other actions, as one list.
 * All that a client is told goes through here: a reply is made presentable, counted if it is an error, and, when it is
 * said, written to the log's dialogue. So the `>` lines of the log are what the client was told.
 * Not here: when something is said (session.ts).
 */

import type { ClientFacts, Slot } from "../mail/messages.ts";
import type { LogEvent } from "../ops/events.ts";
import { describeReply, formatBeginning, formatReply, presentable, type Reply } from "../smtp/replies.ts";
import type { ClientAction } from "./messages.ts";
import type { ReadCommand } from "./reader.ts";
import { ReplyQueue } from "./reply-queue.ts";
import type { SessionTally } from "./tally.ts";

export class ClientOutput {
  readonly replies = new ReplyQueue();
  readonly #facts: ClientFacts;
  readonly #tally: SessionTally;
  readonly #logDialogue: boolean;
  #actions: ClientAction[] | undefined;
  #octets = 0;

  constructor(facts: ClientFacts, tally: SessionTally, logDialogue: boolean) {
    this.#facts = facts;
    this.#tally = tally;
    this.#logDialogue = logDialogue;
  }

  emit(action: ClientAction): void {
    if (this.#actions === undefined) this.#actions = [action];
    else this.#actions.push(action);
  }

  log(event: LogEvent): void {
    this.emit({ type: "log", event });
  }

  /** A line of which one session may cause many. */
  logRefusal(event: Extract<LogEvent, { event: "recipient-refused" | "command-refused" }>): void {
    if (this.#tally.admitsRefusalLine()) this.log(event);
  }

  /** Octets given out and not handed over yet. */
  get octets(): number {
    return this.#octets;
  }

  /** Hands the actions over, oldest first. */
  drain(): readonly ClientAction[] {
    const actions = this.#actions ?? [];
    this.#actions = undefined;
    this.#octets = 0;
    return actions;
  }

  /** The reply to a command. It is said when its turn has come (`flush`). */
  fill(slot: Slot, reply: Reply): void {
    if (reply.code >= 500) this.#tally.errors += 1;
    this.replies.fill(slot, presentable(reply));
  }

  /** A command that is refused by the session itself, not by what becomes of its mail. */
  refuse(slot: Slot, reply: Reply, { shown }: ReadCommand): void {
    const { session, address: client } = this.#facts;
    this.fill(slot, reply);
    this.logRefusal({
      event: "command-refused",
      session,
      client,
      command: shown,
      reply: describeReply(reply),
    });
  }

  heard(read: ReadCommand): void {
    if (this.#logDialogue) this.#logText("<", read.shown);
  }

  /** Lets out the replies whose turn has come. False if there are none. */
  flush(): boolean {
    const replies = this.replies.take();
    if (replies === undefined) return false;
    this.#write(replies);
    return true;
  }

  /** The lines of a reply that goes on later. */
  begin(reply: Reply): void {
    this.emit({ type: "write", octets: formatBeginning(reply) });
    if (this.#logDialogue) this.#logText(">", `${reply.code}-${reply.lines.join(" / ")}`);
  }

  /** A last reply past all that are pending. */
  sayLast(reply: Reply): void {
    this.flush();
    this.#write([presentable(reply)]);
  }

  /** A last reply as slowly as the tarpit has it; what is still pending is never said. */
  sayInTarpit(last: Reply): void {
    const reply = presentable(last);
    this.emit({ type: "tarpit", octets: formatReply(reply) });
    this.#said(reply);
  }

  #write(replies: readonly Reply[]): void {
    const [first, ...others] = replies;
    if (first === undefined) return;
    const octets =
      others.length === 0 ? formatReply(first) : Buffer.concat(replies.map((reply) => formatReply(reply)));
    this.#octets += octets.length;
    this.emit({ type: "write", octets });
    if (this.#logDialogue) for (const reply of replies) this.#said(reply);
  }

  #said(reply: Reply): void {
    if (this.#logDialogue) this.#logText(">", describeReply(reply));
  }

  #logText(direction: "<" | ">", text: string): void {
    this.log({ event: "dialogue", session: this.#facts.session, with: "client", direction, text });
  }
}
