/**
 * Whether what a relay says when only the end of mail data awaits its answer can be taken for that answer.
 * A 2yz with something else right behind it cannot: the first may have been said before the end had come, and the
 * second be the answer. Another 2yz leaves no doubt, nor does 421, which says nothing about the mail: a mail that is
 * there must not be sent again for it.
 * Not here: replies that come while the end of mail data has not reached the relay (session.ts).
 */
import type { Reply } from "../smtp/replies.ts";
import type { ReplyDefect } from "../smtp/reply-reader.ts";

/** "unfinished": it depends on a reply of which only a part is there. */
export type DotAnswer = "clear" | "doubtful" | "unfinished";

/** `hasMore`: behind the replies stands a part of another. */
export function judgeDotAnswer(
  [first, ...others]: readonly Reply[],
  defect: ReplyDefect | undefined,
  hasMore: boolean,
): DotAnswer {
  if (first === undefined || first.code >= 300) return "clear";
  if (defect !== undefined || others.some(({ code }) => code >= 300 && code !== 421)) return "doubtful";
  return hasMore ? "unfinished" : "clear";
}
