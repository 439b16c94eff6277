/**
 * What a client session gives out: replies in order, log events, and the other actions, as one list.
 * Counts errors as they are said. Not here: when something is said (client-session.ts).
 */
import type { LogEvent } from "../ops/events.ts";
import { describeReply, formatReply, type Reply } from "../smtp/replies.ts";
import type { ClientAction, ClientFacts } from "./client-messages.ts";
import type { ReadCommand } from "./command-reader.ts";
import { ReplyQueue, type Slot } from "./reply-queue.ts";
import type { SessionTally } from "./session-tally.ts";

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

  fill(slot: Slot, reply: Reply): void {
    if (reply.code >= 500) this.#tally.errors += 1;
    this.replies.fill(slot, reply);
    this.#said(reply);
  }

  /** A command that is refused by the session itself, not by what becomes of its mail. */
  refuse(slot: Slot, reply: Reply, { shown }: ReadCommand): void {
    const { session, address: client } = this.#facts;
    this.fill(slot, reply);
    this.log({ event: "command-refused", session, client, command: shown, reply: describeReply(reply) });
  }

  heard(read: ReadCommand): void {
    if (this.#logDialogue) this.#logText("<", read.shown);
  }

  /** Lets out the replies whose turn has come. False if there are none. */
  flush(): boolean {
    const octets = this.replies.take();
    if (octets === undefined) return false;
    this.#octets += octets.length;
    this.emit({ type: "write", octets });
    return true;
  }

  /** A last reply past all that are pending. */
  sayLast(reply: Reply): void {
    this.flush();
    this.emit({ type: "write", octets: formatReply(reply) });
    this.#said(reply);
  }

  #said(reply: Reply): void {
    if (this.#logDialogue) this.#logText(">", describeReply(reply));
  }

  #logText(direction: "<" | ">", text: string): void {
    this.log({ event: "dialogue", session: this.#facts.session, with: "client", direction, text });
  }
}
