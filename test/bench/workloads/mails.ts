/** Small mails by the thousand: how many a second, and what 1,000 of them cost. */
import type { MailsJob } from "../load/jobs.ts";
import { smtpSource } from "../load/smtp-source.ts";
import { cpuPerThousand, oneByOne, rate, type Sample, type Workload, withCpu } from "./workload.ts";

const small = 2048;
/** Here the others would take minutes (Postfix: 71 mails/s to 100 recipients, a process for each of 1,000 sessions). */
const withoutSlow = ["direct", "smtpproxy", "haproxy", "nginx-stream", "bun-tcp"];

interface Mails extends Pick<Workload, "name" | "title" | "sessions" | "only"> {
  readonly mails: number;
  readonly kept: boolean;
}

const scaled = (count: number, sessions: number, factor: number): number =>
  Math.max(sessions, Math.round(count * factor));

const sampleOf = (mails: number, { seconds, cpu }: { seconds: number; cpu: number }): Sample => ({
  rate: mails / seconds,
  cpu: (cpu / mails) * 1000,
  cpuTotal: cpu,
});

/** By smtp-source to smtp-sink. */
function bySource({ mails, kept, ...workload }: Mails): Workload {
  const { sessions } = workload;
  return {
    ...workload,
    figures: [cpuPerThousand, rate],
    relay: "smtp-sink",
    tls: "none",
    fresh: false,
    grows: true,
    round: oneByOne(async (peer, { share }, times) => {
      const count = scaled(mails, sessions, share * times);
      const work = () => smtpSource({ port: peer.port, sessions, mails: count, octets: small, kept });
      return sampleOf(count, await withCpu(peer, work));
    }),
  };
}

interface Generated
  extends Mails,
    Pick<Workload, "relay" | "tls">,
    Pick<MailsJob, "octets" | "recipients" | "pipelined"> {}

/** By the bench's own generator. */
function byGenerator({ mails, kept, octets, recipients, pipelined, ...workload }: Generated): Workload {
  const { sessions } = workload;
  const tls = workload.tls === "in" || workload.tls === "both";
  return {
    ...workload,
    figures: [cpuPerThousand, rate],
    fresh: false,
    grows: true,
    round: oneByOne(async (peer, { generator, share }, times) => {
      const count = scaled(mails, sessions, share * times);
      const job = { sessions, mails: count, octets, recipients, kept, tls, pipelined };
      const work = async () => (await generator.do({ kind: "mails", port: peer.port, ...job })).seconds;
      return sampleOf(count, await withCpu(peer, work));
    }),
  };
}

const one = { octets: small, recipients: 1, pipelined: false };

function starttls(tls: "in" | "out" | "both", title: string): Workload {
  return byGenerator({
    ...one,
    name: `tls-${tls}`,
    title: `STARTTLS ${title}: mails of 2 KB, 20 sessions, a connection each`,
    relay: "own",
    tls,
    sessions: 20,
    mails: 1500,
    kept: false,
  });
}

export const mailWorkloads: readonly Workload[] = [
  bySource({
    name: "connection-each",
    title: "Mails of 2 KB, 20 sessions, a connection each",
    sessions: 20,
    mails: 5000,
    kept: false,
  }),
  bySource({
    name: "kept",
    title: "Mails of 2 KB, 20 sessions, connection kept",
    sessions: 20,
    mails: 10_000,
    kept: true,
  }),
  bySource({
    name: "crowd",
    title: "Mails of 2 KB, 1,000 sessions, a connection each",
    sessions: 1000,
    mails: 4000,
    kept: false,
    only: withoutSlow,
  }),
  byGenerator({
    ...one,
    name: "recipients",
    title: "Mails of 2 KB to 100 recipients, 20 sessions, connection kept, pipelined",
    relay: "smtp-sink",
    tls: "none",
    sessions: 20,
    mails: 600,
    kept: true,
    recipients: 100,
    pipelined: true,
    only: withoutSlow,
  }),
  byGenerator({
    ...one,
    name: "pipelined",
    title: "Mails of 100 octets, 20 sessions, connection kept, pipelined",
    relay: "smtp-sink",
    tls: "none",
    sessions: 20,
    mails: 10_000,
    kept: true,
    octets: 100,
    pipelined: true,
  }),
  starttls("in", "with the client"),
  starttls("out", "with the relay"),
  starttls("both", "on both sides"),
];
