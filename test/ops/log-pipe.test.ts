/** The log's end of a pipe that does not wait: what the pipe cannot take now is said to be left, and comes later. */
import { expect, test } from "bun:test";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { descriptorSink } from "../../src/ops/log.ts";

const pipeOctetsMax = 1024 * 1024;

test("a full pipe takes nothing, and goes on when it was read", () => {
  const folder = mkdtempSync(join(tmpdir(), "smtpproxy-log-"));
  const path = join(folder, "pipe");
  expect(Bun.spawnSync(["mkfifo", path]).exitCode).toBe(0);
  // Opened for both, it waits for no reader.
  const descriptor = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  const sink = descriptorSink(descriptor);
  const line = Buffer.from(`${"x".repeat(999)}\n`);
  let written = 0;
  let taken = sink.write(line);
  for (; taken > 0 && written < pipeOctetsMax; taken = sink.write(line)) written += taken;
  expect(taken).toBe(0);
  expect(written).toBeGreaterThan(0);
  const read = Buffer.alloc(pipeOctetsMax);
  expect(readSync(descriptor, read)).toBe(written);
  expect(sink.write(line)).toBe(line.length);
  expect(readSync(descriptor, read)).toBe(line.length);
  closeSync(descriptor);
  rmSync(folder, { recursive: true });
});
