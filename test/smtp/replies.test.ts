import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { fitsOnLine } from "../../src/smtp/lines.ts";
import {
  asTemporary,
  describeReply,
  enhancedCode,
  formatReply,
  presentable,
  type ReadReplies,
  type Reply,
  ReplyReader,
  reply,
  replyLineOctetsMax,
  replyLinesMax,
  withEnhancedCode,
} from "../../src/smtp/replies.ts";
import { cut, cuts, singleOctets, streams, wire, wireStrings } from "./generators.ts";

function read(...chunks: (string | Buffer)[]): ReadReplies {
  const reader = new ReplyReader();
  const replies: Reply[] = [];
  let defect: ReadReplies["defect"];
  for (const chunk of chunks) {
    const result = reader.push(typeof chunk === "string" ? wire(chunk) : chunk);
    replies.push(...result.replies);
    if (defect !== undefined) expect(result).toEqual({ replies: [], defect });
    defect = result.defect;
  }
  return defect === undefined ? { replies } : { replies, defect };
}

const texts = wireStrings(30).filter(fitsOnLine);
const replies: fc.Arbitrary<Reply> = fc.record({
  code: fc.integer({ min: 200, max: 599 }),
  lines: fc
    .tuple(texts, fc.array(texts, { maxLength: 5 }))
    .map(([first, others]): Reply["lines"] => [first, ...others]),
});

describe("writing", () => {
  test("a reply of one line, and of several", () => {
    expect(formatReply(reply(250, "2.0.0", "ok")).toString("latin1")).toBe("250 2.0.0 ok\r\n");
    expect(
      formatReply(reply(250, undefined, "mx.example", "PIPELINING", "8BITMIME")).toString("latin1"),
    ).toBe("250-mx.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n");
    expect(formatReply(reply(550, "5.7.1", "a", "", "b")).toString("latin1")).toBe(
      "550-5.7.1 a\r\n550-5.7.1\r\n550 5.7.1 b\r\n",
    );
  });

  test("octets over 127 go out as they came in", () => {
    expect([...formatReply(reply(550, undefined, "\xc3\xa9"))]).toEqual([...wire("550 \xc3\xa9\r\n")]);
  });

  test("a text that would break the protocol is our own fault", () => {
    for (const text of ["a\r\nb", "\n", "\0", "\u010a"]) {
      expect(() => formatReply(reply(250, undefined, "x", text))).toThrow("NUL, CR or LF");
    }
    for (const code of [199, 600, 250.5, Number.NaN])
      expect(() => formatReply(reply(code, undefined, "x"))).toThrow();
  });

  test("one line for the log", () => {
    expect(describeReply(reply(250, "2.0.0", "Ok: queued"))).toBe("250 2.0.0 Ok: queued");
    expect(describeReply(reply(550, undefined, "no", "such", "user"))).toBe("550 no / such / user");
  });
});

describe("enhanced codes", () => {
  test.each([
    ["2.1.5 Ok", "2.1.5"],
    ["5.7.26", "5.7.26"],
    ["4.123.999 x", "4.123.999"],
    ["2.0.0Ok", undefined],
    ["2.01.5 leading zero", undefined],
    ["3.0.0 no such class", undefined],
    ["2.1.1234 x", undefined],
    ["2.1 x", undefined],
    [" 2.1.5 x", undefined],
    ["[2.1.5] x", undefined],
    ["2.1.5\tx", undefined],
    ["", undefined],
  ])("%j", (text, code) => {
    expect(enhancedCode(reply(250, undefined, text))).toBe(code);
  });

  test("a reply that has one is left alone, whatever its class", () => {
    for (const text of ["2.1.5 Ok", "5.1.1 odd"]) {
      const said = reply(250, undefined, text, "more");
      expect(withEnhancedCode(said)).toBe(said);
    }
  });

  test("a reply without gets the generic one of its class on each line", () => {
    expect(withEnhancedCode(reply(250, undefined, "a", ""))).toEqual(reply(250, "2.0.0", "a", ""));
    expect(withEnhancedCode(reply(452, undefined, "a"))).toEqual(reply(452, "4.0.0", "a"));
    expect(withEnhancedCode(reply(599, undefined, "a"))).toEqual(reply(599, "5.0.0", "a"));
    const goAhead = reply(354, undefined, "go ahead");
    expect(withEnhancedCode(goAhead)).toBe(goAhead);
  });

  test("a relay's 421 becomes 451 with its text", () => {
    expect(asTemporary(reply(421, "4.7.28", "rate", "limited"))).toEqual(
      reply(451, "4.7.28", "rate", "limited"),
    );
    expect(asTemporary(reply(421, undefined, "bye"))).toEqual(reply(451, "4.0.0", "bye"));
    expect(asTemporary(reply(421, undefined, "5.3.2 a", "b", "2.0.0 c"))).toEqual(
      reply(451, undefined, "4.3.2 a", "b", "4.0.0 c"),
    );
  });
});

describe("reading", () => {
  test("replies come whole and in order, however they are pipelined", () => {
    expect(read("250-a\r\n250 b\r\n354 go\r", "\n4")).toEqual({
      replies: [reply(250, undefined, "a", "b"), reply(354, undefined, "go")],
    });
  });

  test.each<[string, Reply]>([
    ["250\r\n", reply(250, undefined, "")],
    ["250 \r\n", reply(250, undefined, "")],
    ["250-\r\n250\r\n", reply(250, undefined, "", "")],
    ["250 ok\n", reply(250, undefined, "ok")],
    ["250  ok \r\n", reply(250, undefined, " ok ")],
    ["599 \xff\x85\t\r\n", reply(599, undefined, "\xff\x85\t")],
  ])("%j is tolerated", (stream, expected) => {
    expect(read(stream)).toEqual({ replies: [expected] });
  });

  test.each([
    "\r\n",
    "ok\r\n",
    "25 ok\r\n",
    "2500 ok\r\n",
    "250ok\r\n",
    "250\tok\r\n",
    " 250 ok\r\n",
    "150 ok\r\n",
    "650 ok\r\n",
    "250 a\rb\r\n",
    "250 a\r\r\n",
    "250 a\0\r\n",
    "250-a\r\nb\r\n",
    "2\xb20 ok\r\n",
  ])("%j is malformed", (stream) => {
    expect(read(`220 hello\r\n${stream}250 never seen\r\n`, "250 nor this\r\n")).toEqual({
      replies: [reply(220, undefined, "hello")],
      defect: "malformed",
    });
  });

  test("the lines of one reply have one code", () => {
    expect(read("250-a\r\n550 b\r\n")).toEqual({ replies: [], defect: "codes-differ" });
  });

  test("a line has a limit, and one without an end is not waited for", () => {
    const fits = "x".repeat(replyLineOctetsMax - 6);
    expect(read(`250 ${fits}\r\n`).replies.length).toBe(1);
    expect(read(`250 ${fits}x\r\n`)).toEqual({ replies: [], defect: "overlong" });
    expect(read(`250 ${fits}`).defect).toBeUndefined();
    expect(read(`250 ${fits}xx`).defect).toBe("overlong");
  });

  test("a reply has a limit of lines", () => {
    const most = "250-x\r\n".repeat(replyLinesMax - 1);
    expect(read(`${most}250 x\r\n`).replies[0]?.lines.length).toBe(replyLinesMax);
    expect(read(`${most}250-x\r\n250 x\r\n`)).toEqual({ replies: [], defect: "too-many-lines" });
  });

  test("pendingOctets tells of a reply begun", () => {
    const reader = new ReplyReader();
    const pending = ["250-a\r\n", "250-\n", "250", " b\r", "\n", "x"].map((chunk) => {
      reader.push(wire(chunk));
      return reader.pendingOctets;
    });
    expect(pending).toEqual([7, 12, 15, 18, 0, 1]);
    reader.push(wire("\n"));
    expect(reader.pendingOctets).toBe(0);
  });

  test("what was written is read as it was", () => {
    fc.assert(
      fc.property(fc.array(replies, { maxLength: 5 }), cuts, (said, places) => {
        const octets = Buffer.concat(said.map(formatReply));
        expect(read(...cut(octets, places))).toEqual({ replies: said });
      }),
    );
  });

  test("any octets give the same, however they are cut, and are never thrown at", () => {
    const anyStream = fc.oneof(
      streams("250 ok", "250-ok", "250", "421 4.7.0 bye", "354 ", "250-", "x".repeat(5000)),
      fc
        .tuple(fc.array(replies), streams("250 ok\r\n", "250-a\r\n", "x".repeat(5000)))
        .map(([said, rest]) => Buffer.concat([...said.map(formatReply), rest])),
    );
    fc.assert(
      fc.property(anyStream, cuts, (octets, places) => {
        const expected = read(octets);
        expect(read(...cut(octets, places))).toEqual(expected);
        expect(read(...singleOctets(octets))).toEqual(expected);
        for (const said of expected.replies) {
          formatReply(withEnhancedCode(said));
          expect(asTemporary(said).code).toBe(451);
          expect(enhancedCode(asTemporary(said))).toStartWith("4.");
        }
      }),
    );
  });
});

describe("a relay's reply as a client may hear it", () => {
  const sayable = wireStrings(1200).map((octets) => octets.replace(/[\0\r\n]/g, " "));

  test("has no control character but the tab, and no line over 512 octets, whatever it was", () => {
    fc.assert(
      fc.property(fc.array(sayable, { minLength: 1, maxLength: 4 }), ([first = "", ...others]) => {
        const wire = formatReply(presentable({ code: 550, lines: [first, ...others] })).toString("latin1");
        const lines = wire.split("\r\n").slice(0, -1);
        expect(lines).toHaveLength(1 + others.length);
        for (const line of lines) {
          expect(line.length).toBeLessThanOrEqual(510);
          expect(Buffer.from(line, "latin1").toString("utf8").replaceAll("\t", "")).not.toMatch(/\p{Cc}/u);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("is itself where nothing is wrong with it, UTF-8 included", () => {
    const good: Reply = { code: 250, lines: ["2.1.5 caf\xc3\xa9 \xf0\x9f\x93\xa7", "\t2.0.0 caf\xe9"] };
    expect(presentable(good).lines).toEqual(good.lines);
    const plain: Reply = { code: 250, lines: ["2.1.5 ok"] };
    expect(presentable(plain)).toBe(plain);
  });

  test("is cut in no character", () => {
    for (let length = 500; length < 512; length += 1) {
      const [line] = presentable({ code: 550, lines: [`${"x".repeat(length)}\xf0\x9f\x93\xa7`] }).lines;
      expect(() =>
        new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(line, "latin1")),
      ).not.toThrow();
    }
  });
});
