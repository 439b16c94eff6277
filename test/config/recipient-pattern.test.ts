/** What is doubtful in a VALID_RECIPIENTS, and what is not. */
import { describe, expect, test } from "bun:test";
import { pattern } from "../../src/config/kinds/values.ts";
import { doubts } from "../../src/config/recipient-pattern.ts";

function doubtsAbout(source: string): readonly string[] {
  const parsed = pattern.parse(source, () => undefined);
  if (!parsed.ok) throw new Error(parsed.fault);
  return doubts(parsed.value);
}

const unanchored = (instead: string) =>
  "is not anchored at its end, so it also matches addresses that go on there, such as " +
  `me@example.com.elsewhere.test for me@example.com; write “${instead}” instead`;
const bare =
  "does not say where the domain begins, so it also matches domains that end alike, such as " +
  "not-example.com for example.com; write “@” before the domain";
const slashes = (instead: string) =>
  `has slashes around it, which would have to be in the address; write “${instead}” instead`;
const blank = (instead: string) =>
  `begins or ends with a blank or a line end, which no address does; write “${instead}” instead`;
const everyone = "matches addresses of every domain: mail for everyone is relayed";

test.each([
  String.raw`@example\.com$`,
  String.raw`@example\.com\z`,
  String.raw`@(example\.com|example\.org)$`,
  String.raw`^(?:me@example\.com)$`,
  String.raw`(?i)^(me|info)@example\.com$`,
  String.raw`(?i)^[^@]+@example\.com$`,
  String.raw`@example\.com$|@example\.org$`,
  String.raw`(@example\.com$|@example\.org\z)`,
  String.raw`(?P<all>@example\.com$|(?i:@example\.org$))`,
  String.raw`(?m)@example\.com$`,
  String.raw`(@example\.com$)+`,
  String.raw`(@example\.com$){1,2}`,
  String.raw`^\Qme@example.com\E$`,
  String.raw`[@.]example\.com$`,
  String.raw`[[:alpha:]|$]@example\.com$`,
  String.raw`\.example\.com$`,
  String.raw`(^|x)\x40example\.com$`,
  String.raw`^[])]@example\.com$`,
])("nothing about %s", (source) => {
  expect(doubtsAbout(source)).toEqual([]);
});

describe("a pattern that is not anchored at its end", () => {
  test.each([
    ["me@example.com", "me@example.com$"],
    [String.raw`^me@example\.com`, String.raw`^me@example\.com$`],
    [String.raw`@a\.com$|@b\.com`, String.raw`(?:@a\.com$|@b\.com)$`],
    [String.raw`(@a\.com|@b\.com$)`, String.raw`(@a\.com|@b\.com$)$`],
    [String.raw`@a\.com(\.au$)?`, String.raw`@a\.com(\.au$)?$`],
    [String.raw`@a\.com(?:$)*`, String.raw`@a\.com(?:$)*$`],
    [String.raw`@a\.com($){0,1}`, String.raw`@a\.com($){0,1}$`],
    [String.raw`@a\.com\$`, String.raw`@a\.com\$$`],
    [String.raw`@a\.com[$]`, String.raw`@a\.com[$]$`],
    [String.raw`@a\.com[^]$]`, String.raw`@a\.com[^]$]$`],
    [String.raw`@a\.com[[:alpha:]$]`, String.raw`@a\.com[[:alpha:]$]$`],
    [String.raw`@\Qa.com$\E`, String.raw`@\Qa.com$\E$`],
  ])("%s", (source, instead) => {
    expect(doubtsAbout(source)).toEqual([unanchored(instead)]);
    expect(doubtsAbout(instead)).toEqual([]);
  });

  test("accepts what the warning says", () => {
    const parsed = pattern.parse("me@example.com", () => undefined);
    expect(parsed.ok && parsed.value.test("me@example.com.elsewhere.test")).toBe(true);
  });
});

test.each([
  String.raw`example\.com$`,
  String.raw`(?i)example\.com$`,
  String.raw`(a\.com|b\.com)$`,
  String.raw`example\.(com|org)$`,
  String.raw`^me@a\.com$|b\.com$`,
  String.raw`\Qexample.com\E$`,
])("%s does not say where the domain begins", (source) => {
  expect(doubtsAbout(source)).toEqual([bare]);
});

test.each([
  [String.raw`/^me@example\.com$/`, [slashes(String.raw`^me@example\.com$`)]],
  [String.raw`/@example\.com$/i`, [slashes(String.raw`(?i)@example\.com$`)]],
  ["/@example/", [slashes("@example"), unanchored("@example$")]],
])("%s is another language's way to write a pattern", (source, reasons) => {
  expect(doubtsAbout(source)).toEqual(reasons);
});

test.each(["\n", "\r\n", "\r", " ", "\t"])("%j at the end is in no address", (end) => {
  const sound = String.raw`@example\.com$`;
  expect(doubtsAbout(`${sound}${end}`)).toEqual([blank(sound)]);
  expect(doubtsAbout(` ${sound}`)).toEqual([blank(sound)]);
});

test.each([".", ".*", "^.+$", "@", "^", "me@example\\.com$|", "^[^@]+@[^@]+$"])(
  "%j is everyone",
  (source) => {
    expect(doubtsAbout(source)).toEqual([everyone]);
  },
);

test("a pattern of any depth and length is read", () => {
  const deep = `${"(".repeat(900)}@a\\.com${")".repeat(900)}$`;
  expect(doubtsAbout(deep)).toEqual([]);
  expect(doubtsAbout(`^(${"me|".repeat(5_000)}you)@example\\.com$`)).toEqual([]);
});
