import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { HeaderCounter } from "../../src/smtp/header-counter.ts";
import { cut, cuts, singleOctets, wire } from "./generators.ts";
import { receivedFields } from "./references.ts";

function count(...chunks: (string | Buffer)[]): number {
  const counter = new HeaderCounter("received");
  for (const chunk of chunks) counter.observe(typeof chunk === "string" ? wire(chunk) : chunk);
  return counter.count;
}

describe("counting header fields", () => {
  test.each<[string, number]>([
    ["", 0],
    ["Received: x\r\n", 1],
    ["Received:", 1],
    ["Received", 0],
    ["RECEIVED \t: x\r\nreceived:\r\n", 2],
    ["Received-SPF: pass\r\nX-Received: y\r\nReceive: z\r\nReceivedd: a\r\n", 0],
    ["Subject: x\r\n Received: folded\r\n\tReceived: too\r\nReceived: y\r\n", 1],
    ["Subject: x\r\n\r\nReceived: body\r\n", 0],
    ["\r\nReceived: body\r\n", 0],
    ["Received: a\r\n\r\n\r\nReceived: b\r\n", 1],
    ["Rec\xe9ived: x\r\n", 0],
    ["Rereceived: x\r\n", 0],
    ["Received Received: x\r\n", 0],
  ])("%j", (message, expected) => {
    expect(count(message)).toBe(expected);
    expect(count(...singleOctets(wire(message)))).toBe(expected);
    expect(receivedFields(message)).toBe(expected);
  });

  test("however a message is cut", () => {
    const words = fc.constantFrom(
      "\r\n",
      "\r\n\r\n",
      "Received",
      "received:",
      " ",
      "\t",
      ":",
      "R",
      "re",
      "x",
    );
    fc.assert(
      fc.property(fc.array(words, { maxLength: 40 }), cuts, (parts, places) => {
        const message = parts.join("");
        expect(count(...cut(wire(message), places))).toBe(receivedFields(message));
      }),
      { numRuns: 1000 },
    );
  });
});
