/** Large mails: octets a second, what a gigabyte costs, and what memory grows by. */
import type { Tls } from "../peers/peer.ts";
import {
  cpuPerGigabyte,
  grown,
  grownMegabytes,
  megabytesPerSecond,
  oneByOne,
  type Workload,
  withCpu,
} from "./workload.ts";

const octets = 20_000_000;
const sessions = 4;

function big(name: string, title: string, tls: Tls, mails: number): Workload {
  return {
    name,
    title,
    figures: [cpuPerGigabyte, megabytesPerSecond, grown],
    relay: "own",
    tls,
    sessions,
    fresh: false,
    grows: true,
    round: oneByOne(async (peer, tools, times) => {
      const count = Math.max(sessions, Math.round(mails * tools.share * times));
      const job = { sessions, mails: count, octets, recipients: 1, kept: true, pipelined: false };
      const withTls = tls === "in" || tls === "both";
      const { seconds, cpu } = await withCpu(
        peer,
        async () =>
          (await tools.generator.do({ kind: "mails", port: peer.port, tls: withTls, ...job })).seconds,
      );
      const total = count * octets;
      return {
        rate: total / 1e6 / seconds,
        cpu: cpu / (total / 1e9),
        grown: grownMegabytes(peer, tools),
        cpuTotal: cpu,
      };
    }),
  };
}

export const bigWorkloads: readonly Workload[] = [
  big("big", "Mails of 20 MB, 4 sessions", "none", 80),
  big("big-tls-in", "STARTTLS with the client: mails of 20 MB, 4 sessions", "in", 40),
  big("big-tls-out", "STARTTLS with the relay: mails of 20 MB, 4 sessions", "out", 40),
  big("big-tls-both", "STARTTLS on both sides: mails of 20 MB, 4 sessions", "both", 40),
];
