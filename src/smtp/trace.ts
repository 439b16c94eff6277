/**
 * The one line that we put in front of a message: its trace, `Received:`.
 *
 *     Received: from helo.example ([192.0.2.1])
 *     	(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384)
 *     	by mx.example with ESMTPS id abc-1;
 *     	Mon, 23 Nov 2026 12:54:23 +0000
 *
 * In: facts. Out: exactly one header field, folded, ending in CRLF. It keeps to the grammar of RFC 5321 §4.4 whatever
 * the client called itself: a name that is neither domain nor IP literal is told within a comment, escaped, and
 * the address takes its place. So nothing of the client's breaks out of the comment, and least of all of the line.
 * The client's own address, which cannot be forged, is there in every case but for Unix sockets, which have none.
 *
 * Not here: counting the Received lines of a message (proxy); who decides on the id (proxy).
 * Rejected: the client's host name by reverse DNS, one more wait on each connection for what the address tells
 * already; "for <recipient>", which gives away a blind copy (RFC 5321 §7.2).
 * RFC 5321 §4.4; RFC 5322 §3.3, §3.6.7; RFC 3848 and RFC 6531 §4.3 (protocol keywords); RFC 8314 §4.3 (TLS facts).
 */
import { assert } from "../lib/assert.ts";
import { fitsOnLine } from "./lines.ts";
import { isDomainOrLiteral } from "./paths.ts";

export interface TraceFacts {
  /** As the client said it; "" when it said none. */
  readonly heloName: string;
  /** IPv4 dotted quad, IPv6 in RFC 5952 form, "" for a Unix socket. */
  readonly clientAddress: string;
  /** A domain or an address literal; the configuration sees to it. */
  readonly serverName: string;
  /** The client said EHLO. */
  readonly extended: boolean;
  readonly utf8: boolean;
  readonly tls?: { readonly version: string; readonly cipher: string };
  /** The session's or the transaction's: an atom of RFC 5322. */
  readonly id: string;
  /** Unix time in milliseconds. */
  readonly dateMs: number;
}

/** RFC 5322 §2.1.1 wants 78; a word longer than that stays whole, far below the 998 that it demands. */
const lineOctetsWanted = 77;
const heloOctetsMax = 255;
/** Continues the field. */
const lineBreak = "\r\n\t";

/** The name of a host by any reader's rules: no character has a meaning in a structured header field. */
const plainHostPattern = /^[\w.:[\]-]+$/;
const addressPattern = /^[\da-f.:]+$/i;
const atomPattern = /^[\w!#$%&'*+/=?^`{|}~-]+$/;

/** The trace of one message: one header field with its CRLF. */
export function receivedLine(facts: TraceFacts): Buffer {
  assert(isDomainOrLiteral(facts.serverName), "the server's name is a domain or an address literal");
  assert(atomPattern.test(facts.id), "the id of a transaction is an atom");
  const { tls } = facts;
  const keyword = protocolKeyword(facts.extended, tls !== undefined, facts.utf8);
  let field = fold(`Received: from ${fromDomain(facts)}`);
  if (tls !== undefined) {
    field += lineBreak + fold(`(using ${comment(tls.version)} with cipher ${comment(tls.cipher)})`);
  }
  field += lineBreak + fold(`by ${facts.serverName} with ${keyword} id ${facts.id};`);
  return Buffer.from(`${field}${lineBreak}${formatDate(facts.dateMs)}\r\n`, "latin1");
}

/** RFC 5322 §3.3, in UTC. */
export function formatDate(dateMs: number): string {
  assert(Number.isFinite(dateMs), "a date is a number of milliseconds");
  // ECMA-262 §21.4.4.43 fixes the form of toUTCString, English names and all: it is RFC 5322's but for the zone.
  return new Date(dateMs).toUTCString().replace("GMT", "+0000");
}

/** RFC 3848, RFC 6531 §4.3. There is no word for HELO over TLS. */
export function protocolKeyword(extended: boolean, tls: boolean, utf8: boolean): string {
  if (!extended) return "SMTP";
  return `${utf8 ? "UTF8SMTP" : "ESMTP"}${tls ? "S" : ""}`;
}

/** What the client called itself, and what it is. */
function fromDomain({ heloName, clientAddress }: TraceFacts): string {
  const literal = addressLiteral(clientAddress);
  const source = literal ?? "local";
  if (plainHostPattern.test(heloName) && isDomainOrLiteral(heloName)) return `${heloName} (${source})`;
  const said = heloName === "" ? source : `helo=${comment(heloName)}`;
  return `${literal ?? "localhost"} (${said})`;
}

function addressLiteral(address: string): string | undefined {
  if (address === "") return undefined;
  // The zone of a link-local address, "fe80::1%eth0", means nothing on another host, and no literal has one.
  const [plain = ""] = address.split("%");
  assert(addressPattern.test(plain), "a client's address is IPv4 or IPv6");
  return plain.includes(":") ? `[IPv6:${plain}]` : `[${plain}]`;
}

/** `text` as one word of a comment (RFC 5322 §3.2.2): quoted-pairs where needed, "?" for what is not printable. */
function comment(text: string): string {
  return text
    .slice(0, heloOctetsMax)
    .replace(/[^!-~]/g, "?")
    .replace(/[()\\]/g, "\\$&");
}

/** Breaks a clause at its spaces into lines that are short, as far as its words are. */
function fold(clause: string): string {
  assert(fitsOnLine(clause), "a trace line has no line end of its own");
  if (clause.length + 1 <= lineOctetsWanted) return clause;
  const lines: string[] = [];
  let line = "";
  for (const word of clause.split(" ")) {
    // One octet more: the tab that continues the field.
    if (line !== "" && line.length + word.length + 2 > lineOctetsWanted) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  lines.push(line);
  return lines.join(lineBreak);
}
