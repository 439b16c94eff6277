/** What the scanners of mail data have to give, by whole strings and without regard to cost. */
import type { BareNewline, MailDataDefect } from "../../src/smtp/mail-data.ts";

export interface MailDataReference {
  /** What the relay may be given; nothing that may still become a part of the end or of a defect. */
  readonly handedOn: string;
  /** What stands behind the end of mail data; undefined without an end. */
  readonly rest: string | undefined;
  readonly defect: MailDataDefect | undefined;
  /** Without the dots of transparency. */
  readonly messageOctets: number;
}

export function mailData(mode: BareNewline, stream: string): MailDataReference {
  const end = `\r\n${stream}`.indexOf("\r\n.\r\n");
  const body = end === -1 ? stream.replace(/\r$/, "") : stream.slice(0, end);
  const bare = (mode === "reject" ? /\r(?!\n)|(?<!\r)\n/ : /\r(?!\n)/).exec(body);
  const decided = body.slice(0, bare?.index).replace(/(?<![^\n])\.$/, "");
  const handedOn = decided.replace(/(?<![^\n])\.(?=\r?\n)/g, "..").replace(/(?<!\r)\n/g, "\r\n");
  return {
    handedOn,
    rest: end === -1 ? undefined : stream.slice(end + 3),
    defect: bare === null ? undefined : bare[0] === "\n" ? "bare-lf" : "bare-cr",
    messageOctets: handedOn.replace(/(?<![^\n])\./g, "").length,
  };
}

/** How many header fields have the name `received`; in proper lines. */
export function receivedFields(message: string): number {
  const end = `\r\n${message}`.indexOf("\r\n\r\n");
  const header = end === -1 ? message : message.slice(0, end);
  return [...header.matchAll(/(?<=^|\n)received[ \t]*:/gi)].length;
}
