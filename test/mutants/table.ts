/**
 * The table of deliberate faults in test/README.md, between two markers; the rest of that file is not ours.
 * Not here: how it became known what catches a fault (main.ts).
 */
import { readFileSync, writeFileSync } from "node:fs";
import type { Mutant } from "./mutant.ts";

/** `caughtBy` undefined: it survived. */
export interface Fate {
  readonly mutant: Mutant;
  readonly caughtBy: string | undefined;
}

const begin = "<!-- mutants -->";
const end = "<!-- /mutants -->";

export function writeTable(path: string, fates: readonly Fate[]): void {
  const text = readFileSync(path, "utf8");
  const from = text.indexOf(begin);
  const to = text.indexOf(end, from);
  if (from < 0 || to < 0) throw new Error(`${path} has no ${begin} and ${end}`);
  writeFileSync(path, `${text.slice(0, from)}${begin}\n${renderTable(fates)}\n${text.slice(to)}`);
}

function renderTable(fates: readonly Fate[]): string {
  const rows = fates.map(({ mutant: { name, file, harm }, caughtBy }) =>
    [name, `src/${file}`, harm, caughtBy ?? "**nothing**"].map(cell).join(" | "),
  );
  return ["fault | file | what it would do | caught by", "--- | --- | --- | ---", ...rows]
    .map((row) => `| ${row} |`)
    .join("\n");
}

/** What a test's name has of Markdown's own characters is escaped. */
function cell(text: string): string {
  return text.replaceAll(/[|*_<>`]/g, "\\$&");
}
