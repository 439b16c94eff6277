/**
 * Puts one deliberate fault after the other into a copy of the source, and runs tests until one catches it:
 *
 *     bun test/mutants/main.ts [--only NAME] [--jobs N]
 *
 * First the tests that the fault names, then, if it survives them, all that could catch it. A test's word counts only
 * if the same tests are green without the fault, and if they fail a second time with it. Tests that do not end in
 * four times their usual time have caught it too. A fault that does not compile, or whose place in the source is
 * gone, is an error of the table.
 * Prints what caught each fault and, if all were tried, writes it to test/README.md. Exit status 1 if one survives.
 * Not here: the faults (mutants.ts), running tests (tree.ts).
 */
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Mutant } from "./mutant.ts";
import { mutants } from "./mutants.ts";
import { type Fate, writeTable } from "./table.ts";
import { Tree } from "./tree.ts";

const root = join(import.meta.dir, "../..");
/** From the fast ones to the slow ones. */
const allTests = "lib ops config smtp client mail relay screening transcripts bun dns host shell simulation"
  .split(" ")
  .map((folder) => `test/${folder}`)
  .filter((path) => existsSync(join(root, path)));
const cleanRunMsMax = 600_000;
const limitMsMin = 30_000;

/** The tree without a fault: shows once of each path that its tests are green, and how long they may take. */
class CleanTree {
  readonly tree = new Tree(root);
  readonly #limits = new Map<string, Promise<number>>();

  limitMs(path: string): Promise<number> {
    const limit = this.#limits.get(path) ?? this.#measure(path);
    this.#limits.set(path, limit);
    return limit;
  }

  async #measure(path: string): Promise<number> {
    const run = await this.tree.test(path, cleanRunMsMax);
    if (run.end === "green") return Math.max(limitMsMin, 4 * run.tookMs);
    throw new Error(`${path} is not green without a fault${run.end === "hung" ? "" : `:\n${run.output}`}`);
  }
}

async function fateOf(mutant: Mutant, tree: Tree, clean: CleanTree): Promise<Fate> {
  const takeOut = tree.put(mutant);
  try {
    const fault = await tree.typeFault();
    if (fault !== undefined) throw new Error(`${mutant.name}: does not compile\n${fault}`);
    for (const path of new Set([...mutant.tests, ...allTests])) {
      const limitMs = await clean.limitMs(path);
      const run = await tree.test(path, limitMs);
      if (run.end === "hung") return { mutant, caughtBy: `${path}: hangs` };
      if (run.end === "green") continue;
      const again = await tree.test(path, limitMs);
      if (again.end !== "green") return { mutant, caughtBy: run.test };
      console.log(`${mutant.name}: caught by chance only, ${run.test}`);
    }
    return { mutant, caughtBy: undefined };
  } finally {
    takeOut();
  }
}

/** In the order of `wanted`, whoever is through first. */
async function fatesOf(wanted: readonly Mutant[], jobs: number): Promise<readonly Fate[]> {
  const clean = new CleanTree();
  const trees = Array.from({ length: jobs }, () => new Tree(clean.tree.root));
  try {
    const fault = await clean.tree.typeFault();
    if (fault !== undefined) throw new Error(`the source does not compile without a fault\n${fault}`);
    const fates = new Map<Mutant, Fate>();
    const left = [...wanted];
    const work = async (tree: Tree): Promise<void> => {
      for (let next = left.shift(); next !== undefined; next = left.shift()) {
        const fate = await fateOf(next, tree, clean);
        fates.set(next, fate);
        console.log(`${next.name}: ${fate.caughtBy ?? "SURVIVED"}`);
      }
    };
    await Promise.all(trees.map(work));
    return wanted.flatMap((mutant) => fates.get(mutant) ?? []);
  } finally {
    for (const tree of [...trees, clean.tree]) tree.remove();
  }
}

const { values } = parseArgs({ options: { only: { type: "string" }, jobs: { type: "string" } } });
const jobs = Number(values.jobs ?? availableParallelism());
const wanted = mutants.filter(({ name }) => values.only === undefined || name === values.only);
if (wanted.length === 0 || !(jobs >= 1)) throw new Error("no such mutant, or no number of jobs");

const startedAt = performance.now();
const fates = await fatesOf(wanted, jobs);
const survivors = fates.filter(({ caughtBy }) => caughtBy === undefined);
const minutes = ((performance.now() - startedAt) / 60_000).toFixed(1);
console.log(`${fates.length} faults, ${survivors.length} survived, ${minutes} min`);
if (values.only === undefined) writeTable(join(root, "test/README.md"), fates);
process.exit(survivors.length > 0 ? 1 : 0);
