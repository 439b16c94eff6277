/** The quick look at mail data: its assembled form, what it says of any octets, and the scanner with it and without. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import wabt from "wabt";
import { cleanUntil, instantiate, load } from "../../src/smtp/clean-lines.ts";
import { type BareNewline, MailDataScanner } from "../../src/smtp/mail-data.ts";
import { cut, cuts, wire } from "./generators.ts";
import { mailData } from "./references.ts";

const source = join(import.meta.dir, "../../src/smtp");
const block = 16;
const octetsMin = 64;

/** Mostly proper lines, with something to look at here and there. */
const mail = fc
  .array(
    fc.oneof(
      { weight: 8, arbitrary: fc.nat(90).map((length) => `${"x".repeat(length)}\r\n`) },
      {
        weight: 1,
        arbitrary: fc.constantFrom("\r", "\n", ".", "..\r\n", "\r\n.", "\r\r\n", "\n\r", ".\r\n", ".\n"),
      },
    ),
    { maxLength: 40 },
  )
  .map((parts) => parts.join(""));

/** The first octet from `from` on that is not clean; the length if there is none. */
function firstToLookAt(octets: Buffer, from: number): number {
  for (let at = from; at < octets.length; at += 1) {
    const [before, here] = [at === 0 ? 0 : octets[at - 1], octets[at]];
    if ((before === 13) !== (here === 10) || (before === 10 && here === 46)) return at;
  }
  return octets.length;
}

test("what is embedded is what the text is assembled to", async () => {
  const { parseWat } = await wabt();
  const text = readFileSync(join(source, "clean-lines.wat"), "utf8");
  const { buffer } = parseWat("clean-lines.wat", text, { simd: true }).toBinary({});
  const embedded = readFileSync(join(source, "clean-lines.ts"), "utf8").match(/"[A-Za-z0-9+/=]{20,}"/g) ?? [];
  expect(embedded.join("").replaceAll('"', "")).toBe(Buffer.from(buffer).toString("base64"));
});

test("a module that the engine refuses is done without", () => {
  expect(instantiate("AGFzbQEAAAD/")).toBeUndefined();
  // Well-formed, and without what is looked for.
  expect(instantiate("AGFzbQEAAAA=")).toBeUndefined();
});

test("octets are clean up to the block in which one is not", () => {
  fc.assert(
    fc.property(mail, fc.nat(3_000), (text, start) => {
      const octets = wire(text);
      const from = octets.length === 0 ? 0 : start % octets.length;
      load(octets);
      const clean = cleanUntil(from);
      const first = firstToLookAt(octets, from);
      if (octets.length < octetsMin) expect(clean).toBe(from);
      else {
        expect(clean).toBeGreaterThanOrEqual(from);
        expect(clean).toBeLessThanOrEqual(first);
        expect(first - clean).toBeLessThan(block);
      }
    }),
    { numRuns: 2_000 },
  );
});

test("what stood in the memory before is never looked at", () => {
  load(Buffer.alloc(4_096, "\n"));
  load(Buffer.alloc(100, "x"));
  expect(cleanUntil(0)).toBe(96);
  load(Buffer.from("short"));
  expect(cleanUntil(0)).toBe(0);
});

test("a chunk longer than the memory is clean as far as that goes", () => {
  const octets = Buffer.alloc(700 * 1024, "x");
  load(octets);
  expect(cleanUntil(5)).toBeWithin(575 * 1024, 576 * 1024);
  const { octets: handedOn } = new MailDataScanner("reject").scan(octets);
  expect(Buffer.concat([...handedOn]).equals(octets)).toBeTrue();
});

test.each<BareNewline>(["reject", "normalize"])(
  "%s: the scanner agrees with its reference, in any pieces",
  (mode) => {
    fc.assert(
      fc.property(mail, cuts, (text, places) => {
        const scanner = new MailDataScanner(mode);
        const handedOn: Buffer[] = [];
        let rest: string | undefined;
        for (const chunk of cut(wire(text), places)) {
          if (rest !== undefined) rest += chunk.toString("latin1");
          else {
            const scanned = scanner.scan(chunk);
            handedOn.push(...scanned.octets);
            rest = scanned.rest?.toString("latin1");
          }
        }
        const expected = mailData(mode, text);
        expect(rest).toBe(expected.rest);
        expect(scanner.defect).toBe(expected.defect);
        expect(Buffer.concat(handedOn).toString("latin1")).toBe(expected.handedOn);
      }),
      { numRuns: 2_000 },
    );
  },
);
