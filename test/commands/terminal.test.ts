/** What commands show at a terminal: colours, progress, and lines that fit. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Progress } from "../../src/commands/check/progress.ts";
import { fold } from "../../src/commands/terminal.ts";
import { FakeRelay } from "./fake-relay.ts";
import { bareEnvironment, binary, cleanUp } from "./support.ts";

beforeAll(() => {
  binary();
}, 60_000);
afterAll(cleanUp);

/** `check` at a terminal of its own, by script(1). */
async function checkAtTerminal(environment: Readonly<Record<string, string>>): Promise<string> {
  using relay = new FakeRelay();
  const child = Bun.spawn(["script", "-qec", `${binary()} check`, "/dev/null"], {
    stdin: "ignore",
    stdout: "pipe",
    env: {
      ...bareEnvironment,
      RELAY_HOST: relay.host,
      RELAY_TLS: "off",
      SERVER_NAME: "proxy.test",
      VALID_RECIPIENTS: "@there$",
      TERM: "xterm",
      ...environment,
    },
  });
  return await new Response(child.stdout).text();
}

describe("colours", () => {
  test("at a terminal", async () => {
    expect(await checkAtTerminal({})).toContain("\x1b[32mok\x1b[0m       mail can be relayed");
  });

  test("not with NO_COLOR, nor at a dumb terminal", async () => {
    for (const environment of [{ NO_COLOR: "1" }, { TERM: "dumb" }]) {
      const shown = await checkAtTerminal(environment);
      expect(shown).toContain("ok       mail can be relayed");
      expect(shown).not.toContain("\x1b");
    }
  });
});

describe("progress", () => {
  const written = async (isTerminal: boolean, workMs: number): Promise<string> => {
    let text = "";
    const progress = new Progress(isTerminal, (more) => {
      text += more;
    });
    await Promise.all([
      progress.during("relay a", Bun.sleep(workMs)),
      progress.during("relay b", Bun.sleep(workMs)),
    ]);
    return text;
  };

  test("elsewhere a line for each that takes longer than two seconds", async () => {
    const [quick, slow] = await Promise.all([written(false, 500), written(false, 2_300)]);
    expect(quick).toBe("");
    expect(slow).toBe("waiting for relay a\nwaiting for relay b\n");
  });

  test("at a terminal one line that is gone at the end", async () => {
    const shown = await written(true, 3_300);
    expect(shown).toContain("waiting for relay a and 1 more: 3 s");
    expect(shown).toEndWith("\r");
    expect(shown).not.toContain("\n");
  });
});

describe("lines that fit", () => {
  test.each([
    ["short", "short"],
    ["  aaa bbb ccc", "  aaa\n    bbb\n    ccc"],
    ["one two three", "one two\n    thre\n    e"],
    ["aaaaaaaaaaaa", "aaaaaaaa\n    aaaa"],
    ["a\n\nb", "a\n\nb"],
  ])("%j", (text, folded) => {
    expect(fold(text, "    ", 8)).toBe(folded);
  });
});
