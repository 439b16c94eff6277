/**
 * Every target replays its corpus and then reads a bounded number of cases, from one seed that is always the same
 * and one that is new each time. For long: `bun test/fuzz/main.ts --seconds 600`.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { cuts, wire } from "../smtp/generators.ts";
import { minimal, readCorpus } from "./corpus.ts";
import { inputs } from "./inputs.ts";
import { notLinear } from "./linear.ts";
import { hold, howeverCut, type Target } from "./target.ts";
import { targets } from "./targets.ts";

const casesPerSeed = 300;
const randomSeed = Math.floor(Math.random() * 0x7fff_ffff);
console.log(`fuzz: the random seed is ${randomSeed}`);

/** Fails as fast-check reports it: with the seed, the path and the shrunk input. */
function run(target: Target, corpus: readonly string[], seed: number, numRuns = casesPerSeed): void {
  const property = fc.property(inputs(target, corpus), cuts, (input, places) => {
    target.read(input, places);
  });
  fc.assert(property, { seed, numRuns, includeErrorInReport: true });
}

describe.each(targets.map((target) => [target.name, target] as const))("%s", (_, target) => {
  const corpus = readCorpus(target);

  test("gives for the corpus what it gave", () => {
    expect(corpus.length).toBeGreaterThan(1);
    for (const { input, gives } of corpus) {
      const read = target.read(input, [1, 2, 3, 5, 8, 13]);
      if (gives !== undefined) expect({ input, gives: read.gives }).toEqual({ input, gives });
    }
  });

  test.each([1, randomSeed])(
    "keeps its properties with the seed %i",
    (seed) => {
      run(
        target,
        corpus.map(({ input }) => input),
        seed,
      );
    },
    30_000,
  );

  if (target.beginnings.length > 0) {
    test("takes linear time", () => {
      expect(notLinear(target)).toEqual([]);
    }, 30_000);
  }
});

describe("the harness", () => {
  const target: Target = {
    name: "faulty",
    reads: "octets",
    words: ["a", "<", ">", "\r\n"],
    beginnings: [""],
    read(input, places) {
      const gives = howeverCut(input, places, (chunks) => chunks.some((chunk) => chunk.includes("<>")));
      return { gives, shape: `${gives}` };
    },
  };

  test("finds a parser that a split deceives, and shrinks what it found", () => {
    expect(() => run(target, [], 1)).toThrow(/octets one by one differ: false, not true|a split changes/);
    expect(() => run(target, [], 1)).toThrow(/Counterexample: \["<?<>",/);
  });

  test("finds it from an input of the corpus, with one mistake", () => {
    const rare = {
      ...target,
      words: ["z"],
      read: (input: string) => reading(!input.includes("quite rarez")),
    };
    const reading = (good: boolean) => {
      hold(good, "nobody says that");
      return { gives: good, shape: "" };
    };
    expect(() => run(rare, [], 1, 2000)).not.toThrow();
    expect(() => run(rare, ["quite rare"], 1, 2000)).toThrow("nobody says that");
  });

  test("tells quadratic time from linear", () => {
    const summing = (readsAt: (at: number) => number) => ({
      ...target,
      words: ["a"],
      read(input: string) {
        const octets = wire(input);
        let sum = 0;
        for (let at = 0; at < octets.length; at += 1) {
          for (let other = readsAt(at); other > 0; other -= 1) sum += octets[other % octets.length] ?? 0;
        }
        return { gives: sum, shape: "" };
      },
    });
    expect(notLinear(summing(() => 1))).toEqual([]);
    expect(notLinear(summing(() => 2000))).toEqual([]);
    expect(notLinear(summing((at) => at))).toEqual(['["","a"]']);
  }, 30_000);

  test("leaves out what an input does not need", () => {
    expect(minimal("aa<bbb>cc", (text) => /<.*>/.test(text))).toBe("<>");
  });
});
