/**
 * Replies to the client, in the order of its commands, however late some of them become known.
 *
 * A command that is carried out opens a slot; its reply fills it; what stands filled at the head goes out. So RCPT
 * commands can be with the relay while later ones are read, and no command is ever answered twice or not at all.
 * Bounded by `slotsMax`: the session reads no further command while `full`.
 * RFC 2920 §3.1 (a server answers in order).
 */
import { assert } from "../lib/assert.ts";
import type { Slot } from "../mail/messages.ts";
import type { Reply } from "../smtp/replies.ts";

export const slotsMax = 256;

export class ReplyQueue {
  /** Undefined while there are none, as mostly. */
  #slots: Slot[] | undefined;
  #unanswered = 0;

  /** Commands that were carried out and are not answered yet. */
  get pending(): number {
    return this.#unanswered;
  }

  get full(): boolean {
    return (this.#slots?.length ?? 0) >= slotsMax;
  }

  open(): Slot {
    assert(!this.full, "a full reply queue takes no command");
    const slot: Slot = { reply: undefined };
    if (this.#slots === undefined) this.#slots = [slot];
    else this.#slots.push(slot);
    this.#unanswered += 1;
    return slot;
  }

  fill(slot: Slot, reply: Reply): void {
    assert(slot.reply === undefined, "a command is answered once");
    slot.reply = reply;
    this.#unanswered -= 1;
  }

  /** Takes the replies that may go out now, in order; undefined if there are none. */
  take(): readonly Reply[] | undefined {
    const slots = this.#slots;
    if (slots?.[0]?.reply === undefined) return undefined;
    const filled: Reply[] = [];
    for (let head = slots[0]; head?.reply !== undefined; head = slots[0]) {
      filled.push(head.reply);
      slots.shift();
    }
    if (slots.length === 0) this.#slots = undefined;
    return filled;
  }
}
