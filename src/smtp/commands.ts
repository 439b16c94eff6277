/**
 * Reads one command line from a client.
 *
 * In: a line without its CRLF, as a wire string, and what the session has offered. Out: a `Command`, or a `Malformed`
 * that names the kind of fault; smtp/catalogue.ts has the reply to each kind. Never throws. A defective line
 * (lines.ts) is not to be given here.
 * The reading does not depend on the state of the session: whether a command is in sequence is decided in proxy.
 *
 * Liberal: verbs and keywords in any case, more than one space between words, white space at the end (§4.1.1), spaces
 * before "<". Strict: everything else, as what stands in a command is sent on to the relay.
 *
 * To add a command: a member of `Command`, an entry in the table, its reply in client/mail-dialogue.ts; its verb in
 * screening/first-words.ts; and client/session.ts, if it may overlap with others or is more than a reply.
 *
 * Not here: paths (paths.ts), parameters (parameters.ts), the length of a line (lines.ts).
 * Rejected: passing unknown commands on. The relay would hold a conversation that we do not follow.
 * RFC 5321 §4.1.1, §4.2.4 (500, 501, 502, 555); RFC 3207; RFC 6531 §3.4, §3.5.
 */
import {
  type MailParameters,
  type Offered,
  type ParameterFault,
  type RcptParameters,
  readMailParameters,
  readRcptParameters,
} from "./parameters.ts";
import { type Mailbox, parseForwardPath, parseReversePath, type ReversePath, skipSpaces } from "./paths.ts";

export type Command =
  | { readonly verb: "EHLO" | "HELO"; readonly name: string }
  | { readonly verb: "MAIL"; readonly path: ReversePath; readonly parameters: MailParameters }
  | { readonly verb: "RCPT"; readonly path: Mailbox; readonly parameters: RcptParameters }
  | { readonly verb: "DATA" | "RSET" | "NOOP" | "HELP" }
  | { readonly verb: "STARTTLS" }
  | { readonly verb: "QUIT" }
  | { readonly verb: "VRFY"; readonly argument: string };

/**
 * unknown: no verb of SMTP. unimplemented: one of SMTP's, and not one of ours. syntax: the argument breaks the
 * grammar. parameter: unknown or not offered. utf8-refused: a non-ASCII reverse-path without SMTPUTF8.
 */
export type CommandDefect = "unknown" | "unimplemented" | "syntax" | "parameter" | "utf8-refused";

export interface Malformed {
  readonly verb: "malformed";
  readonly defect: CommandDefect;
  /** What was expected, in our own words: nothing of the client's is in it. */
  readonly detail: string;
}

interface Verb {
  readonly argument: "none" | "optional" | "required";
  /** What the whole command looks like, for the reply to one that does not. */
  readonly shape: string;
  /** `argument` has no space at either end. Gives undefined when it breaks the grammar. */
  parse(argument: string, offered: Offered): Command | Malformed | undefined;
}

/** §4.5.3.1.2. */
const helloNameOctetsMax = 255;
/** Printable ASCII. Liberal as to shape, since many a client's name is no domain; trace.ts sees to the rest. */
const helloNamePattern = /^[!-~]+$/;
const fromPattern = /^FROM:/i;
const toPattern = /^TO:/i;

const verbs: ReadonlyMap<string, Verb> = new Map<string, Verb>([
  ["EHLO", hello("EHLO")],
  ["HELO", hello("HELO")],
  ["MAIL", { argument: "required", shape: "MAIL FROM:<reverse-path>", parse: parseMail }],
  ["RCPT", { argument: "required", shape: "RCPT TO:<forward-path>", parse: parseRcpt }],
  ["DATA", bare("DATA", "none")],
  ["RSET", bare("RSET", "none")],
  ["QUIT", bare("QUIT", "none")],
  ["STARTTLS", bare("STARTTLS", "none")],
  ["NOOP", bare("NOOP", "optional")],
  ["HELP", bare("HELP", "optional")],
  [
    "VRFY",
    { argument: "required", shape: "VRFY <string>", parse: (argument) => ({ verb: "VRFY", argument }) },
  ],
]);

/** Known from RFC 5321, 821, 4954, 3030 and 1985, and offered to nobody. */
const unimplementedVerbs: ReadonlySet<string> = new Set("EXPN AUTH BDAT ETRN TURN SEND SOML SAML".split(" "));

/** `text` is a line without defect, without its CRLF. */
export function parseCommand(text: string, offered: Offered): Command | Malformed {
  const line = withoutTrailingSpaces(text);
  const space = line.indexOf(" ");
  const name = (space === -1 ? line : line.slice(0, space)).toUpperCase();
  const argument = space === -1 ? "" : line.slice(skipSpaces(line, space));

  const verb = verbs.get(name);
  if (verb === undefined) {
    if (unimplementedVerbs.has(name)) return malformed("unimplemented", name);
    return malformed("unknown", "no such command");
  }
  const excluded = argument === "" ? "required" : "none";
  if (verb.argument === excluded) return malformed("syntax", verb.shape);
  return verb.parse(argument, offered) ?? malformed("syntax", verb.shape);
}

function hello(verb: "EHLO" | "HELO"): Verb {
  return {
    argument: "required",
    shape: `${verb} <host name>`,
    parse: (name) =>
      name.length <= helloNameOctetsMax && helloNamePattern.test(name) ? { verb, name } : undefined,
  };
}

/** A command that is its verb alone, or whose argument says nothing to us. */
function bare(
  verb: "DATA" | "RSET" | "QUIT" | "STARTTLS" | "NOOP" | "HELP",
  argument: "none" | "optional",
): Verb {
  return { argument, shape: `${verb} has no argument`, parse: () => ({ verb }) };
}

function parseMail(argument: string, offered: Offered): Command | Malformed | undefined {
  if (!fromPattern.test(argument)) return undefined;
  const parsed = parseReversePath(argument.slice("FROM:".length));
  if (parsed === undefined || !endsWord(parsed.rest)) return undefined;
  const parameters = readMailParameters(parsed.rest, offered);
  if (isFault(parameters)) return malformed(parameters.defect, parameters.detail);
  const { path } = parsed;
  if (path !== "null" && path.utf8 && !parameters.smtputf8) {
    return malformed("utf8-refused", "non-ASCII address without SMTPUTF8");
  }
  return { verb: "MAIL", path, parameters };
}

/** Whether a non-ASCII forward-path is allowed depends on the MAIL before it: the session knows. */
function parseRcpt(argument: string, offered: Offered): Command | Malformed | undefined {
  if (!toPattern.test(argument)) return undefined;
  const parsed = parseForwardPath(argument.slice("TO:".length));
  if (parsed === undefined || !endsWord(parsed.rest)) return undefined;
  const parameters = readRcptParameters(parsed.rest, offered);
  if (isFault(parameters)) return malformed(parameters.defect, parameters.detail);
  return { verb: "RCPT", path: parsed.path, parameters };
}

function isFault(parameters: object | ParameterFault): parameters is ParameterFault {
  return "defect" in parameters;
}

function endsWord(rest: string): boolean {
  return rest === "" || rest.startsWith(" ");
}

function malformed(defect: CommandDefect, detail: string): Malformed {
  return { verb: "malformed", defect, detail };
}

/**
 * Not trimEnd(), which takes 0xA0, an octet of "à" in UTF-8, for a space. Not / +$/, which takes quadratic time over
 * a line full of spaces.
 */
function withoutTrailingSpaces(text: string): string {
  let end = text.length;
  while (text[end - 1] === " " || text[end - 1] === "\t") end -= 1;
  return text.slice(0, end);
}
