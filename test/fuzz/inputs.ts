/** Where the inputs of a target come from: raw octets or characters, its own words, and the corpus with mistakes. */
import fc from "fast-check";
import { wireStrings } from "../smtp/generators.ts";
import type { Target } from "./target.ts";

const inputCharsMax = 8192;
/** Around the limits that the program has: labels, paths, lines, bursts. */
const repetitions = [2, 3, 7, 16, 63, 64, 65, 128, 255, 256, 512, 2048] as const;

export function inputs(target: Target, corpus: readonly string[]): fc.Arbitrary<string> {
  const raw = (maxLength: number) =>
    target.reads === "octets" ? wireStrings(maxLength) : fc.string({ unit: "binary", maxLength });
  const word = fc.constantFrom(...target.words);
  const run = fc.tuple(word, fc.constantFrom(...repetitions)).map(([text, times]) => text.repeat(times));
  const piece = fc.oneof(
    { weight: 12, arbitrary: word },
    { weight: 2, arbitrary: raw(4) },
    { weight: 1, arbitrary: run },
  );
  const grammar = fc.array(piece, { maxLength: 30 }).map((pieces) => pieces.join(""));
  const mistakes = fc.array(fc.tuple(fc.nat(), fc.nat(3), piece), { minLength: 1, maxLength: 4 });
  const mistaken = fc
    .tuple(fc.constantFrom("", ...corpus), mistakes)
    .map(([text, all]) => all.reduce((bent, [place, lost, put]) => splice(bent, place, lost, put), text));
  return fc
    .oneof(
      { weight: 1, arbitrary: raw(400) },
      { weight: 4, arbitrary: grammar },
      { weight: 4, arbitrary: mistaken },
    )
    .map((input) => input.slice(0, inputCharsMax));
}

/** `put` in place of `lost` characters. */
function splice(text: string, place: number, lost: number, put: string): string {
  const at = place % (text.length + 1);
  return text.slice(0, at) + put + text.slice(at + lost);
}
