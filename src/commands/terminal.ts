/**
 * What a command does for a reader at a terminal: lines that fit, and colours where they are wanted.
 * Colours only where stdout is a terminal, TERM is not "dumb" and NO_COLOR is not set (no-color.org).
 * Not here: writing (print.ts).
 */

export const columnsMax = 80;

/** Breaks lines that are too wide, at a blank if there is one; what goes on begins with `hang`. */
export function fold(text: string, hang: string, columns = columnsMax): string {
  return text
    .split("\n")
    .map((line) => foldLine(line, hang, columns).join("\n"))
    .join("\n");
}

function foldLine(line: string, hang: string, columns: number): readonly string[] {
  const lines: string[] = [];
  let rest = line;
  while (rest.length > columns) {
    const indent = rest.length - rest.trimStart().length;
    const blank = rest.lastIndexOf(" ", columns);
    const at = blank > indent ? blank : columns;
    lines.push(rest.slice(0, at));
    rest = hang + rest.slice(at).trimStart();
  }
  return [...lines, rest];
}

export type Verdict = "ok" | "warning" | "FAILED";

const green = 32;
const yellow = 33;
const red = 31;
const colours: Readonly<Record<Verdict, number>> = { ok: green, warning: yellow, FAILED: red };

/** Whether stdout is a terminal that is to have colours. */
export function hasColours(): boolean {
  const { NO_COLOR: noColour = "", TERM: terminal } = process.env;
  return process.stdout.isTTY === true && noColour === "" && terminal !== "dumb";
}

/** `text` in the colour of `verdict`, where there are colours. */
export function paint(verdict: Verdict, text: string): string {
  return hasColours() ? `\x1b[${colours[verdict]}m${text}\x1b[0m` : text;
}
