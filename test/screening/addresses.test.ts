/** Keys, sets of networks and reversed names, against references that were written without regard to cost. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { network } from "../../src/config/kinds/networks.ts";
import {
  AddressSet,
  clientKey,
  clientNetwork,
  isTrusted,
  reversedName,
} from "../../src/screening/addresses.ts";

function setOf(...texts: string[]): AddressSet {
  return new AddressSet(
    texts.map((text) => {
      const parsed = network.parse(text, () => undefined);
      if (!parsed.ok) throw new Error(parsed.fault);
      return parsed.value;
    }),
  );
}

/** 32 bits or 128, and an address of them in a form that has nothing left out. */
const ipv4 = fc.bigInt({ min: 0n, max: (1n << 32n) - 1n });
const ipv6 = fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }).filter((value) => value >> 32n !== 0xffffn);

function writeIpv4(value: bigint): string {
  return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 0xffn).join(".");
}

function writeIpv6(value: bigint): string {
  const digits = value.toString(16).padStart(32, "0");
  return (digits.match(/.{4}/g) ?? []).join(":");
}

const garbage = fc.oneof(
  fc.string(),
  fc.string({ unit: "binary" }),
  fc.string({ unit: fc.constantFrom(..."0129af:.%/[]") }),
);

describe("keys", () => {
  test.each([
    ["192.0.2.1", "192.0.2.1"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["::ffff:c000:201", "192.0.2.1"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:db8:1:2::1", "2001:db8:1:2::/64"],
    ["2001:DB8:1:3::1", "2001:db8:1:3::/64"],
    ["::1", "::/64"],
    ["fe80::1%eth0", "fe80::/64"],
    ["", ""],
    ["nonsense", "nonsense"],
  ])("%s has %s", (address, key) => expect(clientKey(address)).toBe(key));

  test.each([
    ["192.0.2.77", "192.0.2.0/24"],
    ["::ffff:192.0.2.1", "192.0.2.0/24"],
    ["2001:db8:1:2::1", "2001:db8:1::/48"],
    ["", ""],
  ])("%s shares with %s", (address, network) => expect(clientNetwork(address)).toBe(network));

  test("are the same for two IPv6 addresses just when the first 64 bits are", () => {
    fc.assert(
      fc.property(ipv6, ipv6, fc.nat(127), (a, b, bit) => {
        const near = a ^ (1n << BigInt(bit));
        expect(clientKey(writeIpv6(a)) === clientKey(writeIpv6(b))).toBe(a >> 64n === b >> 64n);
        if (near >> 32n !== 0xffffn) {
          expect(clientKey(writeIpv6(a)) === clientKey(writeIpv6(near))).toBe(bit < 64);
        }
      }),
    );
  });
});

describe("reversed names", () => {
  test.each([
    ["192.0.2.99", "99.2.0.192"],
    ["::ffff:192.0.2.99", "99.2.0.192"],
    // The example of RFC 5782 §2.4.
    ["2001:db8:1:2:3:4:567:89ab", "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2"],
    ["::1", `1${".0".repeat(31)}`],
    ["", undefined],
    ["unix", undefined],
  ])("%s is %s", (address, name) => expect(reversedName(address)).toBe(name));

  test("nibbles, against BigInt", () => {
    fc.assert(
      fc.property(ipv6, (value) => {
        const nibbles = Array.from({ length: 32 }, (_, index) =>
          ((value >> BigInt(4 * index)) & 0xfn).toString(16),
        );
        expect(reversedName(writeIpv6(value))).toBe(nibbles.join("."));
      }),
    );
  });

  test("IPv4, and the same in IPv6, against BigInt", () => {
    fc.assert(
      fc.property(ipv4, (value) => {
        const name = [0n, 8n, 16n, 24n].map((shift) => (value >> shift) & 0xffn).join(".");
        expect(reversedName(writeIpv4(value))).toBe(name);
        expect(reversedName(`::ffff:${writeIpv4(value)}`)).toBe(name);
        expect(reversedName(writeIpv6((0xffffn << 32n) | value))).toBe(name);
      }),
    );
  });
});

describe("sets", () => {
  test("of the default", () => {
    const trusted = setOf("127.0.0.0/8", "::1");
    const inside = ["127.0.0.1", "127.255.255.255", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1"];
    const outside = ["126.255.255.255", "128.0.0.0", "::", "::2", "::ffff:128.0.0.1", "", "x", "::127.0.0.1"];
    expect(inside.filter((address) => !trusted.has(address))).toEqual([]);
    expect(outside.filter((address) => trusted.has(address))).toEqual([]);
    expect(isTrusted(trusted, "")).toBe(true);
    expect(isTrusted(setOf("::1"), "")).toBe(false);
    expect(isTrusted(trusted, "192.0.2.1")).toBe(false);
  });

  test("everything, and nothing", () => {
    expect(["0.0.0.0", "255.255.255.255"].map((address) => setOf("0.0.0.0/0").has(address))).toEqual([
      true,
      true,
    ]);
    expect(setOf("0.0.0.0/0").has("::")).toBe(false);
    expect(setOf("::/0").has("192.0.2.1")).toBe(false);
    expect(setOf("::/0").has("ffff::")).toBe(true);
    expect(setOf().has("192.0.2.1")).toBe(false);
  });

  test("one network within another", () => {
    const set = setOf("10.0.0.0/8", "10.1.0.0/16", "10.255.255.255", "10.0.0.0/24", "11.0.0.0/32");
    const all = ["9.255.255.255", "10.0.0.0", "10.0.1.0", "10.255.255.255", "11.0.0.0", "11.0.0.1"];
    expect(all.map((address) => set.has(address))).toEqual([false, true, true, true, true, false]);
  });

  test.each([
    ["IPv4", 32n, ipv4, writeIpv4],
    ["IPv6", 128n, ipv6, writeIpv6],
  ] as const)("of %s, against BigInt", (_, width, values, write) => {
    const prefixes = fc.array(fc.tuple(values, fc.bigInt({ min: 0n, max: width })), { maxLength: 12 });
    fc.assert(
      fc.property(prefixes, values, fc.bigInt({ min: 0n, max: width - 1n }), (list, random, bit) => {
        const networks = list.map(([value, bits]) => {
          const start = (value >> (width - bits)) << (width - bits);
          return { start, bits };
        });
        // The mapped prefix is IPv4 and is tested as such.
        const apart = networks.filter(
          ({ start, bits }) => width === 32n || start >> 32n !== 0xffffn || bits < 96n,
        );
        const set = setOf(...apart.map(({ start, bits }) => `${write(start)}/${bits}`));
        const near = apart.map(({ start }) => start ^ (1n << bit));
        const last = apart.map(({ start, bits }) => start + (1n << (width - bits)) - 1n);
        for (const value of [random, ...near, ...last, ...apart.map(({ start }) => start)]) {
          if (width === 128n && value >> 32n === 0xffffn) continue;
          const expected = apart.some(
            ({ start, bits }) => value >> (width - bits) === start >> (width - bits),
          );
          expect(set.has(write(value))).toBe(expected);
        }
      }),
    );
  });

  test("of ten thousand networks are looked up in no time", () => {
    const set = setOf(...Array.from({ length: 10_000 }, (_, n) => `10.${n >> 8}.${n & 255}.0/25`));
    const started = performance.now();
    let found = 0;
    for (let n = 0; n < 10_000; n += 1) if (set.has(`10.${n >> 8}.${n & 255}.${n & 255}`)) found += 1;
    expect(found).toBe(Array.from({ length: 10_000 }, (_, n) => n & 255).filter((last) => last < 128).length);
    expect(performance.now() - started).toBeLessThan(1000);
  });
});

test("garbage never throws", () => {
  const set = setOf("0.0.0.0/0", "::/0");
  fc.assert(
    fc.property(garbage, (text) => {
      expect(typeof clientKey(text)).toBe("string");
      expect(set.has(text)).toBe(reversedName(text) !== undefined);
    }),
    { numRuns: 3000 },
  );
});
