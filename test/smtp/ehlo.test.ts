import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { noOffer, parseEhloReply, type RelayOffer } from "../../src/smtp/ehlo.ts";
import { formatReply, reply } from "../../src/smtp/replies.ts";
import { ReplyReader } from "../../src/smtp/reply-reader.ts";
import { wireStrings } from "./generators.ts";

const offer = (...lines: string[]): RelayOffer =>
  parseEhloReply(reply(250, undefined, "relay.example", ...lines));

describe("the offer of a relay", () => {
  test("nothing but a greeting", () => {
    expect(offer()).toEqual(noOffer);
  });

  test("the first line is a greeting, whatever it says", () => {
    expect(parseEhloReply(reply(250, undefined, "PIPELINING"))).toEqual(noOffer);
  });

  test("all that we use, in any case and with spaces", () => {
    expect(
      offer("pipelining", "Size  35882577 ", "8BITMIME", "SMTPUTF8", "DSN", "STARTTLS", "auth login  plain"),
    ).toEqual({
      pipelining: true,
      sizeOctetsMax: 35_882_577,
      eightBitMime: true,
      smtputf8: true,
      dsn: true,
      starttls: true,
      auth: ["PLAIN", "LOGIN"],
    });
  });

  test("a tab separates as a space does, for every keyword", () => {
    const said = offer("PIPELINING\t", "\tSIZE\t100", "8BITMIME\tx", "SMTPUTF8 \t", "DSN\t", "STARTTLS\t");
    expect(said).toEqual({
      pipelining: true,
      sizeOctetsMax: 100,
      eightBitMime: true,
      smtputf8: true,
      dsn: true,
      starttls: true,
      auth: [],
    });
  });

  test.each<[string, number]>([
    ["SIZE", 0],
    ["SIZE 0", 0],
    ["SIZE 100", 100],
    ["SIZE x", 0],
    ["SIZE -1", 0],
    ["SIZE 1e9", 0],
    ["SIZE 9999999999999999", 0],
  ])("%s", (line, octets) => {
    expect(offer(line).sizeOctetsMax).toBe(octets);
  });

  test.each<[readonly string[], RelayOffer["auth"]]>([
    [["AUTH PLAIN"], ["PLAIN"]],
    [["AUTH=LOGIN"], ["LOGIN"]],
    [["AUTH CRAM-MD5 XOAUTH2"], []],
    [
      ["AUTH CRAM-MD5", "AUTH=PLAIN LOGIN"],
      ["PLAIN", "LOGIN"],
    ],
    [["AUTH\tPLAIN"], ["PLAIN"]],
    [["auth \t login\t"], ["LOGIN"]],
    [["AUTH=PLAIN\tLOGIN"], ["PLAIN", "LOGIN"]],
    [["AUTHPLAIN"], []],
    [["XAUTH PLAIN"], []],
    [["AUTH PLAINER"], []],
  ])("%j", (lines, auth) => {
    expect(offer(...lines).auth).toEqual(auth);
  });

  test("any octets are read without a throw", () => {
    fc.assert(
      fc.property(fc.array(wireStrings(40), { maxLength: 10 }), (lines) => {
        const text = lines.map((line) => line.replace(/[\r\n\0]/g, "")).join("\r\n250-");
        const said = new ReplyReader().push(Buffer.from(`250-${text}\r\n250 DSN\r\n`, "latin1"));
        for (const each of said.replies) {
          expect(parseEhloReply(each).dsn).toBe(true);
          formatReply(each);
        }
      }),
    );
  });
});
