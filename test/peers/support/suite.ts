/**
 * A group of tests that needs programs of other people: a missing one is a skip on a laptop, said in the name of the
 * group, and a failure where CI=true.
 */
import { describe, setDefaultTimeout, test } from "bun:test";

export interface Need {
  /** What is missing, for people; undefined: nothing. */
  readonly missing: string | undefined;
}

/** PATH, and the folders of daemons: Debian's root has these only after a login of its own. */
const { PATH: ownPath = "" } = process.env;
export const searchPath = `${ownPath}:/usr/local/sbin:/usr/sbin:/sbin`;

export function command(name: string): Need {
  return { missing: commandPath(name) === undefined ? `${name} is not installed` : undefined };
}

export function commandPath(name: string): string | undefined {
  return Bun.which(name, { PATH: searchPath }) ?? undefined;
}

/** Relays change to users of their own, which only root may do. */
export const root: Need = {
  missing: process.getuid?.() === 0 ? undefined : "this user is not root",
};

const { CI: ci } = process.env;
const testMs = 150_000;

export function withPeers(title: string, needs: readonly Need[], tests: () => void): void {
  const missing = needs.flatMap((need) => need.missing ?? []);
  if (missing.length === 0) {
    // Longer than any wait within: a test that bun ends takes all programs along, those of other tests too.
    setDefaultTimeout(testMs);
    describe(title, tests);
    return;
  }
  const why = missing.join(", ");
  if (ci === "true") {
    test(title, () => {
      throw new Error(`CI must not skip this: ${why}`);
    });
    return;
  }
  console.error(`skipped: ${title}: ${why}`);
  describe.skip(`${title} (${why})`, tests);
}
