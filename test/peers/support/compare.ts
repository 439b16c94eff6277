/**
 * Octet for octet: what arrived against what was sent, once exactly the expected `Received:` fields are taken off
 * its front.
 */
import { expect } from "bun:test";

const fieldEnd = /\r\n(?![ \t])/;
/** More than all trace fields of a test together. */
const traceOctetsMax = 16_384;

/**
 * `by`: the names of the hosts that put a Received field in front, the last one first.
 * `sent` is the message with its final CRLF.
 */
export function expectSame(arrived: Buffer, by: readonly string[], sent: Buffer): void {
  const { fields, message } = withoutTrace(arrived, by.length);
  expect(fields.map((field) => /\sby (\S+)/.exec(field)?.[1])).toEqual([...by]);
  expectSameOctets(message, sent);
}

/** Takes `count` Received fields off; fails when there are fewer. */
export function withoutTrace(arrived: Buffer, count: number): { fields: string[]; message: Buffer } {
  const fields: string[] = [];
  let at = 0;
  while (fields.length < count) {
    const text = arrived.toString("latin1", at, at + traceOctetsMax);
    const end = fieldEnd.exec(text)?.index;
    if (!text.startsWith("Received:") || end === undefined) {
      throw new Error(`a Received field is missing: ${JSON.stringify(arrived.toString("latin1", 0, 2_000))}`);
    }
    fields.push(text.slice(0, end));
    at += end + 2;
  }
  return { fields, message: arrived.subarray(at) };
}

export function expectSameOctets(arrived: Buffer, sent: Buffer): void {
  if (arrived.equals(sent)) return;
  let at = 0;
  while (at < arrived.length && at < sent.length && arrived[at] === sent[at]) at += 1;
  const around = (octets: Buffer): string =>
    JSON.stringify(octets.toString("latin1", Math.max(0, at - 60), at + 100));
  throw new Error(
    `octet ${at} differs (${sent.length} sent, ${arrived.length} arrived)\nsent:    ${around(sent)}\narrived: ${around(arrived)}`,
  );
}
