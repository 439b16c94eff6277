/**
 * What no correct caller does is a fault of ours, and is told at once (src/lib/assert.ts): an event or an order out of
 * its turn, or of a kind that there is not. Nothing is sent for it.
 */

import { describe, expect, test } from "bun:test";
import type { ClientEvent } from "../../src/client/messages.ts";
import { ClientSession } from "../../src/client/session.ts";
import { AssertionFault } from "../../src/lib/assert.ts";
import { describeFailure, type Failure, replyToFailure } from "../../src/relay/failures.ts";
import type { RelayEvent, RelayOrder } from "../../src/relay/messages.ts";
import { RelaySession } from "../../src/relay/session.ts";
import { noOffer } from "../../src/smtp/ehlo.ts";
import { wire } from "../smtp/generators.ts";
import { World } from "../transcripts/world.ts";

const { policy, settings } = new World({});

const mail: RelayOrder = { order: "mail", path: "null", parameters: { smtputf8: false }, traceOctets: 0 };
const rcpt: RelayOrder = { order: "rcpt", address: "a@b.example", parameters: {} };
const data: RelayOrder = { order: "data" };
const octets = (text: string): RelayOrder => ({ order: "octets", octets: wire(text) });
const endOfData: RelayOrder = { order: "end-of-data" };
const release: RelayOrder = { order: "release" };
const drop: RelayOrder = { order: "drop" };

/** A relay's words, and orders. */
function relaySession(...steps: readonly (string | RelayOrder)[]): RelaySession {
  const session = new RelaySession(settings, 0);
  session.receive({ type: "opened" }, 0);
  for (const step of steps) {
    const event: RelayEvent =
      typeof step === "string"
        ? { type: "octets", octets: wire(`${step}\r\n`) }
        : { type: "order", order: step };
    session.receive(event, 0);
  }
  session.drain();
  return session;
}

const ready = ["220 hi", "250 hi"];
const envelope = [...ready, mail, "250 ok", rcpt, "250 ok"];
const mailData = [...envelope, data, "354 go"];

describe("an order out of its turn", () => {
  test.each<[string, readonly (string | RelayOrder)[], RelayOrder]>([
    ["any before the relay is ready", ["220 hi"], drop],
    ["MAIL within a transaction", envelope, mail],
    ["RCPT without MAIL", ready, rcpt],
    ["DATA without MAIL", ready, data],
    ["DATA before RCPT is answered", [...ready, mail, "250 ok", rcpt], data],
    ["mail data before 354", [...envelope, data], octets("a\r\n")],
    ["mail data behind the dot", [...mailData, octets("a\r\n"), endOfData], octets("b\r\n")],
    ["the dot before 354", [...envelope, data], endOfData],
    ["the dot within a line", [...mailData, octets("a\r\nb")], endOfData],
    ["the dot behind a bare LF", [...mailData, octets("a\n")], endOfData],
    ["a second dot", [...mailData, octets("a\r\n"), endOfData], endOfData],
    ["a release before DATA is answered", [...envelope, data], release],
    ["a release within mail data", mailData, release],
  ])("%s", (_, steps, order) => {
    const session = relaySession(...steps);
    expect(() => session.receive({ type: "order", order }, 0)).toThrow(AssertionFault);
    expect(session.drain()).toEqual([]);
  });
});

describe("an event out of its turn", () => {
  test.each<[string, readonly (string | RelayOrder)[], RelayEvent]>([
    ["TLS that was not begun", ready, { type: "secured" }],
    ["a relay that serves is dismissed", [...ready, mail], { type: "dismissed" }],
  ])("%s", (_, steps, event) => {
    const session = relaySession(...steps);
    expect(() => session.receive(event, 0)).toThrow(AssertionFault);
    expect(session.drain()).toEqual([]);
  });
});

describe("what there is not", () => {
  test("an order", () => {
    const order: RelayOrder = JSON.parse('{ "order": "queue" }');
    const session = relaySession(...mailData);
    expect(() => session.receive({ type: "order", order }, 0)).toThrow(AssertionFault);
    expect(session.drain()).toEqual([]);
  });

  test("a relay's event", () => {
    const event: RelayEvent = JSON.parse('{ "type": "bored" }');
    const session = relaySession(...ready);
    expect(() => session.receive(event, 0)).toThrow(AssertionFault);
    expect(session.drain()).toEqual([]);
  });

  test("a client's event", () => {
    const event: ClientEvent = JSON.parse('{ "type": "bored" }');
    const facts = { session: "s1", address: "192.0.2.1", isTrusted: false };
    const session = new ClientSession(
      policy,
      { relayOffer: noOffer, relayPressure: false, unixEpochMs: 0 },
      facts,
      0,
    );
    expect(() => session.receive(event, 0)).toThrow(AssertionFault);
    expect(session.drain()).toEqual([]);
  });

  test("a failure", () => {
    const failure: Failure = JSON.parse('{ "kind": "bad luck" }');
    expect(() => replyToFailure(failure, "mail")).toThrow(AssertionFault);
    expect(() => describeFailure(failure)).toThrow(AssertionFault);
  });
});
