/** A chunk of mail data is spent with the last octets that come of it, and not while any of it is still to be written. */
import { expect, spyOn, test } from "bun:test";
import type { RelayOrder } from "../../src/proxy/relay-messages.ts";
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

const chunks: readonly [string, string][] = [
  ["proper lines", "one\r\ntwo\r\n"],
  ["two bare LF, for each of which the same Buffer stands", "one\ntwo\nthree\n"],
  ["dots at the start of lines", "..one\r\n..two\r\n"],
  ["the same Buffer at its start and at its end", "\none\n"],
];

test.each(chunks)("%s: nothing of a spent chunk is ordered afterwards", (_, text) => {
  const chunk = alone(text);
  const orders = ordersFor([chunk, alone(".\r\n")]);
  const octets = orders.flatMap((order) => (order.order === "octets" ? [order] : []));
  const place = octets.findIndex(({ spent }) => spent?.buffer === chunk.buffer);
  const last = octets.findLastIndex((order) => order.octets.buffer === chunk.buffer);
  expect(octets.filter(({ spent }) => spent?.buffer === chunk.buffer)).toHaveLength(1);
  expect(place).toBeGreaterThanOrEqual(last);
});

test("what stands behind the end keeps its chunk", () => {
  const orders = ordersFor([alone("one\r\n.\r\nMAIL FROM:<b@c.example>\r\n")]);
  expect(orders.some((order) => order.order === "octets" && order.spent !== undefined)).toBeFalse();
  expect(orders.some(({ order }) => order === "end-of-data")).toBeTrue();
});
