/**
 * IP addresses as octets, and networks of them. `::ffff:192.0.2.1` is 192.0.2.1 everywhere, because a listener for both
 * families shows IPv4 clients in that way.
 * Not here: networks as operators write them (config/kinds/networks.ts); whether an address is in a set of networks
 * (screening/addresses.ts).
 * RFC 4291 §2.2, §2.3; RFC 4632 §3.1.
 */
import ipaddr from "ipaddr.js";

/** 4 or 16 of them, in network order. */
export type AddressOctets = readonly number[];

/** All addresses whose first `prefixBits` are those of `octets`, which has no others set. Never IPv4 in IPv6. */
export interface Network {
  readonly octets: AddressOctets;
  readonly prefixBits: number;
}

export const OCTET_BITS = 8;
const IPV6_OCTETS = 16;
/** ::ffff:0:0/96. RFC 4291 §2.5.5.2 */
const MAPPED_PREFIX: AddressOctets = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/** The octets of an address, an IPv4 address in IPv6 as IPv4; undefined for any other text. A scope is left out. */
export function addressOctets(text: string): AddressOctets | undefined {
  const octets = writtenOctets(text.replace(/%[0-9A-Za-z_.-]+$/, ""));
  return octets === undefined
    ? undefined
    : unmapped({ octets, prefixBits: OCTET_BITS * octets.length }).octets;
}

/** RFC 6943 §3.1.1 strict: four decimal octets, none with a leading zero. */
const dottedQuadPattern = /^(?:(?:25[0-5]|(?:2[0-4]|1\d|[1-9])?\d)(?:\.(?!$)|$)){4}$/;

export function isIpv4Address(text: string): boolean {
  return dottedQuadPattern.test(text);
}

/** With or without a scope. */
export function isIpv6Address(text: string): boolean {
  return text.includes(":") && addressOctets(text) !== undefined;
}

/** Each connection asks; ipaddr.js takes 3 us for an IPv4 address, this 0.2. */
function dottedQuad(text: string): AddressOctets | undefined {
  return dottedQuadPattern.test(text) ? text.split(".").map(Number) : undefined;
}

/** As they are written. ipaddr.js takes octal for a dotted tail and gets “::1.2.3.4” wrong, so it never sees one. */
export function writtenOctets(text: string): AddressOctets | undefined {
  const quad = dottedQuad(text);
  if (quad !== undefined) return quad;
  const [, head, tail] = /^(.*:)([0-9.]+\.[0-9.]+)$/.exec(text) ?? [];
  if (head === undefined || tail === undefined) return ipv6Octets(text);
  const low = dottedQuad(tail);
  if (low === undefined) return undefined;
  const [a = 0, b = 0, c = 0, d = 0] = low;
  return ipv6Octets(`${head}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`);
}

function ipv6Octets(text: string): AddressOctets | undefined {
  if (!/^[0-9A-Fa-f:]+$/.test(text) || !ipaddr.IPv6.isValid(text)) return undefined;
  return ipaddr.IPv6.parse(text).toByteArray();
}

export function unmapped({ octets, prefixBits }: Network): Network {
  const mapped =
    octets.length === IPV6_OCTETS &&
    prefixBits >= OCTET_BITS * MAPPED_PREFIX.length &&
    MAPPED_PREFIX.every((octet, index) => octets[index] === octet);
  if (!mapped) return { octets, prefixBits };
  return {
    octets: octets.slice(MAPPED_PREFIX.length),
    prefixBits: prefixBits - OCTET_BITS * MAPPED_PREFIX.length,
  };
}

/** `octets` with everything behind the prefix set to zero. */
export function maskOctets(octets: AddressOctets, prefixBits: number): AddressOctets {
  return octets.map((octet, index) => {
    const kept = Math.min(Math.max(prefixBits - OCTET_BITS * index, 0), OCTET_BITS);
    return octet & (0xff << (OCTET_BITS - kept));
  });
}

/** An address in its shortest form, RFC 5952. */
export function formatAddress(octets: AddressOctets): string {
  return ipaddr.fromByteArray([...octets]).toString();
}
