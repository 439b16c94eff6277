/**
 * The compiled program as a process: built from the sources of the moment, started on a free port, its memory
 * measured, its log read.
 */
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "./support.ts";

const root = join(import.meta.dir, "../..");

/** Compiles as build.ts does, but elsewhere: dist/ may be rebuilt by others meanwhile. */
export async function compile(): Promise<string> {
  const outfile = join(mkdtempSync(join(tmpdir(), "smtpproxy-shell-")), "smtpproxy");
  const result = await Bun.build({
    entrypoints: [join(root, "src/main.ts")],
    compile: { outfile, autoloadDotenv: false, autoloadBunfig: false },
    format: "esm",
    minify: true,
    bytecode: true,
    define: { SMTPPROXY_VERSION: '"test"', SMTPPROXY_COMMIT: '"test"' },
  });
  if (!result.success) throw new Error(result.logs.map(String).join("\n"));
  return outfile;
}

export class Program {
  readonly #process: Bun.Subprocess<"ignore", "ignore", "pipe">;
  #log = "";
  port = 0;

  private constructor(
    binary: string,
    environment: Readonly<Record<string, string>>,
    softDescriptors: number | undefined,
  ) {
    const limited = ["sh", "-c", `ulimit -Sn ${softDescriptors}; exec "$0"`, binary];
    this.#process = Bun.spawn(softDescriptors === undefined ? [binary] : limited, {
      env: { LISTEN_ADDRESS: "127.0.0.1:0", SERVER_NAME: "proxy.test", ...environment },
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
      cwd: tmpdir(),
    });
    void this.#readLog();
  }

  /** `softDescriptors`: the limit that it is started with, as systemd and shells have 1024. */
  static async start(
    binary: string,
    environment: Readonly<Record<string, string>>,
    softDescriptors?: number,
  ): Promise<Program> {
    const program = new Program(binary, environment, softDescriptors);
    const listening = /event="listening" address="[^"]*:(\d+)"/;
    await eventually(() => listening.test(program.#log) || program.#process.exitCode !== null, "it listens");
    program.port = Number(listening.exec(program.#log)?.[1] ?? 0);
    if (program.port === 0) throw new Error(`it did not start: ${program.#log}`);
    return program;
  }

  async #readLog(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const octets of this.#process.stderr) this.#log += decoder.decode(octets, { stream: true });
  }

  get log(): string {
    return this.#log;
  }

  /** Lines of one kind of event. */
  lines(event: string): string[] {
    return this.#log.split("\n").filter((line) => line.includes(` event="${event}" `));
  }

  /** Soft and hard limit of descriptors, as the process has them now. */
  get descriptorLimits(): { readonly soft: number; readonly hard: number } {
    const limits = readFileSync(`/proc/${this.#process.pid}/limits`, "utf8");
    const [, soft, hard] = /^Max open files\s+(\d+)\s+(\d+)/m.exec(limits) ?? [];
    return { soft: Number(soft), hard: Number(hard) };
  }

  /** CPU time used so far, user and system, all threads. */
  get cpuSeconds(): number {
    const stat = readFileSync(`/proc/${this.#process.pid}/stat`, "latin1");
    // Behind the name in parentheses: the 12th and 13th fields are utime and stime, in ticks of 10 ms.
    const [utime = 0, stime = 0] = stat
      .slice(stat.lastIndexOf(")") + 2)
      .split(" ")
      .slice(11, 13)
      .map(Number);
    return (utime + stime) / 100;
  }

  get descriptors(): number {
    return Bun.spawnSync(["ls", `/proc/${this.#process.pid}/fd`])
      .stdout.toString()
      .trim()
      .split("\n").length;
  }

  /** Resident memory now, and at its highest since `resetPeak`, in octets. */
  get memory(): { readonly now: number; readonly peak: number } {
    const status = readFileSync(`/proc/${this.#process.pid}/status`, "utf8");
    const kib = (key: string): number => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, "m").exec(status)?.[1]);
    return { now: kib("VmRSS") * 1024, peak: kib("VmHWM") * 1024 };
  }

  resetPeak(): void {
    writeFileSync(`/proc/${this.#process.pid}/clear_refs`, "5");
  }

  /** SIGTERM; the exit status. */
  async stop(): Promise<number> {
    this.#process.kill("SIGTERM");
    return this.#process.exited;
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }
}

export function mebibytes(octets: number): string {
  return `${(octets / 1024 / 1024).toFixed(1)} MiB`;
}
