/** When memory is collected as sessions come; what it is worth is the bench's to tell (held sessions). */
import { expect, test } from "bun:test";
import { collectEverySessions, SessionMemory } from "../../src/shell/session-memory.ts";

/** At how many sessions a collection took place. */
function collectionsOf(...counts: readonly number[]): readonly number[] {
  const collections: number[] = [];
  let now = 0;
  const memory = new SessionMemory(() => collections.push(now));
  for (const count of counts) {
    now = count;
    memory.grew(count);
  }
  return collections;
}

const step = collectEverySessions;
const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

test("memory is collected each time that so many sessions more are there", () => {
  expect(collectionsOf(...upTo(3 * step + 5))).toEqual([step, 2 * step, 3 * step]);
  expect(collectionsOf(...upTo(step - 1))).toEqual([]);
});

test("a number that wavers is no growth, and one that has fallen by half may grow anew", () => {
  expect(collectionsOf(4 * step, 2 * step, 4 * step, 3 * step, 4 * step)).toEqual([4 * step]);
  expect(collectionsOf(4 * step, step, 2 * step)).toEqual([4 * step, 2 * step]);
});
