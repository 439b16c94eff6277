/**
 * A copy of the project in a temporary folder, in which a fault can be put and tests can be run.
 * What is not copied: git's folder, dist (the tests build what they need) and node_modules, to which a link leads.
 * A test run is in a process group of its own, so that one that hangs takes its children with it.
 * Not here: which fault and which tests (main.ts).
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { type Mutant, mutate } from "./mutant.ts";

/** `test`: the first that failed, as "FILE: NAME". */
export type TestRun =
  | { readonly end: "green"; readonly tookMs: number }
  | { readonly end: "failed"; readonly test: string; readonly output: string }
  | { readonly end: "hung" };

const notCopied = [".git", "dist", "node_modules"];
const transcriptFolder = /^test\/transcripts\/([^/.]+)$/;
/** Of src alone. A fault may leave something unused or unreached: that is no reason not to compile it. */
const compilerSettings = {
  extends: "./tsconfig.json",
  compilerOptions: { noUnusedLocals: false, noUnusedParameters: false, allowUnreachableCode: true },
  include: ["src"],
};
const compilerSettingsFile = "tsconfig.mutants.json";

export class Tree {
  readonly #root: string;

  /** `of`: the root of the project, or of another copy. */
  constructor(of: string) {
    this.#root = mkdtempSync(join(tmpdir(), "smtpproxy-mutants-"));
    const filter = (path: string) => !notCopied.includes(relative(of, path));
    cpSync(of, this.#root, { recursive: true, filter });
    symlinkSync(join(of, "node_modules"), join(this.#root, "node_modules"));
    writeFileSync(join(this.#root, compilerSettingsFile), JSON.stringify(compilerSettings));
  }

  get root(): string {
    return this.#root;
  }

  /** Puts the fault in. Returns the way to take it out again. */
  put(mutant: Mutant): () => void {
    const path = join(this.#root, "src", mutant.file);
    const source = readFileSync(path, "utf8");
    writeFileSync(path, mutate(source, mutant));
    return () => writeFileSync(path, source);
  }

  /** What the compiler says against the source; undefined if nothing. */
  async typeFault(): Promise<string | undefined> {
    const tsc = join(this.#root, "node_modules/.bin/tsc");
    const process = Bun.spawn([tsc, "--project", compilerSettingsFile], { cwd: this.#root });
    const [said, status] = await Promise.all([process.stdout.text(), process.exited]);
    return status === 0 ? undefined : said;
  }

  /** Runs `path` up to the first test that fails. */
  async test(path: string, limitMs: number): Promise<TestRun> {
    const [, folder] = transcriptFolder.exec(path) ?? [];
    const what =
      folder === undefined ? [path] : ["test/transcripts/transcripts.test.ts", "-t", `^${folder}/`];
    const startedAt = performance.now();
    const runner = Bun.spawn([process.execPath, "test", "--bail", ...what], {
      cwd: this.#root,
      env: { ...process.env, NO_COLOR: "1" },
      stdin: "ignore",
      stderr: "pipe",
      detached: true,
    });
    let hung = false;
    const timer = setTimeout(() => {
      hung = true;
      killGroup(runner.pid);
    }, limitMs);
    const [out, err, status] = await Promise.all([runner.stdout.text(), runner.stderr.text(), runner.exited]);
    clearTimeout(timer);
    // Also what a test that failed has left behind.
    killGroup(runner.pid);
    if (hung) return { end: "hung" };
    if (status === 0) return { end: "green", tookMs: performance.now() - startedAt };
    const output = out + err;
    return { end: "failed", test: firstFailure(output), output };
  }

  remove(): void {
    rmSync(this.#root, { recursive: true, force: true });
  }
}

/** From the output of `bun test`: a file's name with a colon stands before its tests. */
function firstFailure(output: string): string {
  let file = "";
  for (const line of output.split("\n")) {
    const [, begun] = /^(\S+\.test\.ts):$/.exec(line) ?? [];
    const [, name] = /^\(fail\) (.+?)(?: \[[\d.]+m?s\])?$/.exec(line) ?? [];
    if (begun !== undefined) file = begun;
    if (name !== undefined) return `${file}: ${name}`;
  }
  return `${file}: an error outside of its tests`;
}

function killGroup(leader: number): void {
  try {
    process.kill(-leader, "SIGKILL");
  } catch {
    // None of it is left, as it should be.
  }
}
