/**
 * The log's sink on every kind of descriptor: a full one takes nothing and does not wait, what it takes comes whole
 * and in order, and the descriptor itself is left as it was.
 */
import { afterAll, describe, expect, test } from "bun:test";
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { logSink } from "../../src/host/log-sink.ts";
import type { Sink } from "../../src/ops/log.ts";
import { socketPair } from "./libc.ts";

const folder = mkdtempSync(join(tmpdir(), "smtpproxy-log-"));
afterAll(() => rmSync(folder, { recursive: true }));

let pipes = 0;

/** A pipe with two descriptors on two descriptions, as a shell makes it; reading never waits. */
function pipe(): { readonly reader: number; readonly writer: number } {
  const path = join(folder, `pipe${pipes++}`);
  expect(Bun.spawnSync(["mkfifo", path]).exitCode).toBe(0);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return { reader, writer: openSync(path, constants.O_WRONLY) };
}

function pair(): { readonly reader: number; readonly writer: number } {
  const [reader, writer] = socketPair();
  return { reader, writer };
}

function isNonBlocking(descriptor: number): boolean {
  const flags = /^flags:\s+(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, "utf8"))?.[1] ?? "";
  return (Number.parseInt(flags, 8) & constants.O_NONBLOCK) !== 0;
}

const writtenMax = 4 * 1024 * 1024;
const lineAt = (n: number) => Buffer.from(`${String(n).padStart(8, "0")} ${"x".repeat(990)}\n`);

/** Writes until nothing is taken; the octets that were. */
function fill(sink: Sink): Buffer {
  const taken: Buffer[] = [];
  let octets = 0;
  for (let n = 0; octets < writtenMax; n++) {
    const line = lineAt(n);
    const count = sink.write(line);
    taken.push(line.subarray(0, count));
    octets += count;
    if (count < line.length) break;
  }
  return Buffer.concat(taken);
}

function readAll(reader: number, octets: number): Buffer {
  const read = Buffer.alloc(octets);
  for (let at = 0; at < octets; ) {
    const count = readSync(reader, read, at, octets - at, null);
    if (count === 0) throw new Error(`the end after ${at} octets`);
    at += count;
  }
  return read;
}

describe.each([
  ["a pipe", pipe],
  ["the journal's stream socket", pair],
] as const)("%s", (_, make) => {
  test("full, it takes nothing, and goes on when it was read", () => {
    const { reader, writer } = make();
    const sink = logSink(writer);
    const written = fill(sink);
    expect(written.length).toBeGreaterThan(0);
    expect(written.length).toBeLessThan(writtenMax);
    expect(sink.write(lineAt(0))).toBe(0);
    expect(readAll(reader, written.length).equals(written)).toBe(true);
    expect(sink.write(lineAt(7))).toBe(lineAt(7).length);
    expect(readAll(reader, lineAt(7).length).equals(lineAt(7))).toBe(true);
    for (const descriptor of [reader, writer]) closeSync(descriptor);
  });

  test("whoever shares it finds it as it was: a write of theirs waits", () => {
    const { reader, writer } = make();
    fill(logSink(writer));
    expect(isNonBlocking(writer)).toBe(false);
    for (const descriptor of [reader, writer]) closeSync(descriptor);
  });

  test("without a reader everything is taken, and nothing happens", () => {
    const { reader, writer } = make();
    const sink = logSink(writer);
    closeSync(reader);
    expect(sink.write(lineAt(0))).toBe(lineAt(0).length);
    closeSync(writer);
  });
});

test("a file gets every octet, behind what is there already", () => {
  const path = join(folder, "log");
  writeFileSync(path, "before\n");
  const descriptor = openSync(path, "a");
  expect(logSink(descriptor).write(lineAt(0))).toBe(lineAt(0).length);
  closeSync(descriptor);
  expect(readFileSync(path, "utf8")).toBe(`before\n${lineAt(0)}`);
});

test("a closed descriptor takes everything", () => {
  expect(logSink(999).write(lineAt(0))).toBe(lineAt(0).length);
});

test("a full disk counts as a slow reader", () => {
  const descriptor = openSync("/dev/full", "w");
  expect(logSink(descriptor).write(lineAt(0))).toBe(0);
  closeSync(descriptor);
});

const sinkPath = JSON.stringify(join(import.meta.dir, "../../src/host/log-sink.ts"));
const logPath = JSON.stringify(join(import.meta.dir, "../../src/ops/log.ts"));

describe("as another user than the one who made the pipe", () => {
  test.skipIf(process.getuid?.() !== 0)("it does not wait either", async () => {
    const { reader, writer } = pipe();
    // The folder of Bun and of the sources may be one that only root reads, so the user changes within.
    const script = `
      const { logSink } = await import(${sinkPath});
      const { openSync } = await import("node:fs");
      process.setgroups([]); process.setgid(65534); process.setuid(65534);
      let refused = false;
      try { openSync("/proc/self/fd/2", 1 | 2048); } catch { refused = true; }
      const sink = logSink(2);
      const line = Buffer.alloc(100_000, "x");
      const taken = [sink.write(line), sink.write(line)];
      console.log(JSON.stringify({ refused, taken }));`;
    const child = Bun.spawn([process.execPath, "-e", script], {
      stdio: ["ignore", "pipe", writer],
      timeout: 10_000,
    });
    const said: unknown = JSON.parse(await new Response(child.stdout).text());
    expect(said).toEqual({ refused: true, taken: [65_536, 0] });
    expect(readAll(reader, 65_536).equals(Buffer.alloc(65_536, "x"))).toBe(true);
    for (const descriptor of [reader, writer]) closeSync(descriptor);
  });
});

describe("the log on stderr, up to the exit", () => {
  const pressed = `
    const { Log } = await import(${logPath});
    const { logSink } = await import(${sinkPath});
    const log = new Log("text", "info", logSink(2));
    for (let n = 0; n < 1000; n++) {
      log.write({ level: "info", isImportant: false, event: "x".repeat(200), fields: [["n", "n"]], values: { n } }, 0);
    }
    log.flush();
    console.log("alive");`;

  test("a reader that is gone does not kill the process", async () => {
    const command = ["sh", "-c", '{ "$0" -e "$1" 2>&1 >&3 | true; } 3>&1', process.execPath, pressed];
    const child = Bun.spawn(command, { stdout: "pipe", stderr: "ignore" });
    expect(await new Response(child.stdout).text()).toBe("alive\n");
  });

  test("a slow reader gets every line before the exit", async () => {
    const command = [
      "sh",
      "-c",
      '"$0" -e "$1" 2>&1 >/dev/null | { sleep 0.1; cat; }',
      process.execPath,
      pressed,
    ];
    const child = Bun.spawn(command, { stdout: "pipe", stderr: "ignore" });
    const lines = (await new Response(child.stdout).text()).trimEnd().split("\n");
    expect(lines).toHaveLength(1000);
    expect(lines.at(-1)).toEndWith('n="999"');
  });
});
