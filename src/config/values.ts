/**
 * The kinds of value an option can have: how an operator's text becomes a value, and a value text again.
 * Contract: `parse` never throws; it returns the value or one fault, a clause that reads on after the option's name
 * ("must be a duration such as 5s, not “5 parsecs”"). `format` gives a text that `parse` reads back to the same value.
 * Values are frozen. Everything is strict: no trimming and no guessing, because a typing error should stop the start.
 * Not here: hosts, names and mailboxes (hosts.ts), which option has which kind (options.ts), where texts come from
 * (load.ts).
 * Rejected: a validation library (its messages are not an operator's); Go's compound durations ("1m30s"), because
 * the same length of time should be written in one way.
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

const DURATION_UNITS = [
  ["d", DAY_MS],
  ["h", HOUR_MS],
  ["m", MINUTE_MS],
  ["s", SECOND_MS],
  ["ms", MS],
] as const;

const SIZE_UNITS = [
  ["G", 1024 ** 3],
  ["M", 1024 ** 2],
  ["K", 1024],
  ["", 1],
] as const;

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
function formatInUnits(value: number, units: readonly (readonly [unit: string, size: number])[]): string {
  if (value === 0) return "0";
  const [unit, size] = units.find(([, candidate]) => value % candidate === 0) ?? ["", 1];
  return `${value / size}${unit}`;
}

export function formatDuration(durationMs: number): string {
  return formatInUnits(durationMs, DURATION_UNITS);
}

export function formatSize(octets: number): string {
  return formatInUnits(octets, SIZE_UNITS);
}

/** Shared by durations and sizes: digits and a unit, between bounds. */
function quantity(
  what: string,
  placeholder: string,
  units: readonly (readonly [unit: string, size: number])[],
  plainSize: number,
  format: (value: number) => string,
): (min: number, max: number) => Kind<number> {
  return (min, max) => ({
    placeholder,
    parse(text) {
      const [, digits = "", unit = ""] = /^([0-9]{1,15})([A-Za-z]{0,2})$/.exec(text) ?? [];
      const size = unit === "" ? plainSize : units.find(([candidate]) => candidate === unit)?.[1];
      if (digits === "" || size === undefined) return failure(`must be ${what}, not ${quote(text)}`);
      const value = Number(digits) * size;
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
  "a duration such as 500ms, 5s, 10m, 1h or 1d",
  "DURATION",
  DURATION_UNITS,
  SECOND_MS,
  formatDuration,
);

/** In octets. */
export const size = quantity(
  "a size in octets, or such as 64K, 25M or 1G",
  "SIZE",
  SIZE_UNITS,
  1,
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

/** Any text on one line. */
export const line: Kind<string> = {
  placeholder: "TEXT",
  parse(text) {
    if (text !== "" && !hasControl(text)) return success(text);
    return failure(`must be a text without control characters, not ${quote(text)}`);
  },
  format: String,
};

/** Any text on one line, which neither faults nor listings show. */
export const secret: Kind<Secret> = {
  placeholder: "SECRET",
  parse(text) {
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
