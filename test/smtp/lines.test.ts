import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { fitsOnLine, type Line, LineReader, overlongTextOctets } from "../../src/smtp/lines.ts";
import { cut, cuts, singleOctets, streams, wire } from "./generators.ts";

const limit = 100;

function drain(reader: LineReader): Line[] {
  const lines: Line[] = [];
  for (let line = reader.next(); line !== undefined; line = reader.next()) lines.push(line);
  return lines;
}

function read(...chunks: (string | Buffer)[]): Line[] {
  const reader = new LineReader(limit);
  return chunks.flatMap((chunk) => {
    reader.push(typeof chunk === "string" ? wire(chunk) : chunk);
    return drain(reader);
  });
}

/** What a reader must make of the whole stream, said without regard to cost. */
function naive(text: string): Line[] {
  return text
    .split("\n")
    .slice(0, -1)
    .map((line): Line => {
      const inner = line.endsWith("\r") ? line.slice(0, -1) : line;
      if (line.length + 1 > limit) return { text: line.slice(0, overlongTextOctets), defect: "overlong" };
      if (inner.includes("\0")) return { text: inner, defect: "nul" };
      if (inner.includes("\r")) return { text: inner, defect: "bare-cr" };
      return line === inner ? { text: inner, defect: "bare-lf" } : { text: inner };
    });
}

const anyStream = streams(
  "EHLO x",
  "DATA",
  ".",
  "x".repeat(limit - 1),
  "y".repeat(limit),
  "z".repeat(3 * limit),
);

describe("lines", () => {
  test("are cut at CRLF, with what follows kept for the next call", () => {
    const reader = new LineReader(limit);
    reader.push(wire("EHLO x\r\nDATA\r\nrest"));
    expect(reader.next()).toEqual({ text: "EHLO x" });
    expect(reader.pendingOctets).toBe(10);
    expect(reader.next()).toEqual({ text: "DATA" });
    expect(reader.next()).toBeUndefined();
    expect(reader.pendingOctets).toBe(4);
  });

  test("keep every octet", () => {
    const all = Array.from({ length: 256 }, (_, octet) => String.fromCharCode(octet))
      .filter(fitsOnLine)
      .join("");
    const reader = new LineReader(300);
    reader.push(wire(`${all}\r\n`));
    expect(reader.next()).toEqual({ text: all });
  });

  test.each<[string, Line]>([
    ["\r\n", { text: "" }],
    ["\n", { text: "", defect: "bare-lf" }],
    ["a\n", { text: "a", defect: "bare-lf" }],
    ["a\rb\r\n", { text: "a\rb", defect: "bare-cr" }],
    ["a\r\r\n", { text: "a\r", defect: "bare-cr" }],
    ["\ra\n", { text: "\ra", defect: "bare-cr" }],
    ["a\0\r\n", { text: "a\0", defect: "nul" }],
    ["a\0\rb\n", { text: "a\0\rb", defect: "nul" }],
  ])("%j has its defect", (stream, line) => {
    expect(read(stream)).toEqual([line]);
    expect(read(...singleOctets(wire(stream)))).toEqual([line]);
  });

  test("have a limit that includes CRLF, and reading goes on behind an overlong one", () => {
    const fits = "a".repeat(limit - 2);
    expect(read(`${fits}\r\n`)).toEqual([{ text: fits }]);
    expect(read(`${fits}a\n`)).toEqual([{ text: `${fits}a`, defect: "bare-lf" }]);
    const overlong = { text: "a".repeat(overlongTextOctets), defect: "overlong" } as const;
    expect(read(`${fits}a\r\nNOOP\r\n`)).toEqual([overlong, { text: "NOOP" }]);
    expect(read(`${fits}\0\r\0\n`, "NOOP\r\n")).toEqual([overlong, { text: "NOOP" }]);
  });

  test("are the same however the stream is cut", () => {
    fc.assert(
      fc.property(anyStream, cuts, (octets, places) => {
        const expected = naive(octets.toString("latin1"));
        expect(read(octets)).toEqual(expected);
        expect(read(...cut(octets, places))).toEqual(expected);
        expect(read(...singleOctets(octets))).toEqual(expected);
      }),
    );
  });

  test("are the same when asked for now and then, and the rest is what is left", () => {
    fc.assert(
      fc.property(anyStream, cuts, fc.array(fc.nat(3)), (octets, places, asked) => {
        const expected = naive(octets.toString("latin1"));
        const reader = new LineReader(limit);
        const lines: Line[] = [];
        for (const [index, chunk] of cut(octets, places).entries()) {
          reader.push(chunk);
          for (let i = asked[index] ?? 0; i > 0; i -= 1) {
            const line = reader.next();
            if (line !== undefined) lines.push(line);
          }
        }
        expect(lines).toEqual(expected.slice(0, lines.length));
        const taken = octets.toString("latin1").split("\n").slice(0, lines.length).join("\n").length;
        const left = octets.subarray(lines.length === 0 ? 0 : taken + 1);
        // A line longer than the limit may be swallowed in part.
        if (reader.pendingOctets === left.length) expect(reader.takeRest().equals(left)).toBe(true);
        else expect(left.toString("latin1").split("\n")[0]?.length ?? 0).toBeGreaterThan(limit);
      }),
    );
  });
});

describe("the rest", () => {
  test("is everything not read as lines, in one piece, and the reader starts anew", () => {
    const reader = new LineReader(limit);
    reader.push(wire("DA"));
    expect(reader.next()).toBeUndefined();
    reader.push(wire("TA\r\none\r\n"));
    reader.push(wire(".\r"));
    expect(reader.next()).toEqual({ text: "DATA" });
    expect(reader.takeRest().toString("latin1")).toBe("one\r\n.\r");
    expect(reader.pendingOctets).toBe(0);
    expect(reader.takeRest().length).toBe(0);
    reader.push(wire("QUIT\r\n"));
    expect(reader.next()).toEqual({ text: "QUIT" });
  });

  test("has the start of a line whose end is still to come", () => {
    const reader = new LineReader(limit);
    reader.push(wire("QU"));
    expect(reader.next()).toBeUndefined();
    reader.push(wire("IT\r\n"));
    expect(reader.takeRest().toString("latin1")).toBe("QUIT\r\n");
  });

  test("is a slice of the chunk when it is long", () => {
    const reader = new LineReader(limit);
    const chunk = wire(`DATA\r\n${"x".repeat(100_000)}`);
    reader.push(chunk);
    reader.next();
    const rest = reader.takeRest();
    expect(rest.length).toBe(100_000);
    expect(rest.buffer).toBe(chunk.buffer);
  });

  test("does not keep a long chunk alive when it is short", () => {
    const reader = new LineReader(1000);
    const chunk = wire(`${`${"x".repeat(500)}\r\n`.repeat(200)}QUIT\r\n`);
    reader.push(chunk);
    for (let i = 0; i < 200; i += 1) reader.next();
    const rest = reader.takeRest();
    expect(rest.toString("latin1")).toBe("QUIT\r\n");
    expect(rest.buffer.byteLength).toBeLessThan(64 * 1024);
  });
});

describe("cost", () => {
  test("memory is bounded by the limit, whatever is sent", () => {
    fc.assert(
      fc.property(anyStream, cuts, (octets, places) => {
        const reader = new LineReader(limit);
        for (const chunk of cut(octets, places)) {
          reader.push(chunk);
          drain(reader);
          expect(reader.pendingOctets).toBeLessThanOrEqual(limit);
        }
      }),
    );
  });

  test.each([2_000, 2_000_000])(
    "a line of 1 MB sent octet by octet takes linear time (limit %d)",
    (lineMax) => {
      const reader = new LineReader(lineMax);
      const octet = wire("x");
      const started = performance.now();
      for (let i = 0; i < 1_000_000; i += 1) {
        reader.push(octet);
        if (reader.next() !== undefined) throw new Error("no line has ended");
      }
      reader.push(wire("\r\n"));
      expect(reader.next()?.defect).toBe(lineMax === 2_000 ? "overlong" : undefined);
      // 0.2 s here. A search from the start for each octet takes minutes.
      expect(performance.now() - started).toBeLessThan(5_000);
    },
  );

  test("chunks that pile up unread are read in linear time", () => {
    const reader = new LineReader(2_000_000);
    const started = performance.now();
    for (const octet of singleOctets(wire(`${"x".repeat(300_000)}\r\n`))) reader.push(octet);
    expect(reader.next()?.text.length).toBe(300_000);
    for (const octet of singleOctets(wire("NOOP\r\n".repeat(50_000)))) reader.push(octet);
    expect(drain(reader).length).toBe(50_000);
    expect(performance.now() - started).toBeLessThan(5_000);
  });
});

test("fitsOnLine tells octets from what would end a line on the wire", () => {
  expect(fitsOnLine("")).toBe(true);
  expect(fitsOnLine("a\t\xff")).toBe(true);
  // U+010A is LF once it is cut to an octet.
  for (const text of ["\0", "\r", "\n", "a\u010a", "\u{1f600}"]) expect(fitsOnLine(text)).toBe(false);
});
