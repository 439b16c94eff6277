/** Targets that read a stream in chunks: lines, commands, replies, mail data, header fields, first words. */
import { CommandReader, commandOctetsMax } from "../../src/client/reader.ts";
import { FirstWords, firstOctetsMax } from "../../src/screening/first-words.ts";
import { malformedCommand, recipientNotOurs } from "../../src/smtp/catalogue.ts";
import { type Command, parseCommand } from "../../src/smtp/commands.ts";
import { HeaderCounter } from "../../src/smtp/header-counter.ts";
import { fitsOnLine, type Line, LineReader, overlongTextOctets } from "../../src/smtp/lines.ts";
import { type BareNewline, MailDataScanner } from "../../src/smtp/mail-data.ts";
import type { Offered } from "../../src/smtp/parameters.ts";
import { formatMail, formatRcpt } from "../../src/smtp/relay-commands.ts";
import {
  asTemporary,
  enhancedCode,
  formatReply,
  type Reply,
  withEnhancedCode,
} from "../../src/smtp/replies.ts";
import { ReplyReader, replyLineOctetsMax, replyLinesMax } from "../../src/smtp/reply-reader.ts";
import { wire } from "../smtp/generators.ts";
import { mailData, receivedFields } from "../smtp/references.ts";
import { pathWords, relayOfferAll } from "./smtp-words.ts";
import { hold, howeverCut, same, type Target } from "./target.ts";

const lineOctetsMax = 200;

const lines: Target = {
  name: "lines",
  reads: "octets",
  words: ["\r\n", "\r", "\n", "\0", "a", "\xff", "x".repeat(196), "x".repeat(62)],
  beginnings: ["", "a"],
  read(input, places) {
    const { all, rest, pending } = howeverCut(input, places, readLines);
    same(all.length, input.split("\n").length - 1, "every LF ends a line");
    let behind = input;
    for (const { text, defect } of all) {
      const stood = behind.slice(0, behind.indexOf("\n") + 1);
      behind = behind.slice(stood.length);
      hold(stood.startsWith(text) && !text.includes("\n"), "a line is a piece of the stream", text);
      if (defect === "overlong") {
        hold(stood.length > lineOctetsMax && text.length === overlongTextOctets, "it was too long", stood);
      } else {
        same([text, `${text}\r`].includes(stood.slice(0, -1)), true, "nothing of a line is lost");
        const clean = stood.endsWith("\r\n") && !/[\0\r]/.test(stood.slice(0, -2));
        same(defect === undefined, clean, "a line without defect is a clean one");
      }
    }
    hold(behind.startsWith(rest) && pending <= lineOctetsMax, "the rest is what is left", rest);
    same(rest, behind.slice(0, lineOctetsMax), "the rest is what is left");
    const gives = { lines: all.map(({ text, defect }) => [defect ?? null, text]), rest };
    const last = all.at(-1);
    return { gives, shape: `${last === undefined} ${last?.defect} ${rest.length > 0} ${all.length > 1}` };
  },
};

function readLines(chunks: readonly Buffer[]) {
  const reader = new LineReader(lineOctetsMax);
  const all: Line[] = [];
  for (const chunk of chunks) {
    reader.push(chunk);
    for (let line = reader.next(); line !== undefined; line = reader.next()) all.push(line);
  }
  const pending = reader.pendingOctets;
  return { all, pending, rest: reader.takeRest().toString("latin1") };
}

/** RFC 5321 §4.5.3.1.5, for what we say ourselves. */
const replyOctetsMax = 512;
const everything: Offered = { extended: true, smtputf8: true, dsn: true };
const nothing: Offered = { extended: false, smtputf8: false, dsn: false };

const commands: Target = {
  name: "commands",
  reads: "octets",
  words: [
    ..."EHLO HELO MAIL RCPT DATA RSET QUIT STARTTLS NOOP HELP VRFY EXPN AUTH BDAT mail rcpt".split(" "),
    ..." FROM:, TO:, from:, SIZE=10, SIZE=, BODY=8BITMIME, BODY=7BIT, BODY=, SMTPUTF8, RET=HDRS, RET=FULL".split(
      ",",
    ),
    ..." ENVID=a+2B, ENVID=, NOTIFY=NEVER, NOTIFY=, ORCPT=rfc822;a+40b, ORCPT=utf-8;, X=1".split(","),
    "MAIL FROM:<a@b.example>",
    "RCPT TO:<a@b.example>",
    "SUCCESS,",
    "MAIL FROM:<a@b> SIZE=10",
    "\r\nMAIL FROM:<> RET=HDRS ENVID=a",
    "\r\nMAIL FROM:<\xc3\xa9@b> SMTPUTF8",
    "\r\nRCPT TO:<a@b> NOTIFY=NEVER",
    "\r\nRCPT TO:<a@b> ORCPT=rfc822;a+40b",
    `\r\nRCPT TO:<${"l".repeat(490)}@b>`,
    "FAILURE",
    ...pathWords,
    "\r\n",
    "\r\n",
    "\r",
    "\n",
    "\0",
    "\t",
  ],
  beginnings: ["", "EHLO ", "MAIL FROM:<", "MAIL FROM:<a@", "MAIL FROM:<> ", "RCPT TO:<a@b> ORCPT="],
  read(input, places) {
    const all = howeverCut(input, places, (chunks) => readCommands(chunks, everything));
    const plain = readCommands([wire(input)], nothing);
    same(plain.length, all.length, "what is offered changes no line");
    for (const [index, command] of all.entries()) {
      if (command.verb === "malformed") {
        const octets = formatReply(malformedCommand(command.defect, command.detail));
        const isPlain = /^[\r\n -~]+$/.test(octets.toString("latin1"));
        hold(isPlain && octets.length <= replyOctetsMax, "a fault has a reply of ours", command);
        same(plain[index]?.verb, "malformed", "who is offered less may do no more");
      } else {
        const line = formatCommand(command);
        hold(fitsOnLine(line) && line.length < commandOctetsMax, "a command fits its line again", line);
        same(parseCommand(line, everything), command, "format, then parse, is the same");
        const refusal = command.verb === "RCPT" ? formatReply(recipientNotOurs(command.path)) : "";
        hold(refusal.length <= replyOctetsMax, "a refusal fits a reply line", refusal.length);
        if (plain[index]?.verb !== "malformed") same(plain[index], command, "the same, however offered");
      }
    }
    return { gives: all.map((command) => ({ ...summary(command) })), shape: shapeOf(all[0]) };
  },
};

type ReadCommand = ReturnType<typeof readCommands>[number];

function readCommands(chunks: readonly Buffer[], offered: Offered) {
  const reader = new CommandReader();
  const all = [];
  for (const chunk of chunks) {
    reader.push(chunk);
    for (let read = reader.peek(offered); read !== undefined; read = reader.peek(offered)) {
      all.push(read.command);
      reader.shift();
    }
  }
  return all;
}

function formatCommand(command: Command): string {
  switch (command.verb) {
    case "EHLO":
    case "HELO":
      return `${command.verb} ${command.name}`;
    case "MAIL":
      return formatMail(command.path, command.parameters, 0, relayOfferAll);
    case "RCPT":
      return formatRcpt(command.path.address, command.parameters, relayOfferAll);
    case "VRFY":
      return `VRFY ${command.argument}`;
    default:
      return command.verb;
  }
}

function summary(command: ReadCommand): Readonly<Record<string, string>> {
  if (command.verb === "malformed") return { malformed: command.defect };
  return { command: formatCommand(command) };
}

function shapeOf(command: ReadCommand | undefined): string {
  if (command === undefined) return "none";
  if (command.verb === "malformed") return `${command.defect} ${command.detail}`;
  const [parameter] = "parameters" in command ? Object.keys(command.parameters).toReversed() : [];
  const path = !("path" in command) || command.path === "null" ? "" : /^"|\[/.exec(command.path.address)?.[0];
  return `${command.verb} ${parameter} ${path}`;
}

const replies: Target = {
  name: "replies",
  reads: "octets",
  words: [
    ..."250 250- 250 354 421- 4yz 99 600 2.1.0 4.7.0 5.0 2.1.01 = - a".split(" "),
    "250 ",
    "250-ok\r\n",
    "250 2.0.0 ok\r\n",
    "\r\n",
    "\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "\xe9",
    "x".repeat(4090),
  ],
  beginnings: ["", "250-", "250 "],
  read(input, places) {
    const { all, defect, pending } = howeverCut(input, places, readReplies);
    hold(pending <= replyLineOctetsMax * replyLinesMax, "memory is bounded", pending);
    for (const reply of all) {
      const octets = formatReply(reply);
      hold(reply.lines.length <= replyLinesMax && reply.lines.every(fitsOnLine), "a reply is sound", reply);
      const isLong = reply.lines.some((text) => text.length + 6 > replyLineOctetsMax);
      if (!isLong) same(readReplies([octets]).all, [reply], "format, then read, is the same");
      const coded = withEnhancedCode(reply);
      hold(enhancedCode(coded) !== undefined || reply.code < 400, "a refusal has an enhanced code", coded);
      const temporary = asTemporary(reply);
      hold(temporary.code === 451 && enhancedCode(temporary)?.[0] === "4", "it is temporary", temporary);
      formatReply(temporary);
    }
    const gives = { replies: all.map(({ code, lines }) => [code, ...lines]), defect: defect ?? null };
    const [first] = all;
    const kind = first === undefined ? "" : `${first.lines.length > 1} ${enhancedCode(first) === undefined}`;
    return { gives, shape: `${defect} ${kind} ${pending > 0}` };
  },
};

function readReplies(chunks: readonly Buffer[]) {
  const reader = new ReplyReader();
  const all: Reply[] = [];
  let defect: string | undefined;
  for (const chunk of chunks) {
    const read = reader.push(chunk);
    all.push(...read.replies);
    defect = read.defect;
  }
  return { all, defect, pending: reader.pendingOctets };
}

const data: Target = {
  name: "mail-data",
  reads: "octets",
  words: ["\r\n", "\r\n", ".", "..", "\r\n.\r\n", "\r", "\n", "\n.\n", "\0", "a", "\xff", "QUIT\r\n"],
  beginnings: ["", "a\r\n", ".", "\n"],
  read(input, places) {
    const reject = scanned("reject", input, places);
    const normalize = scanned("normalize", input, places);
    same(reject.rest, normalize.rest, "both modes agree on the end");
    const shape = [reject, normalize].map(({ handedOn, rest, defect }) => {
      const dots = handedOn.startsWith(".") || handedOn.includes("\n.");
      return `${defect} ${rest === undefined} ${dots} ${handedOn === ""}`;
    });
    return { gives: [reject, normalize].map(present), shape: shape.join(", ") };
  },
};

function scanned(mode: BareNewline, input: string, places: readonly number[]) {
  const found = howeverCut(input, places, (chunks) => scan(mode, chunks));
  const { messageOctets, ...expected } = mailData(mode, input);
  const { messageOctets: counted, ...others } = found;
  same(others, expected, `in mode ${mode} the reference has it so`);
  if (found.defect === undefined) same(counted, messageOctets, "its size is that of the reference");
  hold(!/\r(?!\n)|(?<!\r)\n/.test(found.handedOn), "no bare CR or LF is handed on", found.handedOn);
  hold(!`\r\n${found.handedOn}`.includes("\r\n.\r\n"), "no end of data is handed on", found.handedOn);
  return found;
}

function scan(mode: BareNewline, chunks: readonly Buffer[]) {
  const scanner = new MailDataScanner(mode);
  let handedOn = "";
  let rest: string | undefined;
  for (const chunk of chunks) {
    const read = rest === undefined ? scanner.scan(chunk) : { octets: [], rest: chunk };
    handedOn += Buffer.concat(read.octets).toString("latin1");
    if (read.rest !== undefined) rest = (rest ?? "") + read.rest.toString("latin1");
  }
  return { handedOn, rest, defect: scanner.defect, messageOctets: scanner.messageOctets };
}

/** JSON has no undefined. */
function present({ handedOn, rest, defect, messageOctets }: ReturnType<typeof scan>) {
  return { handedOn, rest: rest ?? null, defect: defect ?? null, messageOctets };
}

const headerFields: Target = {
  name: "header-fields",
  reads: "octets",
  words: [
    "Received",
    "received:",
    "RECEIVED ",
    "Receive",
    ":",
    " ",
    "\t",
    "\r\n",
    "\r\n\r\n",
    "x",
    "\xe9",
    "\0",
  ],
  beginnings: ["", "Received:\r\n"],
  read(input, places) {
    const message = input.replace(/\r(?!\n)|(?<!\r)\n/g, "");
    const count = howeverCut(message, places, (chunks) => {
      const counter = new HeaderCounter("received");
      for (const chunk of chunks) counter.observe(chunk);
      return counter.count;
    });
    same(count, receivedFields(message), "the reference counts as many");
    return { gives: count, shape: `${Math.min(count, 3)} ${message.includes("\r\n\r\n")}` };
  },
};

const words: Target = {
  name: "first-words",
  reads: "octets",
  words: [
    ..."GET POST PRI EHLO MAIL QUIT SSH-2 PROXY Host A-b . : / {".split(" "),
    "\r\n",
    "\n",
    " ",
    "\t",
    "\0",
    "\x16\x03",
    "\x16",
    "\xff",
  ],
  beginnings: ["", " "],
  read(input, places) {
    const heard = howeverCut(input, places, (chunks) => hear(chunks));
    const at = Array.from(input.slice(0, firstOctetsMax + 1), (_, end) => end).find(
      (end) => hear([wire(input.slice(0, end))]).decided,
    );
    if (at !== undefined) same(hear([wire(input.slice(0, at))]), heard, "a decision is not taken back");
    hold(heard.decided || input.length < firstOctetsMax, "it is decided in time", input);
    return { gives: { ...heard, at: at ?? null }, shape: `${heard.decided} ${heard.finding} ${at === 64}` };
  },
};

function hear(chunks: readonly Buffer[]) {
  const first = new FirstWords();
  for (const chunk of chunks) first.receive(chunk);
  return { decided: first.isDecided, finding: first.finding ?? null };
}

export const streamTargets: readonly Target[] = [lines, commands, replies, data, headerFields, words];
