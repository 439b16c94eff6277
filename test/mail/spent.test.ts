/** A chunk of mail data is spent with the last octets that come of it, and not while any of it is still to be written. */
import { expect, spyOn, test } from "bun:test";
import type { RelayOrder } from "../../src/relay/messages.ts";
import { RelayPeer } from "../transcripts/relay-peer.ts";
import { World } from "../transcripts/world.ts";
import { ScriptedRelay } from "./scripted-relay.ts";

function alone(text: string): Buffer {
  const octets = Buffer.allocUnsafeSlow(text.length);
  octets.write(text, "latin1");
  return octets;
}

function ordersFor(mailData: readonly Buffer[]): RelayOrder[] {
  const run = spyOn(RelayPeer.prototype, "run");
  const world = new World({ BARE_NEWLINE: "normalize" });
  const relay = new ScriptedRelay(world);
  world.connect();
  relay.run();
  const envelope = ["EHLO c.example", "MAIL FROM:<a@c.example>", "RCPT TO:<x@y.example>", "DATA"];
  for (const chunk of [...envelope.map((line) => alone(`${line}\r\n`)), ...mailData]) {
    world.client?.send(chunk);
    relay.run();
  }
  const orders = run.mock.calls.flatMap(([event]) => (event.type === "order" ? [event.order] : []));
  run.mockRestore();
  return orders;
}

function octetOrders(orders: readonly RelayOrder[]) {
  return orders.flatMap((order) => (order.order === "octets" ? [order] : []));
}

const sliced: readonly [string, string][] = [
  ["proper lines", "one\r\ntwo\r\n"],
  ["dots at the start of lines", "..one\r\n..two\r\n"],
  ["a Buffer of the scanner's own at its start", ".\r\none\r\n"],
];

test.each(sliced)("%s: nothing of a spent chunk is ordered afterwards", (_, text) => {
  const chunk = alone(text);
  const orders = octetOrders(ordersFor([alone("zero\n"), chunk, alone("\r\n.\r\n")]));
  const place = orders.findIndex(({ spent }) => spent?.buffer === chunk.buffer);
  const last = orders.findLastIndex((order) => order.octets.buffer === chunk.buffer);
  expect(orders.filter(({ spent }) => spent?.buffer === chunk.buffer)).toHaveLength(1);
  expect(place).toBeGreaterThanOrEqual(last);
  // World fills with zeros what is given back; this one waits for the relay's socket.
  expect(chunk.toString("latin1")).toBe(text);
});

const copied: readonly [string, string, string][] = [
  ["bare LF", "one\ntwo\nthree\n", "one\r\ntwo\r\nthree\r\n"],
  ["bare LF at its start and at its end", "\none\n", "\r\none\r\n"],
  ["a line of a dot", "one\n.\ntwo\n", "one\r\n..\r\ntwo\r\n"],
];

test.each(copied)(
  "%s: the chunk is given back at once, and each copy once it is written",
  (_, text, expected) => {
    const chunk = alone(text);
    const orders = octetOrders(ordersFor([chunk, alone("\r\n.\r\n")]));
    const copies = orders.filter(({ octets, spent }) => octets === spent);
    expect(Buffer.concat(copies.map(({ octets }) => octets)).toString("latin1")).toBe(expected);
    expect(orders.some(({ octets }) => octets.buffer === chunk.buffer)).toBeFalse();
    expect(chunk.every((octet) => octet === 0)).toBeTrue();
  },
);

test("what is refused is given back as it comes", () => {
  const before = alone("one\rtwo\r\n");
  const behind = alone("three\r\n");
  const orders = ordersFor([before, behind]);
  expect(orders.some(({ order }) => order === "drop")).toBeTrue();
  expect(before.every((octet) => octet === 0)).toBeTrue();
  expect(behind.every((octet) => octet === 0)).toBeTrue();
});

test("what stands behind the end keeps its chunk", () => {
  for (const text of ["one\r\n.\r\nMAIL FROM:<b@c.example>\r\n", "one\n.\ntwo\r\n.\r\nNOOP\r\n"]) {
    const chunk = alone(text);
    const orders = ordersFor([chunk]);
    expect(octetOrders(orders).some(({ spent }) => spent?.buffer === chunk.buffer)).toBeFalse();
    expect(orders.some(({ order }) => order === "end-of-data")).toBeTrue();
    expect(chunk.toString("latin1")).toBe(text);
  }
});
