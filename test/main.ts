/**
 * `npm test`: runs every test that needs nothing but npm, a folder at a time, and prints what fails, a line a folder,
 * and the sum in the words of `bun test`. Exit status 1 if a test failed or a folder could not be run.
 * Folders that only compute run side by side; those with sockets, processes and timers of their own run alone, so that
 * no other test takes their time.
 * Not here: peers (npm run test:peers); the subset that takes seconds (npm run test:core).
 */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Glob } from "bun";

const root = join(import.meta.dir, "..");
const besides = ["peers"];
/** The slowest first. */
const computing = [
  "transcripts",
  "screening",
  "smtp",
  "fuzz",
  "config",
  "client",
  "mail",
  "relay",
  "ops",
  "mutants",
  "lib",
];
const nameColumns = 14;

interface Result {
  readonly passed: number;
  readonly failed: number;
}

async function run(folder: string): Promise<Result> {
  const startedAt = performance.now();
  const child = Bun.spawn([process.execPath, "test", "--only-failures", `./test/${folder}`], {
    cwd: root,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, errors, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  const said = errors + output;
  const passed = count(said, "pass");
  const skipped = count(said, "skip");
  // A folder that fails without a failed test crashed.
  const failed = count(said, "fail") || (status === 0 ? 0 : 1);
  // Less its own sum, which whoever adds up would count twice.
  if (failed > 0) console.log(said.replace(/^ *\d+ (?:pass|fail|skip)\n/gm, ""));
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  const notPassed = `${failed > 0 ? `, ${failed} FAILED` : ""}${skipped > 0 ? `, ${skipped} skipped` : ""}`;
  console.log(`${folder.padEnd(nameColumns)}${passed} passed${notPassed}, ${seconds} s`);
  return { passed, failed };
}

function count(said: string, word: string): number {
  const [, number = "0"] = new RegExp(`^ *(\\d+) ${word}$`, "m").exec(said) ?? [];
  return Number(number);
}

/** The folder of a test file, or the file where it has none. */
function topOf(path: string): string {
  return path.split("/")[0] ?? path;
}

async function runAll(folders: string[], atOnce: number): Promise<Result[]> {
  const results: Result[] = [];
  const lane = async (): Promise<void> => {
    for (let folder = folders.shift(); folder !== undefined; folder = folders.shift()) {
      results.push(await run(folder));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  return results;
}

const withTests = [...new Set([...new Glob("**/*.test.ts").scanSync(join(root, "test"))].map(topOf))].filter(
  (name) => !besides.includes(name),
);
const isComputing = (name: string): boolean => name.endsWith(".test.ts") || computing.includes(name);
const first = withTests
  .filter(isComputing)
  .toSorted((one, other) => computing.indexOf(one) - computing.indexOf(other));
const then = withTests.filter((name) => !isComputing(name));
console.log("About four minutes on two cores; npm run test:core takes ten seconds.\n");
const results = [...(await runAll(first, Math.min(2, availableParallelism()))), ...(await runAll(then, 1))];
const sum = (of: (result: Result) => number): number =>
  results.reduce((total, result) => total + of(result), 0);
const failed = sum(({ failed }) => failed);
console.log(`\n ${sum(({ passed }) => passed)} pass\n ${failed} fail`);
process.exit(failed > 0 ? 1 : 0);
