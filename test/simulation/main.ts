/**
 * `bun run simulate`: plays many worlds and tells what was reached; at a violation its seed, the shrunk scenario, the
 * history and the command that replays it, and exit status 1.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { campaign, merged, play, shrunk, type Tally } from "./campaign.ts";
import { scenarioOf } from "./draw-scenario.ts";
import { clientKinds, relayKinds, type Scenario } from "./scenario.ts";
import { knownInvariants } from "./seeds.ts";

const help = `bun run simulate [--seed S] [--runs N] [--jobs J]
    Plays worlds with the seeds S, S+1, ... until N client sessions were played (20000), in J processes (1).
    Without --seed it draws one and tells it.
bun run simulate --seed S --runs 1 --verbose
    Plays one world, and tells its history.
bun run simulate --scenario FILE
    Plays a scenario that was written at a violation.
--strict: known limits (seeds.ts) are violations as well.
`;
const historyLinesMax = 120;

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    runs: { type: "string", default: "20000" },
    jobs: { type: "string", default: "1" },
    scenario: { type: "string" },
    verbose: { type: "boolean", default: false },
    step: { type: "string", default: "1" },
    strict: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
const seed = values.seed === undefined ? Math.floor(Math.random() * 1e9) : Number(values.seed);
const sessions = Number(values.runs);
const known = values.strict ? new Set<string>() : knownInvariants;

if (values.help) {
  process.stdout.write(help);
} else if (values.scenario !== undefined) {
  const scenario: Scenario = JSON.parse(readFileSync(values.scenario, "utf8"));
  process.exitCode = explain(scenario) ? 1 : 0;
} else if (values.verbose) {
  process.exitCode = explain(scenarioOf(seed)) ? 1 : 0;
} else if (values.json) {
  process.stdout.write(JSON.stringify(campaign(seed, sessions, Number(values.step), known)));
} else {
  const startedAt = performance.now();
  const jobs = Number(values.jobs);
  const tally = jobs > 1 ? merged(await inParallel(jobs)) : campaign(seed, sessions, 1, known);
  tell(tally, (performance.now() - startedAt) / 1000);
  if (tally.failedSeed !== undefined) {
    fail(tally.failedSeed);
    process.exitCode = 1;
  }
}

function inParallel(jobs: number): Promise<Tally[]> {
  const share = Math.ceil(sessions / jobs);
  return Promise.all(
    Array.from({ length: jobs }, async (_, job) => {
      const own = [
        "--seed",
        `${seed + job}`,
        "--step",
        `${jobs}`,
        "--runs",
        `${share}`,
        "--json",
        ...(values.strict ? ["--strict"] : []),
      ];
      const child = Bun.spawn([process.execPath, import.meta.path, ...own], {
        stdout: "pipe",
        stderr: "inherit",
      });
      const text = await new Response(child.stdout).text();
      const tally: Tally = JSON.parse(text);
      return tally;
    }),
  );
}

function tell({ worlds, sessions: played, counts }: Tally, seconds: number): void {
  const lines = Object.entries(counts)
    .filter(([what]) => !what.startsWith("met "))
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([what, count]) => `${String(count).padStart(9)}  ${what}`);
  const missing = clientKinds.flatMap((client) =>
    relayKinds.map((relay) => `${client} x ${relay}`).filter((pair) => counts[`met ${pair}`] === undefined),
  );
  const pairs = clientKinds.length * relayKinds.length;
  process.stdout.write(
    `${lines.join("\n")}\n` +
      `client kinds that heard relay kinds: ${pairs - missing.length} of ${pairs} pairs` +
      `${missing.length > 0 && missing.length <= 40 ? `; not: ${missing.join(", ")}` : ""}\n` +
      `seed ${seed}: ${worlds} worlds, ${played} sessions in ${seconds.toFixed(1)} s, ` +
      `${(played / seconds).toFixed(0)} sessions/s\n`,
  );
}

/** Tells a violation: what, the least that leads to it, and how to see it again. */
function fail(failedSeed: number): void {
  process.stdout.write(`\nVIOLATION with seed ${failedSeed}; shrinking\n`);
  const least = shrunk(scenarioOf(failedSeed), known);
  const file = join(tmpdir(), `simulation-${failedSeed}.json`);
  writeFileSync(file, `${JSON.stringify(least, undefined, 1)}\n`);
  explain(least);
  process.stdout.write(
    `\nthe least that leads to it: ${JSON.stringify(least)}\n\n` +
      `replay:        bun test/simulation/main.ts --scenario ${file}${values.strict ? " --strict" : ""}\n` +
      `not shrunk:    bun test/simulation/main.ts --seed ${failedSeed} --verbose\n`,
  );
}

/** Plays it with its history. True if something is violated. */
function explain(scenario: Scenario): boolean {
  const { violation, history } = play(scenario, { history: true, known });
  const cut = history.length - historyLinesMax;
  if (cut > 0) process.stdout.write(`... ${cut} earlier lines\n`);
  process.stdout.write(`${history.slice(-historyLinesMax).join("\n")}\n`);
  if (violation !== undefined) {
    process.stdout.write(
      `\nVIOLATION at ${violation.atMs} ms: ${violation.invariant}\n${violation.detail}\n`,
    );
  }
  return violation !== undefined;
}
