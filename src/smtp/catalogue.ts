/**
 * Every reply that this program says in its own name, with its code and enhanced status code. What a relay said is
 * passed on verbatim (replies.ts) and is not here.
 * A rule that refuses something names its reply here; no reply is put together at the place of use.
 * RFC 5321 §4.2, RFC 3463, RFC 5248. The cases are those of the table that operators are promised in the README.
 */
import type { CommandDefect } from "./commands.ts";
import type { LineDefect } from "./lines.ts";
import type { MailDataDefect } from "./mail-data.ts";
import type { Mailbox } from "./paths.ts";
import { fixedReply, type Reply, reply } from "./replies.ts";

// --- The session -----------------------------------------------------------------------------------------------

export const greeting = (serverName: string): Reply => reply(220, undefined, `${serverName} ESMTP`);
/** Said at once; `greeting` follows when the screening is over. */
export const greetingBegins = (serverName: string): Reply => reply(220, undefined, `${serverName} ESMTP`);
export const heloAccepted = (serverName: string): Reply => reply(250, undefined, serverName);
/** `greeting`: our name, and what may stand behind it. */
export const ehloAccepted = (greeting: string, keywords: readonly string[]): Reply =>
  reply(250, undefined, greeting, ...keywords);
export const readyForTls = fixedReply(220, "2.0.0", "ready to start TLS");
export const closing = (serverName: string): Reply => reply(221, "2.0.0", `${serverName} closing connection`);
export const noop = fixedReply(250, "2.0.0", "ok");
export const reset = fixedReply(250, "2.0.0", "ok");
export const vrfy = fixedReply(252, "2.5.0", "cannot VRFY, but will accept the message and attempt delivery");
export const help = fixedReply(
  214,
  "2.0.0",
  "commands: EHLO HELO MAIL RCPT DATA RSET NOOP QUIT VRFY HELP STARTTLS",
);

export const idleTooLong = fixedReply(421, "4.4.2", "timeout, closing connection");
export const shuttingDown = fixedReply(421, "4.3.2", "service shutting down, try again later");
export const tooManyConnections = fixedReply(421, "4.3.2", "too many connections, try again later");
export const tooManyFromClient = fixedReply(
  421,
  "4.7.0",
  "too many connections from your address, try again later",
);
export const tooSlow = fixedReply(421, "4.4.2", "mail data comes too slowly, closing connection");
export const tooManyErrors = fixedReply(421, "4.7.0", "too many errors, closing connection");
export const tooMuchMailData = fixedReply(421, "4.3.4", "mail data has no end, closing connection");
export const tooManyInVain = fixedReply(421, "4.7.0", "too many mails without success, try again later");
export const ownFault = fixedReply(421, "4.3.0", "internal error, closing connection");

// --- Screening -------------------------------------------------------------------------------------------------

export const spokeTooEarly = fixedReply(554, "5.5.1", "you spoke before the greeting was over");
export const badlyPipelined = fixedReply(554, "5.5.1", "improper pipelining");
export const tooBusyToScreen = fixedReply(451, "4.7.1", "too busy to look up your address, try again later");
/** `explanation`: what the zone says of it, in its TXT record. */
export const listedClient = (address: string, zone: string, explanation: string | undefined): Reply =>
  reply(
    554,
    "5.7.1",
    `client [${address}] is listed by ${zone}${explanation === undefined ? "" : `: ${explanation}`}`,
  );

// --- Commands --------------------------------------------------------------------------------------------------

const commandDefects: Record<CommandDefect | LineDefect, (detail: string) => Reply> = {
  overlong: () => reply(500, "5.5.2", "line too long"),
  "bare-lf": () => reply(500, "5.5.2", "bare LF in command line"),
  "bare-cr": () => reply(500, "5.5.2", "bare CR in command line"),
  nul: () => reply(500, "5.5.2", "NUL in command line"),
  unknown: () => reply(500, "5.5.2", "command not recognized"),
  unimplemented: () => reply(502, "5.5.1", "command not implemented"),
  syntax: (detail) => reply(501, "5.5.4", `syntax: ${detail}`),
  parameter: (detail) => reply(555, "5.5.4", `parameter not recognized: ${detail}`),
  "utf8-refused": () => reply(550, "5.6.7", "non-ASCII address needs SMTPUTF8"),
};
export const malformedCommand = (defect: CommandDefect | LineDefect, detail: string): Reply =>
  commandDefects[defect](detail);

const sequence = (text: string): Reply => fixedReply(503, "5.5.1", text);
export const greetFirst = sequence("send EHLO or HELO first");
export const mailFirst = sequence("send MAIL first");
export const rcptFirst = sequence("send RCPT first");
export const noValidRecipients = sequence("no valid recipients");
export const nestedMail = sequence("nested MAIL command");
export const tlsActive = sequence("TLS is active already");
export const pipelinedStarttls = sequence("nothing may follow STARTTLS before its reply");
export const starttlsNotOffered = fixedReply(502, "5.5.1", "STARTTLS is not offered");

// --- The envelope ----------------------------------------------------------------------------------------------

export const mailAccepted = fixedReply(250, "2.1.0", "ok");
/** `whose`: "this server" or "the relay". */
export const messageTooBig = (octetsMax: number, whose: string): Reply =>
  reply(552, "5.3.4", `message too big: ${whose} takes ${octetsMax} octets`);
/** RFC 5321 §4.5.3.1.5: a reply's line has at most 512 octets, and an address may have as many. */
export const recipientNotOurs = ({ address }: Mailbox): Reply =>
  reply(550, "5.7.1", `${address.length > 450 ? "" : `<${address}> `}relay access denied`);
/** RFC 5321 §3.6.1 lets a server refuse to route by the local part; a relay behind us may follow it: an open relay. */
export const routedRecipient = ({ address }: Mailbox): Reply =>
  reply(550, "5.7.1", `${address.length > 450 ? "" : `<${address}> `}routed address: relay access denied`);
export const tooManyRecipients = fixedReply(452, "4.5.3", "too many recipients");
export const utf8AddressRefused = malformedCommand("utf8-refused", "");

// --- Mail data -------------------------------------------------------------------------------------------------

const mailDataDefects: Record<MailDataDefect, Reply> = {
  "bare-lf": fixedReply(550, "5.5.2", "bare LF in mail data"),
  "bare-cr": fixedReply(550, "5.5.2", "bare CR in mail data"),
};
export const malformedMailData = (defect: MailDataDefect): Reply => mailDataDefects[defect];
export const tooManyHops = fixedReply(554, "5.4.6", "too many hops, mail loop suspected");

// --- Trouble on our side of the relay: always 4yz ----------------------------------------------------------------

export const relayUnavailable = fixedReply(451, "4.4.1", "relay not available, try again later");
/** It wants TLS or a login, which is between the relay and us. */
export const relayDemands = fixedReply(
  451,
  "4.4.1",
  "relay does not take mail from this server as it is set up, try again later",
);
export const relayBusy = fixedReply(451, "4.3.2", "too many relay connections, try again later");
export const ownFaultAtRelay = fixedReply(451, "4.3.0", "internal error, try again later");
export const relayLost = fixedReply(451, "4.4.2", "connection to the relay lost, try again later");
export const relayOutcomeUnknown = fixedReply(
  451,
  "4.4.2",
  "relay did not confirm the message, try again later",
);
export const relayLacksExtension = fixedReply(
  451,
  "4.4.1",
  "relay does not offer SMTPUTF8 at present, try again later",
);
