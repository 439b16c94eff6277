/** The parts of the bench that compute: what they tell must be what was measured. */
import { describe, expect, test } from "bun:test";
import { optionsOf } from "./options.ts";
import { plot } from "./plot.ts";
import type { Measured, PeerResult, Report, WorkloadResult } from "./report.ts";
import { digits, quantile, summary } from "./statistics.ts";
import { table } from "./table.ts";

const measured = (...samples: number[]): Measured => ({ ...summary(samples), samples });

function result(peers: readonly PeerResult[]): WorkloadResult {
  return {
    workload: "kept",
    title: 'A <title> & "more"',
    figures: [
      { key: "cpu", title: "CPU", better: "less", inPlot: true },
      { key: "rate", title: "mails/s", better: "more", inPlot: true },
    ],
    peers,
  };
}

const growth = [1, 2, 4, 8].map((times) => ({ times, cpuSeconds: measured(times * 0.5) }));
const direct: PeerResult = { peer: "direct", figures: { rate: measured(2000) }, growth: [], failures: [] };
const proxy: PeerResult = {
  peer: "smtpproxy",
  figures: { cpu: measured(0.3, 0.1, 0.2), rate: measured(900, 1000, 1234.5) },
  growth,
  failures: ["451 for nobody's good"],
};

function report(workloads: readonly WorkloadResult[]): Report {
  return {
    startedAt: "2026-01-02T03:04:05.678Z",
    minutes: 1,
    rounds: 3,
    quick: false,
    machine: { processor: "A & B <C>", cores: 2, kernel: "6", loadBefore: 0 },
    versions: { bun: "1" },
    leftOut: [],
    workloads,
  };
}

describe("statistics", () => {
  test("a summary does not depend on the order, and keeps its values", () => {
    const values = [10, 9, 100];
    expect(summary(values)).toEqual({ median: 10, min: 9, max: 100 });
    expect(values).toEqual([10, 9, 100]);
  });
  test("a quantile between two values is on the straight line", () => {
    expect(quantile([1, 2, 3, 4], 0.5)).toBe(2.5);
    expect(quantile([4, 1], 0.25)).toBe(1.75);
    expect(quantile([7], 0.99)).toBe(7);
    expect(quantile([], 0.5)).toBeNaN();
  });
  test("three digits", () => {
    expect([0, 0.0714, 2.345, 12.34, 4060.4, -0.5, Number.NaN].map(digits)).toEqual([
      "0",
      "0.071",
      "2.35",
      "12.3",
      "4,060",
      "-0.500",
      "-",
    ]);
  });
});

test("a table has a row a peer, the median with least and most, and what failed", () => {
  expect(table(result([direct, proxy])).split("\n")).toEqual([
    'A <title> & "more"',
    "                             CPU            mails/s",
    "  direct                       -              2,000",
    "  smtpproxy  0.200 (0.100–0.300)  1,000 (900–1,235)",
    "  smtpproxy, CPU s: ×1: 0.500, ×2: 1.00, ×4: 2.00, ×8: 4.00",
    "  smtpproxy: 1 failed, the first: 451 for nobody's good",
    "",
  ]);
});

describe("the plot", () => {
  /** Every element is closed, and there are only finite numbers. */
  function check(svg: string): void {
    const open: string[] = [];
    for (const [, closing, name = "", empty] of svg.matchAll(
      /<(\/?)(\w+)(?:\s+[\w:-]+="[^"<]*")*\s*(\/?)>/g,
    )) {
      if (closing === "/") expect(open.pop()).toBe(name);
      else if (empty !== "/") open.push(name);
    }
    expect(open).toEqual([]);
    expect(svg.replaceAll(/<(\/?)(\w+)(?:\s+[\w:-]+="[^"<]*")*\s*(\/?)>/g, "")).not.toMatch(/[<>]/);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  }

  test("is well-formed, whatever there is to show", () => {
    check(plot(report([])));
    check(plot(report([result([])])));
    check(plot(report([result([{ ...proxy, figures: {} }])])));
    check(plot(report([result([direct, proxy]), result([direct]), result([proxy])])));
  });
  test("bars are as long as their medians", () => {
    const bars = [...plot(report([result([direct, proxy])])).matchAll(/width="([\d.]+)" height="13"/g)];
    const [cpu = 0, directRate = 0, proxyRate = 0] = bars.map(([, width]) => Number(width));
    expect(cpu).toBeGreaterThan(0);
    expect(proxyRate / directRate).toBeCloseTo(0.5, 2);
  });
});

describe("options", () => {
  test("what is wrong is said", () => {
    expect(() => optionsOf(["--only", "nothing"])).toThrow("there is no workload “nothing”");
    expect(() => optionsOf(["--peers", "direct,sendmail"])).toThrow("there is no peer “sendmail”");
    expect(() => optionsOf(["--rounds", "0"])).toThrow("--rounds");
    expect(() => optionsOf(["--fast"])).toThrow();
  });
  test("some workloads and peers", () => {
    const { workloads, peers, rounds, growth } = optionsOf([
      "--quick",
      "--only",
      "kept,big",
      "--peers",
      "haproxy,direct",
    ]);
    expect(workloads.map(({ name }) => name)).toEqual(["kept", "big"]);
    expect(peers.map(({ name }) => name)).toEqual(["direct", "haproxy"]);
    expect({ rounds, growth }).toEqual({ rounds: 1, growth: false });
  });
});
