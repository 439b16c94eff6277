/** Addresses and networks: what is taken, what is refused and how, against BigInt arithmetic where that is simpler. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { addressPort } from "../../src/config/kinds/hosts.ts";
import { network } from "../../src/config/kinds/networks.ts";
import { type Kind, listOf, quote } from "../../src/config/kinds/values.ts";
import { addressOctets, formatAddress, maskOctets } from "../../src/lib/ip.ts";

const nothing = () => undefined;

function good<T>(kind: Kind<T>, text: string): T {
  const parsed = kind.parse(text, nothing);
  if (!parsed.ok) throw new Error(`${text}: ${parsed.fault}`);
  return parsed.value;
}

function fault<T>(kind: Kind<T>, text: string): string {
  const parsed = kind.parse(text, nothing);
  if (parsed.ok) throw new Error(`${text} is taken`);
  return parsed.fault;
}

const ipv6 = (...last: number[]) => [...Array.from({ length: 16 - last.length }, () => 0), ...last];

const octets = (length: number) => fc.array(fc.nat(255), { minLength: length, maxLength: length });
const addresses = fc
  .oneof(octets(4), octets(16))
  .filter((address) => addressOctets(formatAddress(address)) !== undefined);

describe("addresses", () => {
  test.each([
    ["192.0.2.1", [192, 0, 2, 1]],
    ["::1", ipv6(1)],
    ["::ffff:192.0.2.1", [192, 0, 2, 1]],
    ["::FFFF:c000:201", [192, 0, 2, 1]],
    ["0:0:0:0:0:ffff:192.0.2.1", [192, 0, 2, 1]],
    ["::192.0.2.1", ipv6(192, 0, 2, 1)],
    ["64:ff9b::192.0.2.1", [0, 0x64, 0xff, 0x9b, ...ipv6(192, 0, 2, 1).slice(4)]],
    ["fe80::1%eth0", [0xfe, 0x80, ...ipv6(1).slice(2)]],
  ])("%s", (text, expected) => expect(addressOctets(text)).toEqual(expected));

  test.each([
    "",
    "1.2.3",
    "1.2.3.4.5",
    "01.2.3.4",
    "256.2.3.4",
    "0x7f.1",
    "1.2.3.4 ",
    "1::2::3",
    "::ffff:010.1.1.1",
    "::ffff:1.2.3",
    "1.2.3.4::",
    "%eth0",
    "localhost",
    "[::1]",
  ])("“%s” is none", (text) => expect(addressOctets(text)).toBeUndefined());

  test("format, then parse, is the same; IPv4 in IPv6 becomes IPv4", () => {
    fc.assert(
      fc.property(addresses, (address) => {
        const isMapped = address.length === 16 && formatAddress(address).startsWith("::ffff:");
        expect(addressOctets(formatAddress(address))).toEqual(isMapped ? address.slice(12) : address);
      }),
    );
  });

  test("masks, against BigInt", () => {
    fc.assert(
      fc.property(addresses, fc.nat(128), (address, bits) => {
        const all = BigInt(8 * address.length);
        const kept = BigInt(Math.min(bits, 8 * address.length));
        const value = BigInt(`0x${Buffer.from(address).toString("hex")}`);
        const masked = (value >> (all - kept)) << (all - kept);
        const expected = Buffer.from(masked.toString(16).padStart(2 * address.length, "0"), "hex");
        expect(maskOctets(address, Number(kept))).toEqual([...expected]);
      }),
    );
  });
});

describe("networks", () => {
  test.each([
    ["192.0.2.0/24", [192, 0, 2, 0], 24, "192.0.2.0/24"],
    ["192.0.2.1", [192, 0, 2, 1], 32, "192.0.2.1"],
    ["192.0.2.1/32", [192, 0, 2, 1], 32, "192.0.2.1"],
    ["0.0.0.0/0", [0, 0, 0, 0], 0, "0.0.0.0/0"],
    ["::/0", ipv6(), 0, "::/0"],
    ["::1", ipv6(1), 128, "::1"],
    ["2001:DB8::/32", [0x20, 1, 0xd, 0xb8, ...ipv6().slice(4)], 32, "2001:db8::/32"],
    ["::ffff:192.0.2.0/120", [192, 0, 2, 0], 24, "192.0.2.0/24"],
    ["::ffff:0:0/96", [0, 0, 0, 0], 0, "0.0.0.0/0"],
  ])("%s", (text, expected, prefixBits, canonical) => {
    const value = good(network, text);
    expect(value).toEqual({ octets: expected, prefixBits });
    expect(network.format(value)).toBe(canonical);
    expect([value, value.octets].every(Object.isFrozen)).toBe(true);
  });

  test("faults", () => {
    for (const text of [
      "",
      "/8",
      "10.0.0.0/",
      "10/8",
      "10.0.0.0/08",
      "10.0.0.0/-1",
      "fe80::1%eth0/64",
      "a.example",
    ]) {
      expect(fault(network, text)).toBe(
        `must be an address or a network such as 192.0.2.0/24 or 2001:db8::/32, not ${quote(text)}`,
      );
    }
    expect(fault(network, "10.0.0.0/33")).toBe("must have at most 32 bits in the prefix of “10.0.0.0/33”");
    expect(fault(network, "10.1.2.3/8")).toBe(
      "must have no bits set behind the prefix of “10.1.2.3/8”; 10.0.0.0/8 is the whole network",
    );
    fault(network, "::ffff:0:0/95");
  });

  test("a list may be empty", () => {
    expect(good(listOf(network, 0), " , ")).toEqual([]);
    expect(fault(listOf(network, 0), "::1 0:0::1")).toBe("names “::1” twice");
  });

  test("format, then parse, is the same", () => {
    fc.assert(
      fc.property(addresses, fc.nat(128), (address, bits) => {
        const prefixBits = Math.min(bits, 8 * address.length);
        const text = network.format({ octets: maskOctets(address, prefixBits), prefixBits });
        const value = good(network, text);
        expect(good(network, network.format(value))).toEqual(value);
        if (!text.startsWith("::ffff:")) expect(network.format(value)).toBe(text);
      }),
    );
  });
});

describe("DNS servers", () => {
  const kind = addressPort(53);

  test.each([
    ["192.0.2.53", "192.0.2.53:53"],
    ["192.0.2.53:5353", "192.0.2.53:5353"],
    ["2001:db8::53", "[2001:db8::53]:53"],
    ["[2001:db8::53]", "[2001:db8::53]:53"],
    ["[2001:db8::53]:5353", "[2001:db8::53]:5353"],
  ])("%s", (text, canonical) => expect(good(kind, text).text).toBe(canonical));

  test.each(["", ":53", "dns.example", "0x7f", "192.0.2.53:", "192.0.2.53:0", "192.0.2.53:65536", "192.0.2"])(
    "“%s” is none",
    (text) =>
      expect(fault(kind, text)).toStartWith(
        "must be an address such as 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:5353, with a port",
      ),
  );
});
