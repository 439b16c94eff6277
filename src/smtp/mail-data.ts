/**
 * Finds the end of mail data without changing an octet.
 *
 * In: the stream after 354, in any chunks. Out: the same octets, dot-stuffed as they came, less the end-of-data
 * line. Any split into chunks gives the same octets, the same end and the same defect. Never throws: a bare CR or
 * LF is a `defect`, after which nothing more is handed on, while the search for the client's own end continues.
 * Only CRLF "." CRLF ends mail data. Octets that could still become part of an end or of a defect are held back
 * (at most ".", CR), so what was handed on is free of bare CR and LF at every instant.
 *
 * With `normalize` a bare LF is handed on as CRLF. A line "." that is no end of data would become one by that;
 * it is stuffed. A bare CR stays a defect.
 *
 * Not here: size, hop count (proxy/witnesses.ts); what is said about a defect (smtp/catalogue.ts).
 * Rejected: unstuff and restuff, for two passes are two chances to disagree; a search for CRLF.CRLF beside one for
 * bare line ends, for they would be two opinions on where a line starts.
 * RFC 5321 §2.3.8, §4.1.1.4, §4.5.2.
 */

import { cleanUntil, load } from "./clean-lines.ts";

export type BareNewline = "reject" | "normalize";
export type MailDataDefect = "bare-lf" | "bare-cr";

export interface ScannedMailData {
  /** What may go on to the relay, in order. Slices of the input where possible. */
  readonly octets: readonly Buffer[];
  /** Set once the end of mail data was found: what the client sent behind it. */
  readonly rest?: Buffer;
}

const LF = 0x0a;
const CR = 0x0d;
const DOT = 0x2e;
const heldCr = Buffer.from("\r\n");
const heldDot = Buffer.from(".");
/** Beyond it, joining costs less than what each piece costs on its way to the socket. */
const piecesMax = 16;
const stuffedDotLine = Buffer.from("..\r\n");

/** Where the next octet stands. "cr", "dot" and "dot-cr" name the octets held back. */
type Position = "line-start" | "text" | "cr" | "dot" | "dot-cr";

export class MailDataScanner {
  #position: Position = "line-start";
  /** The line began behind CRLF or at the start: only then may "." be the end of data. */
  #lineStartsClean = true;
  #defect: MailDataDefect | undefined;
  #stuffedDots = 0;
  #forwardedOctets = 0;
  /** What this chunk gives; between two chunks nothing of them is kept. */
  #out: Buffer[] | undefined;
  /** The next LF and CR of this chunk as far as they were searched; its length when there is none. */
  #lf = -1;
  #cr = -1;
  readonly #bareNewline: BareNewline;

  constructor(bareNewline: BareNewline) {
    this.#bareNewline = bareNewline;
  }

  /** The first bare CR or LF; with `normalize`, the first bare CR. */
  get defect(): MailDataDefect | undefined {
    return this.#defect;
  }

  /** Size of the message so far as RFC 1870 counts it: without the dots that transparency added. */
  get messageOctets(): number {
    return this.#forwardedOctets - this.#stuffedDots;
  }

  /** Takes the next chunk. Not to be called again once `rest` was returned. */
  scan(octets: Buffer): ScannedMailData {
    this.#lf = -1;
    this.#cr = -1;
    load(octets);
    let at = 0;
    while (at < octets.length) {
      const octet = octets[at];
      switch (this.#position) {
        case "line-start":
          if (octet === DOT) {
            this.#position = "dot";
            at += 1;
          } else {
            this.#position = "text";
          }
          break;
        case "text":
          at = this.#scanLines(octets, at);
          break;
        case "cr":
          if (octet === LF) {
            this.#emit(heldCr);
            this.#startLine(true);
            at += 1;
          } else {
            this.#fault("bare-cr");
          }
          break;
        case "dot":
          if (octet === CR) {
            this.#position = "dot-cr";
            at += 1;
          } else if (octet === LF) {
            this.#bareLf(stuffedDotLine);
            at += 1;
          } else {
            this.#stuffedDots += 1;
            this.#emit(heldDot);
            this.#position = "text";
          }
          break;
        case "dot-cr":
          if (octet !== LF) {
            this.#fault("bare-cr");
          } else if (this.#lineStartsClean) {
            return { octets: this.#takeOut(), rest: octets.subarray(at + 1) };
          } else {
            this.#stuffedDots += 1;
            this.#emit(stuffedDotLine);
            this.#startLine(true);
            at += 1;
          }
          break;
      }
    }
    return { octets: this.#takeOut() };
  }

  /**
   * The fast path: whole lines of one chunk as one slice. Starts within a line, stops where the octet machine
   * above has to decide (a dot line, an octet at the chunk's edge) and returns that offset.
   */
  #scanLines(octets: Buffer, from: number): number {
    let at = from;
    const end = octets.length;
    for (;;) {
      const behind = behindCleanLines(octets, at);
      if (behind > at) {
        at = behind;
      } else {
        // Each search is repeated only when its last hit was passed, so that a chunk without the one or the other
        // costs one pass, and not one a line or one a defect.
        if (this.#lf < at) this.#lf = indexOrEnd(octets, LF, at);
        if (this.#cr < at) this.#cr = indexOrEnd(octets, CR, at);
        const lf = this.#lf;
        const cr = this.#cr;
        if (cr + 1 < lf) {
          this.#emit(octets.subarray(from, cr));
          this.#fault("bare-cr");
          return cr + 1;
        }
        if (lf === end) break;
        if (cr > lf) {
          this.#emit(octets.subarray(from, lf));
          this.#bareLf(heldCr);
          return lf + 1;
        }
        at = lf + 1;
      }
      if (octets[at] === DOT) {
        const next = octets[at + 1];
        if (next === undefined || next === CR || next === LF) {
          this.#emit(octets.subarray(from, at));
          this.#startLine(true);
          return at;
        }
        this.#stuffedDots += 1;
      } else if (at === end) {
        this.#emit(octets.subarray(from, at));
        this.#startLine(true);
        return at;
      }
    }
    // The rest of the chunk has no line end, except perhaps the CR of one as its last octet.
    const holdsCr = octets[end - 1] === CR && this.#cr === end - 1;
    this.#emit(octets.subarray(from, holdsCr ? end - 1 : end));
    if (holdsCr) this.#position = "cr";
    return end;
  }

  #startLine(clean: boolean): void {
    this.#position = "line-start";
    this.#lineStartsClean = clean;
  }

  /** An LF without its CR. `replacement` is what stands for it, and for a dot held before it, in `normalize`. */
  #bareLf(replacement: Buffer): void {
    if (this.#bareNewline === "reject") {
      this.#fault("bare-lf");
    } else {
      if (replacement === stuffedDotLine) this.#stuffedDots += 1;
      this.#emit(replacement);
    }
    this.#startLine(false);
  }

  #fault(defect: MailDataDefect): void {
    this.#defect ??= defect;
    this.#position = "text";
  }

  /** With `normalize` each octet of a chunk may be a piece of its own: many pieces are handed on as one. */
  #takeOut(): readonly Buffer[] {
    const out = this.#out ?? [];
    this.#out = undefined;
    return out.length > piecesMax ? [Buffer.concat(out)] : out;
  }

  #emit(octets: Buffer): void {
    if (octets.length === 0) return;
    this.#forwardedOctets += octets.length;
    if (this.#defect !== undefined) return;
    if (this.#out === undefined) this.#out = [octets];
    else this.#out.push(octets);
  }
}

/** Behind the last line that has nothing to look at from `from` on; `from` if there is none. */
function behindCleanLines(octets: Buffer, from: number): number {
  const clean = cleanUntil(from);
  return clean === from ? from : from + octets.subarray(from, clean).lastIndexOf(LF) + 1;
}

function indexOrEnd(octets: Buffer, octet: number, from: number): number {
  const index = octets.indexOf(octet, from);
  return index === -1 ? octets.length : index;
}
