/** All workloads, in the order in which they run. */
import { bigWorkloads } from "./big.ts";
import { heldWorkloads } from "./held.ts";
import { idle } from "./idle.ts";
import { mailWorkloads } from "./mails.ts";
import { start } from "./start.ts";
import type { Workload } from "./workload.ts";

export const allWorkloads: readonly Workload[] = [
  ...mailWorkloads,
  ...bigWorkloads,
  idle,
  start,
  ...heldWorkloads,
];
