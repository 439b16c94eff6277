/**
 * Rewrites what is made from the table of options: example/defaults, and the README's table if it has the markers.
 * Run it after a change of the table: `bun src/config/write-generated.ts`. A test fails when it was forgotten.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { renderExample, renewTable } from "./render.ts";

const EXAMPLE = new URL("../../example/defaults", import.meta.url);
const README = new URL("../../README.md", import.meta.url);

writeFileSync(EXAMPLE, renderExample());
if (existsSync(README)) writeFileSync(README, renewTable(readFileSync(README, "utf8")));
