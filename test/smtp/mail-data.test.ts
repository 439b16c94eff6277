import { afterEach, describe, expect, mock, spyOn, test } from "bun:test";
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

describe("cost", () => {
  afterEach(() => {
    mock.restore();
  });

  const size = 64 * 1024;
  test.each<[string, string]>([
    ["LF", "\n"],
    ["CR", "\r"],
    ["CR LF", "\r\n"],
    ["LF CR", "\n\r"],
    ["dots", "."],
    ["lines of a dot", "\r\n."],
    ["lines of two dots", "..\r\n"],
    ["letters", "a"],
    ["lines without CR", "a\n"],
  ])("a chunk of nothing but %s is searched about twice", (_, unit) => {
    for (const mode of modes) {
      const chunk = Buffer.alloc(size, unit);
      const spy = spyOn(Buffer.prototype, "indexOf");
      const backwards = spyOn(Buffer.prototype, "lastIndexOf");
      const { octets } = new MailDataScanner(mode).scan(chunk);
      let searched = 0;
      for (const [index, octets] of backwards.mock.contexts.entries()) {
        const length = Buffer.isBuffer(octets) ? octets.length : Number.NaN;
        searched += length - Number(backwards.mock.results[index]?.value);
      }
      backwards.mockRestore();
      for (const [index, [, from]] of spy.mock.calls.entries()) {
        const hit = Number(spy.mock.results[index]?.value);
        searched += (hit === -1 ? size : hit) - Number(from ?? 0) + 1;
      }
      spy.mockRestore();
      expect(searched).toBeGreaterThan(0);
      expect(searched).toBeLessThanOrEqual(4 * size);
      expect(octets.length).toBeLessThanOrEqual(16);
    }
  });
});
