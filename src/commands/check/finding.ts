/**
 * One finding of `smtpproxy check`, and how it is written: `ok`, `warning` or `FAILED` in the first column, one line
 * of text, and details below, indented.
 * A warning is trouble with which mail goes through; only `FAILED` makes the exit status 1.
 */
import { paint, type Verdict } from "../terminal.ts";

export interface Finding {
  readonly verdict: Verdict;
  /** What it is about, in as few words as the last line has room for: "certificate", "relay mx.example:25". */
  readonly about: string;
  /** What the last line says of a warning, where `about` does not suffice. */
  readonly degraded?: string;
  readonly text: string;
  readonly details?: readonly string[];
}

const verdictColumns = 9;

export function formatFinding({ verdict, about, text, details = [] }: Finding): string {
  const lines = [
    `${formatVerdict(verdict)}${about}: ${text}`,
    ...details.map((detail) => " ".repeat(verdictColumns + 4) + detail),
  ];
  return `${lines.join("\n")}\n`;
}

/** The first column of a line. */
export function formatVerdict(verdict: Verdict): string {
  return paint(verdict, verdict) + " ".repeat(verdictColumns - verdict.length);
}

/**
 * The last line: whether mail can be relayed, and what is degraded, or what keeps it from that. Each subject once.
 */
export function conclusion(findings: readonly Finding[]): { readonly ok: boolean; readonly line: string } {
  const subjects = (wanted: Verdict): string =>
    [
      ...new Set(
        findings.flatMap(({ verdict, about, degraded }) => (verdict === wanted ? (degraded ?? about) : [])),
      ),
    ].join(", ");
  const failed = subjects("FAILED");
  const degraded = subjects("warning");
  const line =
    failed !== ""
      ? `${formatVerdict("FAILED")}mail cannot be relayed: ${failed}\n`
      : `${formatVerdict("ok")}mail can be relayed${degraded === "" ? "" : `; degraded: ${degraded}`}\n`;
  return { ok: failed === "", line };
}
