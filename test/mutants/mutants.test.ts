/** The table of deliberate faults is true of the source as it is now; main.ts shows that tests catch them. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { mutate } from "./mutant.ts";
import { mutants } from "./mutants.ts";

const root = join(import.meta.dir, "../..");

test("there are enough of them, each with a name of its own", () => {
  const names = new Set(mutants.map(({ name }) => name));
  expect(names.size).toBe(mutants.length);
  expect(names.size).toBeGreaterThanOrEqual(40);
});

test("each is a change of the source, at one place", () => {
  for (const mutant of mutants) {
    const source = readFileSync(join(root, "src", mutant.file), "utf8");
    expect(mutate(source, mutant)).not.toBe(source);
  }
});

test("the tests that they name are there", () => {
  const named = new Set(mutants.flatMap(({ tests }) => tests));
  expect([...named].filter((path) => !existsSync(join(root, path)))).toEqual([]);
});
