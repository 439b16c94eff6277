/** Every reply that we say in our own name is well formed and has an enhanced code of its class. */
import { describe, expect, test } from "bun:test";
import * as catalogue from "../../src/smtp/catalogue.ts";
import { parseForwardPath } from "../../src/smtp/paths.ts";
import { enhancedCode, formatReply, type Reply } from "../../src/smtp/replies.ts";

function isReply(value: unknown): value is Reply {
  return typeof value === "object" && value !== null && "code" in value && "lines" in value;
}

const path = parseForwardPath('<"a b\\">"@example.org>')?.path;
const commandDefects = [
  "overlong",
  "bare-lf",
  "bare-cr",
  "nul",
  "unknown",
  "unimplemented",
  "syntax",
  "parameter",
  "utf8-refused",
] as const;

const constants = Object.entries(catalogue).filter((entry): entry is [string, Reply] => isReply(entry[1]));
const made: [string, Reply][] = [
  ["closing", catalogue.closing("mx.example")],
  ...(path === undefined
    ? []
    : [["recipientNotOurs", catalogue.recipientNotOurs(path)] satisfies [string, Reply]]),
  ...commandDefects.map((defect): [string, Reply] => [defect, catalogue.malformedCommand(defect, "detail")]),
  ...(["bare-lf", "bare-cr"] as const).map((defect): [string, Reply] => [
    `mail data: ${defect}`,
    catalogue.malformedMailData(defect),
  ]),
];

describe("the catalogue", () => {
  test("has them all", () => {
    expect(constants.length).toBeGreaterThan(20);
    expect(path).toBeDefined();
  });

  test.each([...constants, ...made])("%s", (_, said) => {
    expect(formatReply(said).toString("latin1")).toMatch(/^(?:\d{3}[ -][ -~]*\r\n)+$/);
    expect(enhancedCode(said)).toStartWith(`${Math.floor(said.code / 100)}.`);
  });

  test("the replies to connecting, EHLO and HELO have no enhanced code (RFC 2034)", () => {
    for (const said of [
      catalogue.greeting("mx.example"),
      catalogue.heloAccepted("mx.example"),
      catalogue.ehloAccepted("mx.example", ["PIPELINING"]),
    ]) {
      expect(enhancedCode(said)).toBeUndefined();
    }
  });

  test("trouble on our side is never 5yz", () => {
    for (const said of [
      catalogue.relayUnavailable,
      catalogue.relayBusy,
      catalogue.relayLost,
      catalogue.relayOutcomeUnknown,
      catalogue.relayLacksExtension,
      catalogue.ownFault,
      catalogue.ownFaultAtRelay,
      catalogue.shuttingDown,
      catalogue.tooManyConnections,
      catalogue.idleTooLong,
      catalogue.tooManyRecipients,
    ]) {
      expect(Math.floor(said.code / 100)).toBe(4);
    }
  });

  test("the address in a refusal is what the client wrote", () => {
    const said = path === undefined ? undefined : catalogue.recipientNotOurs(path);
    expect(said?.lines).toEqual(['5.7.1 <"a b\\">"@example.org> relay access denied']);
  });
});
