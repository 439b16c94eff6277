/**
 * A program that runs beside the test: its output goes to a file, and it is stopped by its own pid.
 * Each has a session of its own, as daemons expect it (Postfix's master signals its whole group when it ends).
 */
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { searchPath } from "./suite.ts";
import { eventually } from "./workplace.ts";

const stopMs = 10_000;

export interface Started {
  readonly command: readonly string[];
  /** The whole environment but for PATH. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly logFile: string;
}

export class Program {
  readonly name: string;
  readonly logFile: string;
  readonly #process: Bun.Subprocess<"ignore", number, number>;

  constructor({ command, environment = {}, logFile }: Started) {
    this.name = command[0] ?? "";
    this.logFile = logFile;
    const log = openSync(logFile, "a");
    this.#process = Bun.spawn([...command], {
      stdin: "ignore",
      stdout: log,
      stderr: log,
      env: { ...inheritedEnvironment(), ...environment },
      detached: true,
    });
    closeSync(log);
  }

  get pid(): number {
    return this.#process.pid;
  }

  get ended(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  get output(): string {
    return existsSync(this.logFile) ? readFileSync(this.logFile, "latin1") : "";
  }

  /** Waits for `condition`, and fails at once when the program ends before. */
  until<T>(
    condition: () => T | undefined | false | Promise<T | undefined | false>,
    what: string,
  ): Promise<T> {
    return eventually(
      () => {
        if (this.ended) throw new Error(`${this.name} ended before ${what}: ${this.output}`);
        return condition();
      },
      () => `${what}: ${this.output}`,
    );
  }

  /** Until a connection to `port` is greeted. */
  async untilGreets(port: number): Promise<void> {
    await this.until(() => greets(port), `it greets on port ${port}`);
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** Ends it and all that it started, at once and with nothing said, as a machine that loses its power would. */
  async crash(): Promise<void> {
    if (this.ended) return;
    process.kill(-this.#process.pid, "SIGKILL");
    await this.#process.exited;
  }

  /** The exit status; undefined if a signal ended it. */
  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<number | undefined> {
    if (!this.ended) this.#process.kill(signal);
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), stopMs);
    await this.#process.exited;
    clearTimeout(timer);
    return this.#process.exitCode ?? undefined;
  }
}

/** What a program needs of ours, and the mark by which .ci/run finds what was left behind. */
export function inheritedEnvironment(): Record<string, string> {
  const names = ["HOME", "TMPDIR", "SMTPPROXY_CI_STEP"];
  const inherited = names.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return { PATH: searchPath, ...Object.fromEntries(inherited) };
}

function greets(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const answer = (isUp: boolean): void => {
      socket.destroy();
      resolve(isUp);
    };
    socket.setTimeout(2_000, () => answer(false));
    socket.once("error", () => answer(false));
    socket.once("close", () => answer(false));
    socket.once("data", (octets: Buffer) => {
      if (!octets.toString("latin1").startsWith("220")) return answer(false);
      socket.end("QUIT\r\n", () => answer(true));
    });
  });
}
