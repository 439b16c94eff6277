import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type BareNewline, type MailDataDefect, MailDataScanner } from "../../src/smtp/mail-data.ts";
import { cut, cuts, singleOctets, wire } from "./generators.ts";
import { mailData } from "./references.ts";

interface Scanned {
  /** What was handed on, as a wire string. */
  readonly handedOn: string;
  readonly rest: string | undefined;
  readonly defect: MailDataDefect | undefined;
  readonly messageOctets: number;
}

const modes: readonly BareNewline[] = ["reject", "normalize"];

/** What a relay may be given at any instant: lines that end in CRLF, none of them the end of data. */
const safe = /^(?!\.\r\n)(?:(?!\r\n\.\r\n)(?:[^\r\n]|\r\n))*$/;

function scan(mode: BareNewline, chunks: readonly Buffer[]): Scanned {
  const scanner = new MailDataScanner(mode);
  let handedOn = "";
  let rest: string | undefined;
  for (const chunk of chunks) {
    if (rest !== undefined) {
      rest += chunk.toString("latin1");
      continue;
    }
    const scanned = scanner.scan(chunk);
    handedOn += Buffer.concat(scanned.octets).toString("latin1");
    rest = scanned.rest?.toString("latin1");
    // Plain comparison: expect() is too slow for half a million calls.
    if (!safe.test(handedOn)) throw new Error(`unsafe: ${JSON.stringify(handedOn)}`);
  }
  if (rest !== undefined && scanner.defect === undefined && !/^$|\r\n$/.test(handedOn)) {
    throw new Error(`no place for the dot: ${JSON.stringify(handedOn)}`);
  }
  return { handedOn, rest, defect: scanner.defect, messageOctets: scanner.messageOctets };
}

/** Compares without expect(), which is slow. Returns what is wrong. */
function disagreement(mode: BareNewline, stream: string, chunks: readonly Buffer[]): string | undefined {
  const scanned = scan(mode, chunks);
  const whole = scan(mode, [wire(stream)]);
  const reference = mailData(mode, stream);
  const same =
    scanned.handedOn === whole.handedOn &&
    scanned.rest === whole.rest &&
    scanned.defect === whole.defect &&
    scanned.messageOctets === whole.messageOctets;
  const right =
    scanned.handedOn === reference.handedOn &&
    scanned.rest === reference.rest &&
    scanned.defect === reference.defect &&
    (reference.defect !== undefined || scanned.messageOctets === reference.messageOctets);
  return same && right ? undefined : JSON.stringify({ mode, stream, scanned, whole, reference });
}

function allStrings(alphabet: readonly string[], lengthMax: number): string[] {
  let strings = [""];
  const all = [...strings];
  for (let length = 1; length <= lengthMax; length += 1) {
    strings = strings.flatMap((string) => alphabet.map((letter) => string + letter));
    all.push(...strings);
  }
  return all;
}

describe("against a naive reference", () => {
  test("every string of up to 7 octets of CR, LF, dot and a letter, with every cut in two", () => {
    const wrong: string[] = [];
    let scans = 0;
    for (const string of allStrings(["\r", "\n", ".", "a"], 7)) {
      const octets = wire(string);
      const chunkings = [singleOctets(octets)];
      for (let at = 0; at < octets.length; at += 1) {
        chunkings.push([octets.subarray(0, at), octets.subarray(at)]);
      }
      for (const mode of modes) {
        for (const chunks of chunkings) {
          scans += 1;
          const problem = disagreement(mode, string, chunks);
          if (problem !== undefined) wrong.push(problem);
        }
      }
    }
    expect(wrong.slice(0, 5)).toEqual([]);
    expect(scans).toBeGreaterThan(200_000);
  }, 30_000);

  test("every string of up to 6 octets between a text and the end of data, with every cut in two", () => {
    const wrong: string[] = [];
    for (const string of allStrings(["\r", "\n", ".", "a"], 6)) {
      for (const mode of modes) {
        const stream = `a\r\n${string}\r\n.\r\nMAIL`;
        const octets = wire(stream);
        for (let at = 3; at < octets.length; at += 1) {
          const problem = disagreement(mode, stream, [octets.subarray(0, at), octets.subarray(at)]);
          if (problem !== undefined) wrong.push(problem);
        }
      }
    }
    expect(wrong.slice(0, 5)).toEqual([]);
  }, 30_000);

  test("long streams, however they are cut", () => {
    const words = fc.constantFrom(
      "\r\n",
      "\r",
      "\n",
      ".",
      "..",
      "\r\n.",
      "\r\n.\r\n",
      "\0",
      "a",
      "aaa",
      "aaaaaaaaaaaaaaa",
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
      "\xff",
    );
    const streams = fc.array(words, { maxLength: 60 }).map((parts) => parts.join(""));
    fc.assert(
      fc.property(fc.constantFrom(...modes), streams, cuts, (mode, stream, places) => {
        const octets = wire(stream);
        expect(disagreement(mode, stream, cut(octets, places))).toBeUndefined();
        expect(disagreement(mode, stream, singleOctets(octets))).toBeUndefined();
      }),
      { numRuns: 2000 },
    );
  });
});

describe("the end of data", () => {
  test.each(["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\r\n.\r\r\n", "\r\n\0.\r\n", "\r\n.\0\r\n"])(
    "%j is none",
    (sequence) => {
      for (const mode of modes) {
        const scanned = scan(mode, [wire(`a${sequence}MAIL FROM:<x>\r\nend\r\n.\r\nQUIT\r\n`)]);
        expect(scanned.rest).toBe("QUIT\r\n");
        expect(scanned.handedOn).not.toContain("\r\n.\r\n");
      }
    },
  );

  test("'..' CRLF MAIL CRLF '.' CRLF, cut after octets 2 to 5", () => {
    const octets = wire("..\r\nMAIL FROM:<x>\r\n.\r\n");
    for (const at of [2, 3, 4, 5]) {
      const scanned = scan("reject", [octets.subarray(0, at), octets.subarray(at)]);
      expect(scanned).toEqual({
        handedOn: "..\r\nMAIL FROM:<x>\r\n",
        rest: "",
        defect: undefined,
        messageOctets: 18,
      });
    }
  });

  test("an empty message, and what follows it", () => {
    expect(scan("reject", [wire(".\r\nQUIT\r\n")])).toMatchObject({ handedOn: "", rest: "QUIT\r\n" });
  });
});

describe("what is handed on", () => {
  test("whole lines are slices of the input, not copies", () => {
    const octets = wire("one\r\n..two\r\nthree\r\n");
    const { octets: out } = new MailDataScanner("reject").scan(octets);
    expect(out.length).toBe(1);
    expect(out[0]?.buffer).toBe(octets.buffer);
  });

  test("nothing behind a defect, while the end is still found", () => {
    const scanned = scan("reject", [wire("a\nb\r\n"), wire("c\r\n.\r\nd")]);
    expect(scanned).toMatchObject({ handedOn: "a", defect: "bare-lf", rest: "d" });
  });

  test("the first defect counts", () => {
    expect(scan("reject", [wire("a\rb\n")]).defect).toBe("bare-cr");
    expect(scan("reject", [wire("a\nb\rc")]).defect).toBe("bare-lf");
    expect(scan("normalize", [wire("a\nb\rc")]).defect).toBe("bare-cr");
  });
});

/** What the search finds that is begun behind `at` octets, and what was handed on before. */
function discardedAt(mode: BareNewline, octets: Buffer, at: number, chunks: readonly Buffer[]): string {
  const scanner = new MailDataScanner(mode);
  const first = scanner.scan(octets.subarray(0, at));
  if (first.rest !== undefined) return "ended before";
  const before = scanner.messageOctets;
  scanner.discard();
  let searched = 0;
  for (const [index, chunk] of chunks.entries()) {
    const { octets: handedOn, rest } = scanner.scan(chunk);
    if (handedOn.length > 0) throw new Error("handed on behind an objection");
    searched += chunk.length - (rest?.length ?? 0);
    if (rest !== undefined) return Buffer.concat([rest, ...chunks.slice(index + 1)]).toString("latin1");
  }
  // At most ".", CR were held back.
  const held = scanner.messageOctets - before - searched;
  if (held < 0 || held > 2) throw new Error(`${held} octets were held back`);
  return "no end";
}

describe("what was refused is searched for its end", () => {
  test("every string of up to 7 octets: from every place on, however it is cut", () => {
    const wrong: string[] = [];
    let searches = 0;
    for (const string of allStrings(["\r", "\n", ".", "a"], 7)) {
      const octets = wire(string);
      const expected = mailData("normalize", string).rest ?? "no end";
      for (const mode of modes) {
        for (let at = 0; at <= octets.length; at += 1) {
          const rest = octets.subarray(at);
          for (const chunks of [[rest], singleOctets(rest), [rest.subarray(0, 2), rest.subarray(2)]]) {
            searches += 1;
            const found = discardedAt(mode, octets, at, chunks);
            if (found !== expected && found !== "ended before")
              wrong.push(`${mode} ${at} ${JSON.stringify(string)}`);
          }
        }
      }
    }
    expect(wrong.slice(0, 5)).toEqual([]);
    expect(searches).toBeGreaterThan(500_000);
  }, 60_000);

  test("long streams", () => {
    const words = fc.constantFrom(
      "\r\n",
      "\r",
      "\n",
      ".",
      "\r\n.",
      "\r\n.\r",
      "\r\n.\r\n",
      "a",
      "aaaaaaaaaaaa",
    );
    const streams = fc.array(words, { maxLength: 60 }).map((parts) => parts.join(""));
    fc.assert(
      fc.property(fc.constantFrom(...modes), streams, fc.nat(100), cuts, (mode, stream, place, places) => {
        const octets = wire(stream);
        const at = Math.min(place, octets.length);
        const found = discardedAt(mode, octets, at, cut(octets.subarray(at), places));
        if (found !== "ended before") expect(found).toBe(mailData("normalize", stream).rest ?? "no end");
      }),
      { numRuns: 2000 },
    );
  });

  test("octets count as they come, less the line that ends them", () => {
    const scanner = new MailDataScanner("reject");
    scanner.scan(wire("..ab\r\n"));
    scanner.discard();
    scanner.scan(wire("..cd\r\n"));
    scanner.scan(wire(".\r\n"));
    expect(scanner.messageOctets).toBe(5 + 6);
    scanner.discard();
    expect(scanner.messageOctets).toBe(5 + 6);
    const ended = new MailDataScanner("reject");
    ended.scan(wire("ab\r\n.\r\n"));
    ended.discard();
    expect(ended.messageOctets).toBe(4);
  });
});

describe("what is changed on its way", () => {
  const unitsOfCopies = ["\n", "a\n", "\n.\n", "\n.\r\n", "\r\n.a\n", `${"x".repeat(97)}\n`];

  test.each(unitsOfCopies)("%j for 200 KB comes in a few Buffers, and as the reference has it", (unit) => {
    for (const before of ["", "a", "ab", "abc", "abcd\r\n"]) {
      const stream = `${before}${unit}`.padEnd(200_000, unit);
      const octets = wire(stream);
      for (const chunks of [[octets], [octets.subarray(0, 65_537), octets.subarray(65_537)]]) {
        const { handedOn, messageOctets } = scanOnce("normalize", chunks);
        const reference = mailData("normalize", stream);
        expect(handedOn === reference.handedOn).toBeTrue();
        expect(messageOctets).toBe(reference.messageOctets);
      }
    }
  });

  test("each of them is alone in its memory", () => {
    const { octets, areCopies } = new MailDataScanner("normalize").scan(Buffer.alloc(200_000, "ab\n"));
    expect(areCopies).toBeTrue();
    expect(octets.length).toBe(5);
    for (const piece of octets) expect(piece.length).toBe(piece.buffer.byteLength);
  });
});

/** As `scan`, for streams so long that they cannot be looked at anew with each chunk. */
function scanOnce(mode: BareNewline, chunks: readonly Buffer[]): { handedOn: string; messageOctets: number } {
  const scanner = new MailDataScanner(mode);
  const pieces = chunks.flatMap((chunk) => scanner.scan(chunk).octets);
  return { handedOn: Buffer.concat(pieces).toString("latin1"), messageOctets: scanner.messageOctets };
}

describe("cost", () => {
  const size = 512 * 1024;
  /** Of the processor, on a slow machine. It takes 0.1 to 3 ms; a Buffer or two searches a line took 40 to 120. */
  const cpuMsMax = 25;

  test.each<[string, string]>([
    ["LF", "\n"],
    ["CR", "\r"],
    ["CR LF", "\r\n"],
    ["CR CR LF", "\r\r\n"],
    ["LF CR", "\n\r"],
    ["dots", "."],
    ["lines of a dot", "\r\n."],
    ["LF dot LF", "\n.\n"],
    ["LF dot CR LF", "\n.\r\n"],
    ["almost ends", "\r\n.\r\r\n.a"],
    ["lines of two dots", "..\r\n"],
    ["letters", "a"],
    ["lines without CR", "a\n"],
  ])("a chunk of nothing but %s takes a few milliseconds and a few Buffers", (_, unit) => {
    const chunk = Buffer.alloc(size, unit);
    for (const mode of modes) {
      let least = Number.POSITIVE_INFINITY;
      for (let looks = 0; looks < 8 && least > cpuMsMax / 2; looks += 1) {
        const scanner = new MailDataScanner(mode);
        const before = process.cpuUsage();
        const { octets } = scanner.scan(chunk);
        scanner.scan(chunk);
        const { user, system } = process.cpuUsage(before);
        least = Math.min(least, (user + system) / 2000);
        expect(octets.length).toBeLessThanOrEqual((2 * size) / (64 * 1024 - 4) + 1);
      }
      expect(least).toBeLessThan(cpuMsMax);
    }
  });
});
