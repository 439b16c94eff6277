/** The screening of one client: every rule and its absence, with time; any split; and no wait without an end. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { DnsblScore } from "../../src/screening/dnsbl.ts";
import {
  type Exemption,
  exemptFromAll,
  exemptFromNothing,
  Screen,
  type ScreenRules,
  saidOctetsMax,
} from "../../src/screening/greeting.ts";
import { rememberedMs } from "../../src/screening/passed-clients.ts";
import { ZoneHealth } from "../../src/screening/zone-health.ts";
import { cut, cuts, wire } from "../smtp/generators.ts";
import { noAnswer, says, zonesOf } from "./support.ts";

const rules: ScreenRules = { greetingDelayMs: 5000, dnsblTimeoutMs: 8000, observe: false };
/** Where the clock of the tests starts: not at 0, which a machine might have for granted. */
const start = 1_000_000.25;
const at = (ms: number) => start + ms;

interface Given {
  readonly rules?: Partial<ScreenRules>;
  readonly exemption?: Exemption;
  readonly zones?: string;
  readonly threshold?: number;
}

function screenOf({
  rules: other = {},
  exemption = exemptFromNothing,
  zones,
  threshold = 1,
}: Given = {}): Screen {
  const entries = zones === undefined ? [] : zonesOf(zones);
  const score = new DnsblScore(entries, threshold, new ZoneHealth());
  const screen = new Screen({ ...rules, ...other }, exemption, score);
  screen.started("192.0.2.1", start);
  return screen;
}

const ehlo = wire("EHLO mail.example\r\n");
/** It waited, and no zone was heard of. */
const passed = {
  kind: "pass",
  earned: { delayMs: rememberedMs, dnsblMs: 0 },
} as const;

describe("the delay", () => {
  test("ends with the greeting; who waits for it passes", () => {
    const screen = screenOf();
    expect([screen.isDelayed, screen.isGreetingDue, screen.deadline()]).toEqual([true, false, at(5000)]);
    screen.time(at(4999));
    expect(screen.isGreetingDue).toBe(false);
    screen.time(at(5000));
    expect([screen.isGreetingDue, screen.deadline()]).toEqual([true, Number.POSITIVE_INFINITY]);
    expect(screen.verdict).toBeUndefined();
    screen.octets(ehlo, at(5001));
    expect([screen.verdict, screen.isDone]).toEqual([passed, true]);
  });

  test("octets that are looked at when it is over are no offence, even if its end was not noticed before", () => {
    const screen = screenOf();
    screen.octets(ehlo, at(5000));
    expect([screen.isGreetingDue, screen.verdict]).toEqual([true, passed]);
  });

  test("is off with 0: the whole greeting at once", () => {
    const screen = screenOf({ rules: { greetingDelayMs: 0 } });
    expect([screen.isDelayed, screen.isGreetingDue]).toEqual([false, true]);
    screen.octets(ehlo, start);
    expect(screen.verdict).toEqual(passed);
  });

  test("is not for a client that is exempt, and no zone is asked; and nothing is earned by that", () => {
    const score = new DnsblScore(zonesOf("a.example"), 1, new ZoneHealth());
    const screen = new Screen(rules, exemptFromAll, score);
    expect(screen.started("192.0.2.1", start)).toEqual([]);
    expect([screen.isDelayed, screen.isGreetingDue, screen.deadline()]).toEqual([
      false,
      true,
      Number.POSITIVE_INFINITY,
    ]);
    screen.octets(ehlo, at(1));
    expect(screen.verdict).toEqual({
      kind: "pass",
      earned: { delayMs: 0, dnsblMs: 0 },
    });
  });

  test("is not for a client that has waited before; the zones are asked all the same", () => {
    const screen = screenOf({
      zones: "a.example",
      exemption: { delay: true, dnsbl: false },
    });
    expect([screen.isGreetingDue, screen.deadline()]).toEqual([true, at(8000)]);
    screen.octets(ehlo, at(1));
    expect(screen.verdict).toBeUndefined();
    screen.dnsblAnswered("a.example", says(), at(100));
    expect(screen.verdict).toEqual({
      kind: "pass",
      earned: { delayMs: 0, dnsblMs: 600_000 },
    });
    const listed = screenOf({
      zones: "a.example",
      exemption: { delay: true, dnsbl: false },
    });
    listed.octets(ehlo, at(1));
    listed.dnsblAnswered("a.example", says(["127.0.0.2"]), at(100));
    expect(listed.verdict?.kind).toBe("listed");
  });

  test("is for a client that only the zones know as passed, and they are not asked again", () => {
    const score = new DnsblScore(zonesOf("a.example"), 1, new ZoneHealth());
    const screen = new Screen(rules, { delay: false, dnsbl: true }, score);
    expect(screen.started("192.0.2.1", start)).toEqual([]);
    expect([screen.isDelayed, screen.deadline()]).toEqual([true, at(5000)]);
    screen.octets(ehlo, at(5000));
    expect(screen.verdict).toEqual(passed);
  });
});

describe("an early talker", () => {
  test("is never greeted, and what it said is kept", () => {
    const screen = screenOf();
    screen.octets(ehlo, at(1234));
    expect(screen.verdict).toEqual({ kind: "early-talker", silentMs: 1234 });
    expect(screen.deadline()).toBe(Number.POSITIVE_INFINITY);
    screen.octets(wire("x".repeat(1000)), at(6000));
    expect([screen.isGreetingDue, screen.said, screen.isDone]).toEqual([
      false,
      `EHLO mail.example\r\n${"x".repeat(saidOctetsMax - ehlo.length)}`,
      true,
    ]);
  });

  test("is judged when its words are clear, or at the end of the delay", () => {
    const screen = screenOf();
    screen.octets(wire("EHL"), at(1000));
    expect([screen.verdict, screen.deadline()]).toEqual([undefined, at(5000)]);
    screen.octets(wire("O "), at(1500));
    expect(screen.verdict).toEqual({ kind: "early-talker", silentMs: 1000 });
    const silent = screenOf();
    silent.octets(wire("E"), at(1000));
    silent.time(at(5000));
    expect([silent.verdict, silent.isGreetingDue]).toEqual([{ kind: "early-talker", silentMs: 1000 }, false]);
  });

  test("is not pardoned by an allowlist that answers later", () => {
    const screen = screenOf({ zones: "good.example*-1" });
    screen.octets(wire("E"), at(10));
    screen.dnsblAnswered("good.example", says(["127.0.0.2"]), at(20));
    expect(screen.isGreetingDue).toBe(false);
    screen.time(at(5000));
    expect(screen.verdict).toEqual({ kind: "early-talker", silentMs: 10 });
  });

  test("is greeted after all where it is only observed", () => {
    const screen = screenOf({ rules: { observe: true } });
    screen.octets(ehlo, at(1000));
    expect(screen.verdict).toEqual({ kind: "early-talker", silentMs: 1000 });
    expect([screen.isGreetingDue, screen.deadline()]).toEqual([false, at(5000)]);
    screen.time(at(5000));
    expect([screen.isGreetingDue, screen.deadline()]).toEqual([true, Number.POSITIVE_INFINITY]);
    expect(screen.verdict?.kind).toBe("early-talker");
  });
});

describe("words that are no SMTP", () => {
  test("before the greeting, behind it, and from whomever", () => {
    const early = screenOf();
    early.octets(wire("GE"), at(10));
    early.octets(wire("T / HTTP/1.1\r\n"), at(20));
    expect(early.verdict).toEqual({ kind: "non-smtp", looksLike: "HTTP request", silentMs: 10 });
    expect(early.isGreetingDue).toBe(false);
    const late = screenOf();
    late.octets(wire("\x16\x03\x01"), at(6000));
    expect(late.verdict).toEqual({ kind: "non-smtp", looksLike: "TLS handshake", silentMs: 6000 });
    const trusted = screenOf({ exemption: exemptFromAll });
    trusted.octets(wire("POST / HTTP/1.1\r\nHost: x\r\n\r\n"), at(1));
    expect(trusted.verdict).toEqual({ kind: "non-smtp", looksLike: "HTTP request", silentMs: 1 });
    expect(trusted.said).toBe("POST / HTTP/1.1\r\nHost: x\r\n\r\n");
  });
});

describe("zones", () => {
  test("are asked at once", () => {
    const screen = new Screen(
      rules,
      exemptFromNothing,
      new DnsblScore(zonesOf("a.example b.example"), 1, new ZoneHealth()),
    );
    expect(screen.started("192.0.2.1", start).map(({ name }) => name)).toEqual([
      "1.2.0.192.a.example",
      "1.2.0.192.b.example",
    ]);
  });

  test("that list a client: it is greeted as any other, and the verdict is there for its RCPT", () => {
    const screen = screenOf({ zones: "a.example*2 b.example" });
    screen.dnsblAnswered("a.example", says(["127.0.0.2"]), at(100));
    expect([screen.isGreetingDue, screen.verdict]).toEqual([false, undefined]);
    screen.time(at(5000));
    screen.octets(ehlo, at(5100));
    expect(screen.isGreetingDue).toBe(true);
    expect(screen.verdict).toMatchObject({ kind: "listed", dnsbl: { listed: true, score: 2 } });
    expect(screen.deadline()).toBe(Number.POSITIVE_INFINITY);
  });

  test("that list an early talker make no difference to it, but are in the log", () => {
    const screen = screenOf({ zones: "a.example" });
    screen.dnsblAnswered("a.example", says(["127.0.0.2"]), at(100));
    screen.octets(ehlo, at(200));
    expect(screen.verdict?.kind).toBe("early-talker");
    expect(screen.dnsbl.listed).toBe(true);
  });

  test("may answer behind the greeting, until their time is over", () => {
    const screen = screenOf({ zones: "a.example b.example" });
    screen.time(at(5000));
    expect([screen.isGreetingDue, screen.deadline()]).toEqual([true, at(8000)]);
    screen.octets(ehlo, at(5100));
    expect(screen.verdict).toBeUndefined();
    screen.dnsblAnswered("a.example", says(["127.0.0.2"]), at(7999));
    expect(screen.verdict?.kind).toBe("listed");

    const silent = screenOf({ zones: "a.example b.example" });
    silent.octets(ehlo, at(5100));
    silent.dnsblFailed("b.example", noAnswer, at(5200));
    silent.dnsblAnswered("a.example", says(["127.0.0.2"]), at(8000));
    expect(silent.verdict).toEqual(passed);
    expect(silent.dnsbl.silent).toEqual(["b.example", "a.example"]);
  });

  test("with time for less than the delay do not lengthen anything", () => {
    const screen = screenOf({ zones: "a.example", rules: { dnsblTimeoutMs: 1000 } });
    expect(screen.deadline()).toBe(at(1000));
    screen.time(at(1000));
    expect(screen.deadline()).toBe(at(5000));
    screen.octets(ehlo, at(5000));
    expect(screen.verdict).toEqual(passed);
  });

  test("with a negative score greet at once, when no other can change that", () => {
    const screen = screenOf({ zones: "good.example*-2 bad.example*2", threshold: 2 });
    screen.dnsblAnswered("good.example", says(["127.0.0.2"]), at(50));
    expect(screen.isGreetingDue).toBe(false);
    screen.dnsblAnswered("bad.example", says(), at(60));
    expect(screen.isGreetingDue).toBe(true);
    screen.octets(ehlo, at(70));
    // It has not waited, so its passes are both as good as what the zones said.
    expect(screen.verdict).toEqual({
      kind: "pass",
      earned: { delayMs: 600_000, dnsblMs: 600_000 },
    });
  });

  test("that refuse to serve us are told of", () => {
    const screen = screenOf({ zones: "a.example" });
    screen.dnsblAnswered("a.example", says(["127.255.255.254"]), at(50));
    expect(screen.takeNews()).toEqual([{ news: "unusable", zone: "a.example", answer: "127.255.255.254" }]);
    screen.octets(ehlo, at(5000));
    expect(screen.verdict).toEqual(passed);
  });
});

interface Step {
  readonly elapsedMs: number;
  readonly what: string;
}

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    elapsedMs: fc.constantFrom(0, 0, 1, 900, 3000, 5000, 9000),
    what: fc.constantFrom(
      "time",
      "EHLO x\r\n",
      "E",
      "GET / HTTP/1.1\r\n",
      "\x16\x03",
      "\r\n",
      "a.example 127.0.0.2",
      "a.example ",
      "good.example 127.0.0.2",
      "good.example 9.9.9.9",
      "a.example failed",
    ),
  }),
  { maxLength: 12 },
);

function play(
  screen: Screen,
  { what }: Step,
  now: number,
  split: (octets: Buffer) => readonly Buffer[],
): void {
  const [zone = "", answer = ""] = what.split(" ");
  if (what === "time") screen.time(now);
  else if (!zone.endsWith(".example")) for (const octets of split(wire(what))) screen.octets(octets, now);
  else if (answer === "failed") screen.dnsblFailed(zone, noAnswer, now);
  else screen.dnsblAnswered(zone, says(answer === "" ? [] : [answer]), now);
}

const settings = fc.record({
  greetingDelayMs: fc.constantFrom(0, 1000, 5000),
  dnsblTimeoutMs: fc.constantFrom(500, 5000, 8000),
  observe: fc.boolean(),
});

const shown = (screen: Screen) => ({
  verdict: screen.verdict,
  due: screen.isGreetingDue,
  deadline: screen.deadline(),
  done: screen.isDone,
});

test("any split of the octets gives the same", () => {
  fc.assert(
    fc.property(settings, steps, cuts, (other, all, places) => {
      const whole = screenOf({ rules: other, zones: "a.example good.example*-2" });
      const split = screenOf({ rules: other, zones: "a.example good.example*-2" });
      let now = start;
      for (const step of all) {
        now += step.elapsedMs;
        play(whole, step, now, (octets) => [octets]);
        play(split, step, now, (octets) => cut(octets, places));
        expect(shown(split)).toEqual(shown(whole));
        const kind = whole.verdict?.kind;
        if (kind === "early-talker" || kind === "non-smtp") expect(split.said).toBe(whole.said);
      }
    }),
    { numRuns: 2000 },
  );
});

test("a verdict stays, a greeting is not taken back, each deadline is the last of its kind, and nothing waits for ever", () => {
  fc.assert(
    fc.property(settings, steps, (other, all) => {
      const screen = screenOf({ rules: other, zones: "a.example good.example*-2" });
      let now = start;
      let before = shown(screen);
      const check = () => {
        const after = shown(screen);
        if (before.verdict !== undefined) expect(after.verdict).toBe(before.verdict);
        if (before.due) expect(after.due).toBe(true);
        const refused = after.verdict?.kind === "early-talker" || after.verdict?.kind === "non-smtp";
        if (after.verdict?.kind === "early-talker" && !other.observe) expect(after.due).toBe(false);
        if (!refused && after.verdict !== undefined) expect(after.due).toBe(true);
        expect(screen.said.length).toBeLessThanOrEqual(saidOctetsMax);
        before = after;
      };
      for (const step of all) {
        now += step.elapsedMs;
        play(screen, step, now, (octets) => [octets]);
        check();
      }
      for (let wakes = 0; Number.isFinite(screen.deadline()); wakes += 1) {
        expect(wakes).toBeLessThan(3);
        now = Math.max(now, screen.deadline());
        screen.time(now);
        check();
      }
      screen.octets(ehlo, Math.max(now, at(9000)));
      check();
      expect(screen.verdict).toBeDefined();
    }),
    { numRuns: 2000 },
  );
});

test("whoever waits for the last line is never an offender, whatever the zones do short of listing it", () => {
  const late = fc.nat(20_000);
  fc.assert(
    fc.property(settings, late, cuts, (other, waitMs, places) => {
      const screen = screenOf({ rules: other, zones: "a.example" });
      for (let now = screen.deadline(); !screen.isGreetingDue; now = screen.deadline()) screen.time(now);
      for (const octets of cut(ehlo, places)) screen.octets(octets, at(other.greetingDelayMs + waitMs));
      screen.time(at(60_000));
      expect(screen.verdict).toEqual(passed);
    }),
  );
});
