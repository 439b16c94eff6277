/**
 * What a program beside the bench costs: CPU time and resident memory of all processes of its session (setsid(2), of
 * which its first process is the leader). CPU time of children that ended is counted once they were waited for, as
 * all peers do. Linux only: it reads /proc. Programs are started by test/peers/support/process.ts.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { Program, type Started } from "../peers/support/process.ts";

const startMs = 20_000;
const ticksPerSecond = 100;

/** Starts a program, and waits until a connection is greeted with 220; how long that took, in milliseconds. */
export async function startGreeting(
  started: Started,
  port: number,
): Promise<{ readonly program: Program; readonly greetedMs: number }> {
  const startedAt = performance.now();
  const program = new Program(started);
  while (!(await isGreeted(port))) {
    if (program.ended || performance.now() - startedAt > startMs) {
      await program.stop("SIGKILL");
      throw new Error(`no 220 on port ${port}: ${program.output.slice(-2_000)}`);
    }
    await Bun.sleep(1);
  }
  return { program, greetedMs: performance.now() - startedAt };
}

interface ProcessTimes {
  readonly pid: number;
  readonly cpuTicks: number;
}

function processesOf(session: number): ProcessTimes[] {
  return readdirSync("/proc").flatMap((name) => {
    const pid = Number(name);
    if (!Number.isInteger(pid)) return [];
    const stat = readIfThere(`/proc/${pid}/stat`);
    // Behind the name in parentheses: state, parent, group, session; user, system, and both of waited-for children.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (Number(fields[3]) !== session) return [];
    return [{ pid, cpuTicks: fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0) }];
  });
}

/** User and system time so far. */
export function cpuSeconds(session: number): number {
  return processesOf(session).reduce((sum, { cpuTicks }) => sum + cpuTicks, 0) / ticksPerSecond;
}

/** The sum over its processes; pages that they share count in each. */
export function residentOctets(session: number): number {
  return sumOf(session, "VmRSS");
}

/** The highest since `resetPeak`. */
export function peakOctets(session: number): number {
  return sumOf(session, "VmHWM");
}

export function resetPeak(session: number): void {
  for (const { pid } of processesOf(session)) writeFileSync(`/proc/${pid}/clear_refs`, "5");
}

/** The least within a second: garbage collectors come and go. */
export async function settledOctets(session: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let looks = 0; looks < 20; looks += 1) {
    await Bun.sleep(50);
    least = Math.min(least, residentOctets(session));
  }
  return least;
}

/** How many descriptors a process that we start may have: Bun raises its own soft limit, which is inherited. */
export function descriptorLimit(): number {
  const limits = readFileSync("/proc/self/limits", "latin1");
  return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? 1024);
}

function sumOf(session: number, key: string): number {
  const kib = processesOf(session).map(({ pid }) => {
    const status = readIfThere(`/proc/${pid}/status`);
    return Number(new RegExp(`^${key}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0);
  });
  return kib.reduce((sum, size) => sum + size, 0) * 1024;
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}

function isGreeted(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const answer = (greeted: boolean): void => {
      socket.destroy();
      resolve(greeted);
    };
    socket.setTimeout(2_000, () => answer(false));
    socket.once("error", () => answer(false));
    socket.once("close", () => answer(false));
    socket.once("data", (octets: Buffer) => {
      if (!octets.toString("latin1").startsWith("220")) answer(false);
      else socket.end("QUIT\r\n", () => answer(true));
    });
  });
}
