/**
 * The ten-line reading of mail data, on whole strings: where it ends, what is wrong with it, how large it is, and what
 * it says with transparency undone. Not here: streams (src/smtp/mail-data.ts is what this is compared with).
 */

/** What the stream behind 354 holds up to its end; undefined while there is none. */
export function readMailData(stream: string): { readonly data: string; readonly rest: string } | undefined {
  if (stream.startsWith(".\r\n")) return { data: "", rest: stream.slice(3) };
  const at = stream.indexOf("\r\n.\r\n");
  return at === -1 ? undefined : { data: stream.slice(0, at + 2), rest: stream.slice(at + 5) };
}

/** Line ends that must not go to a relay. */
export function hasDefect(data: string, bareNewline: string): boolean {
  return bareNewline === "normalize" ? /\r(?!\n)/.test(data) : /\r(?!\n)|(?<!\r)\n/.test(data);
}

/** With every line end a CRLF, and without the dots of transparency. "." as a line is one that ends nothing. */
export function messageOf(data: string): string {
  const lines = data.split(/\r?\n/);
  return lines.map((line) => (line.startsWith(".") && line !== "." ? line.slice(1) : line)).join("\r\n");
}

/** Its size, of which any part may count as the message that it makes, and the rest as it came. */
export function sizesOf(data: string): { readonly least: number; readonly most: number } {
  const withoutDots = data.replace(/(?<![^\n])\.(?!\r?\n|$)/g, "");
  return { least: withoutDots.length, most: data.replace(/\r?\n/g, "\r\n").length };
}

export function hopsOf(message: string): number {
  const [header = ""] = message.startsWith("\r\n") ? [""] : message.split("\r\n\r\n");
  return header.split("\r\n").filter((line) => /^received[ \t]*:/i.test(line)).length;
}
