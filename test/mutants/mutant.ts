/**
 * What a mutant is: the program with one deliberate fault, as plain data. A test has to catch it, or the tests would
 * not notice that fault if somebody made it.
 * Contract: `mutate` puts the fault into a source text, and throws if the table is stale: `find` has to stand there
 * exactly once.
 * Not here: the faults (mutants*.ts), trees to put them in and tests to run (tree.ts).
 */

export interface Mutant {
  /** What is wrong, in a few words; names are unique. */
  readonly name: string;
  /** Below src/. */
  readonly file: string;
  /** Text of that file. */
  readonly find: string;
  readonly replace: string;
  /** What it would do to whoever uses the program. */
  readonly harm: string;
  /** Test files, or folders of test/transcripts, that are likely to catch it; they are run first. */
  readonly tests: readonly string[];
}

export function mutate(source: string, { name, file, find, replace }: Mutant): string {
  const pieces = source.split(find);
  if (pieces.length !== 2) {
    throw new Error(`${name}: what it replaces stands ${pieces.length - 1} times in src/${file}, not once`);
  }
  return pieces.join(replace);
}
