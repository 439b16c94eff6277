/**
 * The gate of coverage: every line and every function of the pure core (client, mail, relay, screening, smtp) is run by
 * its own tests. `bun test/coverage.ts` prints a table; it ends with 1 and names file and lines where something is not
 * run, where a file is not even loaded, or where a test fails.
 *
 * The transcripts are replayed whole and octet by octet, but not cut at every place: that runs no other line, and takes
 * most of the time. Shell tests take no part: what only a socket reaches does not belong into the core.
 * Bun counts neither branches nor a file that nobody loads, so the folders are listed, and a file without a record has
 * to be one of types alone. It does not tell which function was not called, only how many.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Glob } from "bun";

const root = join(import.meta.dir, "..");
const folders = ["src/client", "src/mail", "src/relay", "src/screening", "src/smtp"];
const tests = ["client", "mail", "relay", "screening", "smtp", "transcripts"].map((name) => `test/${name}`);
const withoutEveryCut = "^(?!.*each packet cut in two at every place)";
const runMsMax = 180_000;

interface Coverage {
  readonly lines: number;
  readonly linesMissed: readonly number[];
  readonly functions: number;
  readonly functionsMissed: number;
}

const nothing: Coverage = { lines: 0, linesMissed: [], functions: 0, functionsMissed: 0 };

/** Runs the tests; their output is shown only if they fail. Gives the report in lcov's format. */
function measure(): string {
  const folder = mkdtempSync(join(tmpdir(), "coverage-"));
  try {
    const { exitCode, stderr } = Bun.spawnSync({
      cmd: [
        ...[process.execPath, "test", "--coverage", "--coverage-reporter=lcov", `--coverage-dir=${folder}`],
        ...["--test-name-pattern", withoutEveryCut, ...tests],
      ],
      cwd: root,
      timeout: runMsMax,
    });
    if (exitCode !== 0) {
      const lines = stderr.toString().split("\n");
      console.error(lines.filter((line) => !/^\((?:pass|skip)\)/.test(line)).join("\n"));
      throw new Error("the tests fail, so their coverage says nothing");
    }
    return readFileSync(join(folder, "lcov.info"), "utf8");
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function readRecords(lcov: string): Map<string, Coverage> {
  const records = lcov.split("end_of_record").map((record) => record.trim().split("\n"));
  return new Map(
    records.map((lines) => {
      const values = (key: string): string[] =>
        lines.filter((line) => line.startsWith(`${key}:`)).map((line) => line.slice(key.length + 1));
      const runs = values("DA").map((value) => value.split(",").map(Number));
      const functions = Number(values("FNF")[0]);
      const linesMissed = runs.flatMap(([line = 0, count]) => (count === 0 ? [line] : []));
      const functionsMissed = functions - Number(values("FNH")[0]);
      return [values("SF")[0] ?? "", { lines: runs.length, linesMissed, functions, functionsMissed }];
    }),
  );
}

function isTypesOnly(file: string): boolean {
  const code = new Bun.Transpiler({ loader: "ts" }).transformSync(readFileSync(join(root, file), "utf8"));
  return code.trim() === "";
}

/** "3", "7-9" */
function ranges(numbers: readonly number[]): string[] {
  const starts = numbers.filter((line) => !numbers.includes(line - 1));
  const ends = numbers.filter((line) => !numbers.includes(line + 1));
  return starts.map((start, index) => (start === ends[index] ? `${start}` : `${start}-${ends[index]}`));
}

function complaints(file: string, coverage: Coverage | undefined): string[] {
  if (coverage === undefined) return isTypesOnly(file) ? [] : [`${file}: no test loads it`];
  const { functions, functionsMissed } = coverage;
  const lines = ranges(coverage.linesMissed).map((range) => `${file}:${range}: never run`);
  // NaN, if a record has no count of functions, is no zero.
  if (functionsMissed === 0) return lines;
  return [...lines, `${file}: ${functionsMissed} of ${functions} functions never called`];
}

const percent = (all: number, missed: number): string => {
  // Rounded down: 100 is all of them.
  const share = all === 0 ? 100 : Math.floor((1000 * (all - missed)) / all) / 10;
  return `${share.toFixed(1)} % of ${all}`.padStart(16);
};

const records = readRecords(measure());
const faults: string[] = [];
console.log(`${"folder".padEnd(16)}${"files".padStart(6)}${"lines".padStart(16)}${"functions".padStart(16)}`);
for (const folder of folders) {
  const files = [...new Glob(`${folder}/**/*.ts`).scanSync(root)].sort();
  const found = files.map((file) => records.get(file) ?? nothing);
  const sum = (count: (coverage: Coverage) => number): number =>
    found.reduce((total, coverage) => total + count(coverage), 0);
  const lines = percent(
    sum((file) => file.lines),
    sum((file) => file.linesMissed.length),
  );
  const functions = percent(
    sum((file) => file.functions),
    sum((file) => file.functionsMissed),
  );
  console.log(`${folder.padEnd(16)}${String(files.length).padStart(6)}${lines}${functions}`);
  if (files.length === 0) faults.push(`${folder}: no such folder`);
  faults.push(...files.flatMap((file) => complaints(file, records.get(file))));
}
for (const fault of faults) console.error(fault);
process.exitCode = faults.length === 0 ? 0 : 1;
