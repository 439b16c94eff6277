/** The queue of replies against a list, for any order in which commands come, are answered, and replies are taken. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { ReplyQueue, slotsMax } from "../../src/client/reply-queue.ts";
import type { Slot } from "../../src/mail/messages.ts";
import { formatReply, reply } from "../../src/smtp/replies.ts";

/** Commands in their order; `text` once they are answered. Those whose reply was taken are gone. */
interface Model {
  readonly waiting: { text: string | undefined }[];
  said: number;
}

interface Real {
  readonly queue: ReplyQueue;
  readonly slots: Slot[];
}

class Open implements fc.Command<Model, Real> {
  check = ({ waiting }: Model) => waiting.length < slotsMax;
  run({ waiting }: Model, { queue, slots }: Real): void {
    waiting.push({ text: undefined });
    slots.push(queue.open());
    check(waiting, queue);
  }
  toString = () => "open";
}

/** Answers the `nth` of those that are not answered. */
class Fill implements fc.Command<Model, Real> {
  readonly #nth: number;
  constructor(nth: number) {
    this.#nth = nth;
  }
  check = ({ waiting }: Model) => waiting.some(({ text }) => text === undefined);
  run(model: Model, { queue, slots }: Real): void {
    const open = model.waiting.flatMap(({ text }, index) => (text === undefined ? [index] : []));
    const index = open[this.#nth % open.length] ?? 0;
    const [entry, slot] = [model.waiting[index], slots[index]];
    if (entry === undefined || slot === undefined) throw new Error("the model has no such command");
    model.said += 1;
    entry.text = `250 ${model.said}\r\n`;
    queue.fill(slot, reply(250, undefined, `${model.said}`));
    check(model.waiting, queue);
  }
  toString = () => `fill ${this.#nth}`;
}

class Take implements fc.Command<Model, Real> {
  check = () => true;
  run({ waiting }: Model, { queue, slots }: Real): void {
    const unanswered = waiting.findIndex(({ text }) => text === undefined);
    const ready = waiting.splice(0, unanswered === -1 ? waiting.length : unanswered);
    slots.splice(0, ready.length);
    const replies = queue.take() ?? [];
    expect(replies.map((reply) => formatReply(reply).toString()).join("")).toBe(
      ready.map(({ text }) => text).join(""),
    );
    check(waiting, queue);
  }
  toString = () => "take";
}

function check(waiting: Model["waiting"], queue: ReplyQueue): void {
  expect(queue.pending).toBe(waiting.filter(({ text }) => text === undefined).length);
  expect(queue.full).toBe(waiting.length === slotsMax);
}

test("replies go out in order, each once, whatever comes when", () => {
  const commands = fc.commands(
    [fc.constant(new Open()), fc.nat(9).map((n) => new Fill(n)), fc.constant(new Take())],
    {
      maxCommands: 60,
    },
  );
  fc.assert(
    fc.property(fc.nat(1) /* nearly full, or empty */, commands, (full, steps) => {
      fc.modelRun(() => {
        const [queue, count] = [new ReplyQueue(), full * (slotsMax - 2)];
        const slots = Array.from({ length: count }, () => queue.open());
        const waiting = slots.map((): Model["waiting"][number] => ({ text: undefined }));
        return { model: { waiting, said: 0 }, real: { queue, slots } };
      }, steps);
    }),
    { numRuns: 500 },
  );
});
