/**
 * What a fuzz target is: a parser of the program's, the alphabet of what it reads, and the properties it keeps.
 * `read` throws `Broken` (or whatever the parser throws) when a property does not hold, so that the same function
 * serves random cases, the corpus and the search for new inputs.
 * Not here: the targets themselves (*-targets.ts), where inputs come from (inputs.ts), what is kept (corpus.ts).
 */
import { isDeepStrictEqual } from "node:util";
import { cut, singleOctets, wire } from "../smtp/generators.ts";

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export interface Reading {
  /** What the corpus records: everything that a caller would act on, and no wording. */
  readonly gives: Json;
  /** Inputs of one shape took the same way through the parser, as far as one can tell from outside. */
  readonly shape: string;
}

export interface Target {
  readonly name: string;
  /** Octets, as wire strings; or text of any characters. */
  readonly reads: "octets" | "text";
  /** What its grammar is made of. */
  readonly words: readonly string[];
  /** Behind each of these, any word many times over is read in linear time. None: nothing is promised. */
  readonly beginnings: readonly string[];
  /** `places`: where a stream is cut; the others pay no regard to it. */
  read(input: string, places: readonly number[]): Reading;
}

export class Broken extends Error {
  override readonly name = "Broken";
}

/** A property: `told` says what should have been true, and is followed by what was. */
export function hold(condition: boolean, told: string, was?: unknown): asserts condition {
  if (!condition) throw new Broken(was === undefined ? told : `${told}, not ${JSON.stringify(was)}`);
}

export function same(found: unknown, expected: unknown, told: string): void {
  if (isDeepStrictEqual(found, expected)) return;
  throw new Broken(`${told}: ${JSON.stringify(found)}, not ${JSON.stringify(expected)}`);
}

/** Octet by octet only up to here: it costs most, and finds nothing more in long streams. */
const octetByOctetMax = 2048;

/** What `read` makes of the stream in one piece, which has to be what it makes of it in others. */
export function howeverCut<T>(input: string, places: readonly number[], read: (chunks: Buffer[]) => T): T {
  const octets = wire(input);
  const whole = read([octets]);
  same(read(cut(octets, places)), whole, "a split changes the result");
  if (octets.length <= octetByOctetMax) same(read(singleOctets(octets)), whole, "octets one by one differ");
  return whole;
}

/** One line that a terminal shows as it is. */
export function holdClean(text: string): void {
  hold(/^[^\p{C}\p{Zl}\p{Zp}]+$/u.test(text), "a fault is one visible line", text);
}

/** Parts of an input, as a process finds its arguments and its environment: with a NUL between. */
export function partsOf(input: string): string[] {
  return input === "" ? [] : input.split("\0");
}

export function environmentOf(input: string): Record<string, string> {
  const entries = partsOf(input).map((part): [string, string] => {
    const equals = part.indexOf("=");
    return equals === -1 ? [part, ""] : [part.slice(0, equals), part.slice(equals + 1)];
  });
  return Object.fromEntries(entries);
}
