/** What a relay says, read strictly and leniently. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { fitsOnLine } from "../../src/smtp/lines.ts";
import {
  asTemporary,
  enhancedCode,
  formatReply,
  type Reply,
  reply,
  withEnhancedCode,
} from "../../src/smtp/replies.ts";
import {
  type ReadReplies,
  ReplyReader,
  replyLineOctetsMax,
  replyLinesMax,
} from "../../src/smtp/reply-reader.ts";
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

/** As Postfix reads: text up to the first line that is a code and a blank, or a code alone. */
function readAsPostfix(stream: string): Reply[] {
  const said: Reply[] = [];
  let lines: string[] = [];
  for (const line of stream.split("\n").slice(0, -1)) {
    const text = line.replace(/\r+$/, "").replace(/[\r\0]/g, "?");
    const isCoded = /^\d{3}(?:[ -]|$)/.test(text);
    lines.push(isCoded ? text.slice(4) : text);
    if (!isCoded || text[3] === "-") continue;
    const [first = "", ...others] = lines;
    said.push({ code: Number(text.slice(0, 3)), lines: [first, ...others] });
    lines = [];
  }
  return said;
}

function readLeniently(chunks: readonly Buffer[], lenient = Number.POSITIVE_INFINITY) {
  const reader = new ReplyReader();
  const said: Reply[] = [];
  let defect: ReadReplies["defect"];
  for (const chunk of chunks) {
    const result = reader.push(chunk, lenient - said.length);
    said.push(...result.replies);
    defect = result.defect;
  }
  return { said, defect, pending: reader.pendingOctets };
}

describe("reading leniently", () => {
  test.each<[string, Reply]>([
    ["550-no\r\n554 such\r\n", reply(554, undefined, "no", "such")],
    ["550-no\r\n250 well\r\n", reply(250, undefined, "no", "well")],
    ["550-no\r\nsuch user\r\n550 here\r\n", reply(550, undefined, "no", "such user", "here")],
    ["550-no\r\n\r\n550 here\r\n", reply(550, undefined, "no", "", "here")],
    ["such user\r\n550 no\r\n", reply(550, undefined, "such user", "no")],
    ["550 no\r\r\n", reply(550, undefined, "no")],
    ["550\r\r\r\n", reply(550, undefined, "")],
    ["550-a\r\r\n550 b\r\n", reply(550, undefined, "a", "b")],
    ["550 a\rb\0c\r\n", reply(550, undefined, "a?b?c")],
    [
      "5500 a\r\n550ok\r\n550\tb\r\n 550 c\r\n55 d\r\n550 e\n",
      reply(550, undefined, "5500 a", "550ok", "550\tb", " 550 c", "55 d", "e"),
    ],
  ])("%j", (stream, expected) => {
    const chunks = [wire("220 hello\r\n"), wire(stream)];
    expect(readLeniently(chunks)).toEqual({
      said: [reply(220, undefined, "hello"), expected],
      defect: undefined,
      pending: 0,
    });
  });

  test.each(["199 x\r\n", "600 x\r\n", "550-a\r\n999\r\n", "100-a\r\n"])(
    "%j has a code that no reply has",
    (stream) => {
      expect(readLeniently([wire("220 hello\r\n"), wire(stream)]).defect).toBe("malformed");
    },
  );

  test("what begins without a code is no SMTP server", () => {
    expect(readLeniently([wire("SSH-2.0-OpenSSH_10\r\n")]).defect).toBe("malformed");
    expect(readLeniently([wire("220-a\r\nb\r\n220 c\r\n")]).said).toEqual([
      reply(220, undefined, "a", "b", "c"),
    ]);
  });

  test("the limits are the same", () => {
    const hello = wire("220 hello\r\n");
    expect(readLeniently([hello, wire("x\r\n".repeat(replyLinesMax + 1))]).defect).toBe("too-many-lines");
    expect(readLeniently([hello, wire("x".repeat(replyLineOctetsMax))]).defect).toBe("overlong");
  });

  test("so many replies and no more, and one that is under way counts", () => {
    const odd = "550-a\r\n554 b\r\n";
    expect(readLeniently([wire(`250 x\r\n${odd}`)], 2)).toMatchObject({
      said: [{ code: 250 }, { code: 554 }],
    });
    expect(readLeniently([wire(`250 x\r\n${odd}`)], 1)).toMatchObject({
      said: [{ code: 250 }],
      defect: "codes-differ",
    });
    const reader = new ReplyReader();
    reader.push(wire("220 x\r\n"));
    expect(reader.push(wire("550-a\r\n5"), 1)).toEqual({ replies: [] });
    expect(reader.push(wire(`54 b\r\n${odd}`), 1)).toMatchObject({
      replies: [{ code: 554 }],
      defect: "codes-differ",
    });
  });

  test("how a reply is read is settled by its first octet", () => {
    const [strict, lenient] = [new ReplyReader(), new ReplyReader()];
    for (const reader of [strict, lenient]) reader.push(wire("220 x\r\n"));
    strict.push(wire("5"), 0);
    expect(strict.push(wire("50-a\r\n554 b\r\n"), 5).defect).toBe("codes-differ");
    lenient.push(wire("5"), 1);
    expect(lenient.push(wire("50-a\r\n554 b\r\n"), 0)).toMatchObject({ replies: [{ code: 554 }] });
  });

  test("a reply in good form is read as strictly", () => {
    fc.assert(
      fc.property(fc.array(replies, { maxLength: 5 }), cuts, (said, places) => {
        const chunks = cut(Buffer.concat(said.map(formatReply)), places);
        expect(readLeniently(chunks)).toEqual({ said, defect: undefined, pending: 0 });
      }),
    );
  });

  test("any octets give the same, however they are cut, as Postfix has them", () => {
    const odd = streams(
      "250 ok",
      "250-ok",
      "550",
      "554 no",
      "550-",
      "text",
      "\r\n",
      "\r",
      "\0",
      "\n",
      "2500 x",
      "220",
    );
    fc.assert(
      fc.property(odd, cuts, (stream, places) => {
        const octets = Buffer.concat([wire("220 hello\r\n"), stream]);
        const expected = readLeniently([octets]);
        expect(readLeniently(cut(octets, places))).toEqual(expected);
        expect(readLeniently([...singleOctets(octets)])).toEqual(expected);
        for (const said of expected.said) formatReply(said);
        if (expected.defect === undefined)
          expect(expected.said).toEqual(readAsPostfix(octets.toString("latin1")));
      }),
    );
  });
});
