/** A workload's result as a table of text: a row a peer, a column a figure, “median (least–most)”. Pure. */
import type { Measured, WorkloadResult } from "./report.ts";
import { digits } from "./statistics.ts";

export function table({ title, figures, peers }: WorkloadResult): string {
  const header = ["", ...figures.map((figure) => figure.title)];
  const rows = peers.map(({ peer, figures: measured }) => [
    peer,
    ...figures.map(({ key }) => cell(measured[key])),
  ]);
  const failures = peers.flatMap(({ peer, failures }) =>
    failures.length === 0 ? [] : [`  ${peer}: ${failures.length} failed, the first: ${failures[0]}`],
  );
  return [title, ...aligned([header, ...rows]), ...growth(peers), ...failures, ""].join("\n");
}

function cell(measured: Measured | undefined): string {
  if (measured === undefined) return "-";
  const { median, min, max, samples } = measured;
  return samples.length === 1 ? digits(median) : `${digits(median)} (${digits(min)}–${digits(max)})`;
}

function growth(peers: WorkloadResult["peers"]): string[] {
  return peers.flatMap(({ peer, growth }) => {
    if (growth.length === 0) return [];
    const points = growth.map(({ times, cpuSeconds }) => `×${times}: ${digits(cpuSeconds.median)}`);
    return [`  ${peer}, CPU s: ${points.join(", ")}`];
  });
}

function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map(
    (row) =>
      `  ${row.map((text, column) => (column === 0 ? text.padEnd(widths[0] ?? 0) : text.padStart(widths[column] ?? 0))).join("  ")}`,
  );
}
