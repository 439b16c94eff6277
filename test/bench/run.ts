/**
 * Runs one workload: its relay and its peers are started, warmed up by a round that does not count, measured in rounds
 * with the order rotated, and stopped.
 */
import { Workplace } from "../peers/support/workplace.ts";
import { Generator } from "./load/generator.ts";
import { ownSink, smtpSink } from "./load/relays.ts";
import { smtpSource } from "./load/smtp-source.ts";
import type { Peer, PeerSettings, RunningPeer } from "./peers/peer.ts";
import { resetPeak, settledOctets } from "./processes.ts";
import type { GrowthPoint, Measured, PeerResult, WorkloadResult } from "./report.ts";
import { summary } from "./statistics.ts";
import { grown, type Outcome, type Sample, type Tools, type Workload } from "./workloads/workload.ts";

export interface RunSettings {
  readonly peers: readonly Peer[];
  readonly rounds: number;
  readonly share: number;
  /** Rounds for the growth; 0: it is left out. */
  readonly growthRounds: number;
  /** Not counted: programs that compile as they run are measured as they are after some thousand mails. */
  readonly warmUpRounds: number;
  readonly tell: (line: string) => void;
}

/** The growth is measured at so many times a quarter of the work. */
const growthTimes = [1, 2, 4, 8];
const growthShare = 0.25;
/** Peers whose growth is shown; all others would only hide them. */
const growthPeers = ["smtpproxy", "haproxy", "bun-tls"];
/** Before the first round. A peer in JavaScript is interpreted, and compiled, for about so long. */
const firstMails = 10_000;
/** Where each round starts a peer of its own, these are for the peers that wait beside it. */
const firstMailsBeside = 100;

type Outcomes = ReadonlyMap<string, Outcome>;

/** What was started and is not stopped yet, for when the bench is interrupted. */
let current: Workplace | undefined;

export async function stopAll(): Promise<void> {
  await current?.close();
}

export async function run(workload: Workload, settings: RunSettings): Promise<WorkloadResult> {
  const place = new Workplace();
  current = place;
  try {
    return await measure(workload, settings, place);
  } finally {
    await place.close();
  }
}

async function measure(workload: Workload, settings: RunSettings, place: Workplace): Promise<WorkloadResult> {
  const { peers, tools } = await setUp(workload, settings, place);
  const perform = (
    title: string,
    round: number,
    who: readonly RunningPeer[],
    times = 1,
  ): Promise<Outcomes> => {
    settings.tell(`${workload.name}: ${title}`);
    return workload.round(rotated(who, round), tools, times);
  };
  const rounds = Math.min(settings.rounds, workload.roundsMax ?? settings.rounds);
  const all: Outcomes[] = [];
  const warmUp: Outcomes[] = [];
  for (let round = 0; !workload.fresh && round < settings.warmUpRounds; round += 1)
    warmUp.push(await perform(`warm-up ${round + 1}`, round, peers));
  for (let round = 0; round < rounds; round += 1)
    all.push(await perform(`round ${round + 1} of ${rounds}`, round, peers));
  const growing = peers.filter(({ name }) => growthPeers.includes(name));
  const growth: Growth[] = [];
  for (let round = 0; workload.grows && round < settings.growthRounds; round += 1) {
    for (const times of growthTimes)
      growth.push({
        times,
        outcomes: await perform(`growth ×${times}`, round, growing, times * growthShare),
      });
  }
  return {
    workload: workload.name,
    title: workload.title,
    figures: workload.figures,
    peers: peers.map(({ name }) => ({
      peer: name,
      figures: figuresOf(name, workload, all),
      growth: growthOf(name, growth),
      failures: failuresOf(name, [...warmUp, ...all, ...growth.map(({ outcomes }) => outcomes)]),
    })),
  };
}

interface Growth {
  readonly times: number;
  readonly outcomes: Outcomes;
}

interface SetUp {
  readonly peers: readonly RunningPeer[];
  readonly tools: Tools;
}

/** What is started is stopped when the place is closed. */
export async function setUp(
  workload: Workload,
  settings: Pick<RunSettings, "peers" | "share">,
  place: Workplace,
): Promise<SetUp> {
  const certificate = place.certificate("localhost");
  const relay = workload.relay === "own" ? await ownSink(place, certificate) : await smtpSink(place);
  place.onClose(() => relay.stop());
  const generator = new Generator();
  place.onClose(() => generator.stop());
  const { tls, sessions } = workload;
  const peerSettings: PeerSettings = { place, relayPort: relay.port, tls, certificate, sessions };
  const kinds = settings.peers.filter(
    ({ name, speaks }) => speaks.includes(tls) && (workload.only?.includes(name) ?? true),
  );
  const startAnother = (name: string): Promise<RunningPeer> => {
    const kind = kinds.find((peer) => peer.name === name);
    if (kind === undefined) throw new Error(`no peer ${name}`);
    return kind.start(peerSettings);
  };
  const restingOctets = new Map<string, number>();
  const peers: RunningPeer[] = [];
  for (const { name } of kinds) {
    const peer = await startAnother(name);
    place.onClose(() => peer.stop());
    peers.push(peer);
    const mails = workload.fresh ? firstMailsBeside : Math.round(firstMails * settings.share);
    await smtpSource({ port: peer.port, sessions: 20, mails, octets: 2048, kept: false });
    if (peer.session === undefined || !workload.figures.includes(grown)) continue;
    restingOctets.set(name, await settledOctets(peer.session));
    resetPeak(peer.session);
  }
  return { peers, tools: { generator, restingOctets, share: settings.share, startAnother } };
}

function rotated<T>(all: readonly T[], by: number): T[] {
  const from = all.length === 0 ? 0 : by % all.length;
  return [...all.slice(from), ...all.slice(0, from)];
}

function samplesOf(peer: string, all: readonly Outcomes[]): Sample[] {
  return all.flatMap((outcomes) => {
    const outcome = outcomes.get(peer);
    return outcome === undefined || "failure" in outcome ? [] : [outcome.sample];
  });
}

function failuresOf(peer: string, all: readonly Outcomes[]): string[] {
  return all.flatMap((outcomes) => {
    const outcome = outcomes.get(peer);
    return outcome !== undefined && "failure" in outcome ? [outcome.failure] : [];
  });
}

function measured(samples: readonly Sample[], key: string): Measured | undefined {
  const values = samples.map((sample) => sample[key] ?? Number.NaN).filter(Number.isFinite);
  return values.length === 0 ? undefined : { ...summary(values), samples: values };
}

function figuresOf(peer: string, { figures }: Workload, all: readonly Outcomes[]): PeerResult["figures"] {
  const samples = samplesOf(peer, all);
  return Object.fromEntries(
    figures.flatMap(({ key }) => {
      const found = measured(samples, key);
      return found === undefined ? [] : [[key, found]];
    }),
  );
}

function growthOf(peer: string, growth: readonly Growth[]): GrowthPoint[] {
  return growthTimes.flatMap((times) => {
    const outcomes = growth.filter((one) => one.times === times).map((one) => one.outcomes);
    const cpuSeconds = measured(samplesOf(peer, outcomes), "cpuTotal");
    return cpuSeconds === undefined ? [] : [{ times, cpuSeconds }];
  });
}
