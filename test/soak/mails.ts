/**
 * The mails of the soak: each has an id of its own in its reverse-path and its header, a random stretch of awkward
 * lines as its body, and a known digest.
 *
 * The bodies are cut from one pool of lines, kept twice: as they are, and with transparency (RFC 5321 §4.5.2). The
 * lines are those that a proxy may stumble over: 8-bit, up to 998 octets, empty, dots, words of SMTP. They have no CR,
 * LF or NUL, and a header is in front, so a relay has no reason to change an octet.
 * Sizes: nearly all under 4 KB, one of sixteen up to 2 MB; both log-uniform, 9 KB on average.
 */
import { createHash } from "node:crypto";
import type { Random } from "../simulation/random.ts";

const poolOctets = 4 * 1024 * 1024;
const lineOctetsMax = 998;
const smallOctetsMax = 4 * 1024;
const bigOctetsMax = 2_000_000;
const bigShare = 1 / 16;
const recipientsMax = 3;

export interface Mail {
  readonly id: string;
  /** Without angle brackets. */
  readonly from: string;
  readonly to: readonly string[];
  /** Of the message, without transparency. */
  readonly octets: number;
  readonly sha256: string;
  /** What follows 354: with transparency, without the end of mail data. */
  readonly wire: readonly Buffer[];
}

const domain = "client.test";
const idForm = /^m\d+$/;

export function sha256(...pieces: readonly Buffer[]): string {
  const hash = createHash("sha256");
  for (const piece of pieces) hash.update(piece);
  return hash.digest("hex");
}

/** The id of the mail with this reverse-path; undefined: none of ours. */
export function idOf(from: string): string | undefined {
  const [id = "", host] = from.split("@");
  return host === domain && idForm.test(id) ? id : undefined;
}

export class MailSource {
  readonly #random: Random;
  readonly #plain: Buffer;
  readonly #stuffed: Buffer;
  /** Where each line begins, and the end, in both. */
  readonly #plainAt: readonly number[];
  readonly #stuffedAt: readonly number[];
  #made = 0;

  constructor(random: Random) {
    this.#random = random;
    const lines: Buffer[] = [];
    for (let octets = 0; octets < poolOctets; ) {
      const line = Buffer.from(`${lineOf(random)}\r\n`, "latin1");
      lines.push(line);
      octets += line.length;
    }
    const stuffed = lines.map((line) => (line[0] === 0x2e ? Buffer.concat([Buffer.from("."), line]) : line));
    [this.#plain, this.#plainAt] = joined(lines);
    [this.#stuffed, this.#stuffedAt] = joined(stuffed);
  }

  next(): Mail {
    const random = this.#random;
    this.#made += 1;
    const id = `m${this.#made}`;
    const from = `${id}@${domain}`;
    const recipients = random.chance(0.8) ? 1 : random.between(2, recipientsMax);
    const to = Array.from({ length: recipients }, (_, index) => `reader-${index}@sink.test`);
    const [first, last] = this.#stretch(sizeOf(random));
    const header = Buffer.from(
      `From: <${from}>\r\nTo: <${to.join(">, <")}>\r\nSubject: soak ${id}\r\n` +
        `Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nMessage-ID: <${from}>\r\n\r\n`,
    );
    const body = this.#plain.subarray(this.#plainAt[first], this.#plainAt[last]);
    const wire = [header, this.#stuffed.subarray(this.#stuffedAt[first], this.#stuffedAt[last])];
    return { id, from, to, octets: header.length + body.length, sha256: sha256(header, body), wire };
  }

  /** Lines from a random one on, at least `octets` of them all together, unless the pool ends. */
  #stretch(octets: number): readonly [first: number, last: number] {
    const at = this.#plainAt;
    const first = this.#random.below(at.length - 1);
    const end = (at[first] ?? 0) + octets;
    let [low, high] = [first, at.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((at[middle] ?? 0) < end) low = middle + 1;
      else high = middle;
    }
    return [first, low];
  }
}

function sizeOf(random: Random): number {
  const max = random.chance(bigShare) ? bigOctetsMax : smallOctetsMax;
  return Math.floor((max + 1) ** (random.below(1_000_000) / 1_000_000)) - 1;
}

const awkward = [
  "",
  "",
  ".",
  "..",
  "...",
  ".x",
  ". ",
  "\t",
  "QUIT",
  ".MAIL FROM:<x@y.test>",
  "From x",
  "-- ",
];

function lineOf(random: Random): string {
  if (random.chance(0.2)) return random.pick(awkward);
  const length = random.chance(0.05)
    ? lineOctetsMax - random.below(3)
    : random.below(random.chance(0.1) ? lineOctetsMax : 78);
  return `${random.chance(0.1) && length > 0 ? "." : ""}${octetsOf(random, length)}`.slice(0, lineOctetsMax);
}

/** Anything but NUL, LF and CR. */
function octetsOf(random: Random, length: number): string {
  const octets: string[] = [];
  for (let at = 0; at < length; at += 1) {
    const octet = random.between(1, 0xff);
    octets.push(octet === 0x0a || octet === 0x0d ? "." : String.fromCharCode(octet));
  }
  return octets.join("");
}

function joined(lines: readonly Buffer[]): [octets: Buffer, at: readonly number[]] {
  const at = [0];
  let end = 0;
  for (const line of lines) {
    end += line.length;
    at.push(end);
  }
  return [Buffer.concat(lines), at];
}
