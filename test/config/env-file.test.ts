/** systemd's EnvironmentFile syntax: examples from systemd.exec(5), and an automaton written from it as a witness. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseEnvFile } from "../../src/config/env-file.ts";

function pairs(text: string): string[][] {
  return parseEnvFile(text).entries.map(({ key, value }) => [key, value]);
}

test.each([
  ["plain", "A=b\n", "b"],
  ["without the last newline", "A=b", "b"],
  ["empty", "A=\n", ""],
  ["spaces around", "  A  = \t b c \t\r\n", "b c"],
  ["inner quotes stay", "A=b'c\"d", "b'c\"d"],
  ["a comment sign within stays", "A=b # c", "b # c"],
  ["more equals signs", "A=b=c=", "b=c="],
  ["backslash keeps", "A=\\'b\\ \\\\\\n", "'b \\n"],
  ["backslash keeps closing space", "A=b\\ \n", "b "],
  ["backslash joins lines", "A=b\\\n  c", "b  c"],
  ["backslash at the end of the file", "A=b\\", "b"],
  ["single quotes", "A='b\\n\"$c' ", 'b\\n"$c'],
  ["single quotes over lines", "A='b\nc'\n", "b\nc"],
  ["double quotes", 'A="b\'c"', "b'c"],
  ["double quotes: escapes", 'A="\\"\\\\\\`\\$\\n\\x"', '"\\`$\\n\\x'],
  ["double quotes over lines", 'A="b\nc\\\nd"', "b\ncd"],
  ["quoted pieces join", "A='b' \"c\"d 'e'", "bcd 'e'"],
  ["empty quotes", "A=''\n", ""],
  ["regular expression in single quotes", "A='^[^@]+@example\\.com$'", "^[^@]+@example\\.com$"],
])("%s", (_, text, value) => {
  expect(parseEnvFile(text).faults).toEqual([]);
  expect(pairs(text)).toEqual([["A", value]]);
});

test("comments and empty lines", () => {
  expect(parseEnvFile("# a=b\n;c=d\n\n  # e\\\nF=g\n\t\r\n")).toEqual({
    entries: [{ key: "F", value: "g", line: 5 }],
    faults: [],
  });
});

test("lines are counted where keys stand", () => {
  const text = "A='1\n2'\nB=1\\\n2\n\n# c\r\nC=\"\n\"\r\nD=\n";
  expect(parseEnvFile(text).entries.map(({ key, line }) => `${key}${line}`)).toEqual([
    "A1",
    "B3",
    "C7",
    "D9",
  ]);
});

describe("faults", () => {
  test.each([
    ["A=b\nnonsense\nC=d", { line: 2, reason: "has no “=” and is no comment" }],
    ["=b", { line: 1, reason: "has no name before “=”" }],
    ["A=b\n\nC='d\nE=f\n", { line: 3, reason: "opens a quote that nothing closes" }],
    ['A="b\\"', { line: 1, reason: "opens a quote that nothing closes" }],
  ])("%j", (text, fault) => expect(parseEnvFile(text).faults).toEqual([fault]));
});

/** The same language once more, a character at a time; undefined where our parser has a fault and systemd has none. */
function witness(text: string): string[][] | undefined {
  const found: string[][] = [];
  let state = "before-key";
  let key = "";
  let value = "";
  let spaces = "";
  const end = () => {
    found.push([key.replace(/[ \t]+$/, ""), value]);
    [state, key, value, spaces] = ["before-key", "", "", ""];
  };
  for (const c of text.split("")) {
    const newline = c === "\n" || c === "\r";
    const space = newline || c === " " || c === "\t";
    if (state === "before-key") {
      if (c === "#" || c === ";") state = "comment";
      else if (c === "=") return undefined;
      else if (!space) [state, key] = ["key", c];
    } else if (state === "comment") {
      if (newline) state = "before-key";
    } else if (state === "key") {
      if (newline) return undefined;
      if (c === "=") state = "before-value";
      else key += c;
    } else if (state === "before-value") {
      if (newline) end();
      else if (c === "'") state = "single";
      else if (c === '"') state = "double";
      else if (c === "\\") state = "escape";
      else if (!space) [state, value] = ["value", value + c];
    } else if (state === "value") {
      if (newline) end();
      else if (c === "\\") [state, value, spaces] = ["escape", value + spaces, ""];
      else if (space) spaces += c;
      else [value, spaces] = [value + spaces + c, ""];
    } else if (state === "escape") {
      [state, value] = ["value", newline ? value : value + c];
    } else if (state === "single") {
      if (c === "'") state = "before-value";
      else value += c;
    } else if (state === "double") {
      if (c === '"') state = "before-value";
      else if (c === "\\") state = "double-escape";
      else value += c;
    } else {
      state = "double";
      if ('"\\`$'.includes(c)) value += c;
      else if (c !== "\n") value += `\\${c}`;
    }
  }
  if (["key", "single", "double", "double-escape"].includes(state)) return undefined;
  if (!["before-key", "comment"].includes(state)) end();
  return found;
}

const files = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({ unit: fc.constantFrom(..."AB==''\"\"\\\\##;$` \t\n\n\r"), maxLength: 60 }),
);

test("agrees with the witness, and has faults exactly where that gives up", () => {
  fc.assert(
    fc.property(files, (text) => {
      const expected = witness(text);
      const parsed = parseEnvFile(text);
      if (expected === undefined) expect(parsed.faults).not.toEqual([]);
      else expect({ pairs: pairs(text), faults: parsed.faults }).toEqual({ pairs: expected, faults: [] });
    }),
    { numRuns: 20_000 },
  );
});

test("any text survives single quotes", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      fc.pre(!text.includes("'"));
      expect(pairs(`A='${text}'\n`)).toEqual([["A", text]]);
    }),
  );
});

test("a long line takes linear time", () => {
  const started = performance.now();
  const spaces = " ".repeat(1_000_000);
  expect(pairs(`A=b${spaces}\\\n${spaces}c${spaces}\n`)).toEqual([["A", `b${spaces}${spaces}c`]]);
  expect(performance.now() - started).toBeLessThan(2000);
});
