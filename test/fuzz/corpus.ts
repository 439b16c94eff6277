/**
 * The corpus: test/corpus/<target>.jsonl, one input a line with what it gives. Format and use: test/corpus/README.md.
 * Not here: where inputs come from (inputs.ts); who adds to it (main.ts).
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Json, Target } from "./target.ts";

export interface Entry {
  readonly input: string;
  /** Undefined for an input that broke a property: only the properties are looked at, until it is mended. */
  readonly gives?: Json;
  /** What it broke when it was found. */
  readonly broke?: string;
}

const folder = join(import.meta.dir, "../corpus");

function fileOf(target: Target): string {
  return join(folder, `${target.name}.jsonl`);
}

export function readCorpus(target: Target): readonly Entry[] {
  const file = fileOf(target);
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, "utf8").split("\n");
  return lines.filter((line) => line !== "").map((line): Entry => JSON.parse(line));
}

export function writeCorpus(target: Target, entries: readonly Entry[]): void {
  if (entries.length === 0) return;
  writeFileSync(fileOf(target), entries.map((entry) => `${escaped(entry)}\n`).join(""));
}

/** JSON in ASCII, so that every octet can be seen. */
export function escaped(value: Json | Entry): string {
  return JSON.stringify(value).replace(
    /[^ -~]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** The shortest text found by leaving pieces out for which `keeps` is still true. */
export function minimal(text: string, keeps: (shorter: string) => boolean): string {
  let best = text;
  for (
    let length = Math.ceil(best.length / 2);
    length >= 1;
    length = length === 1 ? 0 : Math.ceil(length / 2)
  ) {
    for (let at = 0; at < best.length; ) {
      const shorter = best.slice(0, at) + best.slice(at + length);
      if (keeps(shorter)) best = shorter;
      else at += length;
    }
  }
  return best;
}
