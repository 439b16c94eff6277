/** The bench's command line. */
import { parseArgs } from "node:util";
import { allPeers } from "./peers/all.ts";
import type { Peer } from "./peers/peer.ts";
import { allWorkloads } from "./workloads/all.ts";
import type { Workload } from "./workloads/workload.ts";

export interface Options {
  readonly rounds: number;
  readonly quick: boolean;
  readonly growth: boolean;
  readonly workloads: readonly Workload[];
  readonly peers: readonly Peer[];
  /** Folder for result.json and plot.svg. */
  readonly out: string | undefined;
}

export const usage = `bun run bench [--rounds N] [--only WORKLOAD,…] [--peers PEER,…] [--quick] [--no-growth] [--out FOLDER]

  --rounds     how often everything is measured (5; quick: 1)
  --only       some workloads: ${allWorkloads.map(({ name }) => name).join(", ")}
  --peers      some peers: ${allPeers.map(({ name }) => name).join(", ")}
  --quick      a tenth of the work, one round, no growth: rough figures in three minutes
  --no-growth  leaves out what is measured at 1, 2, 4 and 8 times the work
  --out        writes result.json and plot.svg there`;

/** Throws a line for people. */
export function optionsOf(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: "string" },
      only: { type: "string" },
      peers: { type: "string" },
      quick: { type: "boolean", default: false },
      "no-growth": { type: "boolean", default: false },
      out: { type: "string" },
    },
  });
  const { quick } = values;
  const rounds = Number(values.rounds ?? (quick ? 1 : 5));
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 100) throw new Error("--rounds is 1 to 100");
  return {
    rounds,
    quick,
    growth: !quick && !values["no-growth"],
    workloads: chosen(allWorkloads, values.only, "workload"),
    peers: chosen(allPeers, values.peers, "peer"),
    out: values.out,
  };
}

function chosen<T extends { readonly name: string }>(
  all: readonly T[],
  names: string | undefined,
  what: string,
): T[] {
  if (names === undefined) return [...all];
  const wanted = names.split(",");
  const unknown = wanted.find((name) => !all.some((one) => one.name === name));
  if (unknown !== undefined) throw new Error(`there is no ${what} “${unknown}”`);
  return all.filter(({ name }) => wanted.includes(name));
}
