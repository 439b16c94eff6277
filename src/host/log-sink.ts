/**
 * A descriptor as the log's sink, written to without ever waiting for its reader, whatever it is: stderr may be a
 * pipe, the journal's stream socket, a terminal or a file.
 *
 * O_NONBLOCK belongs to the open file description, which a shell or another process may share: setting it on the
 * descriptor that we were given would make their writes fail. So:
 * - a socket is written to with send(2) and MSG_DONTWAIT, which holds for the one call;
 * - a pipe or terminal is opened anew by way of /proc, for a description of our own with O_NONBLOCK;
 * - where that is not allowed (another user made the pipe), poll(2) says whether there is room for PIPE_BUF octets,
 *   and no more than these are written at once. Another writer of the same pipe can come between: then it waits, once;
 * - a file is written to as it is. The kernel waits for a disk, and nobody can ask it not to.
 * A full disk counts as a slow reader: the log keeps what it can and tells what it dropped. Of a reader that is gone
 * nothing is expected any more, and there is no place left to tell it.
 * Rejected: writing from a thread (57 MB, and its last lines are lost at exit); pwritev2 with RWF_NOWAIT, which pipes
 * and terminals know since Linux 6.4 only.
 * Not here: what is kept and dropped (ops/log.ts).
 */
import { constants, fstatSync, openSync, writeSync } from "node:fs";
import { codeOf } from "../lib/errors.ts";
import type { Sink } from "../ops/log.ts";
import { isWritable, sendNow } from "./libc.ts";

const { O_NOCTTY, O_NONBLOCK, O_WRONLY } = constants;
/** pipe(7): so many octets are written whole or not at all. */
const pipeOctets = 4096;
/** Octets that were not taken but may be later. */
const passing = ["EAGAIN", "EINTR", "ENOSPC", "EDQUOT"];

export function logSink(descriptor: number): Sink {
  const kind = kindOf(descriptor);
  if (kind === "socket") return { write: (octets) => sendNow(descriptor, octets) ?? octets.length };
  if (kind === "file") return { write: (octets) => writeTo(descriptor, octets) };
  const own = reopened(descriptor);
  return { write: (octets) => (own === undefined ? writePolled(descriptor, octets) : writeTo(own, octets)) };
}

function kindOf(descriptor: number): "socket" | "pipe" | "file" {
  try {
    const stat = fstatSync(descriptor);
    if (stat.isSocket()) return "socket";
    return stat.isFIFO() || stat.isCharacterDevice() ? "pipe" : "file";
  } catch {
    return "file"; // It is closed, which the first write says again.
  }
}

/** undefined: that is not allowed, or /proc is not there. */
function reopened(descriptor: number): number | undefined {
  try {
    return openSync(`/proc/self/fd/${descriptor}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
  } catch {
    return undefined;
  }
}

function writeTo(descriptor: number, octets: Uint8Array): number {
  try {
    return writeSync(descriptor, octets);
  } catch (error) {
    const code = codeOf(error) ?? "";
    return passing.includes(code) ? 0 : octets.length;
  }
}

function writePolled(descriptor: number, octets: Uint8Array): number {
  let taken = 0;
  while (taken < octets.length && isWritable(descriptor)) {
    const written = writeTo(descriptor, octets.subarray(taken, taken + pipeOctets));
    if (written === 0) break;
    taken += written;
  }
  return taken;
}
