/**
 * Splits a stream into its lines: commands from clients, replies from relays.
 *
 * In: octets in any chunks. Out: lines as wire strings (latin1: one char an octet, so every conversion is lossless),
 * without their line ends. Any split into chunks gives the same lines. Never throws: what is wrong with a line is
 * its `defect`, and the next line is read as if nothing had been.
 * Every LF ends a line, also one without its CR: were the rest of it taken for text, an attacker and we would
 * disagree on where a command starts.
 *
 * Lines are cut when asked for, not when octets arrive, because what follows a line may be none: mail data behind
 * DATA, a TLS handshake behind STARTTLS. `takeRest` hands that over untouched.
 *
 * Memory: what the caller has not yet taken, and of a line whose LF is still to come at most `lineOctetsMax`,
 * copied out of its chunk so that a short rest does not keep a long chunk alive.
 *
 * Not here: what is said about a defect (catalogue.ts), mail data (mail-data.ts).
 * Rejected: one growing buffer, which is searched again from its start with each octet that arrives.
 * RFC 5321 §2.3.8, §4.5.3.1.4.
 */
import { assert } from "../lib/assert.ts";

/** If a line has several, the first of this order is reported: overlong, nul, bare-cr, bare-lf. */
export type LineDefect = "overlong" | "bare-lf" | "bare-cr" | "nul";

export interface Line {
  /** Wire string without the line end; of an overlong line only the first `overlongTextOctets`. */
  readonly text: string;
  readonly defect?: LineDefect;
}

/** How much of an overlong line is told: enough for a log line. */
export const overlongTextOctets = 64;

const LF = 0x0a;
const CR = 0x0d;
const NOTHING = Buffer.alloc(0);
/** What all readers have that are empty; not to be written to. */
const NO_CHUNKS: Buffer[] = [];
/** An unread rest this short is copied out of a chunk this long. */
const shortRestOctets = 1024;
const longChunkOctets = 8 * 1024;
/** The first allocation for a line whose LF is still to come; doubled as needed. */
const unfinishedOctetsMin = 128;

export class LineReader {
  readonly #lineOctetsMax: number;
  /** What was pushed and not yet searched; `#chunks[#head]` is read up to `#at`. */
  #chunks = NO_CHUNKS;
  #head = 0;
  #at = 0;
  #unsearchedOctets = 0;
  /** Start of the line whose LF is still to come, the first `#unfinishedLength` octets of it; the rest is spare. */
  #unfinished = NOTHING;
  #unfinishedLength = 0;
  /** Octets of that line beyond `lineOctetsMax`, swallowed. Their number is of no interest. */
  #swallowing = false;

  /** `lineOctetsMax` includes the line end and is over `overlongTextOctets` + 2. */
  constructor(lineOctetsMax: number) {
    assert(
      lineOctetsMax > overlongTextOctets + 2,
      "a line's limit leaves room for the text of an overlong line",
    );
    this.#lineOctetsMax = lineOctetsMax;
  }

  /** Octets not yet taken as lines. Those of an overlong line that were swallowed do not count. */
  get pendingOctets(): number {
    return this.#unfinishedLength + this.#unsearchedOctets;
  }

  /** Appends what arrived. The Buffer is kept, not copied, until its lines were taken. */
  push(octets: Buffer): void {
    if (octets.length === 0) return;
    if (this.#unsearchedOctets === 0) this.#chunks = [octets];
    else this.#chunks.push(octets);
    this.#unsearchedOctets += octets.length;
  }

  /** The next whole line, or undefined until more octets arrive. */
  next(): Line | undefined {
    for (let chunk = this.#chunks[this.#head]; chunk !== undefined; chunk = this.#chunks[this.#head]) {
      const lf = chunk.indexOf(LF, this.#at);
      if (lf !== -1) {
        const start = this.#at;
        this.#advance(chunk, lf + 1);
        return this.#finish(chunk, start, lf);
      }
      this.#keep(chunk.subarray(this.#at));
      this.#advance(chunk, chunk.length);
    }
    return undefined;
  }

  /**
   * Everything not yet read as lines, for mail data or TLS follows. The reader is empty afterwards.
   * Of an overlong line in the making, what was swallowed is gone.
   */
  takeRest(): Buffer {
    const rest = this.#chunks.slice(this.#head);
    if (rest[0] !== undefined) rest[0] = rest[0].subarray(this.#at);
    if (this.#unfinishedLength > 0) rest.unshift(this.#unfinished.subarray(0, this.#unfinishedLength));
    this.#chunks = NO_CHUNKS;
    this.#head = 0;
    this.#at = 0;
    this.#unsearchedOctets = 0;
    this.#forgetUnfinished();
    const [only] = rest;
    return rest.length === 1 && only !== undefined ? only : Buffer.concat(rest);
  }

  /** Marks `chunk`, the first one, as read up to `at`. */
  #advance(chunk: Buffer, at: number): void {
    this.#unsearchedOctets -= at - this.#at;
    this.#at = at;
    const restOctets = chunk.length - at;
    if (restOctets === 0) {
      this.#chunks[this.#head] = NOTHING;
      this.#head += 1;
      this.#at = 0;
      if (this.#head === this.#chunks.length) {
        this.#chunks = NO_CHUNKS;
        this.#head = 0;
      }
    } else if (restOctets <= shortRestOctets && chunk.length >= longChunkOctets) {
      this.#chunks[this.#head] = Buffer.from(chunk.subarray(at));
      this.#at = 0;
    }
  }

  /** The line that ends with the LF at `lf` of `chunk` and began before it, or at `start` of it. */
  #finish(chunk: Buffer, start: number, lf: number): Line {
    if (this.#unfinishedLength === 0) return this.#line(chunk, start, lf + 1);
    this.#keep(chunk.subarray(start, lf + 1));
    const line = this.#swallowing
      ? overlong(this.#unfinished, 0)
      : this.#line(this.#unfinished, 0, this.#unfinishedLength);
    this.#forgetUnfinished();
    return line;
  }

  /** The line at `start` to `end` of `octets`, LF included. */
  #line(octets: Buffer, start: number, end: number): Line {
    if (end - start > this.#lineOctetsMax) return overlong(octets, start);
    const hasCr = end - 2 >= start && octets[end - 2] === CR;
    const text = octets.toString("latin1", start, hasCr ? end - 2 : end - 1);
    if (text.includes("\0")) return { text, defect: "nul" };
    if (text.includes("\r")) return { text, defect: "bare-cr" };
    return hasCr ? { text } : { text, defect: "bare-lf" };
  }

  /** Appends to the unfinished line what it still may take. */
  #keep(octets: Buffer): void {
    const length = this.#unfinishedLength;
    const kept = Math.min(octets.length, this.#lineOctetsMax - length);
    if (kept < octets.length) this.#swallowing = true;
    const needed = length + kept;
    if (needed > this.#unfinished.length) {
      const wanted = Math.max(needed, 2 * this.#unfinished.length, unfinishedOctetsMin);
      const grown = Buffer.alloc(Math.min(wanted, this.#lineOctetsMax));
      this.#unfinished.copy(grown, 0, 0, length);
      this.#unfinished = grown;
    }
    octets.copy(this.#unfinished, length, 0, kept);
    this.#unfinishedLength = needed;
  }

  #forgetUnfinished(): void {
    this.#unfinished = NOTHING;
    this.#unfinishedLength = 0;
    this.#swallowing = false;
  }
}

function overlong(octets: Buffer, start: number): Line {
  return { text: octets.toString("latin1", start, start + overlongTextOctets), defect: "overlong" };
}

/** Whether `text` may stand within one line: octets only, and none of NUL, CR, LF. */
export function fitsOnLine(text: string): boolean {
  for (let i = 0; i < text.length; i += 1) {
    const char = text.charCodeAt(i);
    if (char === 0 || char === LF || char === CR || char > 0xff) return false;
  }
  return true;
}
