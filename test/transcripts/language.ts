/**
 * The language of transcripts: a text with both dialogues of a session, read into steps. README.md tells how it is
 * written. Throws `TranscriptFault`, which names file and line.
 * Not here: what a step does (runner.ts), the machines that it is done to (world.ts).
 */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { LookupAnswer } from "../../src/client/messages.ts";
import type { ToldAnswer } from "./dns.ts";

/**
 * 0 is the client that connected last; -1, -2, … are the clients in the order in which they connected; 1, 2, … are the
 * relay connections in the order in which they were dialled.
 */
export type Peer = number;
export const client: Peer = 0;

export interface Place {
  readonly file: string;
  readonly line: number;
}

export type Step = { readonly place: Place } & (
  | { readonly does: "sends"; readonly peer: Peer; readonly octets: Buffer; readonly atOnce: boolean }
  | { readonly does: "acts"; readonly peer: Peer; readonly event: string }
  /** "start": one line that begins so. "prefix": as much of it as got through before the connection was broken. */
  | {
      readonly does: "hears";
      readonly peer: Peer;
      readonly octets: Buffer;
      readonly how: "all" | "start" | "prefix";
    }
  | { readonly does: "hears-trace"; readonly peer: Peer }
  | { readonly does: "sees"; readonly peer: Peer; readonly event: string }
  /** "late": machines that are due meanwhile are woken behind what comes next. */
  | { readonly does: "waits"; readonly ms: number; readonly late: boolean }
  /** Where the next client connects from. */
  | { readonly does: "moves"; readonly address: string }
  | {
      readonly does: "tells";
      readonly name: string;
      readonly record: "A" | "TXT";
      readonly told: ToldAnswer;
    }
  | { readonly does: "is-told"; readonly event: string }
  | { readonly does: "logs"; readonly event: string; readonly fields: readonly LoggedField[] }
);

export interface LoggedField {
  readonly key: string;
  /** "~=": contains it. */
  readonly operator: "=" | "~=";
  readonly value: string;
}

export interface Transcript {
  /** The first comment: the rule that it shows. */
  readonly rule: string;
  /** Options by their names, as an operator writes them; besides "CLIENT" and "ADDRESSES". */
  readonly options: Readonly<Record<string, string>>;
  readonly steps: readonly Step[];
}

export class TranscriptFault extends Error {
  override readonly name = "TranscriptFault";

  constructor({ file, line }: Place, message: string) {
    super(`${file}:${line}: ${message}`);
  }
}

export function readTranscript(file: string): Transcript {
  const reading = new Reading();
  reading.read(file);
  return { rule: reading.rule, options: reading.options, steps: joinPackets(reading.steps) };
}

const arrows: Readonly<Record<string, { does: "sends" | "hears"; how: "all" | "start" | "prefix" }>> = {
  "c ->": { does: "sends", how: "all" },
  "c =>": { does: "sends", how: "prefix" },
  "c <-": { does: "hears", how: "all" },
  "c <~": { does: "hears", how: "start" },
  "c <?": { does: "hears", how: "prefix" },
  "r <-": { does: "sends", how: "all" },
  "r <=": { does: "sends", how: "prefix" },
  "r ->": { does: "hears", how: "all" },
  "r ~>": { does: "hears", how: "start" },
  "r ?>": { does: "hears", how: "prefix" },
};

class Reading {
  rule = "";
  readonly options: Record<string, string> = {};
  readonly steps: Step[] = [];

  read(file: string): void {
    const lines = readFileSync(file, "utf8").split("\n");
    for (const [index, line] of lines.entries()) this.#readLine(line, { file, line: index + 1 });
  }

  #readLine(line: string, place: Place): void {
    if (line === "") return;
    const [, word = "", rest = ""] = /^(\S+) ?(.*)$/.exec(line) ?? [];
    const [, side, number, arrow, text = ""] = /^([cr])(\d*) ([-<>=~?]{2})(?: (.*))?$/.exec(line) ?? [];
    if (word.startsWith("#")) {
      if (this.rule === "") this.rule = rest;
    } else if (word === "include") {
      this.read(join(dirname(place.file), rest));
    } else if (word === "options") {
      for (const { key, value } of fieldsOf(rest, place)) this.options[key] = value;
    } else if (/^\+\d/.test(word)) {
      this.steps.push({ place, does: "waits", ms: msOf(word.slice(1), place), late: rest === "(late)" });
    } else if (word === "client") {
      this.steps.push({ place, does: "moves", address: rest });
    } else if (word === "dns") {
      this.steps.push(dnsStep(rest, place));
    } else if (word === "proxy") {
      this.steps.push({ place, does: "is-told", event: eventOf(rest, place) });
    } else if (word === "log") {
      const [, event = "", fields = ""] = /^(\S+) ?(.*)$/.exec(rest) ?? [];
      this.steps.push({ place, does: "logs", event, fields: fieldsOf(fields, place) });
    } else {
      const kind = arrows[`${side} ${arrow}`];
      if (kind === undefined) throw new TranscriptFault(place, `no such line: ${line}`);
      this.#readDialogue(kind, peerOf(side, number), text, place);
    }
  }

  #readDialogue(
    { does, how }: { does: "sends" | "hears"; how: "all" | "start" | "prefix" },
    peer: Peer,
    text: string,
    place: Place,
  ): void {
    if (text === "(trace)" && does === "hears") this.steps.push({ place, does: "hears-trace", peer });
    else if (text.startsWith("(")) {
      this.steps.push({ place, does: does === "sends" ? "acts" : "sees", peer, event: eventOf(text, place) });
    } else if (does === "sends") {
      this.steps.push({ place, does, peer, octets: octetsOf(text, place), atOnce: how === "prefix" });
    } else {
      const octets = how === "start" ? octetsOf(`${text}\\`, place) : octetsOf(text, place);
      this.steps.push({ place, does, peer, octets, how });
    }
  }
}

function peerOf(side: string | undefined, number: string | undefined): Peer {
  if (side === "c") return number === "" ? client : -Number(number);
  return Number(number === "" ? 1 : number);
}

/** `NAME A 127.0.0.2 127.0.0.4`, `NAME TXT some text`, `NAME A none`, `… trouble REASON`, `… silence`; `… (ttl 5m) (+3s)`;
 * `NAME A waits …`: not asked at first */
function dnsStep(text: string, place: Place): Step {
  const [, name, record, waits, words = "", ttl = "1h", delay = "0ms"] =
    /^(\S+) (A|TXT) (waits )?(.+?)(?: \(ttl (\w+)\))?(?: \(\+(\w+)\))?$/.exec(text) ?? [];
  if (name === undefined || (record !== "A" && record !== "TXT")) {
    throw new TranscriptFault(place, `NAME A … or NAME TXT … expected: ${text}`);
  }
  const answer = answerOf(record, words, msOf(ttl, place));
  const told = { waits: waits !== undefined, afterMs: msOf(delay, place), answer };
  return { place, does: "tells", name, record, told };
}

function answerOf(record: "A" | "TXT", words: string, ttlMs: number): LookupAnswer | undefined {
  const [kind = "", ...reason] = words.split(" ");
  if (words === "silence") return undefined;
  if (words === "none") return { kind: "none", ttlMs };
  if (kind === "trouble") return { kind: "trouble", reason: reason.join(" "), server: "127.0.0.1:53" };
  return record === "A"
    ? { kind: "found", addresses: words.split(" "), ttlMs }
    : { kind: "texts", texts: [words], ttlMs };
}

function eventOf(text: string, place: Place): string {
  const event = /^\((.+)\)$/.exec(text)?.[1];
  if (event === undefined) throw new TranscriptFault(place, `an event stands in parentheses: ${text}`);
  return event;
}

/** `key=value key="value with spaces" key~=part` */
function fieldsOf(text: string, place: Place): LoggedField[] {
  const pattern = /(\w+)(~?=)(?:"([^"]*)"|(\S*))(?: +|$)/y;
  const fields: LoggedField[] = [];
  while (pattern.lastIndex < text.length) {
    const [, key, operator, quoted, plain = ""] = pattern.exec(text) ?? [];
    if (key === undefined) throw new TranscriptFault(place, `key=value expected: ${text}`);
    fields.push({ key, operator: operator === "~=" ? "~=" : "=", value: quoted ?? plain });
  }
  return fields;
}

const unitsMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

function msOf(text: string, place: Place): number {
  const [, count, unit = ""] = /^(\d+)([a-z]+)$/.exec(text) ?? [];
  const unitMs = unitsMs[unit];
  if (unitMs === undefined) throw new TranscriptFault(place, `no duration: ${text}`);
  return Number(count) * unitMs;
}

const escapes: Readonly<Record<string, number>> = { r: 13, n: 10, t: 9, "0": 0, "\\": 0x5c };

/** A line of text as octets, with its CRLF unless a lone backslash ends it. */
function octetsOf(text: string, place: Place): Buffer {
  const parts: Buffer[] = [];
  const pattern = /\\x([\da-f]{2})|\\\{(\d+) ([^}]+)\}|\\(.)|([^\\]+)|\\$/giy;
  let lineEnd = "\r\n";
  while (pattern.lastIndex < text.length) {
    const match = pattern.exec(text);
    if (match === null) throw new TranscriptFault(place, `no such escape: ${text}`);
    const [, hex, times, repeated = "", letter, plain] = match;
    if (hex !== undefined) parts.push(Buffer.from(hex, "hex"));
    else if (times !== undefined) {
      const once = octetsOf(`${repeated}\\`, place);
      parts.push(Buffer.alloc(once.length * Number(times), once));
    } else if (letter !== undefined) {
      const octet = escapes[letter];
      if (octet === undefined) throw new TranscriptFault(place, `no such escape: \\${letter}`);
      parts.push(Buffer.from([octet]));
    } else if (plain !== undefined) parts.push(Buffer.from(plain, "utf8"));
    else lineEnd = "";
  }
  parts.push(Buffer.from(lineEnd));
  return Buffer.concat(parts);
}

/** What one side sends in a row is one packet; and so is what it hears in a row. */
function joinPackets(steps: readonly Step[]): readonly Step[] {
  const joined: Step[] = [];
  for (const step of steps) {
    const last = joined.at(-1);
    const sends = step.does === "sends" && last?.does === "sends" && step.atOnce === last.atOnce;
    const hears =
      step.does === "hears" && last?.does === "hears" && step.how === "prefix" && last.how === "prefix";
    if ((sends || hears) && step.peer === last.peer) {
      joined[joined.length - 1] = { ...last, octets: Buffer.concat([last.octets, step.octets]) };
    } else {
      joined.push(step);
    }
  }
  return joined;
}
