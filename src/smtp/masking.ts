/**
 * Hides passwords in what peers say, before it is logged or passed on.
 *
 * `CommandMask` is for what clients say: nobody is offered AUTH, but some send their password all the same, in the
 * command, on a line of its own behind a refused AUTH, or as POP3, IMAP and HTTP have it. Give it the lines of one
 * client in their order; it returns what may be shown of each.
 * `maskSecrets` is for what a relay says, which may repeat our own credentials in its reply.
 * Both take linear time in any input and never throw. Values are wire strings.
 * Not here: escaping and cutting (ops/log.ts).
 * RFC 4954 §4; RFC 1939 §7 (PASS); RFC 9051 §6.2 (LOGIN, AUTHENTICATE); RFC 9110 §11.6, RFC 6265 (HTTP).
 */

const hidden = "(hidden)";

/** A verb of SMTP: what was said behind AUTH is over. */
const smtpVerb =
  /^[ \t]*(?:EHLO|HELO|MAIL|RCPT|DATA|RSET|NOOP|QUIT|VRFY|EXPN|HELP|STARTTLS|BDAT|ETRN)(?![^ \t])/i;
/** AUTH and its kin of other protocols, misspelt ones too: “AUTH=LOGIN”, as old servers advertised it, “AUTHPLAIN”. */
const credentialVerb =
  /^[^!-~]*(?:X?AUTH(?:PLAIN|LOGIN|CRAM)?|AUTHENTICATE|LOGIN|PASS|PASSWORD|APOP)(?![0-9A-Za-z_-])/i;
/** IMAP has a tag in front. */
const taggedVerb = /^[ \t]*[^ \t]+[ \t]+(?:AUTHENTICATE|LOGIN)(?![^ \t])/i;
/** HTTP has them in the address: of a user, or behind the path. */
const requestLine = /^[ \t]*[A-Z]{3,10} [^ ]+/;
const credentialField = /^[ \t]*(?:Authorization|Proxy-Authorization|Cookie)[ \t]*:/i;

export class CommandMask {
  /** An AUTH was said, and no verb of SMTP since: what comes may be its user name and password. */
  #isBehindAuth = false;

  /** What may be shown of the next line. */
  show(line: string): string {
    if (smtpVerb.test(line)) {
      this.#isBehindAuth = false;
      return line;
    }
    const spoken = credentialVerb.exec(line) ?? taggedVerb.exec(line) ?? credentialField.exec(line);
    if (spoken !== null) {
      this.#isBehindAuth = true;
      return spoken[0].length === line.length ? line : `${spoken[0]} ${hidden}`;
    }
    if (this.#isBehindAuth && line !== "") return hidden;
    return requestLine.test(line) ? withoutQuery(line) : line;
  }
}

/** The line of a request without the user of its address, and without what stands behind the path. */
function withoutQuery(line: string): string {
  return line.replace(/\/\/[^/@ ]*@/g, `//${hidden}@`).replace(/\?[^ ]*/, `?${hidden}`);
}

/** What may be shown of a client's first octets, which may be lines or a part of one. */
export function maskOctetsOfClient(octets: string): string {
  const mask = new CommandMask();
  // The line end stays with its line.
  return octets
    .split("\n")
    .map((line) => {
      const text = line.endsWith("\r") ? line.slice(0, -1) : line;
      return mask.show(text) + line.slice(text.length);
    })
    .join("\n");
}

/** Shorter ones would be found in every word. */
const secretCharsMin = 4;

/** The forms in which our credentials travel, longest first: in base64 as AUTH PLAIN and AUTH LOGIN say them, and bare. */
export function secretsOf({
  username,
  password,
}: {
  readonly username: string;
  readonly password: string;
}): readonly string[] {
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  const forms = [
    base64(`\0${username}\0${password}`),
    base64(password),
    Buffer.from(password).toString("latin1"),
  ];
  return forms
    .filter((form) => form.length >= secretCharsMin)
    .toSorted((one, other) => other.length - one.length);
}

/** `text` without `secrets`. */
export function maskSecrets(text: string, secrets: readonly string[]): string {
  return secrets.reduce((shown, secret) => shown.replaceAll(secret, hidden), text);
}
