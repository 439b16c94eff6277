/**
 * What the tests of the commands share: the compiled binary, built once by build.ts itself, and processes of it.
 * The binary is dist/smtpproxy if that is newer than every source; else it is built in a temporary folder whose
 * sources are links to ours, so that `bun test` works alone and dist/ stays as it is.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const root = join(import.meta.dir, "../..");
export const messages = join(root, "test/messages");

let known: string | undefined;

export function binary(): string {
  // Another test file may have cleaned up.
  if (known !== undefined && existsSync(known)) return known;
  const built = join(root, "dist/smtpproxy");
  known = isFresh(built) ? built : build();
  return known;
}

function isFresh(path: string): boolean {
  const builtAt = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" });
  const inputs = [...sources.map((name) => join("src", name)), "build.ts", "package.json"];
  return inputs.every(
    (name) => (statSync(join(root, name), { throwIfNoEntry: false })?.mtimeMs ?? 0) < builtAt,
  );
}

function build(): string {
  const folder = temporaryFolder();
  for (const name of ["src", "node_modules", "package.json", "tsconfig.json"]) {
    symlinkSync(join(root, name), join(folder, name));
  }
  mkdirSync(join(folder, "dist"));
  const { exitCode, stderr } = Bun.spawnSync([process.execPath, join(root, "build.ts")], {
    cwd: folder,
    env: { ...process.env, GIT_DIR: join(root, ".git") },
  });
  if (exitCode !== 0) throw new Error(`build.ts failed: ${stderr}`);
  return join(folder, "dist/smtpproxy");
}

const folders: string[] = [];

/** A folder that is there until `cleanUp`. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "smtpproxy-commands-"));
  folders.push(folder);
  return folder;
}

/** For each test file, when it is through. */
export function cleanUp(): void {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

const { PATH: environmentPath = "/usr/bin:/bin" } = process.env;

/** Nothing of ours, so that no variable of the developer's configures the program. */
export const bareEnvironment: Readonly<Record<string, string>> = {
  PATH: environmentPath,
};

export interface Result {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the binary to its end, at most 20 s. */
export async function run(
  args: readonly string[],
  options: { readonly environment?: Readonly<Record<string, string>>; readonly cwd?: string } = {},
): Promise<Result> {
  const child = Bun.spawn([binary(), ...args], {
    env: { ...bareEnvironment, ...options.environment },
    cwd: options.cwd ?? tmpdir(),
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 20_000,
  });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { status: await child.exited, stdout, stderr };
}

/** Waits until `look` finds something. Bounded: fails with `what`. */
export async function found<T>(look: () => T | undefined, what: () => string, withinMs = 8_000): Promise<T> {
  const end = performance.now() + withinMs;
  for (;;) {
    const value = look();
    if (value !== undefined) return value;
    if (performance.now() > end) throw new Error(`did not happen within ${withinMs} ms: ${what()}`);
    await Bun.sleep(2);
  }
}

export type LogLine = ReadonlyMap<string, string>;

/** The program as a service: started, its log read line by line, ended by signals. */
export class Service {
  readonly #child: Bun.Subprocess<"ignore", "ignore", "pipe">;
  #log = "";

  /** `command` in front of the binary: systemd-socket-activate, say. */
  constructor(
    environment: Readonly<Record<string, string>>,
    command: readonly string[] = [],
    flags: readonly string[] = [],
  ) {
    this.#child = Bun.spawn([...command, binary(), "serve", ...flags], {
      env: { ...bareEnvironment, ...environment },
      cwd: tmpdir(),
      stdio: ["ignore", "ignore", "pipe"],
    });
    void this.#read();
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#child.stderr) this.#log += decoder.decode(chunk, { stream: true });
  }

  get text(): string {
    return this.#log;
  }

  get pid(): number {
    return this.#child.pid;
  }

  get exited(): Promise<number> {
    return this.#child.exited;
  }

  events(name: string): readonly LogLine[] {
    const lines = this.#log.split("\n").slice(0, -1).map(parseLine);
    return lines.filter((line) => line.get("event") === name);
  }

  /** The line of this event, or of the one with this number, once it is there. */
  event(name: string, index = 0): Promise<LogLine> {
    return found(
      () => this.events(name)[index],
      () => `${name} number ${index + 1} in the log:\n${this.#log}`,
    );
  }

  /** The port of its only listener. */
  async port(): Promise<number> {
    const address = (await this.event("listening")).get("address") ?? "";
    return Number(address.slice(address.lastIndexOf(":") + 1));
  }

  signal(name: "SIGTERM" | "SIGHUP" | "SIGINT"): void {
    this.#child.kill(name);
  }

  /** For the end of a test, whatever became of it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }
}

function parseLine(line: string): LogLine {
  const fields = line.matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g);
  return new Map([...fields].map(([, key = "", value = ""]) => [key, value]));
}
