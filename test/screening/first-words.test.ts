/** First words: what is SMTP and what is not, the same for any split into chunks. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { FirstWords, firstOctetsMax } from "../../src/screening/first-words.ts";
import { cut, cuts, singleOctets, streams, wire } from "../smtp/generators.ts";

function hear(...chunks: readonly Buffer[]): FirstWords {
  const words = new FirstWords();
  for (const chunk of chunks) words.receive(chunk);
  return words;
}

describe("no SMTP", () => {
  test.each([
    ["GET / HTTP/1.1\r\n", "HTTP request"],
    ["POST /x HTTP/1.1\r\n", "HTTP request"],
    ["CONNECT mail.example:25 HTTP/1.1\r\n", "HTTP request"],
    ["PUT / HTTP/1.0\n", "HTTP request"],
    ["HEAD / HTTP/1.1\r\n", "HTTP request"],
    ["OPTIONS * HTTP/1.1\r\n", "HTTP request"],
    ["get\r\n", "HTTP request"],
    ["PRI * HTTP/2.0\r\n\r\nSM\r\n", "HTTP request"],
    ["\r\n\r\n GET / HTTP/1.1\r\n", "HTTP request"],
    ["Host: mail.example\r\n", "header line"],
    ["User-Agent: x\r\n", "header line"],
    ["\x16\x03\x01\x02\0\x01", "TLS handshake"],
    ["\x16\x02", "binary data"],
    ["SSH-2.0-OpenSSH_9.6\r\n", "SSH banner"],
    ["PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n", "PROXY header"],
    ["\r\n\r\n\0\r\nQUIT\n", "binary data"],
    ["\0\0\0\x85\xffSMB", "binary data"],
    ["\xc3\xa9", "binary data"],
    ["{", "no command"],
    ["<?xml", "no command"],
    ["250 ok\r\n", "no command"],
    ["*1\r\n$4\r\n", "no command"],
  ] as const)("%j is a %s", (stream, kind) => {
    expect(hear(wire(stream)).finding).toBe(kind);
    expect(hear(...singleOctets(wire(stream))).finding).toBe(kind);
  });
});

describe("SMTP, or a fault of SMTP", () => {
  test.each([
    "EHLO mail.example\r\n",
    "helo x\r\n",
    "MAIL FROM:<a@b.example>\r\n",
    "MAIL: x\r\n",
    "QUIT\r\n",
    "\r\nEHLO x\r\n",
    " EHLO x\r\n",
    "GETX y\r\n",
    "GET/ HTTP\r\n",
    "XYZZY\r\n",
    "HELP\n",
    "E_HLO x",
    "EHLO\0x",
    "A".repeat(firstOctetsMax),
    "\r\n".repeat(firstOctetsMax / 2),
  ])("%j", (stream) => {
    const words = hear(wire(stream));
    expect([words.isDecided, words.finding]).toEqual([true, undefined]);
  });

  test.each(["", "\r\n", "G", "GET", "\x16", "EHLO", "Host", " \t"])("%j is not decided", (stream) => {
    const words = hear(wire(stream));
    expect([words.isDecided, words.finding]).toEqual([false, undefined]);
  });
});

test("what comes after the first words is of no interest", () => {
  expect(hear(wire("EHLO x\r\n"), wire("GET / HTTP/1.1\r\n")).finding).toBeUndefined();
});

test("whole lines", () => {
  const lines = ["GET", "Host: x", "EHLO x", "", "x".repeat(500)];
  expect(lines.map((line) => hear(wire(`${line}\n`)).finding)).toEqual([
    "HTTP request",
    "header line",
    undefined,
    undefined,
    undefined,
  ]);
});

test("any split gives the same finding, at the same octet", () => {
  const stream = streams("GET", "EHLO", "Host:", "\x16\x03", "SSH-2.0", "PROXY", " ", "{", "A".repeat(70));
  fc.assert(
    fc.property(stream, cuts, (octets, places) => {
      const whole = hear(octets);
      const split = hear(...cut(octets, places));
      expect([split.isDecided, split.finding]).toEqual([whole.isDecided, whole.finding]);
      const gradual = new FirstWords();
      for (const octet of singleOctets(octets)) {
        const before = gradual.isDecided ? gradual.finding : "undecided";
        gradual.receive(octet);
        if (before !== "undecided") expect(gradual.finding).toBe(before);
      }
      expect([gradual.isDecided, gradual.finding]).toEqual([whole.isDecided, whole.finding]);
    }),
    { numRuns: 2000 },
  );
});
