/**
 * A run as one picture. Above: a panel a workload, a row a peer, with two bars: what it costs (shorter is better) and
 * what it gives (longer is better); the thin line is from the least to the most of all rounds. Below: how CPU time grows
 * with the work, where a straight line is as it should be. Pure.
 */
import type { Figure, Measured, Report, WorkloadResult } from "./report.ts";
import { digits } from "./statistics.ts";
import { bar, document, dot, line, text } from "./svg.ts";

const title = "smtpproxy beside its peers";
const width = 1240;
const margin = 20;
const panelWidth = 590;
const panelGap = 20;
const rowHeight = 18;
const headHeight = 46;
const labelWidth = 112;
const columnWidth = 236;
const valueWidth = 80;
const chartWidth = 285;
const chartHeight = 190;
const chartsPerRow = 4;

const colours: Readonly<Record<string, string>> = {
  smtpproxy: "#ea580c",
  direct: "#cbd5e1",
  haproxy: "#2563eb",
  "bun-tls": "#0d9488",
};
const otherColour = "#94a3b8";
const pale = "#64748b";
const colourOf = (peer: string): string => colours[peer] ?? otherColour;

export function plot(report: Report): string {
  const shapes: string[] = [];
  let y = heading(report, shapes);
  y = inColumns(report.workloads, 2, panelWidth + panelGap, y, (result, x, top) => {
    shapes.push(...panel(result, x, top));
    return headHeight + result.peers.length * rowHeight + 14;
  });
  const growing = report.workloads.filter(({ peers }) => peers.some(({ growth }) => growth.length > 1));
  if (growing.length > 0) {
    y += 24;
    shapes.push(
      text(margin, y, "CPU seconds at 1, 2, 4 and 8 times the work (dashed: 8 times what 1 costs)", {
        size: 16,
        bold: true,
      }),
      ...legend(growing, y),
    );
    y = inColumns(growing, chartsPerRow, chartWidth + 20, y + 20, (result, x, top) => {
      shapes.push(...chart(result, x, top));
      return chartHeight + 20;
    });
  }
  return document(title, width, y + margin, shapes);
}

function heading({ startedAt, rounds, quick, machine, versions }: Report, shapes: string[]): number {
  const { processor, cores, kernel } = machine;
  const about = [`${processor}, ${cores} cores, Linux ${kernel}`, startedAt.slice(0, 10), `${rounds} rounds`];
  if (quick) about.push("quick: rough");
  shapes.push(
    text(margin, 34, title, { size: 22, bold: true }),
    text(margin, 54, about.join("; "), { colour: pale }),
    text(margin, 70, Object.entries(versions).map(named).join("; "), { colour: pale, size: 10 }),
    text(
      margin,
      88,
      "Medians; the thin line reaches from the least to the most. ◂ less is better, ▸ more is better.",
    ),
  );
  return 108;
}

function named([name, version]: readonly [string, string]): string {
  return version.toLowerCase().startsWith(name) ? version : `${name} ${version}`;
}

/** Lays `items` out row by row; `draw` gives the height that it took. Gives where the next thing may begin. */
function inColumns<T>(
  items: readonly T[],
  columns: number,
  step: number,
  top: number,
  draw: (item: T, x: number, y: number) => number,
): number {
  let y = top;
  for (let from = 0; from < items.length; from += columns) {
    const row = items.slice(from, from + columns);
    y += Math.max(...row.map((item, column) => draw(item, margin + column * step, y)));
  }
  return y;
}

function panel(result: WorkloadResult, x: number, y: number): string[] {
  const plotted = result.figures.filter(({ inPlot }) => inPlot).slice(0, 2);
  const shapes = [text(x, y + 16, result.title, { size: 13, bold: true })];
  const rows = y + headHeight;
  for (const [column, figure] of plotted.entries()) {
    const left = x + labelWidth + column * columnWidth;
    const arrow = figure.better === "less" ? "◂" : "▸";
    shapes.push(text(left, y + 36, `${arrow} ${figure.title}`, { size: 11, colour: pale }));
    shapes.push(...bars(result, figure, left, rows));
  }
  for (const [row, { peer, failures }] of result.peers.entries()) {
    const label = failures.length === 0 ? peer : `${peer} (${failures.length} ✗)`;
    const bold = peer === "smtpproxy";
    shapes.push(
      text(x + labelWidth - 8, rows + row * rowHeight + 12, label, { anchor: "end", size: 11, bold }),
    );
  }
  return shapes;
}

function bars({ peers }: WorkloadResult, { key }: Figure, x: number, y: number): string[] {
  const room = columnWidth - valueWidth;
  const most = Math.max(...peers.map(({ figures }) => figures[key]?.max ?? 0));
  const scale = most > 0 ? room / most : 0;
  return peers.flatMap(({ peer, figures }, row) => {
    const top = y + row * rowHeight;
    const measured = figures[key];
    if (measured === undefined) return [text(x, top + 12, "–", { size: 11, colour: pale })];
    return [
      bar(x, top + 2, measured.median * scale, rowHeight - 5, colourOf(peer)),
      whisker(measured, x, top + rowHeight / 2, scale),
      text(x + Math.max(0, measured.max) * scale + 5, top + 12, digits(measured.median), { size: 11 }),
    ];
  });
}

function whisker({ min, max }: Measured, x: number, y: number, scale: number): string {
  const ends = [min, max].map((value): [number, number] => [x + Math.max(0, value) * scale, y - 0.5]);
  return line(ends, "#1e293b");
}

function legend(results: readonly WorkloadResult[], y: number): string[] {
  const peers = [...new Set(results.flatMap(({ peers }) => peers.filter(({ growth }) => growth.length > 1)))];
  const names = [...new Set(peers.map(({ peer }) => peer))];
  return names.flatMap((name, index) => {
    const x = 760 + index * 110;
    return [bar(x, y - 10, 12, 12, colourOf(name)), text(x + 18, y, name)];
  });
}

function chart({ title, peers }: WorkloadResult, x: number, y: number): string[] {
  const [left, bottom, room, tall] = [x + 44, y + chartHeight - 24, chartWidth - 60, chartHeight - 64];
  const [short, rest] = [title.slice(0, 44), title.slice(44)];
  const drawn = peers.filter(({ growth }) => growth.length > 1);
  const points = drawn.flatMap(({ growth }) => growth);
  const timesMax = Math.max(...points.map(({ times }) => times));
  const most = Math.max(
    ...points.map(({ times, cpuSeconds }) =>
      Math.max(cpuSeconds.max, (cpuSeconds.median * timesMax) / times / 2),
    ),
  );
  const place = (times: number, seconds: number): [number, number] => [
    left + (times / timesMax) * room,
    bottom - (most > 0 ? seconds / most : 0) * tall,
  ];
  const shapes = [
    text(x, y + 14, rest === "" ? short : `${short}…`, { size: 11, bold: true }),
    line([place(0, most), place(0, 0), place(timesMax, 0)], pale),
    text(left - 6, bottom - tall + 4, `${digits(most)} s`, { size: 10, anchor: "end", colour: pale }),
  ];
  for (const times of new Set(points.map((point) => point.times)))
    shapes.push(
      text(place(times, 0)[0], bottom + 14, `×${times}`, { size: 10, anchor: "middle", colour: pale }),
    );
  for (const { peer, growth } of drawn) {
    const colour = colourOf(peer);
    const [first] = growth;
    if (first !== undefined) {
      const slope = first.cpuSeconds.median / first.times;
      const until = slope > 0 ? Math.min(timesMax, most / slope) : timesMax;
      shapes.push(line([place(0, 0), place(until, slope * until)], colour, 1, true));
    }
    shapes.push(
      line(
        growth.map(({ times, cpuSeconds }) => place(times, cpuSeconds.median)),
        colour,
        2,
      ),
      ...growth.map(({ times, cpuSeconds }) => dot(...place(times, cpuSeconds.median), colour)),
    );
  }
  return shapes;
}
