/**
 * SMTP replies: as data, and as the client receives them.
 *
 * A `Reply` is data: its code and the text of each line as a wire string, the enhanced status code being part of the
 * text, as on the wire. So what a relay said is passed on as it was said, whether or not we understand it.
 *
 * Not here: reading what a relay says (reply-reader.ts); the replies we say in our own name (catalogue.ts); which relay
 * reply goes to the client (proxy).
 * Rejected: code, enhanced code and text as three fields. A relay may give each line a different enhanced code, or
 * none, and what was taken apart is not surely put together the same.
 * RFC 5321 §4.2, §4.5.3.1.5; RFC 2034; RFC 3463 §2.
 */
import { assert } from "../lib/assert.ts";
import { fitsOnLine } from "./lines.ts";

/** lines: text after "250-" or "250 " of each line, enhanced status code included, as wire strings. */
export interface Reply {
  /** 200 to 599. */
  readonly code: number;
  readonly lines: readonly [string, ...string[]];
}

// --- Writing ---------------------------------------------------------------------------------------------------

/** A reply of our own. `enhanced` goes in front of each line. */
export function reply(code: number, enhanced: string | undefined, ...text: [string, ...string[]]): Reply {
  return { code, lines: enhanced === undefined ? text : prefixed(enhanced, text) };
}

/** Octets of replies that never change: they are formatted once. */
const readyMade = new WeakMap<Reply, Buffer>();

/** A reply of our own that never changes. */
export function fixedReply(
  code: number,
  enhanced: string | undefined,
  ...text: [string, ...string[]]
): Reply {
  const fixed = reply(code, enhanced, ...text);
  readyMade.set(fixed, formatReply(fixed));
  return fixed;
}

/** "250-a" CR LF "250 b" CR LF. The Buffer may be shared: it is not to be written to. */
export function formatReply(reply: Reply): Buffer {
  return readyMade.get(reply) ?? format(reply, reply.lines.length - 1);
}

/** "220-a" CR LF: lines of a reply that goes on. */
export function formatBeginning(reply: Reply): Buffer {
  return format(reply, reply.lines.length);
}

function format({ code, lines }: Reply, last: number): Buffer {
  assert(Number.isInteger(code) && code >= 200 && code <= 599, "a reply's code is 200 to 599");
  let wire = "";
  let index = 0;
  for (const text of lines) {
    assert(fitsOnLine(text), "a reply's text has no NUL, CR or LF and is a wire string");
    wire += `${code}${index === last ? " " : "-"}${text}\r\n`;
    index += 1;
  }
  return Buffer.from(wire, "latin1");
}

/** RFC 5321 §4.5.3.1.5: 512 octets with code and line end; some relays say more. */
const textOctetsMax = 506;
const plainText = /^[\t -~]*$/;

/**
 * A reply as it may be sent to a client, whatever a relay said: no control characters, which a terminal would obey,
 * and no line over 512 octets. Each control character but the tab becomes a question mark. UTF-8 stays whole: a line
 * is cut at the end of a character.
 */
export function presentable(original: Reply): Reply {
  if (readyMade.has(original) || original.lines.every(isPresentable)) return original;
  return mapText(original, presentableText);
}

function isPresentable(text: string): boolean {
  return text.length <= textOctetsMax && plainText.test(text);
}

function presentableText(text: string): string {
  if (isPresentable(text)) return text;
  let end = Math.min(text.length, textOctetsMax);
  // A character of UTF-8 has at most three octets behind its first.
  for (let back = 0; back < 3 && end < text.length && isContinuation(text.charCodeAt(end)); back += 1)
    end -= 1;
  let shown = "";
  for (let at = 0; at < end; ) {
    const octets = characterOctets(text, at, end);
    const character = text.slice(at, at + octets);
    shown += isControl(character) ? "?" : character;
    at += octets;
  }
  return shown;
}

/** How many octets the character at `at` has; 1 where it is no UTF-8. */
function characterOctets(text: string, at: number, end: number): number {
  const lead = text.charCodeAt(at);
  const octets = lead < 0xc2 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 1;
  for (let next = at + 1; next < at + octets; next += 1) {
    if (next >= end || !isContinuation(text.charCodeAt(next))) return 1;
  }
  return octets;
}

function isContinuation(octet: number): boolean {
  return (octet & 0xc0) === 0x80;
}

/** C0, DEL, and C1 as an octet or in UTF-8. */
function isControl(character: string): boolean {
  const [first, second] = [character.charCodeAt(0), character.charCodeAt(1)];
  if (character.length === 1) return (first < 0x20 && character !== "\t") || (first >= 0x7f && first <= 0x9f);
  return character.length === 2 && first === 0xc2 && second <= 0x9f;
}

/** One line for the log: "250 2.0.0 Ok: queued". The text is the relay's: the log escapes and cuts it. */
export function describeReply({ code, lines }: Reply): string {
  return `${code} ${lines.join(" / ")}`;
}

// --- Enhanced status codes -------------------------------------------------------------------------------------

/** RFC 3463 §2: one to three digits each, without leading zeros, and a class that says something of the outcome. */
const enhancedCodePattern = /^[245](?:\.(?:0|[1-9]\d{0,2})){2}(?= |$)/;

/** "2.1.5" when the first line starts with one. */
export function enhancedCode(reply: Reply): string | undefined {
  return enhancedCodePattern.exec(reply.lines[0])?.[0];
}

/** As it is when it has an enhanced status code; else with the generic one of its class. 3yz has no class. */
export function withEnhancedCode(reply: Reply): Reply {
  const replyClass = Math.floor(reply.code / 100);
  if (replyClass === 3 || enhancedCode(reply) !== undefined) return reply;
  return { code: reply.code, lines: prefixed(`${replyClass}.0.0`, reply.lines) };
}

/**
 * A relay's 421 as the client receives it: 451, for it is the relay's connection that closes and not the client's.
 * Text and enhanced status codes are kept, but that any class is 4.
 */
export function asTemporary(reply: Reply): Reply {
  const { code, lines } = withEnhancedCode({ code: 451, lines: reply.lines });
  return {
    code,
    lines: mapLines(lines, (text) => (enhancedCodePattern.test(text) ? `4${text.slice(1)}` : text)),
  };
}

function prefixed(enhanced: string, lines: Reply["lines"]): Reply["lines"] {
  return mapLines(lines, (text) => (text === "" ? enhanced : `${enhanced} ${text}`));
}

/** `change` on the text of each line. */
export function mapText({ code, lines }: Reply, change: (text: string) => string): Reply {
  return { code, lines: mapLines(lines, change) };
}

function mapLines([first, ...others]: Reply["lines"], change: (text: string) => string): Reply["lines"] {
  return [change(first), ...others.map(change)];
}
