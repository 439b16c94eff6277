/**
 * Writes log lines: formats them, filters by level, gathers those of one turn into one write, and never stands in
 * the way of mail. What cannot be written is kept up to a limit; beyond it lines are dropped, and counted.
 *
 * A line: time, level, event, then the fields in the order given. As text, every value is in quotes. Strings from
 * peers are wire strings (one character an octet): good UTF-8 is shown as text; control characters, quotes (as
 * text), backslashes, octets that are no UTF-8, and characters that would upset a terminal or a reader (C1, U+2028,
 * bidirectional controls) are shown as \" and \\ and \xNN, octet by octet, so that the octets can be had back.
 * Keys are our own identifiers and are not escaped.
 * Not here: which events there are, and their levels and keys (events.ts); the journal's own protocol: systemd reads
 * stderr just as well.
 * Rejected: console.error (six times the cost, and it throws on a closed pipe); an asynchronous stream (its last
 * lines are lost at exit).
 */
import { writeSync } from "node:fs";

export const LOG_LEVELS = ["error", "warn", "info", "debug"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type LogFormat = "text" | "json";

export type LogValue = string | number | boolean | undefined;

export interface LogLine {
  readonly level: LogLevel;
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
const BUFFER_OCTETS_MAX = 1024 * 1024;
const RETRY_MS = 20;
const FLUSH_RETRIES_MAX = 25;

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

export class Log {
  readonly #format: LogFormat;
  readonly #rank: number;
  readonly #sink: Sink;
  #lines: string[] = [];
  /** What the sink did not take of earlier lines. */
  #rest: Uint8Array = new Uint8Array();
  #bufferedOctets = 0;
  #scheduled = false;
  #dropped = 0;
  #droppedDate = 0;

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
    if (!this.#append(`${formatLine(this.#format, line, date)}\n`)) {
      this.#dropped += 1;
      this.#droppedDate = date;
    }
    if (!this.#scheduled) {
      this.#scheduled = true;
      setImmediate(() => this.#turn());
    }
  }

  /** Writes everything out, before an exit. Waits for a slow reader, but not long. */
  flush(): void {
    for (let retries = 0; this.#bufferedOctets > 0 && retries < FLUSH_RETRIES_MAX; ) {
      if (this.#drain() === 0) {
        retries += 1;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
      }
    }
  }

  #turn(): void {
    this.#scheduled = false;
    this.#drain();
    if (this.#bufferedOctets === 0) return;
    this.#scheduled = true;
    setTimeout(() => this.#turn(), RETRY_MS).unref();
  }

  /** One write of all there is. Returns how many octets the sink took. */
  #drain(): number {
    const octets = Buffer.concat([this.#rest, Buffer.from(this.#lines.join(""))]);
    const taken = octets.length === 0 ? 0 : this.#sink.write(octets);
    this.#lines = [];
    this.#rest = octets.subarray(taken);
    this.#bufferedOctets = this.#rest.length;
    if (taken > 0) this.#tellDropped();
    return taken;
  }

  #append(text: string): boolean {
    const octets = Buffer.byteLength(text);
    const fits = this.#bufferedOctets + octets <= BUFFER_OCTETS_MAX;
    if (fits) {
      this.#lines.push(text);
      this.#bufferedOctets += octets;
    }
    return fits;
  }

  #tellDropped(): void {
    if (this.#dropped === 0) return;
    const line: LogLine = {
      level: "warn",
      event: "log lines dropped",
      fields: [["lines", "lines"]],
      values: { lines: this.#dropped },
    };
    if (this.#append(`${formatLine(this.#format, line, this.#droppedDate)}\n`)) this.#dropped = 0;
  }
}

/** A descriptor as a sink; 2 is stderr. */
export function descriptorSink(descriptor: number): Sink {
  return {
    write(octets) {
      try {
        return writeSync(descriptor, octets);
      } catch (error) {
        const code = error instanceof Error && "code" in error ? error.code : undefined;
        // A pipe that nobody reads or a full disk must not stop the mail, and there is no place left to tell it.
        return code === "EAGAIN" || code === "EINTR" ? 0 : octets.length;
      }
    },
  };
}
