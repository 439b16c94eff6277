/** What can be taken for the answer to the end of mail data, and what cannot. */
import { expect, test } from "bun:test";
import { type DotAnswer, judgeDotAnswer } from "../../src/relay/dot-answer.ts";
import type { ReplyDefect } from "../../src/smtp/reply-reader.ts";

const cases: readonly [codes: readonly number[], ReplyDefect | undefined, boolean, DotAnswer][] = [
  [[], undefined, true, "clear"],
  [[250], undefined, false, "clear"],
  [[250, 250], undefined, false, "clear"],
  [[250, 421], undefined, false, "clear"],
  [[250, 221, 421], undefined, false, "clear"],
  [[250], undefined, true, "unfinished"],
  [[250, 250], undefined, true, "unfinished"],
  [[250], "malformed", false, "doubtful"],
  [[250, 552], undefined, false, "doubtful"],
  [[250, 250, 451], undefined, true, "doubtful"],
  [[250, 354], undefined, false, "doubtful"],
  // A refusal is no promise: at worst a mail that is there is sent again.
  [[552, 250], undefined, false, "clear"],
  [[451], "malformed", false, "clear"],
  [[354, 250], undefined, true, "clear"],
];

test.each(cases)("%p, defect %p, more %p: %s", (codes, defect, hasMore, expected) => {
  const replies = codes.map((code) => ({ code, lines: ["text"] as const }));
  expect(judgeDotAnswer(replies, defect, hasMore)).toBe(expected);
});
