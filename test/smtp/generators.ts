/**
 * What the property tests of the wire format are fed with: octets as a peer may send them, and every way in which a
 * stream may be cut into chunks.
 */
import fc from "fast-check";

/** Octets in which line ends, codes and separators are as common as everything else together. */
export const streams = (...words: string[]): fc.Arbitrary<Buffer> =>
  fc
    .array(
      fc.oneof(
        { weight: 4, arbitrary: fc.constantFrom("\r\n", "\r\n", "\r", "\n", "\0", " ", "\xff") },
        { weight: 3, arbitrary: fc.constantFrom(...words) },
        { weight: 1, arbitrary: wireStrings(20) },
      ),
      { maxLength: 60 },
    )
    .map((parts) => wire(parts.join("")));

/** Any octets at all, as a wire string. */
export const wireStrings = (maxLength: number): fc.Arbitrary<string> =>
  fc.uint8Array({ maxLength }).map((octets) => Buffer.from(octets).toString("latin1"));

/** Words of commands put together without sense. */
export const commandLike: fc.Arbitrary<string> = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        ..."EHLO HELO MAIL RCPT DATA FROM: TO: NOOP VRFY SIZE= BODY= 8BITMIME SMTPUTF8 NOTIFY= ORCPT= RET= ENVID=".split(
          " ",
        ),
      ),
      fc.constantFrom(...'<>@.:;,[]"\\ =+-_%!1aZ\t\xc3\xa9\xa0'.split("")),
      fc.constantFrom("a@b.example", "[IPv6:::1]", "[192.0.2.1]", "postmaster", "<a@b>", '"a b"@c', "@x,@y:"),
    ),
    { maxLength: 25 },
  )
  .map((parts) => parts.join(""));

/** The same octets in chunks; empty ones among them. */
export const cuts: fc.Arbitrary<readonly number[]> = fc.array(fc.nat(400), { maxLength: 40 });

export function cut(octets: Buffer, places: readonly number[]): Buffer[] {
  const sorted = places.map((place) => Math.min(place, octets.length)).sort((a, b) => a - b);
  return [0, ...sorted].map((start, index) => octets.subarray(start, sorted[index] ?? octets.length));
}

export function singleOctets(octets: Buffer): Buffer[] {
  return Array.from(octets, (_, index) => octets.subarray(index, index + 1));
}

/** Octets of a wire string. */
export function wire(text: string): Buffer {
  return Buffer.from(text, "latin1");
}
