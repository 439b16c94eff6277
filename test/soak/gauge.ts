/** Memory and descriptors of a process, from /proc. */
import { readdirSync, readFileSync } from "node:fs";

export interface Reading {
  readonly atMs: number;
  readonly rssKiB: number;
  readonly descriptors: number;
}

/** undefined: the process is gone. */
export function read(pid: number, atMs: number): Reading | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    const rssKiB = Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]);
    return { atMs, rssKiB, descriptors: readdirSync(`/proc/${pid}/fd`).length };
  } catch {
    return undefined; // There is no such process any more: this is how /proc says so.
  }
}

export interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? 0;
  return { min: at(0), median: at(0.5), max: at(1) };
}
