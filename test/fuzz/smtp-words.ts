/** Words that several targets' grammars share, and a relay that offers everything. */
import type { RelayOffer } from "../../src/smtp/ehlo.ts";

export const pathWords: readonly string[] = [
  ...'< > <> @ : , . " \\ [ ] ; + - _ = % a 1 é'
    .split(" ")
    .map((word) => Buffer.from(word).toString("latin1")),
  "\xe9",
  '"a b"',
  "<a@b>",
  "<postmaster>",
  "@x,@y:",
  "[192.0.2.1]",
  "[IPv6:2001:db8::1]",
  "[IPv6:::ffff:010.1.1.1]",
  "::ffff:",
  "[IPv6:",
  "01.2.3.4",
  "[x:y]",
  "a.example",
];

export const relayOfferAll: RelayOffer = {
  pipelining: true,
  sizeOctetsMax: 0,
  eightBitMime: true,
  smtputf8: true,
  dsn: true,
  starttls: true,
  auth: ["PLAIN", "LOGIN"],
};
