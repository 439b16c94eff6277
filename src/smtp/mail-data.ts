/**
 * Finds the end of mail data without changing an octet.
 *
 * In: the stream after 354, in any chunks. Out: the same octets, dot-stuffed as they came, less the end-of-data
 * line. Any split into chunks gives the same octets, the same end and the same defect. Never throws: a bare CR or
 * LF is a `defect`. Behind it, as behind `discard()`, nothing more is handed on or looked at, and only the client's own
 * end is searched for (end-of-data.ts).
 * Only CRLF "." CRLF ends mail data. Octets that could still become part of an end or of a defect are held back
 * (at most ".", CR), so what was handed on is free of bare CR and LF at every instant.
 *
 * With `normalize` a bare LF is handed on as CRLF. A line "." that is no end of data would become one by that;
 * it is stuffed. A bare CR stays a defect.
 *
 * Time is linear, and for the most hostile octets not ten times that of good mail: line by line only where
 * clean-lines.ts stops, and no Buffer a line (mail-data-pieces.ts).
 *
 * Not here: size, hop count (mail/witnesses.ts); what is said about a defect (smtp/catalogue.ts).
 * Rejected: unstuff and restuff, for two passes are two chances to disagree; a search for CRLF.CRLF beside one for
 * bare line ends while octets are handed on, for they would be two opinions on where a line starts.
 * RFC 5321 §2.3.8, §4.1.1.4, §4.5.2.
 */

import { cleanUntil, load } from "./clean-lines.ts";
import { EndOfDataSearch } from "./end-of-data.ts";
import { copyOctets, MailDataPieces } from "./mail-data-pieces.ts";

export type BareNewline = "reject" | "normalize";
export type MailDataDefect = "bare-lf" | "bare-cr";

export interface ScannedMailData {
  /** What may go on to the relay, in order. Slices of the input where possible. */
  readonly octets: readonly Buffer[];
  /** They are no slices of the input: each of them is alone in its memory. */
  readonly areCopies: boolean;
  /** Set once the end of mail data was found: what the client sent behind it. */
  readonly rest?: Buffer;
}

const LF = 0x0a;
const CR = 0x0d;
const DOT = 0x2e;
const heldCr = Buffer.from("\r\n");
const heldDot = Buffer.from(".");
const stuffedDotLine = Buffer.from("..\r\n");

const endOfDataLine = 3;
const nothing: readonly Buffer[] = [];
/** So many octets are looked at one by one before the next quick look. */
const slowOctets = 64;

/** Where the next octet stands. "cr", "dot" and "dot-cr" name the octets held back. */
type Position = "line-start" | "text" | "cr" | "dot" | "dot-cr";

export class MailDataScanner {
  #position: Position = "line-start";
  /** The line began behind CRLF or at the start: only then may "." be the end of data. */
  #lineStartsClean = true;
  #defect: MailDataDefect | undefined;
  /** Once nothing is handed on any more. */
  #search: EndOfDataSearch | undefined;
  #stuffedDots = 0;
  #countedOctets = 0;
  /** What this chunk gives; between two chunks nothing of them is kept. */
  #out: MailDataPieces | undefined;
  readonly #bareNewline: BareNewline;

  constructor(bareNewline: BareNewline) {
    this.#bareNewline = bareNewline;
  }

  /** The first bare CR or LF; with `normalize`, the first bare CR. */
  get defect(): MailDataDefect | undefined {
    return this.#defect;
  }

  /**
   * Size of the message so far as RFC 1870 counts it: without the dots that transparency added. Behind a defect or
   * `discard()` octets count as they come.
   */
  get messageOctets(): number {
    return this.#countedOctets - this.#stuffedDots;
  }

  /** From now on nothing is handed on; only the end is searched for. */
  discard(): void {
    if (this.#search !== undefined) return;
    const clean = this.#lineStartsClean;
    switch (this.#position) {
      case "line-start":
        this.#searchBehind(0, clean ? 2 : 0);
        break;
      case "text":
        this.#searchBehind(0, 0);
        break;
      case "cr":
        this.#searchBehind(1, 1);
        break;
      case "dot":
        this.#searchBehind(1, clean ? 3 : 0);
        break;
      case "dot-cr":
        this.#searchBehind(2, clean ? 4 : 1);
        break;
    }
  }

  /** Takes the next chunk. Not to be called again once `rest` was returned. */
  scan(octets: Buffer): ScannedMailData {
    if (this.#search !== undefined) return this.#searchEnd(this.#search, octets, 0);
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
            this.#fault("bare-cr", 1);
          }
          break;
        case "dot":
          if (octet === CR) {
            this.#position = "dot-cr";
            at += 1;
          } else if (octet === LF) {
            at += 1;
            if (this.#bareNewline === "reject") this.#fault("bare-lf", 2);
            else this.#emitStuffed(false);
          } else {
            this.#stuffedDots += 1;
            this.#emit(heldDot);
            this.#position = "text";
          }
          break;
        case "dot-cr":
          if (octet !== LF) {
            this.#fault("bare-cr", 2);
          } else if (this.#lineStartsClean) {
            this.#startLine(true);
            return this.#scanned(octets.subarray(at + 1));
          } else {
            at += 1;
            this.#emitStuffed(true);
          }
          break;
      }
      if (this.#search !== undefined) return this.#searchEnd(this.#search, octets, at);
    }
    return this.#scanned(undefined);
  }

  /**
   * Lines of one chunk, as one slice. Starts within a line, stops where the octet machine above has to decide (a line
   * "." or a defect, an octet at the chunk's edge) and returns that offset.
   */
  #scanLines(octets: Buffer, from: number): number {
    const end = octets.length;
    let at = from;
    let quickFrom = from;
    let lineStart = false;
    while (at < end) {
      if (at >= quickFrom) {
        const until = cleanUntil(at);
        quickFrom = until + slowOctets;
        if (until > at) {
          // Whether the LF of a CR in front of it follows was not looked at.
          at = octets[until - 1] === CR ? until - 1 : until;
          lineStart = octets[at - 1] === LF;
          continue;
        }
      }
      const octet = octets[at];
      if (octet === CR) {
        if (octets[at + 1] !== LF) {
          this.#emitRun(octets, from, at);
          this.#position = "cr";
          return at + 1;
        }
        lineStart = true;
        at += 2;
      } else if (octet === LF) {
        this.#emitRun(octets, from, at);
        if (this.#bareNewline === "normalize") return this.#normalizeLines(octets, at);
        this.#fault("bare-lf", 1);
        return at + 1;
      } else if (lineStart && octet === DOT) {
        const next = octets[at + 1];
        if (next === undefined || next === CR || next === LF) {
          this.#emitRun(octets, from, at);
          this.#startLine(true);
          return at;
        }
        this.#stuffedDots += 1;
        lineStart = false;
        at += 2;
      } else {
        lineStart = false;
        at += 1;
      }
    }
    this.#emitRun(octets, from, end);
    if (lineStart) this.#startLine(true);
    return end;
  }

  /** The same from a bare LF on, octet by octet into other Buffers: nothing is made for each of half a million LF. */
  #normalizeLines(octets: Buffer, from: number): number {
    const end = octets.length;
    const out = this.#pieces();
    let copy = out.startCopying();
    const filledBefore = out.filled;
    let filled = filledBefore;
    let at = from;
    let lineStart = false;
    let clean = false;
    this.#position = "text";
    while (at < end) {
      if (filled > copyOctets - stuffedDotLine.length) {
        this.#countedOctets += filled;
        copy = out.nextCopy(filled);
        filled = 0;
      }
      const octet = octets[at] ?? 0;
      if (octet === LF) {
        copy[filled] = CR;
        copy[filled + 1] = LF;
        filled += 2;
        at += 1;
        lineStart = true;
        clean = false;
      } else if (octet !== CR && (octet !== DOT || !lineStart)) {
        copy[filled] = octet;
        filled += 1;
        at += 1;
        lineStart = false;
      } else if (octet === CR) {
        if (octets[at + 1] !== LF) {
          this.#position = "cr";
          at += 1;
          break;
        }
        copy[filled] = CR;
        copy[filled + 1] = LF;
        filled += 2;
        at += 2;
        lineStart = true;
        clean = true;
      } else {
        const next = octets[at + 1];
        if (next === LF || (next === CR && !clean && octets[at + 2] === LF)) {
          copy[filled] = DOT;
          copy[filled + 1] = DOT;
          copy[filled + 2] = CR;
          copy[filled + 3] = LF;
          filled += 4;
          this.#stuffedDots += 1;
          at += next === LF ? 2 : 3;
          clean = next === CR;
        } else if (next === undefined || next === CR) {
          break;
        } else {
          this.#stuffedDots += 1;
          copy[filled] = DOT;
          filled += 1;
          at += 1;
          lineStart = false;
        }
      }
    }
    this.#countedOctets += filled - filledBefore;
    out.filled = filled;
    if (lineStart && this.#position === "text") this.#startLine(clean);
    return at;
  }

  #startLine(clean: boolean): void {
    this.#position = "line-start";
    this.#lineStartsClean = clean;
  }

  /** A line "." that is no end of data, though it would be one behind what was made of it; `clean`: its own end is. */
  #emitStuffed(clean: boolean): void {
    this.#stuffedDots += 1;
    this.#emit(stuffedDotLine);
    this.#startLine(clean);
  }

  /** `octets`: so many of those at the defect were not counted. No end begins among them: each has a bare CR or LF. */
  #fault(defect: MailDataDefect, octets: number): void {
    this.#defect = defect;
    this.#searchBehind(octets, 0);
  }

  #searchBehind(heldOctets: number, matched: number): void {
    this.#countedOctets += heldOctets;
    this.#search = new EndOfDataSearch(matched);
  }

  #searchEnd(search: EndOfDataSearch, octets: Buffer, from: number): ScannedMailData {
    const end = search.search(octets, from);
    this.#countedOctets += (end === undefined ? octets.length : end - endOfDataLine) - from;
    return this.#scanned(end === undefined ? undefined : octets.subarray(end));
  }

  #scanned(rest: Buffer | undefined): ScannedMailData {
    const out = this.#out;
    this.#out = undefined;
    const areCopies = out?.areCopies ?? false;
    const octets = out?.take() ?? nothing;
    return rest === undefined ? { octets, areCopies } : { octets, areCopies, rest };
  }

  #emit(octets: Buffer): void {
    this.#emitRun(octets, 0, octets.length);
  }

  #emitRun(octets: Buffer, from: number, to: number): void {
    if (from === to) return;
    this.#countedOctets += to - from;
    this.#pieces().add(octets, from, to);
  }

  #pieces(): MailDataPieces {
    this.#out ??= new MailDataPieces();
    return this.#out;
  }
}
