/**
 * One row of the bench: what is done to each peer, and what is measured. A round is every peer once; run.ts repeats
 * rounds with the order rotated. What all workloads need of their surroundings is in `Tools`.
 */
import type { Generator } from "../load/generator.ts";
import type { RunningPeer, Tls } from "../peers/peer.ts";
import { cpuSeconds, peakOctets } from "../processes.ts";
import type { Figure } from "../report.ts";

/** By the figure's key; `cpuTotal` is for the growth. */
export type Sample = Readonly<Record<string, number>>;

/** A failure is one line. */
export type Outcome = { readonly sample: Sample } | { readonly failure: string };

export interface Tools {
  readonly generator: Generator;
  /** RSS of each peer when it had relayed a few mails and was at rest, where its growth is a figure. */
  readonly restingOctets: ReadonlyMap<string, number>;
  /** How much of the full work is to be done: 1, or less for a quick run. */
  readonly share: number;
  /** Starts one more of the same kind as `name`, under the same settings. */
  readonly startAnother: (name: string) => Promise<RunningPeer>;
}

export interface Workload {
  readonly name: string;
  readonly title: string;
  readonly figures: readonly Figure[];
  readonly relay: "smtp-sink" | "own";
  readonly tls: Tls;
  readonly sessions: number;
  /** Only these; undefined: all that speak `tls`. */
  readonly only?: readonly string[];
  /** At most so many; for those that take long. */
  readonly roundsMax?: number;
  /** It starts fresh peers by itself, and needs no warm-up; those that it is given only say which. */
  readonly fresh: boolean;
  /** Whether it is measured at 1, 2, 4 and 8 times a quarter of the work as well. */
  readonly grows: boolean;
  readonly round: (
    peers: readonly RunningPeer[],
    tools: Tools,
    times: number,
  ) => Promise<ReadonlyMap<string, Outcome>>;
}

/** A round in which each peer is measured for itself. */
export function oneByOne(
  measure: (peer: RunningPeer, tools: Tools, times: number) => Promise<Sample>,
): Workload["round"] {
  return async (peers, tools, times) => {
    const outcomes = new Map<string, Outcome>();
    for (const peer of peers) {
      const outcome = measure(peer, tools, times).then(
        (sample) => ({ sample }),
        (error: unknown) => ({ failure: messageOf(error) }),
      );
      outcomes.set(peer.name, await outcome);
    }
    return outcomes;
  };
}

export function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replaceAll("\n", " ").slice(0, 300);
}

/** What `work` cost the peer in CPU seconds, beside what it gave; NaN where there is no process. */
export async function withCpu(
  { session }: RunningPeer,
  work: () => Promise<number>,
): Promise<{ readonly seconds: number; readonly cpu: number }> {
  const before = session === undefined ? Number.NaN : cpuSeconds(session);
  const seconds = await work();
  return { seconds, cpu: session === undefined ? Number.NaN : cpuSeconds(session) - before };
}

/** How far RSS has been over the resting one since the peer was warmed up, in MB. */
export function grownMegabytes({ name, session }: RunningPeer, tools: Tools): number {
  const resting = tools.restingOctets.get(name);
  return session === undefined || resting === undefined ? Number.NaN : (peakOctets(session) - resting) / 1e6;
}

export const rate: Figure = { key: "rate", title: "mails/s", better: "more", inPlot: true };
export const cpuPerThousand: Figure = {
  key: "cpu",
  title: "CPU s/1,000 mails",
  better: "less",
  inPlot: true,
};
export const megabytesPerSecond: Figure = { key: "rate", title: "MB/s", better: "more", inPlot: true };
export const cpuPerGigabyte: Figure = { key: "cpu", title: "CPU s/GB", better: "less", inPlot: true };
export const grown: Figure = { key: "grown", title: "RSS growth, MB", better: "less", inPlot: false };
