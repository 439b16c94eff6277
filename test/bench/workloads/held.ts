/**
 * Sessions that are held: memory for each, and whether one more mail is slower for them. A fresh peer for every
 * sample, warmed up, since memory that it once had would be used again.
 */

import type { Tls } from "../peers/peer.ts";
import { descriptorLimit, settledOctets } from "../processes.ts";
import type { Figure } from "../report.ts";
import { quantile } from "../statistics.ts";
import { oneByOne, type Sample, type Workload } from "./workload.ts";

/** A session within mail data takes two descriptors of the peer; some are for others. */
const most = Math.floor((descriptorLimit() - 1000) / 2);
export const heldCounts = [1000, 5000, 10_000].map((count) => Math.min(count, most));
const warmUpMails = 300;
const timedMails = 51;

const countName = (count: number): string => count.toLocaleString("en");

function figures(): Figure[] {
  return heldCounts.flatMap((count, index): Figure[] => [
    {
      key: `kib${count}`,
      title: `KiB each of ${countName(count)}`,
      better: "less",
      inPlot: index === heldCounts.length - 1,
    },
    {
      key: `ms${count}`,
      title: "one more mail, ms over empty",
      better: "less",
      inPlot: index === heldCounts.length - 1,
    },
  ]);
}

function held(state: "ehlo" | "data", tls: Tls, only: readonly string[]): Workload {
  const withTls = tls === "in";
  const what = state === "ehlo" ? "after EHLO" : "in the middle of mail data";
  return {
    name: `held-${state}${withTls ? "-tls" : ""}`,
    title: `Sessions held ${what}${withTls ? ", STARTTLS with the client" : ""}`,
    figures: figures(),
    relay: "own",
    tls,
    sessions: Math.max(...heldCounts),
    only,
    roundsMax: 2,
    fresh: true,
    grows: false,
    round: oneByOne(async ({ name }, { generator, share, startAnother }) => {
      const peer = await startAnother(name);
      try {
        const { port, session } = peer;
        if (session === undefined) return {};
        const one = async (mails: number): Promise<number> => {
          const { latenciesMs } = await generator.do({ kind: "latency", ports: [port], mails, tls: withTls });
          return quantile(latenciesMs[0] ?? [], 0.5);
        };
        await one(warmUpMails);
        const emptyMs = await one(timedMails);
        const empty = await settledOctets(session);
        const sample: Record<string, number> = {};
        let there = 0;
        // A quick run has only the first, in full.
        for (const count of share < 1 ? heldCounts.slice(0, 1) : heldCounts) {
          await generator.do({ kind: "hold", port, sessions: count - there, state, tls: withTls });
          there = count;
          const octets = (await settledOctets(session)) - empty;
          sample[`kib${count}`] = octets / there / 1024;
          sample[`ms${count}`] = (await one(timedMails)) - emptyMs;
        }
        return sample satisfies Sample;
      } finally {
        await generator.do({ kind: "release" });
        await peer.stop();
      }
    }),
  };
}

const plain = ["smtpproxy", "haproxy", "nginx-mail", "bun-tcp"];
const secured = ["smtpproxy", "nginx-mail", "bun-tls"];

export const heldWorkloads: readonly Workload[] = [
  held("ehlo", "none", plain),
  held("data", "none", plain),
  held("ehlo", "in", secured),
  held("data", "in", secured),
];
