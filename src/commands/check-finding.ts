/**
 * One finding of `smtpproxy check`, and how it is written: `ok`, `warning` or `FAILED` in the first column, one line
 * of text, and details below, indented.
 * A warning is trouble with which mail goes through; only `FAILED` makes the exit status 1.
 */
export interface Finding {
  readonly verdict: "ok" | "warning" | "FAILED";
  readonly text: string;
  readonly details?: readonly string[];
}

const verdictColumns = 9;

export function formatFinding({ verdict, text, details = [] }: Finding): string {
  const lines = [
    verdict.padEnd(verdictColumns) + text,
    ...details.map((detail) => " ".repeat(verdictColumns + 4) + detail),
  ];
  return `${lines.join("\n")}\n`;
}
