/**
 * The addresses of an envelope: reverse-path, forward-path, and the domains and address literals within.
 *
 * In: wire strings, as a command line has them. Out: a mailbox whose `address` goes on the wire again as it came,
 * so nothing is folded to lower case, unquoted or encoded anew. `undefined` when it breaks the grammar.
 * Source routes are read and dropped (RFC 5321 §3.3, appendix C: a server should ignore them).
 *
 * Wider than the grammar, for the relay decides what exists:
 * - dots anywhere in a local part. `first..last.@docomo.ne.jp` is a real address; refusing it loses real mail.
 * - underscores and outer hyphens in a domain's label: both are found in host names that do receive mail.
 * - spaces between the colon and "<"; any length of local part up to the limit of the path.
 * As strict as the grammar, for two readers must not disagree on where an address ends: angle brackets are required,
 * an "@" in a local part has to be quoted, and a domain has no empty label (so no trailing dot).
 *
 * Octets over 127 are taken where RFC 6531 §3.3 has them and must be valid UTF-8; whether the session allows them
 * is the caller's question (`utf8`).
 *
 * Not here: which recipients are ours (mail/recipients.ts); what follows ">" (parameters.ts).
 * Rejected: lower case for domains, and A-labels for U-labels: DKIM, DSN and the log of the next host want it as it was.
 * RFC 5321 §4.1.2, §4.1.3, §4.5.1, §4.5.3.1; RFC 6531 §3.3.
 */
import { isIpv4Address, isIpv6Address } from "../lib/ip.ts";

export interface Mailbox {
  /** As written, quotes and all. */
  readonly localPart: string;
  /** Domain or address literal, as written; "" for postmaster without one. */
  readonly domain: string;
  /** `localPart@domain`, or "postmaster" as written: what goes on the wire between "<" and ">". */
  readonly address: string;
  /** Has octets over 127, which are valid UTF-8. */
  readonly utf8: boolean;
}

/** "null" is `<>`: the reverse-path of bounces. */
export type ReversePath = Mailbox | "null";

/** `rest` is what follows ">", untrimmed. */
export interface ParsedPath<Path> {
  readonly path: Path;
  readonly rest: string;
}

/** Angle brackets and source route included. §4.5.3.1.3 asks for 256 at least; SRS and VERP need more. */
export const pathOctetsMax = 512;
/** §4.5.3.1.2. */
export const domainOctetsMax = 255;
/** RFC 1035 §2.3.4. */
const labelOctetsMax = 63;

// Sticky, so that each one reads on where the last one ended. \x80-\xff: an octet of UTF-8.
const domainText = String.raw`[\w.\x80-\xff-]+`;
const domainPattern = new RegExp(domainText, "y");
const sourceRoutePattern = new RegExp(`@${domainText}(?:,@${domainText})*:`, "y");
const literalPattern = /\[[!-Z^-~]+\]/y;
const dotStringPattern = /[\w.!#$%&'*+/=?^`{|}~\x80-\xff-]+/y;
/** Qtext is any printable but quote and backslash; a backslash goes before one printable. */
const quotedStringPattern = /"(?:[ !#-[\]-~\x80-\xff]|\\[ -~])*"/y;
const postmasterPattern = /<postmaster>/iy;
/** Labels that are short even when each octet is counted. */
const shortLabelsPattern = /^[^.]{1,63}(?:\.[^.]{1,63})*$/;
const nonAsciiPattern = /[\x80-\xff]/;

const ipv6Tag = "ipv6:";
const ipv6Pattern = /^[\da-f:.]+$/i;
const generalLiteralPattern = /^[\da-z-]*[\da-z]:./i;

/** The argument of MAIL FROM:. */
export function parseReversePath(text: string): ParsedPath<ReversePath> | undefined {
  const start = skipSpaces(text);
  if (text.startsWith("<>", start)) return { path: "null", rest: text.slice(start + 2) };
  return parsePath(text, start);
}

/** The argument of RCPT TO:. `<postmaster>` needs no domain (§4.5.1). */
export function parseForwardPath(text: string): ParsedPath<Mailbox> | undefined {
  const start = skipSpaces(text);
  const postmaster = match(postmasterPattern, text, start);
  if (postmaster === undefined) return parsePath(text, start);
  const address = postmaster.slice(1, -1);
  const path = { localPart: address, domain: "", address, utf8: false };
  return { path, rest: text.slice(start + postmaster.length) };
}

/** "<>" or "<address>". */
export function formatPath(path: ReversePath): string {
  return path === "null" ? "<>" : `<${path.address}>`;
}

/** For the names that hosts give themselves, which are ASCII at all times. */
export function isDomainOrLiteral(text: string): boolean {
  return isAscii(text) && (text.startsWith("[") ? isAddressLiteral(text) : isDomain(text));
}

/** Whether a wire string is made of whole UTF-8 sequences. ASCII is. */
export function isUtf8(text: string): boolean {
  if (isAscii(text)) return true;
  const octets = Buffer.from(text, "latin1");
  // A broken sequence is decoded to U+FFFD, which is not what it was.
  return Buffer.from(octets.toString("utf8")).equals(octets);
}

export function isAscii(text: string): boolean {
  return !nonAsciiPattern.test(text);
}

/** `<` [source route] local-part `@` domain `>` at `start`. */
function parsePath(text: string, start: number): ParsedPath<Mailbox> | undefined {
  if (text[start] !== "<") return undefined;
  let at = start + 1;

  const route = match(sourceRoutePattern, text, at) ?? "";
  if (!isSourceRoute(route)) return undefined;
  at += route.length;

  const localPart = match(text[at] === '"' ? quotedStringPattern : dotStringPattern, text, at);
  if (localPart === undefined) return undefined;
  at += localPart.length;
  if (text[at] !== "@") return undefined;
  at += 1;

  const domain = parseDomain(text, at);
  if (domain === undefined) return undefined;
  at += domain.length;
  if (text[at] !== ">") return undefined;
  at += 1;

  const address = `${localPart}@${domain}`;
  if (at - start > pathOctetsMax || !isUtf8(address)) return undefined;
  return { path: { localPart, domain, address, utf8: !isAscii(address) }, rest: text.slice(at) };
}

function parseDomain(text: string, at: number): string | undefined {
  const isLiteral = text[at] === "[";
  const domain = match(isLiteral ? literalPattern : domainPattern, text, at);
  if (domain === undefined) return undefined;
  return (isLiteral ? isAddressLiteral(domain) : isDomain(domain)) ? domain : undefined;
}

/** "@one.example,@two.example:", or none. */
function isSourceRoute(route: string): boolean {
  if (route === "") return true;
  const hosts = route.slice(0, -1).split(",");
  return hosts.every((host) => isDomain(host.slice(1)) && isUtf8(host));
}

/** A label in UTF-8 is counted in code points: its 63 octets are those of an A-label nobody has computed here. */
function isDomain(text: string): boolean {
  if (text.length > domainOctetsMax || !wholly(domainPattern, text)) return false;
  return (
    shortLabelsPattern.test(text) || text.split(".").every((label) => label !== "" && isShortLabel(label))
  );
}

function isShortLabel(label: string): boolean {
  return label.length <= labelOctetsMax || label.replace(/[\x80-\xbf]/g, "").length <= labelOctetsMax;
}

/** §4.1.3: `[192.0.2.1]`, `[IPv6:2001:db8::1]`, or `[tag:anything]` for what is yet to be standardized. */
function isAddressLiteral(text: string): boolean {
  if (text.length > domainOctetsMax || !wholly(literalPattern, text)) return false;
  const inner = text.slice(1, -1);
  if (inner.toLowerCase().startsWith(ipv6Tag)) {
    const address = inner.slice(ipv6Tag.length);
    return ipv6Pattern.test(address) && isIpv6Address(address);
  }
  return isIpv4Address(inner) || generalLiteralPattern.test(inner);
}

/** Behind the spaces that stand at `from`. */
export function skipSpaces(text: string, from = 0): number {
  let at = from;
  while (text[at] === " ") at += 1;
  return at;
}

/** What the sticky `pattern` matches at `at`. */
function match(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.test(text) ? text.slice(at, pattern.lastIndex) : undefined;
}

function wholly(pattern: RegExp, text: string): boolean {
  pattern.lastIndex = 0;
  return pattern.test(text) && pattern.lastIndex === text.length;
}
