/**
 * Finds the option that a misspelt name was meant to be.
 * An environment holds many names that are not ours, so the net is narrow: two typing errors in a long name, one in
 * a short one. Case and hyphens for underscores do not count as errors.
 * Rejected: matching by common beginnings ("RELAY_…"), which would catch what container hosts put there.
 */
import { OPTIONS, PROPERTIES } from "./options.ts";

const SHORT_NAME_CHARS_MAX = 8;
const NAMES: readonly string[] = PROPERTIES.map((property) => OPTIONS[property].name);

/** The name of the option that `name` is nearly, but not exactly, the name of. */
export function nearMiss(name: string): string | undefined {
  if (NAMES.includes(name)) return undefined;
  const plain = name.replaceAll("-", "_").toUpperCase();
  const candidates = NAMES.map((option) => ({ option, errors: editDistance(plain, option) }));
  candidates.sort((a, b) => a.errors - b.errors);
  return candidates.find(({ option, errors }) => errors <= (option.length > SHORT_NAME_CHARS_MAX ? 2 : 1))
    ?.option;
}

/** Levenshtein's distance. Names that differ much in length are infinitely far apart, which bounds the work. */
export function editDistance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 2) return Number.POSITIVE_INFINITY;
  let above = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const replaced = (above[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1);
      const removed = (above[column] ?? 0) + 1;
      const added = (current[column - 1] ?? 0) + 1;
      current.push(Math.min(replaced, removed, added));
    }
    above = current;
  }
  return above[b.length] ?? 0;
}
