/**
 * What the peers of one test file share: a temporary folder, free ports, a certificate, a copy of the binary, and the
 * list of what must be stopped at the end. `close` stops everything that was started, last first, by its pid, and
 * removes the folder, also when something failed to stop.
 * The folder is open to others: relays drop root's rights and read their files as users of their own.
 */
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { searchPath } from "./suite.ts";

export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** SMTPPROXY_BINARY: another one than the build's, such as a release. */
const { SMTPPROXY_BINARY: builtBinary = join(import.meta.dir, "../../../dist/smtpproxy") } = process.env;

export class Workplace {
  readonly #parent: string;
  readonly #closers: (() => Promise<void>)[] = [];
  #folder: string | undefined;
  #files = 0;

  /** `parent`: where the folder is made, such as a file system in memory. */
  constructor(parent = tmpdir()) {
    this.#parent = parent;
  }

  /** Made when it is needed first, so that skipped tests leave none behind. */
  get folder(): string {
    if (this.#folder === undefined) {
      this.#folder = mkdtempSync(join(this.#parent, "smtpproxy-peers-"));
      chmodSync(this.#folder, 0o755);
    }
    return this.#folder;
  }

  /** A new folder; `label` only helps whoever looks into it. */
  subfolder(label: string): string {
    this.#files += 1;
    const path = join(this.folder, `${this.#files}-${label}`);
    mkdirSync(path, { mode: 0o755 });
    return path;
  }

  /** A new file with these octets. */
  file(label: string, octets: string | Buffer): string {
    this.#files += 1;
    const path = join(this.folder, `${this.#files}-${label}`);
    writeFileSync(path, octets);
    return path;
  }

  onClose(closer: () => Promise<void>): void {
    this.#closers.push(closer);
  }

  async close(): Promise<void> {
    const failures: unknown[] = [];
    for (const closer of this.#closers.splice(0).reverse()) {
      await closer().catch((error: unknown) => failures.push(error));
    }
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true });
    if (failures.length > 0) throw new AggregateError(failures, "not everything could be stopped");
  }

  /** A copy: whoever builds anew while the tests run does not disturb them. */
  binary(): string {
    const copy = join(this.folder, "smtpproxy");
    if (!existsSync(copy)) {
      if (!existsSync(builtBinary)) throw new Error(`${builtBinary} is missing: npm run build`);
      copyFileSync(builtBinary, copy);
      chmodSync(copy, 0o755);
    }
    return copy;
  }

  /** A certificate that vouches for itself, for `localhost`, 127.0.0.1 and `name`; it serves as its own authority. */
  certificate(name: string): Certificate {
    const folder = this.subfolder(name);
    const cert = join(folder, "cert.pem");
    const key = join(folder, "key.pem");
    run([
      ...["openssl", "req", "-x509", "-nodes", "-days", "30", "-subj", `/CN=${name}`],
      ...["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", key, "-out", cert],
      ...["-addext", `subjectAltName=DNS:${name},DNS:localhost,IP:127.0.0.1`],
    ]);
    // The relays' daemons read it with their own rights.
    chmodSync(key, 0o644);
    return { cert, key };
  }
}

/** Runs a command to its end and gives its output; throws when it fails. */
export function run(command: readonly string[], stdin?: string): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], {
    stdin: stdin === undefined ? "ignore" : Buffer.from(stdin),
    env: { ...process.env, PATH: searchPath },
  });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: exit status ${exitCode}: ${stderr}${stdout}`);
  return stdout.toString();
}

const portsBelow = 32_768;
const portsFrom = 20_000;
const given = new Set<number>();

/** A free loopback port below the range from which the kernel takes ports for connections. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const port = portsFrom + Math.floor(Math.random() * (portsBelow - portsFrom));
    if (!given.has(port) && (await isFree(port))) {
      given.add(port);
      return port;
    }
  }
  throw new Error("no free port");
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** Waits until `condition` gives something. Bounded: fails with `what`, which may tell the state by then. */
export async function eventually<T>(
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  what: string | (() => string),
  withinMs = 30_000,
): Promise<T> {
  const end = performance.now() + withinMs;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > end) {
      throw new Error(`did not happen within ${withinMs} ms: ${typeof what === "string" ? what : what()}`);
    }
    await Bun.sleep(10);
  }
}
