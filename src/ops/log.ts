/**
 * Writes log lines: formats them, filters by level, gathers those of one turn into one write, and never stands in
 * the way of mail. What the sink does not take is kept, in order, up to a limit; further lines are dropped and
 * counted. There are two limits: transaction lines, warnings and errors have one of their own, so that no flood of
 * other lines costs a single one of them.
 *
 * A line: time, level, event, then the fields in the order given. As text, every value is in quotes. Strings from
 * peers are wire strings (one character an octet): good UTF-8 is shown as text; control characters, quotes (as
 * text), backslashes, octets that are no UTF-8, and characters that would upset a terminal or a reader (C1, U+2028,
 * bidirectional controls) are shown as \" and \\ and \xNN, octet by octet, so that the octets can be had back.
 * Keys are our own identifiers and are not escaped.
 * Not here: which events there are, and their levels and keys (events.ts); the descriptor, and how it is written to
 * without waiting (host/log-sink.ts); the journal's own protocol: systemd reads stderr just as well.
 * Rejected: console.error (six times the cost, and it throws on a closed pipe); an asynchronous stream (its last
 * lines are lost at exit, and it has no limit); one limit for all lines; to drop the oldest lines instead of the
 * newest, since the beginning tells what went wrong.
 */
import { logLine } from "./events.ts";

export const LOG_LEVELS = ["error", "warn", "info", "debug"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type LogFormat = "text" | "json";

export type LogValue = string | number | boolean | undefined;

export interface LogLine {
  readonly level: LogLevel;
  /** Dropped last. */
  readonly isImportant: boolean;
  readonly event: string;
  /** What is written of `values`, in this order, and under which name. Undefined values are left out. */
  readonly fields: readonly (readonly [key: string, name: string])[];
  readonly values: Readonly<Record<string, LogValue>>;
}

/** Takes octets without waiting. Never throws. */
export interface Sink {
  /** Returns how many octets it took: 0 when it is full. One that is gone takes everything. */
  write(octets: Uint8Array): number;
}

const VALUE_CHARS_MAX = 512;
/** Needs neither decoding nor an escape. */
const PLAIN = /^[ -[\]-~]*$/;
/** What may wait for the reader: important lines (some 4,000 mails), and the others. */
const IMPORTANT_OCTETS_MAX = 2 * 1024 * 1024;
const ORDINARY_OCTETS_MAX = 512 * 1024;
/** What is handed to the sink at once: as much as a pipe holds. */
const CHUNK_OCTETS_MAX = 64 * 1024;
const RETRY_MS = 20;
/** How often the count of dropped lines is written while the reader is slow, but reads. */
const TELL_MS = 1_000;
/** How long an exit waits for the reader. */
const FLUSH_MS = 1_000;

/** Controls (C0, DEL, C1), format characters (which the bidirectional ones are among), line and paragraph separators. */
const HARMFUL = /[\p{C}\p{Zl}\p{Zp}]/u;

/** One line, without its line end. `date` is in milliseconds since 1970. */
export function formatLine(format: LogFormat, line: LogLine, date: number): string {
  const time = new Date(date).toISOString();
  return format === "text" ? textLine(line, time) : jsonLine(line, time);
}

function textLine(line: LogLine, time: string): string {
  // Joined once: a string that grows piece by piece is one more object for each piece.
  const text = [`time="${time}" level="${line.level}" event="${textValue(line.event)}"`];
  for (const [key, name] of line.fields) {
    const value = line.values[key];
    if (value !== undefined) text.push(" ", name, '="', textValue(value), '"');
  }
  return text.join("");
}

function jsonLine(line: LogLine, time: string): string {
  let json = `{"time":"${time}","level":"${line.level}","event":${jsonValue(line.event)}`;
  for (const [key, name] of line.fields) {
    const value = line.values[key];
    if (value !== undefined) json += `,${JSON.stringify(name)}:${jsonValue(value)}`;
  }
  return `${json}}`;
}

function textValue(value: LogValue): string {
  if (typeof value !== "string") return String(value);
  const shown = display(value);
  return shown.includes('"') ? shown.replaceAll('"', '\\"') : shown;
}

function jsonValue(value: LogValue): string {
  return JSON.stringify(typeof value === "string" ? display(value) : value);
}

/** Nearly all values are short and plain; the others are shown character by character. */
function display(value: string): string {
  const head = value.length <= VALUE_CHARS_MAX ? value : value.slice(0, VALUE_CHARS_MAX);
  if (PLAIN.test(head)) return head + cutMark(value, head.length);
  const shown: string[] = [];
  let at = 0;
  while (at < value.length && shown.length < VALUE_CHARS_MAX) {
    const { text, chars } = displayNext(value, at);
    shown.push(text);
    at += chars;
  }
  return shown.join("") + cutMark(value, at);
}

function cutMark(value: string, at: number): string {
  return at < value.length ? `…(+${value.length - at})` : "";
}

/** The character at `at`, fit to be shown, and how much of the value it takes. */
function displayNext(value: string, at: number): { readonly text: string; readonly chars: number } {
  const code = value.codePointAt(at) ?? 0;
  if (code === 0x5c) return { text: "\\\\", chars: 1 };
  if (code >= 0x80 && code <= 0xff) {
    const character = decodeUtf8(value, at);
    if (character === undefined) return { text: escapeOctet(code), chars: 1 };
    const chars = Buffer.byteLength(character);
    return { text: HARMFUL.test(character) ? escapeOctets(value.slice(at, at + chars)) : character, chars };
  }
  // Beyond an octet it is a text of our own, and no wire string: a path, a message of the system.
  const character = String.fromCodePoint(code);
  const text = HARMFUL.test(character) ? escapeOctets(Buffer.from(character).toString("latin1")) : character;
  return { text, chars: character.length };
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The character whose UTF-8 begins at `at` of a wire string, if one does. */
function decodeUtf8(wire: string, at: number): string | undefined {
  const lead = wire.charCodeAt(at);
  const octets = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
  const sequence = wire.slice(at, at + octets);
  if (octets === 0 || sequence.length < octets || /[^\x80-\xff]/.test(sequence)) return undefined;
  try {
    return utf8.decode(Buffer.from(sequence, "latin1"));
  } catch {
    return undefined; // Not a failure: this is how the decoder says that it is no UTF-8.
  }
}

function escapeOctets(wire: string): string {
  return Array.from(wire, (octet) => escapeOctet(octet.charCodeAt(0))).join("");
}

function escapeOctet(octet: number): string {
  return `\\x${octet.toString(16).padStart(2, "0")}`;
}

interface WaitingLine {
  readonly text: string;
  readonly octets: number;
  readonly isImportant: boolean;
}

/** Lines dropped since their count was last written. */
interface Dropped {
  readonly sinceDate: number;
  lines: number;
  importantLines: number;
  lastDate: number;
}

export class Log {
  readonly #format: LogFormat;
  readonly #rank: number;
  readonly #sink: Sink;
  #waiting: WaitingLine[] = [];
  #importantOctets = 0;
  #ordinaryOctets = 0;
  /** Of lines that are being written: what the sink did not take yet. */
  #rest: Uint8Array = new Uint8Array();
  #scheduled = false;
  #dropped: Dropped | undefined;
  #toldDate = 0;
  /** The sink took something since the first line was dropped. */
  #isRead = false;

  constructor(format: LogFormat, level: LogLevel, sink: Sink) {
    this.#format = format;
    this.#rank = LOG_LEVELS.indexOf(level);
    this.#sink = sink;
  }

  /** For lines that cost something to make. */
  enabled(level: LogLevel): boolean {
    return LOG_LEVELS.indexOf(level) <= this.#rank;
  }

  write(line: LogLine, date: number): void {
    if (!this.enabled(line.level)) return;
    if (this.#dropped !== undefined && this.#isRead && date - this.#toldDate >= TELL_MS) this.#tellDropped();
    if (!this.#append(line, date)) this.#countDropped(line, date);
    if (!this.#scheduled) {
      this.#scheduled = true;
      setImmediate(() => this.#turn());
    }
  }

  /** Writes everything out, before an exit. Waits for a slow reader, but not long. */
  flush(): void {
    const end = performance.now() + FLUSH_MS;
    while (!this.#drain() && performance.now() < end) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
    }
  }

  #turn(): void {
    this.#scheduled = false;
    if (this.#drain()) return;
    this.#scheduled = true;
    setTimeout(() => this.#turn(), RETRY_MS).unref();
  }

  /** Writes what the sink takes; true: that was all. */
  #drain(): boolean {
    for (;;) {
      if (this.#rest.length === 0) this.#rest = this.#nextChunk();
      if (this.#rest.length === 0) {
        if (!this.#tellDropped()) return true;
        continue;
      }
      const taken = this.#sink.write(this.#rest);
      if (taken > 0) this.#isRead = true;
      this.#rest = this.#rest.subarray(taken);
      if (this.#rest.length > 0) return false;
    }
  }

  /** The next lines in order, as many as are written at once. */
  #nextChunk(): Uint8Array {
    let octets = 0;
    let count = 0;
    for (const line of this.#waiting) {
      if (count > 0 && octets + line.octets > CHUNK_OCTETS_MAX) break;
      octets += line.octets;
      count += 1;
      if (line.isImportant) this.#importantOctets -= line.octets;
      else this.#ordinaryOctets -= line.octets;
    }
    const lines = this.#waiting.splice(0, count);
    return Buffer.from(lines.map(({ text }) => text).join(""));
  }

  /** False: there is no room for it. */
  #append(line: LogLine, date: number): boolean {
    const text = `${formatLine(this.#format, line, date)}\n`;
    const octets = Buffer.byteLength(text);
    const { isImportant } = line;
    const waiting = octets + (isImportant ? this.#importantOctets : this.#ordinaryOctets);
    if (waiting > (isImportant ? IMPORTANT_OCTETS_MAX : ORDINARY_OCTETS_MAX)) return false;
    if (isImportant) this.#importantOctets = waiting;
    else this.#ordinaryOctets = waiting;
    this.#waiting.push({ text, octets, isImportant });
    return true;
  }

  #countDropped({ isImportant }: LogLine, date: number): void {
    if (this.#dropped === undefined) {
      this.#dropped = { sinceDate: date, lines: 0, importantLines: 0, lastDate: date };
      this.#isRead = false;
    }
    this.#dropped.lines += 1;
    if (isImportant) this.#dropped.importantLines += 1;
    this.#dropped.lastDate = date;
  }

  /** Appends the line that tells of dropped ones; false: there is none to tell of, or no room for it. */
  #tellDropped(): boolean {
    const dropped = this.#dropped;
    if (dropped === undefined) return false;
    const { lines, importantLines, lastDate } = dropped;
    const since = new Date(dropped.sinceDate).toISOString();
    const line = logLine({ event: "log-lines-dropped", lines, importantLines, since });
    if (!this.#append(line, lastDate)) return false;
    this.#dropped = undefined;
    this.#toldDate = lastDate;
    return true;
  }
}
