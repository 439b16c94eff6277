/** Entries of DNSBL_DOMAINS: postscreen's syntax and ours, faults in the operator's words, format∘parse. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  type DnsblZone,
  dnsblZone,
  dnsblZones,
  type OctetPattern,
} from "../../src/config/kinds/dnsbl-zone.ts";
import type { Kind } from "../../src/config/kinds/values.ts";

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

const one = (octet: number) => [{ from: octet, to: octet }];
const zone = "zen.example";
const plain = { zone, shownName: zone, filter: undefined, weight: 1 };

describe("an entry", () => {
  test.each<[string, Partial<DnsblZone>]>([
    ["zen.example", {}],
    ["ZEN.Example", {}],
    ["zen.example=127.0.0.2", { filter: [one(127), one(0), one(0), one(2)] }],
    [
      "zen.example=127.0.0.[2..11]*3",
      { filter: [one(127), one(0), one(0), [{ from: 2, to: 11 }]], weight: 3 },
    ],
    ["zen.example*-2", { weight: -2 }],
    ["zen.example*-0", { weight: 0 }],
    [
      "zen.example=127.0.[9;3..7;1].[0..255]",
      {
        filter: [one(127), one(0), [...one(1), { from: 3, to: 7 }, ...one(9)], [{ from: 0, to: 255 }]],
      },
    ],
    ["zen.example=127.0.0.[4;2..3;3]", { filter: [one(127), one(0), one(0), [{ from: 2, to: 4 }]] }],
    ["zen.example=>name.example", { shownName: "name.example" }],
    ["zen.example*2=>Name.Example", { shownName: "name.example", weight: 2 }],
    [
      "zen.example=127.0.0.[2..11]*3=>name.example",
      { shownName: "name.example", filter: [one(127), one(0), one(0), [{ from: 2, to: 11 }]], weight: 3 },
    ],
  ])("%s", (text, parts) => expect(good(dnsblZone, text)).toEqual({ ...plain, ...parts }));

  test.each([
    ["zen.example", "zen.example"],
    ["zen.example*1", "zen.example"],
    ["zen.example=127.000.0.[2]", "zen.example=127.0.0.2"],
    ["zen.example=127.0.0.[3;2]*-0=>zen.example", "zen.example=127.0.0.[2..3]*0"],
  ])("%s is %s", (text, canonical) => expect(dnsblZone.format(good(dnsblZone, text))).toBe(canonical));

  test.each([
    ["", "must name a zone such as zen.spamhaus.org, not “”"],
    ["zen..example", "must name a zone such as zen.spamhaus.org, not “zen..example”"],
    ["127.0.0.2", "must name a zone such as zen.spamhaus.org, not “127.0.0.2”"],
    [`${"a.".repeat(95)}example`, "must name a zone such as zen.spamhaus.org, not “"],
    ["zen.example==127.0.0.2", "must be zone[=filter][*weight][=>name], not “zen.example==127.0.0.2”"],
    ["zen.example*2=127.0.0.2", "must be zone[=filter][*weight][=>name], not “zen.example*2=127.0.0.2”"],
    ["zen.example*2=", "must be zone[=filter][*weight][=>name], not “zen.example*2=”"],
    ["zen.example=>a=>b", "must be zone[=filter][*weight][=>name], not “zen.example=>a=>b”"],
    ["zen.example=", "must have a filter such as 127.0.0.2, 127.0.0.[2..11] or 127.0.[1;3..7].2, not “”"],
    ["zen.example*", "must have a whole number from -1000 to 1000 as the weight in “zen.example*”"],
    ["zen.example*1001", "must have a whole number from -1000 to 1000 as the weight in “zen.example*1001”"],
    ["zen.example*1.5", "must have a whole number from -1000 to 1000 as the weight in “zen.example*1.5”"],
    ["zen.example=>", "must show a name such as zen.spamhaus.org behind “=>”, not “”"],
    ["zen.example=>a b", "must show a name such as zen.spamhaus.org behind “=>”, not “a b”"],
    ["zen.example=10.0.0.2", "has the filter “10.0.0.2”, which no listing matches: they are in 127.0.0.0/8"],
    [
      "zen.example=127.255.255.254",
      "has the filter “127.255.255.254”, which no listing matches: they are in 127.0.0.0/8",
    ],
  ])("%s has a fault", (text, reason) => expect(fault(dnsblZone, text)).toStartWith(reason));

  test.each([
    "127.0.0",
    "127.0.0.2.3",
    "127.0.0.256",
    "127.0.0.[]",
    "127.0.0.[2..]",
    "127.0.0.[..2]",
    "127.0.0.[3..2]",
    "127.0.0.[1;;2]",
    "127.0.0.[2",
    "127.0.0.2]",
    "127.0.0.2..3",
    "127.0.0.[2-11]",
    "127.0.0.x",
    "127.0.0.1;2",
    "[127.0].0.2",
  ])("“%s” is no filter", (filter) =>
    expect(fault(dnsblZone, `zen.example=${filter}`)).toStartWith("must have a filter such as "),
  );

  test("is frozen through and through", () => {
    const entry = good(dnsblZone, "zen.example=127.0.0.[2;4]");
    const parts = [entry, entry.filter, ...(entry.filter ?? []), ...(entry.filter ?? []).flat()];
    expect(parts.every(Object.isFrozen)).toBe(true);
  });
});

describe("a list", () => {
  test("may name a zone several times, with filters of its own", () => {
    const entries = good(dnsblZones, "a.example=127.0.0.2*3, a.example=127.0.0.[3..4]*1\tb.example");
    expect(entries.map(dnsblZone.format)).toEqual([
      "a.example=127.0.0.2*3",
      "a.example=127.0.0.[3..4]",
      "b.example",
    ]);
    expect(dnsblZones.format(entries)).toBe("a.example=127.0.0.2*3 a.example=127.0.0.[3..4] b.example");
  });

  test("has no entry twice, also not with another weight", () => {
    expect(fault(dnsblZones, "a.example A.example")).toBe("names “a.example” twice");
    expect(fault(dnsblZones, "a.example a.example*2")).toBe("gives an entry of “a.example” two weights");
    expect(
      fault(dnsblZones, "a.example=127.0.0.[2;3]=>x.example a.example=127.0.0.[2..3]*2=>x.example"),
    ).toBe("gives an entry of “x.example” two weights");
  });

  test("shows no zone under two names, so that a key cannot slip out", () => {
    expect(fault(dnsblZones, "k.a.example=127.0.0.2=>a.example k.a.example=127.0.0.3")).toBe(
      "must show the zone of “a.example” under one name in all its entries",
    );
  });

  test("needs one", () => expect(fault(dnsblZones, " ")).toBe("must name at least one"));
});

const patterns: fc.Arbitrary<OctetPattern> = fc
  .uniqueArray(fc.nat(255), { minLength: 1, maxLength: 8 })
  .map((octets) => octets.sort((a, b) => a - b))
  .map((octets) => {
    const ranges: { from: number; to: number }[] = [];
    for (const octet of octets) {
      const last = ranges.at(-1);
      if (last?.to === octet - 1) last.to = octet;
      else ranges.push({ from: octet, to: octet });
    }
    return ranges;
  });

const zones: fc.Arbitrary<DnsblZone> = fc.record({
  zone: fc.constantFrom("a.example", "key.b.example", "xn--c.example"),
  shownName: fc.constantFrom("a.example", "b.example"),
  filter: fc.option(
    fc
      .tuple(patterns, patterns, patterns)
      .map((rest) => [one(127), ...rest])
      .filter(([, second]) => second?.[0]?.from !== 255),
    { nil: undefined },
  ),
  weight: fc.integer({ min: -1000, max: 1000 }),
});

test("format, then parse, is the same", () => {
  fc.assert(
    fc.property(zones, (entry) => {
      expect(good(dnsblZone, dnsblZone.format(entry))).toEqual(entry);
    }),
  );
});

test("garbage never throws, and what is taken is taken again", () => {
  const parts = fc.constantFrom(
    "a.example",
    "=",
    "=>",
    "*",
    "-",
    "127.0.0.",
    "[",
    "]",
    ";",
    "..",
    ".",
    "2",
    "11",
    "256",
    " ",
    ",",
    "\0",
  );
  fc.assert(
    fc.property(
      fc.array(parts, { maxLength: 12 }).map((all) => all.join("")),
      (text) => {
        const parsed = dnsblZones.parse(text, nothing);
        if (parsed.ok) expect(good(dnsblZones, dnsblZones.format(parsed.value))).toEqual(parsed.value);
        else expect(parsed.fault).toMatch(/^[^\p{C}]+$/u);
      },
    ),
    { numRuns: 5000 },
  );
});
