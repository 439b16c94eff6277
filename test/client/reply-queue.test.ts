import { expect, test } from "bun:test";
import { ReplyQueue, slotsMax } from "../../src/client/reply-queue.ts";
import { formatReply, reply } from "../../src/smtp/replies.ts";

const text = (queue: ReplyQueue): string | undefined =>
  queue
    .take()
    ?.map((reply) => formatReply(reply).toString())
    .join("");

test("replies go out in the order of their commands, however late they become known", () => {
  const queue = new ReplyQueue();
  const [first, second, third] = [queue.open(), queue.open(), queue.open()];
  queue.fill(third, reply(250, undefined, "3"));
  queue.fill(second, reply(250, undefined, "2"));
  expect(text(queue)).toBeUndefined();
  queue.fill(first, reply(250, undefined, "1"));
  expect(text(queue)).toBe("250 1\r\n250 2\r\n250 3\r\n");
  expect(text(queue)).toBeUndefined();
  expect(queue.pending).toBe(0);
});

test("a command is answered once", () => {
  const queue = new ReplyQueue();
  const slot = queue.open();
  queue.fill(slot, reply(250, undefined, "1"));
  expect(() => queue.fill(slot, reply(250, undefined, "2"))).toThrow("once");
});

test("the queue has a limit", () => {
  const queue = new ReplyQueue();
  const slots = Array.from({ length: slotsMax }, () => queue.open());
  expect(queue.full).toBe(true);
  expect(() => queue.open()).toThrow("full");
  for (const slot of slots) queue.fill(slot, reply(250, undefined, "x"));
  expect(queue.take()).toHaveLength(slotsMax);
  expect(queue.full).toBe(false);
});
