/**
 * The kinds of value an option can have: how an operator's text becomes a value, and a value text again.
 * Contract: `parse` never throws; it returns the value or one fault, a clause that reads on after the option's name
 * ("must be a duration such as 5s, not “5 parsecs”"). `format` gives a text that `parse` reads back to the same value.
 * Values are frozen. Everything is strict: no trimming and no guessing, because a typing error should stop the start.
 * Durations and sizes may be written as Go, systemd and mail servers write them, where that has one meaning only.
 * Not here: hosts, names and mailboxes (hosts.ts), which option has which kind (config/options.ts), where texts come from
 * (config/load.ts).
 * Rejected: a validation library (its messages are not an operator's); systemd's “M” in a duration, which is a month
 * there and would be meant as minutes here.
 */
import { RE2JS } from "re2js";

export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly fault: string };

/** The text another option has, for the few values that depend on one. Undefined: not set, no default. */
export type TextOf = (name: string) => string | undefined;

export interface Kind<T> {
  /** What stands for the value in --help. */
  readonly placeholder: string;
  parse(text: string, textOf: TextOf): Parsed<T>;
  format(value: T): string;
}

/** `test` takes a wire string (one character an octet) and finds the pattern anywhere in it, as Go does in UTF-8. */
export interface RecipientPattern {
  readonly source: string;
  test(address: string): boolean;
}

/** A text that shows itself to nobody by accident: not in a template, not in JSON, not in an inspection. */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
    Object.freeze(this);
  }

  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return "(hidden)";
  }

  toJSON(): string {
    return "(hidden)";
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return "(hidden)";
  }
}

const QUOTED_CHARS_MAX = 60;
const PATH_OCTETS_MAX = 4095;

export const MS = 1;
export const SECOND_MS = 1000;
export const MINUTE_MS = 60 * SECOND_MS;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;

interface Unit {
  /** As `format` writes it. */
  readonly name: string;
  readonly size: number;
  /** All that it may be written as, whole. */
  readonly written: RegExp;
}

/** From the largest to the smallest, which is 1. systemd.time(7) has the long names, and time.ParseDuration the short ones. */
const DURATION_UNITS: readonly Unit[] = [
  { name: "d", size: DAY_MS, written: /^d(?:ays?)?$/ },
  { name: "h", size: HOUR_MS, written: /^h(?:r|ours?)?$/ },
  { name: "m", size: MINUTE_MS, written: /^m(?:in(?:utes?)?)?$/ },
  { name: "s", size: SECOND_MS, written: /^s(?:ec(?:onds?)?)?$/ },
  { name: "ms", size: MS, written: /^ms(?:ec)?$/ },
];

const SIZE_UNITS: readonly Unit[] = [
  { name: "G", size: 1024 ** 3, written: /^g(?:i?b)?$/i },
  { name: "M", size: 1024 ** 2, written: /^m(?:i?b)?$/i },
  { name: "K", size: 1024, written: /^k(?:i?b)?$/i },
  { name: "", size: 1, written: /^b?$/i },
];

/** The text with what a terminal would not show, or would obey, escaped. */
export function visible(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, escapeCharacter);
}

/** The same, in quotes and cut. */
export function quote(text: string): string {
  const characters = Array.from(text);
  const cut = characters.length > QUOTED_CHARS_MAX ? "…" : "";
  return `“${visible(characters.slice(0, QUOTED_CHARS_MAX).join(""))}${cut}”`;
}

function escapeCharacter(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
}

export function success<T>(value: T): Parsed<T> {
  return { ok: true, value };
}

export function failure(fault: string): { readonly ok: false; readonly fault: string } {
  return { ok: false, fault };
}

/** A number times the largest unit that divides it. */
function formatInUnits(value: number, units: readonly Unit[]): string {
  if (value === 0) return "0";
  const { name, size } = units.find((unit) => value % unit.size === 0) ?? { name: "", size: 1 };
  return `${value / size}${name}`;
}

/** Six digits behind the point times the largest unit is exact. Each unit ends what came before it, so it is linear. */
const NUMBER = "([0-9]{1,15})(?:\\.([0-9]{1,6}))?";
const PLAIN = new RegExp(`^${NUMBER}$`);
const PART = new RegExp(`${NUMBER} ?([A-Za-z]+)`, "g");
const PARTS = new RegExp(`^${NUMBER} ?[A-Za-z]+(?: ?${NUMBER} ?[A-Za-z]+)*$`);

/** What a fraction leaves of the smallest unit counts as a whole one, so that little never becomes nothing. */
function times(size: number, whole = "", fraction = ""): number {
  return Number(whole) * size + Math.ceil((Number(fraction) * size) / 10 ** fraction.length);
}

/** A number alone, or numbers with units that become smaller ("1m30s"), at most `partsMax`. */
function readInUnits(
  text: string,
  units: readonly Unit[],
  plainSize: number,
  partsMax: number,
): number | undefined {
  const [plain, whole, fraction] = PLAIN.exec(text) ?? [];
  if (plain !== undefined) return times(plainSize, whole, fraction);
  const parts = PARTS.test(text) ? [...text.matchAll(PART)] : [];
  let sum: number | undefined;
  let above = Number.POSITIVE_INFINITY;
  for (const [, wholes, fractions, name = ""] of parts) {
    const size = units.find(({ written }) => written.test(name))?.size;
    if (size === undefined || size >= above) return undefined;
    sum = (sum ?? 0) + times(size, wholes, fractions);
    above = size;
  }
  return parts.length <= partsMax ? sum : undefined;
}

export function formatDuration(durationMs: number): string {
  return formatInUnits(durationMs, DURATION_UNITS);
}

export function formatSize(octets: number): string {
  return formatInUnits(octets, SIZE_UNITS);
}

/** Shared by durations and sizes: numbers and their units, between bounds. */
function quantity(
  what: string,
  placeholder: string,
  read: (text: string) => number | undefined,
  format: (value: number) => string,
): (min: number, max: number) => Kind<number> {
  return (min, max) => ({
    placeholder,
    parse(text) {
      const value = read(text);
      if (value === undefined) return failure(`must be ${what}, not ${quote(text)}`);
      if (value < min || value > max) {
        return failure(`must be from ${format(min)} to ${format(max)}, not ${quote(text)}`);
      }
      return success(value);
    },
    format,
  });
}

/** In milliseconds. */
export const duration = quantity(
  "a duration such as 500ms, 5s, 1m30s, 1.5h or 1d",
  "DURATION",
  (text) => readInUnits(text, DURATION_UNITS, SECOND_MS, DURATION_UNITS.length),
  formatDuration,
);

/** In octets. */
export const size = quantity(
  "a size in octets, or such as 64K, 25M, 25MB, 25MiB or 1.5G",
  "SIZE",
  (text) => readInUnits(text, SIZE_UNITS, 1, 1),
  formatSize,
);

export function integer(min: number, max: number): Kind<number> {
  return {
    placeholder: "NUMBER",
    parse(text) {
      const value = /^[0-9]{1,15}$/.test(text) ? Number(text) : Number.NaN;
      if (value >= min && value <= max) return success(value);
      return failure(`must be a whole number from ${min} to ${max}, not ${quote(text)}`);
    },
    format: String,
  };
}

export function choice<const C extends string>(...choices: readonly C[]): Kind<C> {
  return {
    placeholder: choices.join("|"),
    parse(text) {
      const chosen = choices.find((candidate) => candidate === text);
      if (chosen !== undefined) return success(chosen);
      const options = `${choices.slice(0, -1).join(", ")} or ${choices.at(-1) ?? ""}`;
      return failure(`must be ${options}, not ${quote(text)}`);
    },
    format: String,
  };
}

/** `atLeast` of a kind or more, separated by spaces or commas, none of them twice. */
export function listOf<T>(item: Kind<T>, atLeast: 0 | 1 = 1): Kind<readonly T[]> {
  return {
    placeholder: `${item.placeholder}[,...]`,
    parse(text, textOf) {
      const parts = text.split(/[\s,]+/).filter((part) => part !== "");
      if (parts.length < atLeast) return failure("must name at least one");
      const values = new Map<string, T>();
      for (const part of parts) {
        const parsed = item.parse(part, textOf);
        if (!parsed.ok) return parsed;
        const canonical = item.format(parsed.value);
        if (values.has(canonical)) return failure(`names ${quote(canonical)} twice`);
        values.set(canonical, parsed.value);
      }
      return success(Object.freeze([...values.values()]));
    },
    format: (values) => values.map((value) => item.format(value)).join(" "),
  };
}

export function hasControl(text: string): boolean {
  return /\p{Cc}/u.test(text);
}

export const path: Kind<string> = {
  placeholder: "FILE",
  parse(text) {
    if (text !== "" && !hasControl(text) && Buffer.byteLength(text) <= PATH_OCTETS_MAX) return success(text);
    return failure(`must be the path of a file, not ${quote(text)}`);
  },
  format: String,
};

/**
 * Octets that are not UTF-8 (a password in Latin-1, say) are read as U+FFFD, from files and environment alike. The relay
 * would be sent another text than was written.
 */
export function isMisread(text: string): boolean {
  return text.includes("\uFFFD");
}

/** Any text on one line. */
export const line: Kind<string> = {
  placeholder: "TEXT",
  parse(text) {
    if (isMisread(text)) return failure("must be in UTF-8");
    if (text !== "" && !hasControl(text)) return success(text);
    return failure(`must be a text without control characters, not ${quote(text)}`);
  },
  format: String,
};

/** Any text on one line, which neither faults nor listings show. */
export const secret: Kind<Secret> = {
  placeholder: "SECRET",
  parse(text) {
    if (isMisread(text)) return failure("must be in UTF-8");
    if (text !== "" && !hasControl(text)) return success(new Secret(text));
    return failure("must be a text of one line, without control characters");
  },
  format: String,
};

/** A pattern in Go's (RE2's) syntax. It sees octets, so a pattern in UTF-8 meets an address in UTF-8. */
export const pattern: Kind<RecipientPattern> = {
  placeholder: "REGEXP",
  parse(text) {
    try {
      const compiled = RE2JS.compile(text);
      const test = (address: string) => compiled.test(Buffer.from(address, "latin1"));
      return success(Object.freeze({ source: text, test }));
    } catch (error) {
      const reason = error instanceof Error ? error.message.replace(/^error parsing regexp: /, "") : "";
      return failure(`must be a regular expression in RE2's syntax: ${visible(reason)}`);
    }
  },
  format: (value) => value.source,
};
