/** Plays worlds from a seed on, adds up what they report, and stops at the first violation. */
import { scenarioOf } from "./draw-scenario.ts";
import type { Scenario } from "./scenario.ts";
import { knownInvariants } from "./seeds.ts";
import { shrink } from "./shrink.ts";
import { type Report, type Violation, World, type WorldOptions } from "./world.ts";

export interface Tally {
  worlds: number;
  sessions: number;
  counts: Record<string, number>;
  /** The seed of a violation. */
  failedSeed: number | undefined;
}

const shrinkMsMax = 20_000;

/** Every `step`-th seed from `seed` on, until so many sessions were played. */
export function campaign(seed: number, sessions: number, step: number, known = knownInvariants): Tally {
  const tally: Tally = { worlds: 0, sessions: 0, counts: {}, failedSeed: undefined };
  for (let next = seed; tally.sessions < sessions && tally.failedSeed === undefined; next += step) {
    const report = play(scenarioOf(next), { known });
    tally.worlds += 1;
    tally.sessions += report.sessions;
    for (const [what, count] of report.counts) tally.counts[what] = (tally.counts[what] ?? 0) + count;
    if (report.violation !== undefined) tally.failedSeed = next;
  }
  return tally;
}

/** A scenario that cannot be played is a violation too. */
export function play(scenario: Scenario, options: WorldOptions = {}): Report {
  try {
    return new World(scenario, { known: knownInvariants, ...options }).run();
  } catch (error) {
    const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
    const violation: Violation = { invariant: "the world can be played", detail, atMs: 0 };
    return { violation, counts: new Map(), sessions: scenario.clients.length, history: [] };
  }
}

/** The smallest scenario found that violates what this one does. */
export function shrunk(scenario: Scenario, known = knownInvariants): Scenario {
  const { violation } = play(scenario, { known });
  if (violation === undefined) return scenario;
  const fails = (less: Scenario): boolean =>
    play(less, { known }).violation?.invariant === violation.invariant;
  return shrink(scenario, fails, shrinkMsMax);
}

export function merged(tallies: readonly Tally[]): Tally {
  const sum: Tally = { worlds: 0, sessions: 0, counts: {}, failedSeed: undefined };
  for (const tally of tallies) {
    sum.worlds += tally.worlds;
    sum.sessions += tally.sessions;
    sum.failedSeed ??= tally.failedSeed;
    for (const [what, count] of Object.entries(tally.counts))
      sum.counts[what] = (sum.counts[what] ?? 0) + count;
  }
  return sum;
}
