/**
 * One mail through a proxy that does nothing else: what it adds to the time that the same mail takes directly. All
 * peers take turns mail by mail, so that whatever the machine does meets all of them.
 */
import { quantile } from "../statistics.ts";
import type { Outcome, Workload } from "./workload.ts";

/** Of each round and peer; five rounds make 1,250 samples. */
const mails = 250;

export const idle: Workload = {
  name: "idle",
  title: "One mail of 2 KB through an idle proxy, in ms",
  figures: [
    { key: "median", title: "median", better: "less", inPlot: false },
    { key: "overMedian", title: "median over direct", better: "less", inPlot: true },
    { key: "p99", title: "p99", better: "less", inPlot: false },
    { key: "overP99", title: "p99 over direct's", better: "less", inPlot: true },
  ],
  relay: "smtp-sink",
  tls: "none",
  sessions: 20,
  fresh: false,
  grows: false,
  async round(peers, { generator, share }) {
    const ports = peers.map(({ port }) => port);
    const { latenciesMs } = await generator.do({
      kind: "latency",
      ports,
      mails: Math.round(mails * share),
      tls: false,
    });
    const found = peers.map(({ name }, index) => {
      const all = latenciesMs[index] ?? [];
      return { name, median: quantile(all, 0.5), p99: quantile(all, 0.99) };
    });
    const base = found.find(({ name }) => name === "direct");
    const over = (value: number, least: number | undefined): number => value - (least ?? Number.NaN);
    return new Map<string, Outcome>(
      found.map(({ name, median, p99 }) => {
        const sample = {
          median,
          p99,
          overMedian: over(median, base?.median),
          overP99: over(p99, base?.p99),
        };
        return [name, { sample }];
      }),
    );
  },
};
