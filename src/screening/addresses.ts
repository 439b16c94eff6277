/**
 * What the screening knows of a client's address: the key under which it is counted and remembered, whether it is in
 * a set of networks, and the name under which a DNSBL knows it.
 * An IPv4 address in IPv6 (::ffff:192.0.2.1) is the IPv4 address. A client on a unix socket has the address "".
 * Never throws: a text that is no address is in no set and has no reversed name.
 * Not here: how networks are written (lib/ip.ts).
 * RFC 5782 §2.1, §2.4; RFC 4291 §2.5.4, which gives each network of IPv6 hosts a /64.
 */
import { type AddressOctets, addressOctets, formatAddress, maskOctets, type Network } from "../lib/ip.ts";

const IPV4_OCTETS = 4;
const CLIENT_PREFIX_BITS = 64;
/** What one customer is commonly given, and what costs an attacker as much as one address. */
const IPV4_NETWORK_BITS = 24;
const IPV6_NETWORK_BITS = 48;
const NIBBLE_BITS = 4;

/** As what a client on a unix socket is trusted, for it is on this host too. */
const loopback = "127.0.0.1";

/**
 * The IPv4 address, or the IPv6 prefix as "2001:db8:1:2::/64": whoever has one address of it has them all.
 * A text that is no address is its own key.
 */
export function clientKey(address: string): string {
  const octets = addressOctets(address);
  if (octets === undefined) return address;
  if (octets.length === IPV4_OCTETS) return formatAddress(octets);
  return `${formatAddress(maskOctets(octets, CLIENT_PREFIX_BITS))}/${CLIENT_PREFIX_BITS}`;
}

/**
 * The network that shares what is scarce with all others: "192.0.2.0/24", "2001:db8:1::/48". Wider than `clientKey`,
 * for addresses of one network come cheap. A text that is no address is its own network.
 */
export function clientNetwork(address: string): string {
  const octets = addressOctets(address);
  if (octets === undefined) return address;
  const bits = octets.length === IPV4_OCTETS ? IPV4_NETWORK_BITS : IPV6_NETWORK_BITS;
  return `${formatAddress(maskOctets(octets, bits))}/${bits}`;
}

/** "1.2.0.192" for 192.0.2.1; the 32 nibbles for IPv6; to be put before a zone with a dot between. */
export function reversedName(address: string): string | undefined {
  const octets = addressOctets(address);
  if (octets === undefined) return undefined;
  const labels =
    octets.length === IPV4_OCTETS
      ? octets.map(String)
      : octets.flatMap((octet) => [(octet >> NIBBLE_BITS).toString(16), (octet & 0xf).toString(16)]);
  return labels.toReversed().join(".");
}

/** First and last address of a range, as hexadecimal digits of the same number; they compare as the addresses do. */
interface Range {
  readonly first: string;
  readonly last: string;
}

/** A set of networks, in which an address is looked up by halving: a list of thousands costs a dozen comparisons. */
export class AddressSet {
  readonly #ipv4: readonly Range[];
  readonly #ipv6: readonly Range[];

  constructor(networks: readonly Network[]) {
    this.#ipv4 = ranges(networks.filter(({ octets }) => octets.length === IPV4_OCTETS));
    this.#ipv6 = ranges(networks.filter(({ octets }) => octets.length !== IPV4_OCTETS));
  }

  has(address: string): boolean {
    const octets = addressOctets(address);
    if (octets === undefined) return false;
    const all = octets.length === IPV4_OCTETS ? this.#ipv4 : this.#ipv6;
    const digits = hexadecimal(octets);
    let low = 0;
    let high = all.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const range = all[middle];
      if (range === undefined) return false;
      if (digits > range.last) low = middle + 1;
      else if (digits < range.first) high = middle;
      else return true;
    }
    return false;
  }
}

/** Whether a client skips the screening and the limits per client. */
export function isTrusted(trusted: AddressSet, address: string): boolean {
  return trusted.has(address === "" ? loopback : address);
}

/** In order and apart. Two networks are apart, or one has the other within it. */
function ranges(networks: readonly Network[]): readonly Range[] {
  const apart: Range[] = [];
  for (const range of networks.map(rangeOf).sort(wideFirst)) {
    const before = apart.at(-1);
    if (before === undefined || range.first > before.last) apart.push(range);
  }
  return apart;
}

function rangeOf({ octets, prefixBits }: Network): Range {
  const inverted = maskOctets(
    octets.map(() => 0xff),
    prefixBits,
  );
  const last = octets.map((octet, index) => octet | (0xff - (inverted[index] ?? 0)));
  return { first: hexadecimal(octets), last: hexadecimal(last) };
}

function wideFirst(a: Range, b: Range): number {
  if (a.first !== b.first) return a.first < b.first ? -1 : 1;
  if (a.last === b.last) return 0;
  return a.last > b.last ? -1 : 1;
}

function hexadecimal(octets: AddressOctets): string {
  return octets.map((octet) => octet.toString(16).padStart(2, "0")).join("");
}
