/**
 * What the demo's three parties said, in the order in which it was said, and how it is shown.
 * Mail data is summarised: its first lines and how much it was.
 * Contract: values are wire strings or octets as they were on the wire; escaped when shown.
 */
import { shown } from "../print.ts";
import { columnsMax, fold } from "../terminal.ts";

export type Party = "client" | "proxy" | "relay";

const dataLinesMax = 6;
const partyColumns = "client -> proxy  ".length;
/** The demo indents by two. */
const lineColumnsMax = columnsMax - 2;
const dataColumnsMax = lineColumnsMax - partyColumns - "| …".length;

export class Dialogue {
  readonly #lines: string[] = [];

  /** A command or a reply, of one line or several. */
  say(from: Party, to: Party, text: string): void {
    for (const line of text.replace(/\r\n$/, "").split("\r\n")) this.#add(from, to, shown(line));
  }

  /** Mail data, dot-stuffed, without the line that ends it. */
  data(from: Party, to: Party, wire: Buffer): void {
    const start = wire.toString("latin1", 0, dataLinesMax * 1000).split("\r\n");
    const first = start.slice(0, dataLinesMax);
    for (const line of first) {
      const text = shown(line);
      this.#add(from, to, `| ${text.length > dataColumnsMax ? `${text.slice(0, dataColumnsMax)}…` : text}`);
    }
    this.#add(from, to, `| … ${wire.length} octets of mail data in all`);
    this.#add(from, to, ".");
  }

  get text(): string {
    return this.#lines.map((line) => `${line}\n`).join("");
  }

  #add(from: Party, to: Party, text: string): void {
    const line = `${`${from} -> ${to}`.padEnd(partyColumns)}${text}`.trimEnd();
    this.#lines.push(fold(line, " ".repeat(partyColumns + 2), lineColumnsMax));
  }
}
