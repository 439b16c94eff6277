/**
 * Which replies a command may have: an independent reading of what clients are promised, by whole lines and regular
 * expressions. Nothing of the program's parser or catalogue is used here.
 * A rule gives the beginnings of replies that are allowed, all of them; "relay" stands for whatever the relay said, and
 * for the trouble with it (4yz), which session-judge.ts traces.
 */
export interface CommandFacts {
  readonly helo: { readonly extended: boolean } | undefined;
  readonly isSecure: boolean;
  readonly starttlsOffered: boolean;
  readonly isMoreBehind: boolean;
  /** Of the transaction under way. */
  readonly transaction:
    | { readonly accepted: number; readonly refused: number; readonly ours: number }
    | undefined;
  /** A SIZE beyond it must be refused; beyond the smaller one it may be, for the relay's sake. */
  readonly sizeMax: number;
  readonly sizeMaxOfRelays: number;
  readonly maxRecipients: number;
  readonly validRecipients: RegExp | undefined;
}

export interface ReadLine {
  readonly verb: string;
  readonly argument: string;
  readonly isDefective: boolean;
}

const commandOctetsMax = 2048;
const address = String.raw`[\w.+-]+@[\w-]+(?:\.[\w-]+)*`;
const plainMail = new RegExp(
  String.raw`^MAIL FROM:<(${address})?>((?: (?:SIZE=\d{1,20}|BODY=(?:7BIT|8BITMIME)))*)$`,
  "i",
);
const plainRcpt = new RegExp(`^RCPT TO:<(${address}|postmaster)>$`, "i");
const anyMail = /^MAIL FROM: *<.*>/i;
const anyRcpt = /^RCPT TO: *<.+>/i;
const takesNothing: ReadonlySet<string> = new Set(["DATA", "RSET", "QUIT", "STARTTLS"]);
const notImplemented: ReadonlySet<string> = new Set("EXPN AUTH BDAT ETRN TURN SEND SOML SAML".split(" "));

/** `raw` ends in LF. */
export function readLine(raw: string): ReadLine {
  const isDefective =
    raw.length > commandOctetsMax || !raw.endsWith("\r\n") || /[\0\r]/.test(raw.slice(0, -2));
  const [, verb = "", argument = ""] =
    /^([^ ]*) *([\s\S]*)$/.exec(raw.replace(/\r?\n$/, "").replace(/ +$/, "")) ?? [];
  return { verb: verb.toUpperCase(), argument, isDefective };
}

export function addressOf(argument: string): string {
  return /<(?:@[^:>]*:)?([^>]*)>/.exec(argument)?.[1] ?? "";
}

export function declaredSize(argument: string): number | undefined {
  const size = / SIZE=(\d+)/i.exec(argument)?.[1];
  return size === undefined ? undefined : Number(size);
}

export function allowedReplies(line: ReadLine, facts: CommandFacts): readonly string[] {
  const { verb, argument, isDefective } = line;
  if (isDefective) return ["500 5.5.2"];
  if (takesNothing.has(verb) && argument !== "") return ["501 5.5.4"];
  switch (verb) {
    case "EHLO":
    case "HELO":
      return /^[!-~]{1,255}$/.test(argument) ? ["250 mx.example"] : ["501 5.5.4"];
    case "NOOP":
      return ["250 2.0.0 ok"];
    case "HELP":
      return ["214 2.0.0"];
    case "VRFY":
      return argument === "" ? ["501 5.5.4"] : ["252 2.5.0"];
    case "RSET":
      return ["250 2.0.0 ok"];
    case "QUIT":
      return ["221 2.0.0 mx.example"];
    case "STARTTLS":
      return starttls(facts);
    case "MAIL":
      return mail(`MAIL ${argument}`, facts);
    case "RCPT":
      return rcpt(`RCPT ${argument}`, facts);
    case "DATA":
      return data(facts);
    default:
      return [notImplemented.has(verb) ? "502 5.5.1" : "500 5.5.2"];
  }
}

function starttls({ starttlsOffered, isSecure, isMoreBehind }: CommandFacts): readonly string[] {
  if (!starttlsOffered) return ["502 5.5.1"];
  if (isSecure) return ["503 5.5.1 TLS is active already"];
  return [isMoreBehind ? "503 5.5.1 nothing may follow" : "220 2.0.0"];
}

function mail(line: string, facts: CommandFacts): readonly string[] {
  const [found, , parameters = ""] = plainMail.exec(line) ?? [];
  if (found === undefined) {
    return anyMail.test(line)
      ? ["250 2.1.0", "501 5.5.4", "503 5.5.1", "550 5.6.7", "552 5.3.4", "555 5.5.4"]
      : ["501 5.5.4"];
  }
  const keywords = parameters.split(" ").map((word) => word.replace(/=.*/, "").toUpperCase());
  if (new Set(keywords).size < keywords.length) return ["501 5.5.4", "555 5.5.4"];
  if (parameters !== "" && facts.helo?.extended !== true) return ["555 5.5.4"];
  if (facts.helo === undefined) return ["503 5.5.1 send EHLO"];
  if (facts.transaction !== undefined) return ["503 5.5.1 nested MAIL"];
  const size = declaredSize(line) ?? 0;
  if (size > facts.sizeMax) return ["552 5.3.4"];
  return size > facts.sizeMaxOfRelays ? ["552 5.3.4", "250 2.1.0"] : ["250 2.1.0"];
}

function rcpt(line: string, facts: CommandFacts): readonly string[] {
  const [found, path = ""] = plainRcpt.exec(line) ?? [];
  if (found === undefined)
    return anyRcpt.test(line)
      ? ["501", "503", "555", "550 5.6.7", "550 5.7.1", "452 4.5.3", "relay"]
      : ["501 5.5.4"];
  if (facts.helo === undefined) return ["503 5.5.1 send EHLO"];
  if (facts.transaction === undefined) return ["503 5.5.1 send MAIL"];
  const isOurs = path.toLowerCase() === "postmaster" || (facts.validRecipients?.test(path) ?? true);
  if (/[%!@]/.test(path.slice(0, Math.max(path.lastIndexOf("@"), 0)))) return ["550 5.7.1"];
  if (!isOurs) return [`550 5.7.1 <${path}> relay access denied`];
  return facts.transaction.ours >= facts.maxRecipients ? ["452 4.5.3", "relay"] : ["relay"];
}

function data(facts: CommandFacts): readonly string[] {
  if (facts.helo === undefined) return ["503 5.5.1 send EHLO"];
  if (facts.transaction === undefined) return ["503 5.5.1 send MAIL"];
  if (facts.transaction.accepted > 0) return ["relay"];
  return facts.transaction.refused > 0 ? ["503 5.5.1 no valid recipients", "relay"] : ["503 5.5.1 send RCPT"];
}
