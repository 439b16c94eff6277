import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  asTemporary,
  describeReply,
  enhancedCode,
  formatReply,
  presentable,
  type Reply,
  reply,
  withEnhancedCode,
} from "../../src/smtp/replies.ts";
import { wire, wireStrings } from "./generators.ts";

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
