/**
 * Fuzzes for as long as it is told, and adds what it finds to the corpus:
 *
 *     bun test/fuzz/main.ts [--seconds 60] [--target NAME]... [--seed S]
 *
 * What breaks a property is shrunk by fast-check, shown, and added with the words of what it broke; the exit status
 * is then 1. Of inputs that take a new way through a parser, the shortest is added with what it gives.
 * The seed of each round is S, S+1, …: the same seed and corpus try the same inputs.
 */
import { parseArgs } from "node:util";
import fc from "fast-check";
import { cuts } from "../smtp/generators.ts";
import { type Entry, escaped, minimal, readCorpus, writeCorpus } from "./corpus.ts";
import { inputs } from "./inputs.ts";
import type { Target } from "./target.ts";
import { targets } from "./targets.ts";

/** How many inputs of a target are kept, besides those that broke something. */
const entriesMax = 64;
const roundMs = 2000;
const noCuts: readonly number[] = [];

interface Hunt {
  readonly target: Target;
  readonly entries: Entry[];
  /** The shortest input of each shape that the corpus has none of. */
  readonly fresh: Map<string, string>;
  readonly known: ReadonlySet<string | undefined>;
  cases: number;
  broken: boolean;
}

function begin(target: Target): Hunt {
  const entries = [...readCorpus(target)];
  const known = new Set(
    entries.flatMap((entry) => (entry.gives === undefined ? [] : [shapeOf(target, entry)])),
  );
  return { target, entries, fresh: new Map(), known, cases: 0, broken: false };
}

/** Undefined if reading it breaks a property. */
function shapeOf(target: Target, { input }: Entry): string | undefined {
  return faultOf(target, input, noCuts) === undefined ? target.read(input, noCuts).shape : undefined;
}

/** What reading it breaks. */
function faultOf(target: Target, input: string, places: readonly number[]): string | undefined {
  try {
    target.read(input, places);
    return undefined;
  } catch (error) {
    return String(error);
  }
}

function round(hunt: Hunt, seed: number): void {
  const { target, entries, known, fresh } = hunt;
  const property = fc.property(
    inputs(
      target,
      entries.map(({ input }) => input),
    ),
    cuts,
    (input, places) => {
      hunt.cases += 1;
      const { shape } = target.read(input, places);
      const shortest = fresh.get(shape);
      if (!known.has(shape) && (shortest === undefined || input.length < shortest.length))
        fresh.set(shape, input);
    },
  );
  const result = fc.check(property, { seed, numRuns: 1_000_000, interruptAfterTimeLimit: roundMs });
  const [shrunk, places = noCuts] = result.counterexample ?? [];
  if (shrunk === undefined) return;
  hunt.broken = true;
  const input = minimal(shrunk, (shorter) => faultOf(target, shorter, places) !== undefined);
  const broke = faultOf(target, input, places) ?? "";
  console.log(`${target.name} is broken, seed ${seed}, path ${result.counterexamplePath}:`);
  console.log(`  ${escaped(input)} cut at ${JSON.stringify(places)}\n  ${broke}`);
  if (!entries.some((entry) => entry.input === input)) hunt.entries.push({ input, broke });
}

function end({ target, entries, fresh, cases }: Hunt): void {
  const room = entriesMax - entries.filter(({ gives }) => gives !== undefined).length;
  const found = [...fresh].sort(([, a], [, b]) => a.length - b.length).slice(0, Math.max(room, 0));
  const added = found.map(([shape, input]): Entry => {
    const shortest = minimal(input, (shorter) => shapeOf(target, { input: shorter }) === shape);
    return { input: shortest, gives: target.read(shortest, noCuts).gives };
  });
  writeCorpus(target, [...entries, ...added]);
  console.log(`${target.name}: ${cases} cases, ${entries.length} inputs and ${added.length} new ones`);
}

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    target: { type: "string", multiple: true, default: targets.map(({ name }) => name) },
    seed: { type: "string", default: String(Math.floor(Math.random() * 0x7fff_ffff)) },
  },
});
const hunts = targets.filter(({ name }) => values.target.includes(name)).map(begin);
if (hunts.length === 0) throw new Error(`the targets are ${targets.map(({ name }) => name).join(", ")}`);
console.log(`seed ${values.seed}`);
const deadline = performance.now() + Number(values.seconds) * 1000;
for (
  let seed = Number(values.seed);
  performance.now() < deadline && hunts.some((h) => !h.broken);
  seed += 1
) {
  // A target that is broken would only break again.
  for (const hunt of hunts) if (!hunt.broken && performance.now() < deadline) round(hunt, seed);
}
for (const hunt of hunts) end(hunt);
process.exitCode = hunts.some(({ broken }) => broken) ? 1 : 0;
