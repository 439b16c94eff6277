/**
 * What a run found, as it is written to result.json and read by the table and the plot. Every figure keeps all its
 * samples, so that whoever doubts a median can look.
 */
import type { Summary } from "./statistics.ts";

export interface Figure {
  readonly key: string;
  /** Of a column: "CPU s per 1,000 mails". */
  readonly title: string;
  readonly better: "less" | "more";
  /** One of the two that the plot shows. */
  readonly inPlot: boolean;
}

export interface Measured extends Summary {
  readonly samples: readonly number[];
}

/** CPU seconds, in all, by how many times the least work was done. */
export interface GrowthPoint {
  readonly times: number;
  readonly cpuSeconds: Measured;
}

export interface PeerResult {
  readonly peer: string;
  /** By the figure's key. What could not be measured is missing. */
  readonly figures: Readonly<Record<string, Measured>>;
  readonly growth: readonly GrowthPoint[];
  /** What went wrong, one line a sample that is missing. */
  readonly failures: readonly string[];
}

export interface WorkloadResult {
  readonly workload: string;
  readonly title: string;
  readonly figures: readonly Figure[];
  readonly peers: readonly PeerResult[];
}

export interface Report {
  readonly startedAt: string;
  readonly minutes: number;
  readonly rounds: number;
  readonly quick: boolean;
  readonly machine: {
    readonly processor: string;
    readonly cores: number;
    readonly kernel: string;
    /** Over a minute, before the first workload: 0 is an idle machine. */
    readonly loadBefore: number;
  };
  readonly versions: Readonly<Record<string, string>>;
  /** Peers that are not installed, with the reason. */
  readonly leftOut: readonly string[];
  readonly workloads: readonly WorkloadResult[];
}
