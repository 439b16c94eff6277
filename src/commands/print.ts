/**
 * What a command writes for people, on stdout, and its faults, on stderr: written when the call returns, since what is
 * left to process.stdout is cut off at the exit that follows.
 * A reader that left (`| head`) is no fault; a full disk ends the program with status 1. Where nobody reads stderr there is no place
 * left to tell it.
 * Not here: which faults there are (settings.ts); the log (ops/log.ts), which waits for nobody.
 * Rejected: Bun.write(Bun.stdout), which cuts the file at its beginning: `>> FILE` lost what was in it.
 */
import { writeSync } from "node:fs";
import { visible } from "../config/kinds/values.ts";
import { codeOf, explainError } from "../lib/errors.ts";

const stdout = 1;
const stderr = 2;
/** A descriptor that does not wait, as an `ssh` or a test may hand it to us, is tried again after this. */
const retryMs = 10;

export function print(text: string): void {
  try {
    writeAll(stdout, text);
  } catch (error) {
    if (codeOf(error) === "EPIPE") return;
    complain(`smtpproxy: cannot write to stdout: ${explainError(error, "write")}\n`);
    process.exit(1);
  }
}

/** On stderr. */
export function complain(text: string): void {
  try {
    writeAll(stderr, text);
  } catch {
    // There is no place left to tell it.
  }
}

/** A peer's words, a wire string, fit for a terminal. A tab is shown as a space. */
export function shown(wire: string): string {
  return visible(Buffer.from(wire, "latin1").toString("utf8").replaceAll("\t", " "));
}

function writeAll(descriptor: number, text: string): void {
  let rest: Uint8Array = Buffer.from(text);
  while (rest.length > 0) rest = rest.subarray(writeSome(descriptor, rest));
}

function writeSome(descriptor: number, octets: Uint8Array): number {
  try {
    return writeSync(descriptor, octets);
  } catch (error) {
    if (codeOf(error) !== "EAGAIN" && codeOf(error) !== "EINTR") throw error;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, retryMs);
    return 0;
  }
}
