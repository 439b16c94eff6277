/**
 * A relay's replies, read: octets in any chunks in, whole replies out. Any split gives the same replies and the same
 * defect. Never throws. What is no reply is a `defect`, and the reader stays defective: behind it nobody can tell which
 * command the next reply answers. Memory is bounded by `replyLineOctetsMax` times `replyLinesMax`.
 *
 * A reply is read strictly or leniently, from its first octet to its last.
 * - Strictly: every line begins with the same code. An LF without its CR ends a line all the same (we write the line end
 *   anew), and a code may stand alone without a space (§4.2.1). A bare CR or NUL is malformed.
 * - Leniently, as Postfix reads: the reply ends with the first line that is a code and a blank, or a code alone, and that
 *   is its code; every other line is text. A CR in front of the line end is dropped, another CR or NUL becomes "?", for
 *   it would travel on to the client. So one recipient's odd refusal costs no other recipient. It can hide where a reply
 *   ends, but never makes two out of one: a command may wait in vain, but no reply comes to the command behind.
 * The first line of all begins with a code also then: what does not is no SMTP server, and is not waited for.
 *
 * Not here: which replies may be read leniently: none that could be taken for the answer to the end of mail data
 * (relay/session.ts).
 * RFC 5321 §4.2, §4.2.1, §4.5.3.1.5.
 */
import { type Line, LineReader } from "./lines.ts";
import type { Reply } from "./replies.ts";

/** Longest line of a relay's reply, with its CRLF. RFC 5321 §4.5.3.1.5 asks for 512; some relays say more. */
export const replyLineOctetsMax = 4096;
export const replyLinesMax = 128;

export type ReplyDefect = "malformed" | "overlong" | "too-many-lines" | "codes-differ";

export interface ReadReplies {
  /** In the order in which they arrived; those before a defect included. */
  readonly replies: readonly Reply[];
  readonly defect?: ReplyDefect;
}

/** A reply of which the last line is still to come. */
interface Begun {
  readonly isLenient: boolean;
  readonly lines: string[];
  /** Of its first line that has one. */
  code: number | undefined;
  octets: number;
}

/** What one line is. `code`: undefined for a line of mere text. */
interface Piece {
  readonly code: number | undefined;
  readonly text: string;
  readonly isLast: boolean;
}

/** The text may be any octets: a CR or NUL among them is LineReader's to tell. */
const coded = /^(\d{3})(?:([ -])(.*))?$/s;

export class ReplyReader {
  readonly #lines = new LineReader(replyLineOctetsMax);
  #begun: Begun | undefined;
  #defect: ReplyDefect | undefined;
  /** A line was read, so that there is a server that speaks of codes. */
  #hasSpoken = false;

  /** Octets of a reply that is not whole yet. Over 0 when none is awaited: somebody speaks out of turn. */
  get pendingOctets(): number {
    return (this.#begun?.octets ?? 0) + this.#lines.pendingOctets;
  }

  /**
   * Takes the next chunk, and gives the replies that it completes. `lenient`: so many replies may be read leniently,
   * one that is under way included; those behind are read strictly.
   */
  push(octets: Buffer, lenient = 0): ReadReplies {
    const replies: Reply[] = [];
    if (this.#defect === undefined) {
      this.#lines.push(octets);
      this.#defect = this.#readInto(replies, lenient);
    }
    if (this.#defect === undefined) return { replies };
    this.#lines.takeRest();
    this.#begun = undefined;
    return { replies, defect: this.#defect };
  }

  #readInto(replies: Reply[], lenient: number): ReplyDefect | undefined {
    let left = this.#begun === undefined ? lenient : lenient - 1;
    while (this.pendingOctets > 0) {
      if (this.#begun === undefined) {
        this.#begun = { isLenient: left > 0, lines: [], code: undefined, octets: 0 };
        left -= 1;
      }
      const line = this.#lines.next();
      if (line === undefined) break;
      const read = this.#take(line, this.#begun);
      if (typeof read === "string") return read;
      if (read === undefined) continue;
      replies.push(read);
      this.#begun = undefined;
    }
    // A line this long is overlong wherever its LF may be; a relay that never sends one is not waited for.
    return this.#lines.pendingOctets >= replyLineOctetsMax ? "overlong" : undefined;
  }

  /** The reply, if this line completes it. */
  #take(line: Line, begun: Begun): Reply | ReplyDefect | undefined {
    if (line.defect === "overlong") return "overlong";
    const piece = begun.isLenient ? leniently(line) : strictly(line);
    if (piece === undefined || (piece.code === undefined && !this.#hasSpoken)) return "malformed";
    this.#hasSpoken = true;
    if (!begun.isLenient && begun.code !== undefined && begun.code !== piece.code) return "codes-differ";
    begun.code ??= piece.code;
    begun.lines.push(piece.text);
    begun.octets += line.text.length + (line.defect === "bare-lf" ? 1 : 2);
    if (begun.lines.length > replyLinesMax) return "too-many-lines";
    if (!piece.isLast || piece.code === undefined) return undefined;
    const [first = "", ...others] = begun.lines;
    return { code: piece.code, lines: [first, ...others] };
  }
}

function strictly({ text, defect }: Line): Piece | undefined {
  if (defect === "nul" || defect === "bare-cr") return undefined;
  const piece = codedPiece(text);
  return piece === "no code" ? undefined : piece;
}

function leniently({ text: octets }: Line): Piece | undefined {
  const text = octets.replace(/\r+$/, "").replaceAll(/[\r\0]/g, "?");
  const piece = codedPiece(text);
  return piece === "no code" ? { code: undefined, text, isLast: false } : piece;
}

/** undefined: a code that no reply has. */
function codedPiece(text: string): Piece | "no code" | undefined {
  const found = coded.exec(text);
  if (found === null) return "no code";
  const [, code, separator, rest = ""] = found;
  const number = Number(code);
  if (number < 200 || number > 599) return undefined;
  return { code: number, text: rest, isLast: separator !== "-" };
}
