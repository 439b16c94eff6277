/**
 * Networks of IP addresses as operators write them: `192.0.2.0/24`, `2001:db8::/32`, `::1`.
 * Contract, and what all kinds share: values.ts.
 * Rejected: `10.1.2.3/8`. Either the address or the length is a typing error, so both readings are guesses.
 * RFC 4632 §3.1.
 */
import {
  formatAddress,
  maskOctets,
  type Network,
  OCTET_BITS,
  unmapped,
  writtenOctets,
} from "../../lib/ip.ts";
import { failure, type Kind, quote, success } from "./values.ts";

function formatNetwork({ octets, prefixBits }: Network): string {
  const address = formatAddress(octets);
  return prefixBits === OCTET_BITS * octets.length ? address : `${address}/${prefixBits}`;
}

/** An address, or an address and the length of its prefix (CIDR). */
export const network: Kind<Network> = {
  placeholder: "CIDR",
  parse(text) {
    const [, address = "", bitsText] = /^([^/%]+)(?:\/(0|[1-9][0-9]{0,2}))?$/.exec(text) ?? [];
    const octets = writtenOctets(address);
    if (octets === undefined) {
      return failure(
        `must be an address or a network such as 192.0.2.0/24 or 2001:db8::/32, not ${quote(text)}`,
      );
    }
    const bitsMax = OCTET_BITS * octets.length;
    const prefixBits = bitsText === undefined ? bitsMax : Number(bitsText);
    if (prefixBits > bitsMax) {
      return failure(`must have at most ${bitsMax} bits in the prefix of ${quote(text)}`);
    }
    const masked = maskOctets(octets, prefixBits);
    if (masked.some((octet, index) => octet !== octets[index])) {
      const meant = formatNetwork({ octets: masked, prefixBits });
      return failure(
        `must have no bits set behind the prefix of ${quote(text)}; ${meant} is the whole network`,
      );
    }
    const value = unmapped({ octets, prefixBits });
    return success(Object.freeze({ ...value, octets: Object.freeze([...value.octets]) }));
  },
  format: formatNetwork,
};
