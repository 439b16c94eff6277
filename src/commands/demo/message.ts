/**
 * The demo's message as octets: read from a file, made fit for the wire, and compared with what arrived.
 * A client sends CRLF at each line's end, the last one included, whatever its file has; what was changed for that is
 * told. A CR that stands alone is left: it is the proxy's to refuse.
 * Not here: SMTP (client.ts, relay.ts).
 * RFC 5321 §2.3.8, §4.5.2; RFC 5322 §2.2.3.
 */
import { readFileSync, statSync } from "node:fs";
import { explainError } from "../../lib/errors.ts";

/** The demo has the message in memory, more than once. The proxy has not. */
const fileOctetsMax = 512 * 1024 * 1024;

export interface DemoMessage {
  readonly octets: Buffer;
  /** What was done to the file's octets, in whole clauses. */
  readonly changes: readonly string[];
}

export type ReadMessage =
  | { readonly ok: true; readonly message: DemoMessage }
  | { readonly ok: false; readonly fault: string };

export function readMessage(path: string): ReadMessage {
  try {
    const stat = statSync(path);
    if (stat.isDirectory()) return { ok: false, fault: "it is a folder" };
    // A pipe has an end, a device may have none.
    if (!stat.isFile() && !stat.isFIFO()) return { ok: false, fault: "it is no file" };
    if (stat.size > fileOctetsMax) return { ok: false, fault: "it is larger than 512M, the demo's limit" };
    const octets = readFileSync(path);
    return octets.length === 0
      ? { ok: false, fault: "it is empty" }
      : { ok: true, message: asClientsSend(octets) };
  } catch (error) {
    return { ok: false, fault: explainError(error, "read") };
  }
}

const CR = 0x0d;
const LF = 0x0a;
const CRLF = Buffer.from("\r\n");

export function asClientsSend(file: Buffer): DemoMessage {
  const changes: string[] = [];
  const pieces: Buffer[] = [];
  let from = 0;
  let bare = 0;
  for (let lf = file.indexOf(LF); lf !== -1; lf = file.indexOf(LF, lf + 1)) {
    if (file[lf - 1] === CR) continue;
    pieces.push(file.subarray(from, lf), CRLF);
    from = lf + 1;
    bare += 1;
  }
  if (bare > 0) changes.push(`${bare} of its lines end in LF alone: they are sent with CRLF`);
  pieces.push(file.subarray(from));
  if (file.at(-1) !== LF) {
    changes.push("its last line has no end: it is sent with one");
    pieces.push(CRLF);
  }
  return { octets: changes.length === 0 ? file : Buffer.concat(pieces), changes };
}

const stuffing = Buffer.from(".");
const lineStartDot = Buffer.from("\r\n.");

/** RFC 5321 §4.5.2: a dot before each dot that begins a line. */
export function stuffDots(message: Buffer): Buffer {
  const pieces: Buffer[] = [];
  let from = 0;
  const stuff = (at: number): void => {
    pieces.push(message.subarray(from, at), stuffing);
    from = at;
  };
  if (message[0] === 0x2e) stuff(0);
  for (let at = message.indexOf(lineStartDot); at !== -1; at = message.indexOf(lineStartDot, at + 2))
    stuff(at + 2);
  return pieces.length === 0 ? message : Buffer.concat([...pieces, message.subarray(from)]);
}

/** The other way round. */
export function unstuffDots(wire: Buffer): Buffer {
  const pieces: Buffer[] = [];
  let from = wire[0] === 0x2e ? 1 : 0;
  for (let at = wire.indexOf(lineStartDot); at !== -1; at = wire.indexOf(lineStartDot, at + 3)) {
    pieces.push(wire.subarray(from, at + 2));
    from = at + 3;
  }
  return Buffer.concat([...pieces, wire.subarray(from)]);
}

/** The Received field at the very start of a message, and all that follows it. */
export function splitReceived(
  message: Buffer,
): { readonly received: Buffer; readonly rest: Buffer } | undefined {
  if (!/^received[ \t]*:/i.test(message.toString("latin1", 0, 64))) return undefined;
  let at = 0;
  do {
    const end = message.indexOf(CRLF, at);
    if (end === -1) return undefined;
    at = end + 2;
  } while (message[at] === 0x20 || message[at] === 0x09);
  return { received: message.subarray(0, at), rest: message.subarray(at) };
}
