/**
 * The syntax of systemd's EnvironmentFile (systemd.exec(5)), so that one file serves the unit and `--config`.
 * Contract: reads every good file as systemd does; never throws. Where systemd quietly ignores a line, or reads
 * an open quote to the end of the file, this is a fault, because the operator meant something by it.
 * Unquoted: a backslash keeps the next character, and joins lines. '…': nothing is special. "…": a backslash keeps
 * one of "\`$, joins lines, and otherwise stands for itself. A comment's closing backslash joins nothing (as of v254).
 * Not here: which keys there are (load.ts). Rejected: a dotenv library; each of them reads another dialect.
 */

export interface FileEntry {
  readonly key: string;
  readonly value: string;
  /** Where the key stands, counted from 1. */
  readonly line: number;
}

export interface FileFault {
  readonly line: number;
  readonly reason: string;
}

export interface EnvFile {
  readonly entries: readonly FileEntry[];
  readonly faults: readonly FileFault[];
}

export function parseEnvFile(text: string): EnvFile {
  const entries: FileEntry[] = [];
  const faults: FileFault[] = [];
  const scanner = new Scanner(text);
  for (scanner.take(/[ \t\n\r]*/y); !scanner.atEnd; scanner.take(/[ \t\n\r]*/y)) {
    if (scanner.take(/[#;][^\n\r]*/y) !== "") continue;
    const line = scanner.line;
    const key = scanner.take(/[^=\n\r]*/y).replace(/[ \t]+$/, "");
    if (scanner.take(/=/y) === "") {
      faults.push({ line, reason: "has no “=” and is no comment" });
      continue;
    }
    const value = takeValue(scanner);
    if (key === "") faults.push({ line, reason: "has no name before “=”" });
    else if (value === undefined) faults.push({ line, reason: "opens a quote that nothing closes" });
    else entries.push({ key, value, line });
  }
  return { entries, faults };
}

/** Quoted pieces, if any, then an unquoted rest, if any, up to the end of the line. Undefined: an open quote. */
function takeValue(scanner: Scanner): string | undefined {
  let value = "";
  for (;;) {
    scanner.take(/[ \t]*/y);
    const single = scanner.take(/'[^']*'/y);
    const double = scanner.take(/"(?:[^"\\]|\\.)*"/sy);
    value += single.slice(1, -1) + unescapeQuoted(double.slice(1, -1));
    if (single !== "" || double !== "") continue;
    if (scanner.take(/['"].*/sy) !== "") return undefined;
    value += unescapeUnquoted(scanner.take(/(?:[ \t]*(?:[^\n\r\\ \t]|\\.|\\$))*/sy));
    scanner.take(/[ \t]*/y);
    return value;
  }
}

function unescapeQuoted(text: string): string {
  return text.replace(/\\(.)/gs, (escaped, character: string) => {
    if (character === "\n") return "";
    return '"\\`$'.includes(character) ? character : escaped;
  });
}

function unescapeUnquoted(text: string): string {
  return text.replace(/\\(.?)/gs, (_, character: string) => (/[\n\r]/.test(character) ? "" : character));
}

/** Takes what a sticky expression matches at the current place ("" when it does not) and counts the lines. */
class Scanner {
  readonly #text: string;
  #at = 0;
  #line = 1;

  constructor(text: string) {
    this.#text = text;
  }

  get line(): number {
    return this.#line;
  }

  get atEnd(): boolean {
    return this.#at === this.#text.length;
  }

  take(sticky: RegExp): string {
    sticky.lastIndex = this.#at;
    const [taken] = sticky.exec(this.#text) ?? [""];
    this.#at += taken.length;
    this.#line += taken.split("\n").length - 1;
    return taken;
  }
}
