/**
 * Paths of an envelope against nodemailer's reader of addresses in a header, which mailparser uses: two programs that
 * read one mailbox differently are how mail gets to somebody else. Where the grammars differ, the class has a name.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import addressparser from "nodemailer/lib/addressparser";
import { type Mailbox, parseForwardPath } from "../../src/smtp/paths.ts";
import { pathWords } from "./smtp-words.ts";

type Agreement = "the same" | "postmaster alone";

/** What is to be expected of a path that we understand. */
function expected({ domain }: Mailbox): Agreement {
  return domain === "" ? "postmaster alone" : "the same";
}

/** The one address that a header with `path` in it has for nodemailer, as a wire string. */
function theirs(path: string): string {
  const parsed = addressparser(Buffer.from(path, "latin1").toString("utf8"), { flatten: true });
  return Buffer.from(parsed[0]?.address ?? "").toString("latin1");
}

function found(text: string): Agreement | "none of ours" | { ours: string; theirs: string } {
  const parsed = parseForwardPath(text);
  if (parsed === undefined) return "none of ours";
  const path = text.slice(0, text.length - parsed.rest.length);
  const { address } = parsed.path;
  const other = theirs(path);
  const agreement = expected(parsed.path);
  const holds = {
    "the same": other === address,
    // Without a domain it is a name to nodemailer.
    "postmaster alone": other === "",
  }[agreement];
  return holds ? agreement : { ours: address, theirs: other };
}

describe("a path that we understand", () => {
  test.each([
    ["<a@b.example>", "the same"],
    ['<"a b"@c>', "the same"],
    ['<"a\\"b\\\\"@c>', "the same"],
    ['<"a@x"@c>', "the same"],
    ['<"a,b;c:(d)"@e>', "the same"],
    ['<""@c>', "the same"],
    ["<first..last.@docomo.example>", "the same"],
    ["<A@[IPv6:2001:db8::1]>", "the same"],
    ["<j\xc3\xb6rg@b\xc3\xbccher.example>", "the same"],
    ["<=?utf-8?q?a?=@b>", "the same"],
    // RFC 5321 §3.3: a server drops a source route.
    ["<@x,@y:a@b>", "the same"],
    ["<postmaster>", "postmaster alone"],
    ['<"<a@b>"@c>', "the same"],
    ['<"a>b"@c>', "the same"],
  ] as const)("%j: %s", (text, agreement) => expect(found(text)).toBe(agreement));

  test("is read the same by both, but for the classes that have a name", () => {
    const piece = fc.constantFrom(...pathWords, "\\", " ");
    const pieces = fc.array(piece, { maxLength: 6 }).map((all) => all.join(""));
    const quoted = pieces.map((text) => `"${text.replaceAll(/["\\]/g, "\\$&")}"`);
    const locals = fc.oneof(pieces, quoted);
    const seen = new Map<unknown, number>();
    fc.assert(
      fc.property(locals, fc.oneof(pieces, fc.constantFrom("b.example", "[192.0.2.1]")), (local, domain) => {
        const agreement = found(`<${local}@${domain}>`);
        expect(agreement).toBeString();
        seen.set(agreement, (seen.get(agreement) ?? 0) + 1);
      }),
      { numRuns: 5000 },
    );
    expect(seen.get("the same")).toBeGreaterThan(200);
  });
});
