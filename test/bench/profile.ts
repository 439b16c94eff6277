/**
 * Where the time goes in one workload, for README.md's section of that name:
 * `bun test/bench/profile.ts syscalls|cpu|perf|threads WORKLOAD [PEER]`. PEER is smtpproxy unless it is told.
 *
 *     syscalls  the binary under strace -c: system calls for each mail. strace slows it down: look at counts only.
 *     cpu       the source under `bun --cpu-prof`: functions of ours by their own time. Of smtpproxy only.
 *     perf      the binary under perf record: functions of Bun and of the kernel.
 *     threads   the binary: CPU seconds of each of its threads. The garbage collector and the compilers have their own.
 *
 * 10,000 mails and a warm-up go before.
 */
import { mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Workplace } from "../peers/support/workplace.ts";
import { allPeers } from "./peers/all.ts";
import type { Peer, RunningPeer } from "./peers/peer.ts";
import { smtpproxyBy } from "./peers/smtpproxy.ts";
import { setUp } from "./run.ts";
import { allWorkloads } from "./workloads/all.ts";
import type { Workload } from "./workloads/workload.ts";

const [mode = "", name = "", peerName = "smtpproxy"] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), "smtpproxy-profile-"));
const linesShown = 45;
const warmUpShare = 0.5;

type Work = () => Promise<void>;

function peerOf(): Peer | undefined {
  if (mode !== "cpu") return allPeers.find((peer) => peer.name === peerName);
  const source = join(import.meta.dir, "../../src/main.ts");
  return smtpproxyBy("smtpproxy", () => [process.execPath, "--cpu-prof", `--cpu-prof-dir=${folder}`, source]);
}

/** Runs `work` while the tool is attached, and gives what the tool says. */
async function attached(command: readonly string[], work: Work): Promise<string> {
  const tool = Bun.spawn([...command], { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  await Bun.sleep(500);
  await work();
  tool.kill("SIGINT");
  return new Response(tool.stderr).text();
}

async function syscalls(pid: number, work: Work): Promise<void> {
  console.log(await attached(["strace", "-c", "-f", "-S", "calls", "-p", `${pid}`], work));
}

async function perf(pid: number, work: Work): Promise<void> {
  const data = join(folder, "perf.data");
  await attached(["perf", "record", "-F", "2000", "-o", data, "-p", `${pid}`], work);
  for (const sort of ["dso", "dso,symbol"]) {
    const report = ["perf", "report", "--stdio", "-i", data, "--sort", sort, "--percent-limit", "0.5"];
    console.log(Bun.spawnSync(report).stdout.toString().split("\n").filter(isTold).join("\n"));
  }
}

/** By name and number. */
function threadTicks(pid: number): Map<string, number> {
  return new Map(
    readdirSync(`/proc/${pid}/task`).map((id) => {
      const stat = readFileSync(`/proc/${pid}/task/${id}/stat`, "latin1");
      const [user, system] = stat
        .slice(stat.lastIndexOf(")") + 2)
        .split(" ")
        .slice(11, 13);
      return [
        `${stat.slice(stat.indexOf("("), stat.lastIndexOf(")") + 1)} ${id}`,
        Number(user) + Number(system),
      ];
    }),
  );
}

async function threads(pid: number, work: Work): Promise<void> {
  const before = threadTicks(pid);
  await work();
  for (const [thread, ticks] of threadTicks(pid))
    console.log(`${((ticks - (before.get(thread) ?? 0)) / 100).toFixed(2).padStart(6)} s  ${thread}`);
}

const isTold = (line: string): boolean => line.trim() !== "" && !line.startsWith("#");

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
}

function tellProfile(): void {
  const [file] = readdirSync(folder).filter((path) => path.endsWith(".cpuprofile"));
  const { nodes, samples }: CpuProfile = JSON.parse(readFileSync(join(folder, file ?? ""), "utf8"));
  const titles = new Map(
    nodes.map(({ id, callFrame: { functionName, url } }) => [
      id,
      `${functionName || "(anonymous)"} ${url.replace(/^.*\/src\//, "")}`,
    ]),
  );
  const counts = new Map<string, number>();
  for (const id of samples) {
    const title = titles.get(id) ?? "?";
    counts.set(title, (counts.get(title) ?? 0) + 1);
  }
  const sorted = [...counts].sort(([, a], [, b]) => b - a).slice(0, linesShown);
  for (const [title, count] of sorted)
    console.log(`${((count / samples.length) * 100).toFixed(1).padStart(5)} %  ${title}`);
  console.log(`the whole profile: ${folder}`);
}

async function profile(workload: Workload, kind: Peer, place: Workplace): Promise<void> {
  const { peers, tools } = await setUp(workload, { peers: [kind], share: 1 }, place);
  const work = async (times: number): Promise<void> => {
    for (const [peer, outcome] of await workload.round(peers, tools, times)) console.log(peer, outcome);
  };
  await work(warmUpShare);
  const [peer]: readonly (RunningPeer | undefined)[] = peers;
  const pid = peer?.session ?? 0;
  if (mode === "syscalls") await syscalls(pid, () => work(1));
  else if (mode === "perf") await perf(pid, () => work(1));
  else if (mode === "threads") await threads(pid, () => work(1));
  else await work(1);
}

const workload = allWorkloads.find((one) => one.name === name && !one.fresh);
const kind = peerOf();
if (workload === undefined || kind === undefined || !["syscalls", "cpu", "perf", "threads"].includes(mode)) {
  console.error("bun test/bench/profile.ts syscalls|cpu|perf|threads WORKLOAD [PEER]");
  process.exit(2);
}
const place = new Workplace();
process.once("SIGINT", () => place.close().finally(() => process.exit(1)));
try {
  await profile(workload, kind, place);
} finally {
  await place.close();
}
if (mode === "cpu") tellProfile();
process.exit(0);
