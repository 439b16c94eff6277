import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  formatPath,
  isAscii,
  isDomainOrLiteral,
  isUtf8,
  type Mailbox,
  parseForwardPath,
  parseReversePath,
  pathOctetsMax,
} from "../../src/smtp/paths.ts";
import { commandLike, wireStrings } from "./generators.ts";

function mailbox(localPart: string, domain: string): Mailbox {
  const address = `${localPart}@${domain}`;
  return { localPart, domain, address, utf8: !isAscii(address) };
}

const label63 = "l".repeat(63);
const utf8 = (text: string): string => Buffer.from(text).toString("latin1");

describe("mailboxes", () => {
  test.each([
    ["a", "example.com"],
    ["A.b+c", "EXAMPLE.com"],
    ["!#$%&'*+-/=?^_`{|}~", "x"],
    ["first..last.", "docomo.ne.jp"],
    [".a", "x.example"],
    ['"a b"', "x.example"],
    ['"a@b>c"', "x.example"],
    ['"a\\"\\\\ b"', "x.example"],
    ['""', "x.example"],
    ["a", "under_score.example"],
    ["a", "-odd-.example"],
    ["a", "192.0.2.1"],
    ["a", `${label63}.${label63}.${label63}.${"l".repeat(61)}.x`],
    ["a", "[192.0.2.1]"],
    ["a", "[IPv6:2001:db8::1]"],
    ["a", "[ipv6:::ffff:192.0.2.1]"],
    ["a", "[tag-1:!Z^~]"],
    ["l".repeat(200), "x.example"],
    [utf8("jörg"), utf8("bücher.example")],
    [utf8('"ö ö"'), "x.example"],
    ["a", utf8(`${"好".repeat(30)}.example`)],
  ])("%j at %j", (localPart, domain) => {
    const path = mailbox(localPart, domain);
    expect(parseReversePath(`<${localPart}@${domain}>`)).toEqual({ path, rest: "" });
    expect(parseForwardPath(`<${localPart}@${domain}>`)).toEqual({ path, rest: "" });
  });

  test.each([
    "",
    "<",
    ">",
    "a@b",
    "<a@b",
    "a@b>",
    "<a>",
    "<@b>",
    "<a@>",
    "< a@b>",
    "<a@b >",
    "<a b@c>",
    "<a@b@c>",
    "<<a@b>>",
    "<a@b.>",
    "<a@.b>",
    "<a@b..c>",
    "<a@b,c>",
    "<(a)b@c>",
    "<a:b@c>",
    '<"a@b>',
    '<"a"b@c>',
    '<a"b"@c>',
    '<"a\\"@b>',
    '<"a\tb"@c>',
    "<a\\@b@c>",
    "<a\0@b>",
    "<a\r@b>",
    `<a@${label63}l.example>`,
    `<a@${`${label63}.`.repeat(4)}x>`,
    "<a@[]>",
    "<a@[1.2.3]>",
    "<a@[1.2.3.256]>",
    "<a@[01.2.3.4]>",
    "<a@[1.2.3.4>",
    "<a@[1.2.3.4]x>",
    "<a@[IPv6:]>",
    "<a@[IPv6:1::2::3]>",
    "<a@[IPv6:fe80::1%eth0]>",
    "<a@[IPv6:192.0.2.1]>",
    "<a@[tag:]>",
    "<a@[tag-:x]>",
    "<a@[tag:a b]>",
    "<a@[tag:a[b]>",
    "<\xff@b>",
    "<a@\xc3>",
    "<a@[\xc3\xa9]>",
    '<"\\\xc3\xa9"@b>',
    `<${"l".repeat(pathOctetsMax)}@b>`,
  ])("%j is none", (text) => {
    expect(parseReversePath(text)).toBeUndefined();
    expect(parseForwardPath(text)).toBeUndefined();
  });

  test("the limit is that of the path, brackets and source route included", () => {
    const longest = `<${"l".repeat(pathOctetsMax - 4)}@b>`;
    expect(longest.length).toBe(pathOctetsMax);
    expect(parseReversePath(longest)).toBeDefined();
    expect(parseReversePath(`<@c:${longest.slice(1)}`)).toBeUndefined();
  });

  test("source routes are read and dropped", () => {
    expect(parseReversePath("<@a.example,@b.example:c@d>")?.path).toEqual(mailbox("c", "d"));
    for (const text of [
      "<@a>",
      "<@a:>",
      "<@a,b:c@d>",
      "<@a,:c@d>",
      "<@a.:c@d>",
      "<@:c@d>",
      "<@\xff:c@d>",
      "<a:b@c>",
    ]) {
      expect(parseReversePath(text)).toBeUndefined();
    }
  });

  test("the rest is what follows the bracket", () => {
    expect(parseReversePath("   <a@b> SIZE=1 ")?.rest).toBe(" SIZE=1 ");
    expect(parseReversePath("<>x")).toEqual({ path: "null", rest: "x" });
    expect(parseForwardPath("<a@b>>")?.rest).toBe(">");
    expect(parseForwardPath(" <postmaster> x")?.rest).toBe(" x");
  });
});

test("the null reverse-path is one of MAIL only", () => {
  expect(parseReversePath("<>")).toEqual({ path: "null", rest: "" });
  expect(parseForwardPath("<>")).toBeUndefined();
  expect(parseReversePath("< >")).toBeUndefined();
});

test("postmaster without a domain is one of RCPT only", () => {
  const path = { localPart: "PostMaster", domain: "", address: "PostMaster", utf8: false };
  expect(parseForwardPath("<PostMaster>")).toEqual({ path, rest: "" });
  expect(formatPath(path)).toBe("<PostMaster>");
  expect(parseReversePath("<postmaster>")).toBeUndefined();
  expect(parseForwardPath("<postmaster2>")).toBeUndefined();
  expect(parseForwardPath('<"postmaster">')).toBeUndefined();
});

test("names of hosts", () => {
  for (const name of ["a", "mx.example", "a_b", "[192.0.2.1]", "[IPv6:::1]", "127.0.0.1", "[x:y]"]) {
    expect([name, isDomainOrLiteral(name)]).toEqual([name, true]);
  }
  for (const name of [
    "",
    ".",
    "a.",
    "a b",
    "a\r\n",
    "192.0.2.1]",
    "[192.0.2.1",
    "::1",
    "[]",
    utf8("bücher.example"),
  ]) {
    expect([name, isDomainOrLiteral(name)]).toEqual([name, false]);
  }
});

test("UTF-8 is told from other octets", () => {
  fc.assert(
    fc.property(wireStrings(12), fc.string({ unit: "binary" }), (octets, text) => {
      const valid = (() => {
        try {
          new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(octets, "latin1"));
          return true;
        } catch {
          return false;
        }
      })();
      expect(isUtf8(octets)).toBe(valid);
      expect(isUtf8(utf8(text))).toBe(true);
    }),
  );
});

describe("any path", () => {
  const atoms = fc.string({ unit: fc.constantFrom(..."ab1!#+-/=?_.~"), minLength: 1, maxLength: 20 });
  const quoted = fc
    .array(fc.constantFrom("a", " ", "@", ">", "<", '\\"', "\\\\", "\\ ", ".", utf8("é")), { maxLength: 20 })
    .map((parts) => `"${parts.join("")}"`);
  const labels = fc.string({ unit: fc.constantFrom(..."abz019-_"), minLength: 1, maxLength: 20 });
  const domains = fc.oneof(
    fc.array(labels, { minLength: 1, maxLength: 5 }).map((parts) => parts.join(".")),
    fc.ipV4().map((address) => `[${address}]`),
    fc.ipV6().map((address) => `[IPv6:${address}]`),
  );

  test("is read as it was written", () => {
    fc.assert(
      fc.property(fc.oneof(atoms, quoted), domains, wireStrings(10), (localPart, domain, rest) => {
        const path = mailbox(localPart, domain);
        expect(parseReversePath(formatPath(path) + rest)).toEqual({ path, rest });
        expect(parseForwardPath(formatPath(path) + rest)).toEqual({ path, rest });
      }),
    );
  });

  test("that is read from garbage is read again the same, and cannot end a line", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          wireStrings(60),
          commandLike.map((text) => `<${text}@x>`),
          commandLike,
        ),
        (text) => {
          for (const parse of [parseReversePath, parseForwardPath]) {
            const parsed = parse(text);
            if (parsed === undefined) continue;
            const again = formatPath(parsed.path);
            expect(parse(again)).toEqual({ path: parsed.path, rest: "" });
            expect(Buffer.from(again, "latin1").every((octet) => octet >= 32 && octet !== 127)).toBe(true);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});
