/** What weights mean for a client's score: more weight never makes it lower, and the order of answers is no matter. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { DnsblZone } from "../../src/config/kinds/dnsbl-zone.ts";
import { DnsblScore, type DnsblVerdict } from "../../src/screening/dnsbl.ts";
import { ZoneHealth } from "../../src/screening/zone-health.ts";

type Answers = ReadonlyMap<string, readonly string[]>;

const zoneNames = ["a.example", "b.example", "c.example"];
const weights = fc.integer({ min: -10, max: 10 });
const entries = fc.array(
  fc.record({ zone: fc.constantFrom(...zoneNames), last: fc.integer({ min: 2, max: 4 }), weight: weights }),
  { minLength: 1, maxLength: 6 },
);
const addresses = fc.constantFrom("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.255.255.254");
const answers = fc
  .tuple(...zoneNames.map(() => fc.array(addresses, { maxLength: 3 })))
  .map((all): Answers => new Map(zoneNames.map((zone, index) => [zone, all[index] ?? []])));

function judge(
  zones: readonly DnsblZone[],
  threshold: number,
  told: Answers,
  order: readonly string[],
): DnsblVerdict {
  const score = new DnsblScore(zones, threshold, new ZoneHealth());
  score.queries("192.0.2.1", 0);
  for (const zone of order) {
    score.answered(zone, { addresses: told.get(zone) ?? [], ttlMs: 60_000, cached: false }, 0);
  }
  return score.verdict();
}

function zonesOf(list: readonly { zone: string; last: number; weight: number }[]): readonly DnsblZone[] {
  return list.map(({ zone, last, weight }) => ({
    zone,
    shownName: zone,
    filter: [127, 0, 0, last].map((octet) => [{ from: octet, to: octet }]),
    weight,
  }));
}

test("the score grows with every weight, falls with none, and comes before or behind a threshold as a sum does", () => {
  const thresholds = fc.integer({ min: 1, max: 12 });
  const orders = fc.shuffledSubarray(zoneNames, { minLength: zoneNames.length });
  fc.assert(
    fc.property(
      entries,
      fc.nat(5),
      fc.nat(20),
      thresholds,
      answers,
      orders,
      (list, nth, more, threshold, told, order) => {
        const heavier = list.map((entry, index) =>
          index === nth % list.length ? { ...entry, weight: entry.weight + more } : entry,
        );
        const before = judge(zonesOf(list), threshold, told, zoneNames);
        const after = judge(zonesOf(heavier), threshold, told, order);
        const grown = after.score - before.score;
        const counts = before.matches.some(({ zone, answer }) => {
          const entry = list[nth % list.length];
          return zone === entry?.zone && answer === `127.0.0.${entry.last}`;
        });
        expect(grown).toBe(counts ? more : 0);
        if (before.listed) expect(after.listed).toBe(true);
        if (after.allowlisted) expect(before.allowlisted).toBe(true);
        expect(judge(zonesOf(list), threshold, told, order)).toMatchObject({
          score: before.score,
          listed: before.listed,
        });
        if (before.listed && threshold > 1) {
          expect(judge(zonesOf(list), threshold - 1, told, order).listed).toBe(true);
        }
      },
    ),
    { numRuns: 2000 },
  );
});
