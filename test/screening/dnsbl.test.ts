/** DNSBL: what answers mean, the score against a naive sum, when it is settled, and zones that refuse to serve us. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { DnsblScore, passMsMax, passMsMin } from "../../src/screening/dnsbl.ts";
import { distinctZones, explanation, matches, meaningOf } from "../../src/screening/dnsbl-zones.ts";
import { leftOutMs, ZoneHealth } from "../../src/screening/zone-health.ts";
import { noAnswer, says, zonesOf } from "./support.ts";

function scoreOf(entries: string, threshold = 1, health = new ZoneHealth()): DnsblScore {
  const score = new DnsblScore(zonesOf(entries), threshold, health);
  score.queries("192.0.2.1", 0);
  return score;
}

describe("an answer", () => {
  test.each([
    ["127.0.0.2", "listing"],
    ["127.0.0.1", "listing"],
    ["127.255.254.255", "listing"],
    ["127.254.255.255", "listing"],
    ["127.255.255.0", "refusal"],
    ["127.255.255.254", "refusal"],
    ["1.2.3.4", "refusal"],
    ["126.255.255.255", "refusal"],
    ["128.0.0.0", "refusal"],
    ["0.0.0.0", "refusal"],
    ["::1", "refusal"],
    ["", "refusal"],
    ["127.0.0.2.", "refusal"],
  ] as const)("%s is a %s", (answer, meaning) => expect(meaningOf(answer)).toBe(meaning));

  test.each([
    ["z.example", "127.9.9.9", true],
    ["z.example=127.0.0.2", "127.0.0.2", true],
    ["z.example=127.0.0.2", "127.0.0.3", false],
    ["z.example=127.0.[1;3..7].[2..11]", "127.0.5.11", true],
    ["z.example=127.0.[1;3..7].[2..11]", "127.0.2.11", false],
    ["z.example=127.0.[1;3..7].[2..11]", "127.0.1.12", false],
    ["z.example", "nonsense", false],
  ])("for %s: %s matches: %p", (entry, answer, expected) => {
    expect(matches(zonesOf(entry)[0]?.filter, answer)).toBe(expected);
  });
});

describe("queries", () => {
  const entries = "a.example=127.0.0.2*3 b.example a.example=127.0.0.3";

  test("are one for each distinct zone", () => {
    const score = new DnsblScore(zonesOf(entries), 1, new ZoneHealth());
    expect(score.queries("::ffff:192.0.2.1", 0)).toEqual([
      { zone: "a.example", name: "1.2.0.192.a.example" },
      { zone: "b.example", name: "1.2.0.192.b.example" },
    ]);
    expect(score.pending).toEqual(["a.example", "b.example"]);
    expect(distinctZones(zonesOf(entries))).toEqual(["a.example", "b.example"]);
  });

  test("are nibbles for IPv6, and fit a name even in the longest zone", () => {
    const zone = `${"a.".repeat(91)}example`;
    const [query] = new DnsblScore(zonesOf(zone), 1, new ZoneHealth()).queries("2001:db8::1", 0);
    expect(query?.name).toStartWith("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.a.a.");
    expect(query?.name.length).toBe(253);
  });

  test("are none for a client without an address", () => {
    const score = new DnsblScore(zonesOf(entries), 1, new ZoneHealth());
    expect(score.queries("", 0)).toEqual([]);
    expect(score.isSettled).toBe(true);
    expect(score.verdict()).toEqual({ listed: false, allowlisted: false, score: 0, matches: [], silent: [] });
  });
});

describe("the score", () => {
  test("is the sum of what matched, the highest weight first", () => {
    const score = scoreOf(
      "a.example=127.0.0.2*3 a.example=127.0.0.[2..9] k.b.example*5=>b.example c.example*-2",
      7,
    );
    score.answered("a.example", says(["127.0.0.2", "127.0.0.3"]), 1);
    score.answered("c.example", says(["127.0.1.1"]), 2);
    expect([score.score, score.isSettled, score.verdict().listed]).toEqual([2, false, false]);
    score.answered("k.b.example", says(["127.0.0.4"]), 3);
    const name = (zone: string) => `1.2.0.192.${zone}`;
    expect(score.verdict()).toEqual({
      listed: true,
      allowlisted: false,
      score: 7,
      matches: [
        {
          zone: "k.b.example",
          name: name("k.b.example"),
          shownName: "b.example",
          weight: 5,
          answer: "127.0.0.4",
        },
        {
          zone: "a.example",
          name: name("a.example"),
          shownName: "a.example",
          weight: 3,
          answer: "127.0.0.2",
        },
        {
          zone: "a.example",
          name: name("a.example"),
          shownName: "a.example",
          weight: 1,
          answer: "127.0.0.2",
        },
        {
          zone: "c.example",
          name: name("c.example"),
          shownName: "c.example",
          weight: -2,
          answer: "127.0.1.1",
        },
      ],
      silent: [],
    });
  });

  test("counts no answer twice, and none to a question that was not asked", () => {
    const score = scoreOf("a.example");
    score.answered("other.example", says(["127.0.0.2"]), 1);
    score.answered("a.example", says(), 1);
    score.answered("a.example", says(["127.0.0.2"]), 2);
    expect(score.score).toBe(0);
  });

  test("does not suffer from trouble", () => {
    const score = scoreOf("a.example k.b.example=>b.example c.example", 1);
    score.failed("a.example", noAnswer, 0);
    score.failed("a.example", noAnswer, 0);
    score.answered("c.example", says(), 1);
    expect(score.verdict().silent).toEqual(["a.example", "b.example"]);
    score.giveUp("no answer within 8s", 0);
    expect(score.pending).toEqual([]);
    score.answered("k.b.example", says(["127.0.0.2"]), 2);
    expect(score.verdict()).toEqual({
      listed: false,
      allowlisted: false,
      score: 0,
      matches: [],
      silent: ["a.example", "b.example"],
    });
  });

  test("is settled when no answer can change it", () => {
    const score = scoreOf("a.example*5 b.example*1 c.example*-2", 3);
    score.answered("b.example", says(["127.0.0.2"]), 0);
    expect(score.isSettled).toBe(false);
    score.answered("a.example", says(["127.0.0.2"]), 0);
    expect([score.isSettled, score.verdict().listed]).toEqual([true, true]);
    const other = scoreOf("a.example*5 b.example*1 c.example*-2", 3);
    other.answered("a.example", says(), 0);
    expect([other.isSettled, other.verdict().listed]).toEqual([true, false]);
  });

  test("is allowlisted when it is negative whatever comes", () => {
    const score = scoreOf("a.example*2 b.example*1 c.example*-2", 3);
    score.answered("c.example", says(["127.0.0.2"]), 0);
    expect(score.isAllowlisted).toBe(false);
    score.answered("a.example", says(), 0);
    expect([score.isAllowlisted, score.isSettled, score.pending]).toEqual([true, true, ["b.example"]]);
    expect(scoreOf("a.example", 1).isAllowlisted).toBe(false);
  });
});

describe("the questions are spared", () => {
  test("for as long as the first answer holds, from a minute to an hour", () => {
    const score = scoreOf("a.example b.example", 1);
    expect(score.passMs).toBe(0);
    score.answered("a.example", says([], 1_200_000), 0);
    score.answered("b.example", says([], 300_000), 0);
    expect(score.passMs).toBe(300_000);
    for (const [ttlMs, passMs] of [
      [0, passMsMin],
      [passMsMin + 1, passMsMin + 1],
      [7 * 86_400_000, passMsMax],
    ] as const) {
      const other = scoreOf("a.example");
      other.answered("a.example", says([], ttlMs), 0);
      expect(other.passMs).toBe(passMs);
    }
  });

  test("not where a zone without a usable answer could have listed the client", () => {
    const score = scoreOf("a.example b.example");
    score.answered("a.example", says(), 0);
    score.failed("b.example", noAnswer, 0);
    expect([score.isSettled, score.verdict().listed, score.passMs]).toEqual([true, false, 0]);
    const silent = scoreOf("a.example b.example");
    silent.answered("a.example", says(), 0);
    silent.giveUp("no answer within 8s", 0);
    expect(silent.passMs).toBe(0);
    const unusable = scoreOf("a.example b.example");
    unusable.answered("a.example", says(), 0);
    unusable.answered("b.example", says(["127.255.255.254"]), 0);
    expect(unusable.passMs).toBe(0);
    const light = scoreOf("a.example*2 b.example c.example*-1", 2);
    light.answered("a.example", says(), 0);
    light.giveUp("no answer within 8s", 0);
    expect(light.passMs).toBe(600_000);
  });

  test("not where a zone is left out", () => {
    const health = new ZoneHealth();
    health.unusable("b.example", 0);
    const score = scoreOf("a.example b.example", 1, health);
    score.answered("a.example", says(), 1);
    expect([score.isSettled, score.passMs, score.verdict().silent]).toEqual([true, 0, ["b.example"]]);
  });
});

describe("a zone that refuses to serve us", () => {
  test.each(["127.255.255.254", "1.2.3.4"])(
    "with %s is no listing, is warned of once an hour, and left out",
    (answer) => {
      const health = new ZoneHealth();
      const first = scoreOf("k.a.example=>a.example b.example", 1, health);
      const second = scoreOf("k.a.example=>a.example b.example", 1, health);
      first.answered("k.a.example", says(["127.0.0.2", answer]), 10);
      expect(first.takeNews()).toEqual([{ news: "unusable", zone: "a.example", answer }]);
      expect(first.takeNews()).toEqual([]);
      expect(first.verdict()).toMatchObject({ listed: false, score: 0, silent: ["a.example", "b.example"] });
      second.answered("k.a.example", says([answer]), 20);
      expect(second.takeNews()).toEqual([]);
      const third = new DnsblScore(zonesOf("k.a.example=>a.example b.example"), 1, health);
      expect(third.queries("192.0.2.1", 10 + leftOutMs - 1).map(({ zone }) => zone)).toEqual(["b.example"]);
      const fourth = new DnsblScore(zonesOf("k.a.example=>a.example"), 1, health);
      expect(fourth.queries("192.0.2.1", 10 + leftOutMs)).toHaveLength(1);
      fourth.answered("k.a.example", says([answer]), 10 + leftOutMs);
      expect(fourth.takeNews()).toEqual([{ news: "unusable", zone: "a.example", answer }]);
    },
  );
});

describe("a zone that was not asked, for we are too busy", () => {
  const late = "no answer within 8s";

  test("leaves unknown whether the client is listed; it is not the zone's silence, and makes no pass", () => {
    const score = scoreOf("k.a.example=>a.example b.example");
    score.notAsked("k.a.example");
    score.notAsked("other.example");
    score.answered("b.example", says(), 0);
    expect([score.isSettled, score.isUnknown, score.pending]).toEqual([false, false, ["k.a.example"]]);
    score.giveUp(late, 0);
    expect([score.isSettled, score.isUnknown, score.pending]).toEqual([false, true, []]);
    expect([score.unknown, score.takeNews(), score.passMs]).toEqual([["a.example"], [], 0]);
    score.answered("k.a.example", says(["127.0.0.2"]), 0);
    expect(score.isUnknown).toBe(true);
  });

  test("is as any other if it is asked after all, and answers or fails in time", () => {
    const listed = scoreOf("a.example");
    listed.notAsked("a.example");
    listed.answered("a.example", says(["127.0.0.2"]), 0);
    expect([listed.isSettled, listed.verdict().listed]).toEqual([true, true]);
    const failed = scoreOf("a.example");
    failed.notAsked("a.example");
    failed.failed("a.example", noAnswer, 0);
    failed.giveUp(late, 0);
    expect([failed.isUnknown, failed.verdict().listed]).toEqual([false, false]);
    expect(failed.takeNews()).toHaveLength(1);
  });

  test("makes no difference where the others settle it", () => {
    const listed = scoreOf("a.example*2 b.example good.example*-1", 1);
    for (const zone of ["b.example", "good.example"]) listed.notAsked(zone);
    listed.answered("a.example", says(["127.0.0.2"]), 0);
    listed.giveUp(late, 0);
    expect([listed.isUnknown, listed.verdict().listed]).toEqual([false, true]);
    const light = scoreOf("a.example*2 b.example good.example*-1", 2);
    for (const zone of ["b.example", "good.example"]) light.notAsked(zone);
    light.answered("a.example", says(), 0);
    light.giveUp(late, 0);
    expect([light.isUnknown, light.verdict().listed, light.passMs]).toEqual([false, false, 600_000]);
    const saved = scoreOf("a.example good.example*-1", 1);
    saved.notAsked("good.example");
    saved.answered("a.example", says(["127.0.0.2"]), 0);
    saved.giveUp(late, 0);
    expect(saved.isUnknown).toBe(true);
  });
});

describe("a zone that gives no answer", () => {
  const entries = "k.a.example=>a.example b.example";
  const hour = 60 * 60 * 1000;
  const minute = 60 * 1000;

  test("is warned of once an hour under the name that may be shown, and told of when it is back", () => {
    const health = new ZoneHealth();
    const scoreAt = (now: number) => {
      const score = new DnsblScore(zonesOf(entries), 1, health);
      expect(score.queries("192.0.2.1", now)).toHaveLength(2);
      return score;
    };
    const fails = (now: number) => {
      const score = scoreAt(now);
      score.failed("k.a.example", noAnswer, now);
      return score.takeNews();
    };
    const answers = (now: number, answer = says()) => {
      const score = scoreAt(now);
      score.answered("k.a.example", answer, now);
      return score.takeNews();
    };
    const warning = { news: "silent", zone: "a.example", ...noAnswer } as const;
    expect(fails(1000)).toEqual([warning]);
    expect(fails(2000)).toEqual([]);
    // It answers every other question: that is not back yet. Nor is it for what the cache knows.
    expect(answers(2000 + minute - 1)).toEqual([]);
    expect(answers(2000 + minute, { ...says(), cached: true })).toEqual([]);
    expect(answers(2000 + minute)).toEqual([{ news: "back", zone: "a.example", awayMs: 1000 + minute }]);
    expect(answers(2000 + 2 * minute)).toEqual([]);
    expect(fails(hour)).toEqual([]);
    // Nothing was said of the last trouble, so nothing is said of its end.
    expect(answers(hour + minute)).toEqual([]);
    expect(fails(1000 + hour + minute)).toEqual([warning]);
    expect(fails(1000 + 2 * hour + minute)).toEqual([warning]);
  });

  test("when its time is over as well; another zone has a warning of its own", () => {
    const score = scoreOf(entries);
    score.failed("b.example", noAnswer, 0);
    score.giveUp("no answer within 8s", 0);
    expect(score.takeNews()).toEqual([
      { news: "silent", zone: "b.example", ...noAnswer },
      { news: "silent", zone: "a.example", reason: "no answer within 8s", server: undefined },
    ]);
  });

  test("and one that was left out are back alike; answers from before the refusal say nothing", () => {
    const health = new ZoneHealth();
    const [first, second, third] = [1, 2, 3].map(() => scoreOf("a.example", 1, health));
    first?.answered("a.example", says(["127.255.255.254"]), 10);
    second?.answered("a.example", says(), 20);
    third?.failed("a.example", noAnswer, 30);
    expect([second?.takeNews(), third?.takeNews()]).toEqual([[], []]);
    const later = new DnsblScore(zonesOf("a.example"), 1, health);
    later.queries("192.0.2.1", 10 + leftOutMs);
    later.answered("a.example", says(["127.0.0.2"]), 10 + leftOutMs);
    expect(later.takeNews()).toEqual([{ news: "back", zone: "a.example", awayMs: leftOutMs }]);
  });
});

describe("what a zone's TXT says", () => {
  const zone = { zone: "k3y.zen.example", shownName: "zen.example" };
  test.each([
    ["Listed by ZEN, see https://zen.example/q/1", "Listed by ZEN, see https://zen.example/q/1"],
    ["see k3y.zen.example and K3Y.ZEN.Example.", "see zen.example and zen.example."],
    [" a\r\n250 ok\0\x1b[2J \xe9  b ", "a?250 ok?[2J ? b"],
    ["", undefined],
    ["   ", undefined],
    ["x".repeat(500), "x".repeat(200)],
  ])("%j", (txt, expected) => expect(explanation(txt, zone)).toBe(expected));

  test("never a line end nor the key, whatever it was", () => {
    const parts = fc.array(
      fc.constantFrom("k3y", ".zen", ".example", "K3Y.zen.example", "\r\n", "\0", "é", " ", "x"),
    );
    fc.assert(
      fc.property(parts, (all) => {
        const text = explanation(all.join(""), zone) ?? "-";
        expect(text).toMatch(/^[ -~]{1,200}$/);
        expect(text.toLowerCase()).not.toContain("k3y.zen.example");
      }),
    );
  });
});

test("any answers in any order: the naive sum, and once settled always settled the same way", () => {
  const weights = fc.integer({ min: -5, max: 5 });
  const lists = fc.array(fc.tuple(fc.nat(4), fc.integer({ min: 2, max: 5 }), weights), { maxLength: 8 });
  const answers = fc.constantFrom("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.255.255.254", "9.9.9.9");
  const events = fc.array(fc.tuple(fc.nat(5), fc.option(fc.array(answers, { maxLength: 3 }))), {
    maxLength: 20,
  });
  const filter = (from: number) => ({ from, to: from });
  fc.assert(
    fc.property(lists, fc.integer({ min: 1, max: 8 }), events, (list, threshold, all) => {
      const zones = list.map(([n, last, weight]) => ({
        zone: `z${n}.example`,
        shownName: `z${n}.example`,
        filter: [127, 0, 0, last].map((octet) => [filter(octet)]),
        weight,
      }));
      const score = new DnsblScore(zones, threshold, new ZoneHealth());
      const open = new Set(score.queries("192.0.2.1", 0).map(({ zone }) => zone));
      let sum = 0;
      let settled: boolean | undefined;
      let allowlisted = false;
      const check = () => {
        expect(score.score).toBe(sum);
        expect([...score.pending].sort()).toEqual([...open].sort());
        if (settled !== undefined) expect([score.isSettled, score.verdict().listed]).toEqual([true, settled]);
        if (allowlisted) expect(score.isAllowlisted).toBe(true);
        if (score.isSettled) settled = score.verdict().listed;
        allowlisted = score.isAllowlisted;
      };
      for (const [n, addresses] of all) {
        const zone = `z${n}.example`;
        if (addresses === null) score.failed(zone, noAnswer, 0);
        else score.answered(zone, says(addresses), 0);
        const usable = addresses?.every((address) => address.startsWith("127.0.0.")) === true;
        if (open.delete(zone) && usable) {
          for (const [m, last, weight] of list)
            if (m === n && addresses.some((address) => address === `127.0.0.${last}`)) sum += weight;
        }
        check();
      }
      score.giveUp("no answer within 8s", 0);
      open.clear();
      check();
      expect(score.isSettled).toBe(true);
      expect(score.verdict().listed).toBe(sum >= threshold);
      expect(score.verdict().allowlisted).toBe(sum < 0);
    }),
    { numRuns: 2000 },
  );
});
