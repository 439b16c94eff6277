/** Targets of SMTP that read one text: paths, a relay's EHLO reply, the trace line of a client that says anything. */
import { isIPv6 } from "node:net";
import { parseEhloReply, type RelayOffer } from "../../src/smtp/ehlo.ts";
import {
  formatPath,
  isUtf8,
  parseForwardPath,
  parseReversePath,
  pathOctetsMax,
} from "../../src/smtp/paths.ts";
import type { Reply } from "../../src/smtp/replies.ts";
import { ReplyReader } from "../../src/smtp/reply-reader.ts";
import { receivedLine } from "../../src/smtp/trace.ts";
import { wire } from "../smtp/generators.ts";
import { pathWords } from "./smtp-words.ts";
import { hold, same, type Target } from "./target.ts";

const paths: Target = {
  name: "paths",
  reads: "octets",
  words: [...pathWords, "l".repeat(60), "\0", "\r"],
  beginnings: ["", "<", "<a@", '<"', "<@a", "<a@["],
  read(input) {
    const forward = parseForwardPath(input);
    const reverse = parseReversePath(input);
    for (const [parsed, parse] of [
      [forward, parseForwardPath],
      [reverse, parseReversePath],
    ] as const) {
      if (parsed === undefined) continue;
      const text = formatPath(parsed.path);
      hold(input.endsWith(parsed.rest), "the rest is the end of the input", parsed.rest);
      hold(/^<[ !-~\x80-\xff]*>$/.test(text) && isUtf8(text), "a path is one of a line's", text);
      hold(text.length <= pathOctetsMax, "a path has a limit", text.length);
      hold(input.trimStart().startsWith("<@") || input.includes(text), "it is kept as written", text);
      same(parse(`${text}!`), { path: parsed.path, rest: "!" }, "format, then parse, is the same");
      const literal = parsed.path === "null" ? undefined : /^\[ipv6:(.*)\]$/i.exec(parsed.path.domain)?.[1];
      hold(literal === undefined || isIPv6(literal), "a literal is an address to others too", literal);
    }
    const isException = reverse?.path === "null" || forward?.path.domain === "";
    if (!isException) same(reverse, forward, "both kinds of path have one grammar");
    const gives = { forward: gist(forward), reverse: gist(reverse) };
    const kind =
      forward === undefined ? "none" : `${forward.path.utf8} ${/[["]/g[Symbol.match](forward.path.address)}`;
    const routed = forward !== undefined && /^ *<@/.test(input);
    return { gives, shape: `${kind} ${routed} ${isException} ${Boolean(forward?.rest ?? reverse?.rest)}` };
  },
};

function gist(parsed: ReturnType<typeof parseReversePath>): readonly string[] | null {
  return parsed === undefined ? null : [formatPath(parsed.path), parsed.rest];
}

const ehlo: Target = {
  name: "ehlo",
  reads: "octets",
  words: [
    ..."PIPELINING SIZE 8BITMIME SMTPUTF8 DSN STARTTLS AUTH AUTH= PLAIN LOGIN CRAM-MD5 0 10 999999999999999".split(
      " ",
    ),
    "\n",
    "\n",
    "\n",
    " ",
    "  ",
    "\t",
    "=",
    "dsn",
    "\xa0",
    "\xdf",
  ],
  beginnings: ["relay\n", "relay\nAUTH "],
  read(input) {
    const [greeting = "", ...keywords] = input.replaceAll(/[\0\r]/g, "").split("\n");
    const offer = offerOf([greeting, ...keywords]);
    const size = offer.sizeOctetsMax;
    hold(size === undefined || (Number.isSafeInteger(size) && size >= 0), "a size is a number", size);
    same(offerOf(["x", ...keywords]), offer, "the first line is a greeting");
    same(offerOf(["x", ...keywords.toReversed()]), offer, "the order of keywords is of no matter");
    same(offerOf(["x", "X-NEW 1 2", ...keywords]), offer, "an unknown keyword changes nothing");
    same(offerOf(["x", ...keywords.map((line) => line.toLowerCase())]), offer, "nor does its case");
    same(offerOf(["x", ...linesOf(offer)]), offer, "format, then parse, is the same");
    const gives = { ...offer, sizeOctetsMax: size ?? null };
    const shape = linesOf(offer)
      .join(",")
      .replaceAll(/[1-9]\d*/g, "n");
    return { gives, shape: /^(?:[^,]*,?){0,2}$/.test(shape) ? shape : "many" };
  },
};

function offerOf(lines: readonly string[]): RelayOffer {
  const [first = "", ...others] = lines;
  const reply: Reply = { code: 250, lines: [first, ...others] };
  return parseEhloReply(reply);
}

function linesOf(offer: RelayOffer): string[] {
  return [
    ...(offer.pipelining ? ["PIPELINING"] : []),
    ...(offer.sizeOctetsMax === undefined ? [] : [`SIZE ${offer.sizeOctetsMax}`]),
    ...(offer.eightBitMime ? ["8BITMIME"] : []),
    ...(offer.smtputf8 ? ["SMTPUTF8"] : []),
    ...(offer.dsn ? ["DSN"] : []),
    ...(offer.starttls ? ["STARTTLS"] : []),
    ...(offer.auth.length > 0 ? [`AUTH ${offer.auth.join(" ")}`] : []),
  ];
}

const clients = ["192.0.2.1", "2001:db8::1", "fe80::1%eth0", ""] as const;
const plainTrace =
  /^Received: from \S+ by mx\.example with ESMTPS? id s1-1; Mon, 23 Nov 2026 12:54:23 \+0000 $/;

const trace: Target = {
  name: "trace",
  reads: "octets",
  words: [
    ...'( ) \\ ; : . - _ [ ] < > @ , " a mx.example [192.0.2.1] [IPv6:::1] =?utf-8?q?a?='.split(" "),
    "\r\n",
    "\r",
    "\n",
    "\0",
    "\t",
    " ",
    "\xe9",
    "\x7f",
  ],
  beginnings: ["", "(", "a.", "["],
  read(input) {
    const traces = clients.flatMap((clientAddress) => [
      traceOf(input, clientAddress),
      traceOf(input, clientAddress, { version: "TLSv1.3", cipher: input }),
    ]);
    for (const text of traces) {
      const physical = text.split("\r\n");
      same(physical.pop(), "", "a trace ends in CRLF");
      hold(physical.length <= 8, "a trace is short", physical.length);
      for (const [index, line] of physical.entries()) {
        hold(line.length <= 998 && /^[ -~]*$/.test(line.slice(index === 0 ? 0 : 1)), "a line is plain", line);
        hold(index === 0 || /^\t[!-~]/.test(line), "every line but the first continues it", line);
      }
      const plain = text.replace(/\((?:[^()\\]|\\[ -~])*\)/g, "").replace(/\s+/g, " ");
      hold(plainTrace.test(plain), "nothing breaks out of its comment", text);
      const { replies, defect } = new ReplyReader().push(wire(text));
      same([replies, defect], [[], "malformed"], "a trace is no reply");
    }
    const [first = ""] = traces;
    const kind = /^Received: from \[192/.test(first) ? "comment" : "name";
    const shape = `${kind} ${first.includes("\\")} ${first.includes("?")} ${first.split("\r\n").length}`;
    return { gives: first, shape };
  },
};

function traceOf(heloName: string, clientAddress: string, tls?: { version: string; cipher: string }): string {
  const facts = {
    heloName,
    clientAddress,
    serverName: "mx.example",
    extended: true,
    utf8: false,
    id: "s1-1",
  };
  const dateMs = Date.UTC(2026, 10, 23, 12, 54, 23);
  return receivedLine({ ...facts, dateMs, ...(tls === undefined ? {} : { tls }) }).toString("latin1");
}

export const smtpTargets: readonly Target[] = [paths, ehlo, trace];
