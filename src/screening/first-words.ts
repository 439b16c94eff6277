/**
 * Tells a client that does not speak SMTP by the first octets it sends: a web browser that was made to send mail, a
 * TLS client on the plain port, a scanner. It is closed at once, so that nothing of what it says becomes a command.
 *
 * Contract: feed octets until `isDecided`; `finding` says what they look like, or undefined for SMTP. Any split into
 * chunks gives the same finding, at the same octet. Never throws. Holds at most `firstOctetsMax` octets.
 * Undecided words pass as SMTP once they are too long or begin with too much empty space: the command reader has its
 * own answer to them.
 * Not here: the reply to a malformed command (smtp/commands.ts, smtp/catalogue.ts).
 * Rejected: looking for methods in later lines. A client that said EHLO first speaks SMTP, and “GET” from it is an
 * unknown command, which MAX_ERRORS counts.
 * Postfix has the same as smtpd_forbidden_commands; RFC 9110 §9; RFC 8446 §5.1; RFC 4253 §4.2.
 */

export const firstOctetsMax = 64;

const HTTP_METHODS: ReadonlySet<string> = new Set(
  "GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH PRI PROPFIND".split(" "),
);
const SMTP_VERBS: ReadonlySet<string> = new Set(
  "HELO EHLO LHLO MAIL RCPT DATA BDAT RSET SEND SOML SAML VRFY EXPN HELP NOOP QUIT TURN ETRN AUTH STARTTLS XCLIENT XFORWARD".split(
    " ",
  ),
);
const LEADING_SPACE = /^[ \t\r\n]+/;
const TLS_HANDSHAKE = "\x16";
const TLS_MAJOR_VERSION = "\x03";

/** The protocol or kind of octets, in the log's words. */
export type NonSmtp =
  | "HTTP request"
  | "header line"
  | "TLS handshake"
  | "SSH banner"
  | "PROXY header"
  | "binary data"
  | "no command";

export class FirstWords {
  /** Wire string of what decides. */
  #words = "";
  #found: NonSmtp | "smtp" | "undecided" = "undecided";

  get isDecided(): boolean {
    return this.#found !== "undecided";
  }

  get finding(): NonSmtp | undefined {
    return this.#found === "undecided" || this.#found === "smtp" ? undefined : this.#found;
  }

  receive(octets: Buffer): void {
    if (this.isDecided) return;
    this.#words += octets.toString("latin1", 0, firstOctetsMax - this.#words.length);
    this.#found = look(this.#words);
    if (this.#found === "undecided" && this.#words.length >= firstOctetsMax) this.#found = "smtp";
    if (this.isDecided) this.#words = "";
  }
}

/** Decides with the first octet that leaves no choice, and never changes its mind with more of them. */
function look(stream: string): NonSmtp | "smtp" | "undecided" {
  const text = stream.replace(LEADING_SPACE, "");
  const [first, second] = text;
  if (first === undefined) return "undecided";
  if (first === TLS_HANDSHAKE) {
    if (second === undefined) return "undecided";
    return second === TLS_MAJOR_VERSION ? "TLS handshake" : "binary data";
  }
  if (!/[A-Za-z]/.test(first)) return /[!-~]/.test(first) ? "no command" : "binary data";
  const [word = ""] = /^[A-Za-z][A-Za-z0-9-]*/.exec(text) ?? [];
  const next = text[word.length];
  return next === undefined ? "undecided" : lookAtWord(word.toUpperCase(), next);
}

function lookAtWord(word: string, next: string): NonSmtp | "smtp" {
  if (next === ":") return SMTP_VERBS.has(word) ? "smtp" : "header line";
  if (word.startsWith("SSH-") && next === ".") return "SSH banner";
  if (!/[ \t\r\n]/.test(next)) return "smtp";
  if (word === "PROXY") return "PROXY header";
  return HTTP_METHODS.has(word) ? "HTTP request" : "smtp";
}
