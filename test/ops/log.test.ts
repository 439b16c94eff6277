/** Log lines: that any value gives exactly one clean line which can be read back; and buffering and dropping. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  formatLine,
  LOG_LEVELS,
  Log,
  type LogLevel,
  type LogLine,
  type LogValue,
  type Sink,
} from "../../src/ops/log.ts";

const DATE = Date.UTC(2026, 10, 23, 12, 54, 23, 123);

type Named = readonly [name: string, value: LogValue];

/** Each value has a key of its own, so that a name may come twice. */
function lineOf(level: LogLevel, event: string, named: readonly Named[]): LogLine {
  const fields = named.map(([name], index) => [`key${index}`, name] as const);
  return {
    level,
    isImportant: level === "error" || level === "warn",
    event,
    fields,
    values: Object.fromEntries(named.map(([, value], index) => [`key${index}`, value])),
  };
}

function line(...named: Named[]): LogLine {
  return lineOf("info", "test", named);
}

function wire(text: string): string {
  return Buffer.from(text).toString("latin1");
}

/** The value as text shows it. */
function shown(value: string): string {
  return formatLine("text", line(["v", value]), DATE)
    .replace(/^.* v="/, "")
    .slice(0, -1);
}

/** The octets that a shown value stands for, as a wire string. */
function octetsOf(text: string): string {
  return text
    .split(/(\\x[0-9a-f]{2}|\\.)/)
    .map((part) => {
      if (/^\\x[0-9a-f]{2}$/.test(part)) return String.fromCharCode(Number.parseInt(part.slice(2), 16));
      return part.startsWith("\\") ? part.slice(1) : wire(part);
    })
    .join("");
}

/** A reader for our text lines, stricter than any in the field. */
function readText(text: string): [string, string][] {
  const fields: [string, string][] = [];
  const field = /([a-zA-Z_]+)="((?:[^"\\]|\\["\\]|\\x[0-9a-f]{2})*)"(?: |$)/y;
  while (field.lastIndex < text.length) {
    const at = field.lastIndex;
    const match = field.exec(text);
    if (match === null) throw new Error(`cannot read at ${at}: ${text}`);
    fields.push([match[1] ?? "", match[2] ?? ""]);
  }
  return fields;
}

const wires = fc.oneof(
  fc.uint8Array({ maxLength: 700 }).map((octets) => Buffer.from(octets).toString("latin1")),
  fc.string({ unit: "binary", maxLength: 700 }).map(wire),
  fc.string({
    unit: fc.constantFrom("\\", '"', "x", "0a", "\n", "\r", "\0", "\u0085", "\xe2\x80\xa8", wire("…"), "é"),
  }),
);

describe("text", () => {
  test("a line", () => {
    const transaction = lineOf("warn", "transaction", [
      ["session", "a1"],
      ["relay", undefined],
      ["octets", 1234],
      ["tls", true],
      ["from", "<>"],
      ["reply", '550 5.7.1 "no" \\ here'],
    ]);
    expect(formatLine("text", transaction, DATE)).toBe(
      'time="2026-11-23T12:54:23.123Z" level="warn" event="transaction" session="a1" octets="1234" tls="true" ' +
        'from="<>" reply="550 5.7.1 \\"no\\" \\\\ here"',
    );
    expect(formatLine("json", transaction, DATE)).toBe(
      '{"time":"2026-11-23T12:54:23.123Z","level":"warn","event":"transaction","session":"a1","octets":1234,' +
        '"tls":true,"from":"<>","reply":"550 5.7.1 \\"no\\" \\\\\\\\ here"}',
    );
  });

  test.each([
    ["a\r\nb", "a\\x0d\\x0ab"],
    ["\0\t\x7f\x1b[31m", "\\x00\\x09\\x7f\\x1b[31m"],
    [wire("jörg 日本 😀"), "jörg 日本 😀"],
    ["j\xf6rg", "j\\xf6rg"],
    ["\xc3", "\\xc3"],
    ["\xc3(", "\\xc3("],
    ["\xf0\x9f\x98", "\\xf0\\x9f\\x98"],
    ["\xc0\xaf overlong", "\\xc0\\xaf overlong"],
    ["\xed\xa0\x80 surrogate", "\\xed\\xa0\\x80 surrogate"],
    ["\xf4\x90\x80\x80 beyond", "\\xf4\\x90\\x80\\x80 beyond"],
    [wire("\u0085 C1"), "\\xc2\\x85 C1"],
    [wire("a\u2028b\u2029c"), "a\\xe2\\x80\\xa8b\\xe2\\x80\\xa9c"],
    [wire("\u202ebidi\u2066"), "\\xe2\\x80\\xaebidi\\xe2\\x81\\xa6"],
    [wire("\ufeff"), "\\xef\\xbb\\xbf"],
    ["our own “text” — 日", "our own “text” — 日"],
    ["our own \u202e", "our own \\xe2\\x80\\xae"],
    ["lone \ud800", "lone \\xef\\xbf\\xbd"],
  ])("%j", (value, text) => expect(shown(value)).toBe(text));

  test("a value is cut at 512 characters", () => {
    expect(shown("a".repeat(512))).toBe("a".repeat(512));
    expect(shown("a".repeat(513))).toBe(`${"a".repeat(512)}…(+1)`);
    expect(shown(wire("é".repeat(513)))).toBe(`${"é".repeat(512)}…(+2)`);
    expect(shown("\n".repeat(1_000_000))).toBe(`${"\\x0a".repeat(512)}…(+999488)`);
  });
});

describe("properties", () => {
  const formats = fc.constantFrom("text", "json");

  test("any values give one line without anything a terminal obeys", () => {
    const value = fc.oneof(
      wires,
      fc.string({ unit: "binary" }),
      fc.double(),
      fc.boolean(),
      fc.constant(undefined),
    );
    fc.assert(
      fc.property(formats, fc.array(value), wires, (format, values, event) => {
        const named = values.map((item): Named => ["key", item]);
        const text = formatLine(format === "text" ? "text" : "json", lineOf("error", event, named), DATE);
        expect(text).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u);
      }),
      { numRuns: 1000 },
    );
  });

  test("text can be read back, octet for octet", () => {
    fc.assert(
      fc.property(fc.array(wires), (values) => {
        const short = values.map((value) => value.slice(0, 512));
        const named = short.map((value): Named => ["v", value]);
        const read = readText(formatLine("text", line(...named), DATE)).slice(3);
        expect(read.map(([, value]) => octetsOf(value))).toEqual(short);
      }),
      { numRuns: 1000 },
    );
  });

  test("so can JSON, with the same keys", () => {
    fc.assert(
      fc.property(wires, fc.integer(), (value, number) => {
        const short = value.slice(0, 512);
        const read: unknown = JSON.parse(
          formatLine("json", line(["v", short], ["n", number], ["u", undefined]), DATE),
        );
        expect(read).toMatchObject({
          time: "2026-11-23T12:54:23.123Z",
          level: "info",
          event: "test",
          n: number,
        });
        expect(Object.keys(Object(read))).toEqual(["time", "level", "event", "v", "n"]);
        expect(octetsOf(String(Object(read).v))).toBe(short);
      }),
      { numRuns: 1000 },
    );
  });
});

/** A sink that takes `room` octets, and then nothing until it is given more. */
class Bucket implements Sink {
  readonly writes: string[] = [];
  room: number;

  constructor(room = Number.POSITIVE_INFINITY) {
    this.room = room;
  }

  write(octets: Uint8Array): number {
    const taken = Math.min(this.room, octets.length);
    this.room -= taken;
    if (taken > 0) this.writes.push(Buffer.from(octets.subarray(0, taken)).toString());
    return taken;
  }

  get lines(): string[] {
    return this.writes.join("").split("\n").slice(0, -1);
  }
}

const turn = () => new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)));

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

describe("Log", () => {
  test("one write a turn", async () => {
    const sink = new Bucket();
    const log = new Log("text", "info", sink);
    for (let n = 0; n < 3; n++) log.write(line(["n", n]), DATE);
    expect(sink.writes).toEqual([]);
    await turn();
    expect(sink.writes).toHaveLength(1);
    expect(sink.lines).toEqual([0, 1, 2].map((n) => formatLine("text", line(["n", n]), DATE)));
    log.write(line(["n", 3]), DATE);
    await turn();
    expect(sink.writes).toHaveLength(2);
  });

  test("flush writes at once, and leaves nothing for the turn", async () => {
    const sink = new Bucket();
    const log = new Log("json", "info", sink);
    log.write(line(["é", "é"]), DATE);
    log.flush();
    expect(sink.lines).toHaveLength(1);
    await turn();
    expect(sink.writes).toHaveLength(1);
    log.flush();
    expect(sink.writes).toHaveLength(1);
  });

  test("levels", () => {
    for (const [rank, level] of LOG_LEVELS.entries()) {
      const sink = new Bucket();
      const log = new Log("text", level, sink);
      expect(LOG_LEVELS.filter((other) => log.enabled(other))).toEqual(LOG_LEVELS.slice(0, rank + 1));
      for (const other of LOG_LEVELS) log.write(lineOf(other, "x", []), DATE);
      log.flush();
      expect(sink.lines).toHaveLength(rank + 1);
    }
  });

  test("what a full sink does not take comes later, whole and in order, though cut within a character", async () => {
    const sink = new Bucket(70);
    const log = new Log("text", "info", sink);
    const text = wire("日本語".repeat(20));
    for (let n = 0; n < 3; n++) log.write(line(["v", text], ["n", n]), DATE);
    await turn();
    sink.room = 1;
    await until(() => sink.room === 0);
    log.write(line(["n", 3]), DATE);
    sink.room = Number.POSITIVE_INFINITY;
    await until(() => sink.lines.length === 4);
    expect(sink.lines.map((text) => text.slice(-5))).toEqual(['n="0"', 'n="1"', 'n="2"', 'n="3"']);
  });

  test("flush gives up on a sink that never takes anything, and on one that takes next to nothing", () => {
    for (const room of [0, Number.POSITIVE_INFINITY]) {
      const dribble: Sink = { write: (octets) => Math.min(room, octets.length, 1) };
      const log = new Log("text", "info", dribble);
      for (let n = 0; n < 3_000; n++) log.write(line(["v", "x".repeat(100)]), DATE);
      const started = performance.now();
      log.flush();
      expect(performance.now() - started).toBeLessThan(2000);
    }
  });

  /** Lines of 600 octets, each with its number. */
  const numbered = (level: LogLevel, n: number) =>
    lineOf(level, "x", [
      ["v", "x".repeat(500)],
      ["n", 100_000 + n],
    ]);
  const octetsOfNumbered = (level: LogLevel) => formatLine("text", numbered(level, 0), DATE).length + 1;
  const numberOf = (text: string) => Number(/ n="1?(\d+)"$/.exec(text)?.[1]) % 100_000;

  test("beyond its bound a line is dropped, counted, and that is told once there is room again", async () => {
    const sink = new Bucket(0);
    const log = new Log("text", "info", sink);
    // What is on its way to the sink, 64 KiB, is out of the bound.
    for (let n = 0; n < 100; n++) log.write(numbered("info", n), DATE);
    await turn();
    const underWay = Math.min(100, Math.floor((64 * 1024) / octetsOfNumbered("info")));
    const fit = Math.floor((512 * 1024) / octetsOfNumbered("info")) + underWay;
    for (let n = 100; n < fit + 7; n++) log.write(numbered("info", n), DATE + n);
    await turn();
    log.write(numbered("info", 99_999), DATE + 60_000);
    sink.room = Number.POSITIVE_INFINITY;
    log.flush();
    expect(sink.lines.map(numberOf).slice(0, -1)).toEqual(Array.from({ length: fit }, (_, n) => n));
    expect(sink.lines.at(-1)).toBe(
      'time="2026-11-23T12:55:23.123Z" level="warn" event="log-lines-dropped" lines="8" important_lines="0" ' +
        `since="${new Date(DATE + fit).toISOString()}"`,
    );
    log.write(line(), DATE);
    log.flush();
    expect(sink.lines).toHaveLength(fit + 2);
  });

  test("a flood of ordinary lines costs no important one, and the order stays", async () => {
    const sink = new Bucket(0);
    const log = new Log("text", "debug", sink);
    const important: number[] = [];
    for (let n = 0; n < 90_000; n++) {
      const isImportant = n % 45 === 0;
      if (isImportant) important.push(n);
      log.write(numbered(isImportant ? "warn" : n % 2 === 0 ? "info" : "debug", n), DATE);
    }
    await turn();
    sink.room = Number.POSITIVE_INFINITY;
    log.flush();
    const lines = sink.lines;
    const told = lines.pop();
    const written = lines.map(numberOf);
    expect(lines.filter((text) => text.includes('level="warn"')).map(numberOf)).toEqual(important);
    expect(written).toEqual(written.toSorted((a, b) => a - b));
    expect(told).toContain(
      `event="log-lines-dropped" lines="${90_000 - written.length}" important_lines="0"`,
    );
  });

  test("important lines have a bound too, and their loss is told apart", async () => {
    const sink = new Bucket(0);
    const log = new Log("text", "info", sink);
    for (let n = 0; n < 20_000; n++) log.write(numbered("warn", n), DATE);
    await turn();
    sink.room = Number.POSITIVE_INFINITY;
    log.flush();
    const lost = 20_000 - (sink.lines.length - 1);
    expect(lost).toBeGreaterThan(10_000);
    expect(sink.lines.join("\n").length).toBeLessThan(2.2 * 1024 * 1024);
    expect(sink.lines.at(-1)).toContain(`lines="${lost}" important_lines="${lost}"`);
  });

  test("a reader that is slow, but reads, is told every second what it missed", async () => {
    const sink = new Bucket(0);
    const log = new Log("text", "info", sink);
    let n = 0;
    for (let second = 0; second < 5; second++) {
      for (let count = 0; count < 2_000; count++) log.write(numbered("info", n++), DATE + second * 1_000);
      sink.room = 50_000;
      await turn();
      await until(() => sink.room === 0);
    }
    sink.room = Number.POSITIVE_INFINITY;
    log.flush();
    const told = sink.lines.flatMap(
      (text) => /event="log-lines-dropped" lines="(\d+)"/.exec(text)?.[1] ?? [],
    );
    expect(told.length).toBeGreaterThanOrEqual(4);
    const dropped = told.map(Number).reduce((sum, lines) => sum + lines, 0);
    expect(dropped + sink.lines.length - told.length).toBe(10_000);
  });
});
