/**
 * The bench: smtpproxy beside others of its kind, in one run. Prints a table a workload; with --out it writes all
 * samples as result.json and what counts as plot.svg. README.md tells what is measured, and how.
 * Whatever it started is stopped by its pid, also when it fails or is interrupted.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release } from "node:os";
import { join } from "node:path";
import { command, commandPath } from "../peers/support/suite.ts";
import { missingSource } from "./load/smtp-source.ts";
import { type Options, optionsOf, usage } from "./options.ts";
import type { Peer } from "./peers/peer.ts";
import { plot } from "./plot.ts";
import type { Report, WorkloadResult } from "./report.ts";
import { run, stopAll } from "./run.ts";
import { table } from "./table.ts";
import { messageOf } from "./workloads/workload.ts";

const quickShare = 0.1;
const growthRounds = 1;
const warmUpRounds = 2;

function outputOf(...command: readonly string[]): string {
  const path = commandPath(command[0] ?? "");
  if (path === undefined) return "not installed";
  const { stdout, stderr } = Bun.spawnSync([path, ...command.slice(1)]);
  return `${stdout}${stderr}`.split("\n")[0]?.trim() ?? "";
}

function versions(smtpproxy: Peer | undefined): Record<string, string> {
  return {
    smtpproxy:
      smtpproxy?.missing() === undefined ? outputOf(smtpproxy?.binary?.() ?? "", "--version") : "missing",
    bun: Bun.version,
    haproxy: outputOf("haproxy", "-v"),
    nginx: outputOf("nginx", "-v"),
    postfix: outputOf("postconf", "-h", "mail_version"),
  };
}

function machine(): Report["machine"] {
  const processors = cpus();
  return {
    processor: processors[0]?.model ?? "unknown",
    cores: processors.length,
    kernel: release().split("-")[0] ?? "",
    loadBefore: loadavg()[0] ?? 0,
  };
}

async function bench(options: Options): Promise<Report> {
  const startedAt = new Date();
  const leftOut = options.peers.flatMap((peer) => {
    const missing = peer.missing();
    return missing === undefined ? [] : [`${peer.name}: ${missing}`];
  });
  const peers = options.peers.filter((peer) => peer.missing() === undefined);
  const about = { machine: machine(), versions: versions(peers.find(({ name }) => name === "smtpproxy")) };
  console.log(`${about.machine.processor}, ${about.machine.cores} cores, load ${about.machine.loadBefore}`);
  console.log(
    Object.entries(about.versions)
      .map(([name, version]) => `${name}: ${version}`)
      .join("\n"),
  );
  for (const line of leftOut) console.log(`left out: ${line}`);
  console.log();
  const workloads: WorkloadResult[] = [];
  for (const workload of options.workloads) {
    const result = await run(workload, {
      peers,
      rounds: options.rounds,
      share: options.quick ? quickShare : 1,
      growthRounds: options.growth ? growthRounds : 0,
      warmUpRounds: options.quick ? 1 : warmUpRounds,
      tell: (line) => console.error(line),
    }).catch((error: unknown) => {
      // The others are worth measuring all the same.
      console.log(`${workload.title}\n  not measured: ${messageOf(error)}\n`);
      process.exitCode = 1;
    });
    if (result === undefined) continue;
    workloads.push(result);
    console.log(table(result));
  }
  const minutes = (Date.now() - startedAt.getTime()) / 60_000;
  const { rounds, quick } = options;
  return { startedAt: startedAt.toISOString(), minutes, rounds, quick, ...about, leftOut, workloads };
}

function optionsOrExit(): Options {
  const needed = [missingSource(), command("smtp-sink").missing, command("openssl").missing];
  try {
    const missing = needed.flatMap((line) => line ?? []);
    if (missing.length > 0) throw new Error(missing.join(", "));
    return optionsOf(process.argv.slice(2));
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${usage}`);
    process.exit(2);
  }
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.once(signal, () => stopAll().finally(() => process.exit(1)));
}
const options = optionsOrExit();
const report = await bench(options);
if (options.out !== undefined) {
  mkdirSync(options.out, { recursive: true });
  writeFileSync(join(options.out, "result.json"), `${JSON.stringify(report, undefined, 1)}\n`);
  writeFileSync(join(options.out, "plot.svg"), plot(report));
}
process.exit();
