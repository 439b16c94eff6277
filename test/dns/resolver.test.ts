/** The stub resolver against a scripted server over loopback. */
import { afterEach, describe, expect, test } from "bun:test";
import { networkInterfaces } from "node:os";
import type { LookupAnswer } from "../../src/client/messages.ts";
import type { TurnLimits } from "../../src/dns/look-up-turns.ts";
import { DnsResolver } from "../../src/dns/resolver.ts";
import { DnsTransport } from "../../src/dns/transport.ts";
import { descriptors, eventually, turns } from "../bun/support.ts";
import * as dns from "./server.ts";

const refused = "nothing listens there, a firewall refuses, or no route leads there (ECONNREFUSED)";
const hasIPv6 = Object.values(networkInterfaces()).some((all) =>
  all?.some(({ address }) => address === "::1"),
);

const opened: (() => void)[] = [];
afterEach(() => {
  for (const close of opened.splice(0).reverse()) close();
});

async function server(options?: Parameters<typeof dns.DnsServer.start>[0]): Promise<dns.DnsServer> {
  const started = await dns.DnsServer.start(options);
  opened.push(() => started.stop());
  return started;
}

interface Times {
  readonly timeoutMs?: number;
  readonly attemptMs?: number;
  readonly limits?: TurnLimits;
}

/** `clock.now` is what the resolver takes for the time. */
function resolver(servers: readonly dns.DnsServer[], times: Times = {}, clock = { now: 1_000 }): DnsResolver {
  const settings = { timeoutMs: 1_500, attemptMs: 500, ...times };
  const made = new DnsResolver(
    { ...settings, servers: servers.map(({ address }) => address) },
    () => clock.now,
  );
  opened.push(() => made.close());
  return made;
}

async function pair(times?: Times, clock?: { now: number }) {
  const only = await server();
  return { only, asking: resolver([only], times, clock) };
}

function trouble(reason: string, server?: string): LookupAnswer {
  return { kind: "trouble", reason, server };
}

const busy: LookupAnswer = { kind: "busy", reason: "too many look-ups at once" };
const listed = dns.addresses(["127.0.0.2"]);
const foundListed = { kind: "found", addresses: ["127.0.0.2"], ttlMs: 300_000 } as const;
const forged = dns.addresses(["127.0.0.66"]);

describe("what an answer says", () => {
  const cases: readonly (readonly [string, dns.Behaviour, LookupAnswer])[] = [
    ["listed", listed, foundListed],
    [
      "several",
      dns.addresses(["127.0.0.4", "127.0.0.2"]),
      { ...foundListed, addresses: ["127.0.0.4", "127.0.0.2"] },
    ],
    ["refuses us", dns.addresses(["127.255.255.254"]), { ...foundListed, addresses: ["127.255.255.254"] }],
    ["parked", dns.addresses(["1.2.3.4"]), { ...foundListed, addresses: ["1.2.3.4"] }],
    ["ttl 0", dns.addresses(["127.0.0.2"], 0), { ...foundListed, ttlMs: 60_000 }],
    ["ttl of a week", dns.addresses(["127.0.0.2"], 604_800), { ...foundListed, ttlMs: 3_600_000 }],
    ["ttl over 2^31", dns.addresses(["127.0.0.2"], 0x8000_0001), { ...foundListed, ttlMs: 60_000 }],
    ["nxdomain", dns.nxdomain(dns.soa(900)), { kind: "none", ttlMs: 900_000 }],
    ["nxdomain, SOA with a lower TTL", dns.nxdomain(dns.soa(900, 120)), { kind: "none", ttlMs: 120_000 }],
    ["nxdomain, SOA of a week", dns.nxdomain(dns.soa(604_800, 604_800)), { kind: "none", ttlMs: 3_600_000 }],
    ["nxdomain without SOA", dns.nxdomain(), { kind: "none", ttlMs: 60_000 }],
    ["nodata", dns.nodata(dns.soa(600)), { kind: "none", ttlMs: 600_000 }],
    ["nodata without SOA", dns.nodata(), { kind: "none", ttlMs: 60_000 }],
    ["nodata of an authority", dns.say(dns.authoritative), { kind: "none", ttlMs: 60_000 }],
    ["cname", dns.aliased(["A.test", "b.test"], ["127.0.0.2"], 200), { ...foundListed, ttlMs: 200_000 }],
    ["cname to nothing", dns.aliased(["a.test"], []), { kind: "none", ttlMs: 60_000 }],
    [
      "another name's record",
      dns.addresses(["127.0.0.2"], 300, "else.test"),
      { kind: "none", ttlMs: 60_000 },
    ],
    [
      "its case changed",
      dns.say(({ name }) => ({
        ...{ name: name.toUpperCase() },
        answers: [{ type: "A", name: name.toUpperCase(), ttl: 300, data: "127.0.0.2" }],
      })),
      foundListed,
    ],
  ];
  test.each(cases)("%s", async (label, behaviour, expected) => {
    const { only, asking } = await pair();
    const name = `${label.replaceAll(/[^a-z0-9]/g, "-")}.list.test`;
    only.on(name, behaviour);
    expect(await asking.lookup(name, "A")).toEqual(expected);
    expect(only.queries).toHaveLength(1);
  });

  test("texts: a record is one text, whatever its strings, octet for octet", async () => {
    const { only, asking } = await pair();
    only.on(
      "txt.test",
      dns.texts([["listed, see ", "https://list.test/"], [Buffer.from([0xff, 0xc3])], [""]]),
    );
    const texts = ["listed, see https://list.test/", "\xff\xc3", ""];
    expect(await asking.lookup("txt.test", "TXT")).toEqual({ kind: "texts", texts, ttlMs: 300_000 });
  });

  test("an address that was not asked for does not answer a question for texts", async () => {
    const { only, asking } = await pair();
    only.on(
      "both.test",
      dns.say(({ name }) => ({ answers: [{ type: "A", name, data: "127.0.0.2" }] })),
    );
    expect(await asking.lookup("both.test", "TXT")).toEqual({ kind: "none", ttlMs: 60_000 });
  });

  test("one server's trouble is said, and whose it was", async () => {
    const { only, asking } = await pair();
    const loop = dns.aliased(["b.test", "loop.test"], []);
    const cases = {
      servfail: dns.servfail,
      refused: dns.refused,
      notimp: dns.notimp,
      referral: dns.referral,
    };
    for (const [label, behaviour] of Object.entries({ ...cases, garbage: dns.garbage, loop })) {
      only.on(`${label}.test`, behaviour);
    }
    only.on("rcode.test", dns.say({ rcode: 9 }));
    const said = async (name: string) => {
      const answer = await asking.lookup(name, "A");
      return answer.kind === "trouble" ? answer.reason.replace(/^127\.0\.0\.1:\d+: /, "") : answer.kind;
    };
    expect(await said("servfail.test")).toBe("SERVFAIL");
    expect(await said("refused.test")).toBe("REFUSED");
    expect(await said("notimp.test")).toBe("NOTIMP");
    expect(await said("rcode.test")).toBe("RCODE 9");
    expect(await said("referral.test")).toBe("does not resolve for us");
    expect(await said("garbage.test")).toBe("malformed answer");
    expect(await said("loop.test")).toBe("endless CNAME");
    expect(only.asked("servfail.test")).toHaveLength(1);
  });

  test("names that are none are not asked for", async () => {
    const { only, asking } = await pair();
    const label = "a".repeat(63);
    const longest = `${label}.${label}.${label}.${"a".repeat(61)}`;
    for (const name of [
      "",
      ".",
      "a..b",
      ".a",
      "a b.test",
      "ä.test",
      "\u212a.test",
      `${label}a.test`,
      `a${longest}`,
    ]) {
      expect(await asking.lookup(name, "A")).toEqual(trouble("not a domain name"));
    }
    expect(only.queries).toEqual([]);
    expect((await asking.lookup(longest, "A")).kind).toBe("none");
    expect((await asking.lookup(`${longest}.`, "TXT")).kind).toBe("none");
    expect((await asking.lookup("_k.Zen.list.TEST.", "TXT")).kind).toBe("none");
    expect(only.queries.map(({ name }) => name)).toEqual([longest, longest, "_k.zen.list.test"]);
  });
});

describe("answers that are not the server's", () => {
  const forgeries: readonly (readonly [string, dns.Behaviour, number])[] = [
    ["id", dns.forgedId(forged), 1],
    [
      "name",
      dns.say({ name: "other.test", answers: [{ type: "A", name: "other.test", data: "127.0.0.66" }] }),
      1,
    ],
    ["type", dns.say({ type: "MX" }), 1],
    ["class", dns.say({ class: "CH" }), 1],
    ["port", dns.sentFrom("elsewhere", forged), 0],
    ["address", dns.sentFrom("stranger", forged), 0],
    ["nonsense", dns.raw(Buffer.from("nonsense that is longer than a header")), 1],
    ["a few octets", dns.raw(Buffer.from("abc")), 1],
    ["nothing", dns.raw(Buffer.alloc(0)), 1],
    ["id of a bare error", dns.forgedId(dns.headerAlone(5)), 1],
    ["port of a bare error", dns.sentFrom("elsewhere", dns.headerAlone(5)), 0],
    ["NXDOMAIN without a name", dns.headerAlone(3), 1],
    ["NOERROR without a name", dns.headerAlone(0), 1],
    ["the query itself", (query) => [{ octets: dns.messageOf(forged, query).fill(1, 2, 3) }], 1],
  ];
  test.each(forgeries)(
    "a wrong %s is dropped, and the true answer is taken",
    async (_label, behaviour, strays) => {
      const { only, asking } = await pair();
      only.on("name.test", dns.both(behaviour, behaviour, dns.late(20, listed)));
      expect(await asking.lookup("name.test", "A")).toEqual(foundListed);
      expect(asking.counts.strays).toBe(strays * 2);
      expect(only.queries).toHaveLength(1);
    },
  );

  test("they are no answer, however many", async () => {
    const { only, asking } = await pair({ timeoutMs: 150, attemptMs: 50 });
    only.on("name.test", dns.both(...Array.from({ length: 100 }, () => dns.forgedId(forged))));
    expect(await asking.lookup("name.test", "A")).toEqual(trouble("no answer within 0.15s"));
    expect(asking.counts.strays).toBeGreaterThanOrEqual(100);
  });

  test("questions at once have a port each", async () => {
    const { only, asking } = await pair();
    await Promise.all(Array.from({ length: 60 }, (_, at) => asking.lookup(`n${at}.test`, "A")));
    expect(new Set(only.queries.map(({ port }) => port)).size).toBe(60);
  });

  test("ids and ports cannot be guessed", async () => {
    const { only, asking } = await pair();
    for (let at = 0; at < 300; at += 1) await asking.lookup(`n${at}.test`, "A");
    const distinct = (numbers: readonly number[]) => new Set(numbers).size;
    const ids = only.queries.map(({ id }) => id);
    const ports = only.queries.map(({ port }) => port);
    expect(distinct(ids)).toBeGreaterThan(285);
    expect(distinct(ports)).toBeGreaterThan(270);
    // Nor are they in order: the same number of steps up and down, give or take.
    for (const numbers of [ids, ports]) {
      const rises = numbers.filter((number, at) => number > (numbers[at - 1] ?? number)).length;
      expect(rises).toBeGreaterThan(110);
      expect(rises).toBeLessThan(190);
    }
  });
});

describe("several servers", () => {
  const failing: readonly (readonly [string, dns.Behaviour])[] = [
    ["SERVFAIL", dns.servfail],
    ["REFUSED", dns.refused],
    ["NOTIMP", dns.notimp],
    ["garbage", dns.garbage],
    ["a referral", dns.referral],
    ["TC with TCP refused", dns.truncated],
    ["FORMERR, the header alone", dns.headerAlone(1)],
    ["SERVFAIL, the header alone", dns.headerAlone(2)],
    ["NOTIMP, the header alone", dns.headerAlone(4)],
    ["REFUSED, the header alone", dns.headerAlone(5)],
  ];
  test.each(failing)("%s: the next one is asked at once", async (_label, behaviour) => {
    const [first, second] = [await server({ tcp: false }), await server()];
    first.on("name.test", behaviour);
    second.on("name.test", listed);
    const asking = resolver([first, second], { timeoutMs: 60_000, attemptMs: 60_000 });
    expect(await asking.lookup("name.test", "A")).toEqual(foundListed);
    expect([first.asked("name.test").length, second.asked("name.test").length]).toEqual([1, 1]);
  });

  test("a port that nobody listens on: the next one at once, and the last word is whose", async () => {
    const [first, second] = [await server(), await server()];
    const { port } = first.address;
    first.stop();
    second.on("name.test", listed);
    const long = { timeoutMs: 60_000, attemptMs: 60_000 };
    expect(await resolver([first, second], long).lookup("name.test", "A")).toEqual(foundListed);
    const alone = await resolver([first], long).lookup("name.test", "A");
    expect(alone).toEqual(trouble(refused, `127.0.0.1:${port}`));
  });

  test("silence: the next one after a try, and the silent one comes last for a while", async () => {
    const [first, second] = [await server(), await server()];
    const clock = { now: 0 };
    const asking = resolver([first, second], { timeoutMs: 5_000, attemptMs: 250 }, clock);
    first.otherwise = dns.silence;
    expect((await asking.lookup("a.test", "A")).kind).toBe("none");
    expect((await asking.lookup("b.test", "A")).kind).toBe("none");
    expect(first.queries.map(({ name }) => name)).toEqual(["a.test"]);
    clock.now += 30_000;
    first.otherwise = dns.nxdomain();
    expect((await asking.lookup("c.test", "A")).kind).toBe("none");
    expect(first.queries.map(({ name }) => name)).toEqual(["a.test", "c.test"]);
  });

  test("silence of all: each is asked in turn, again and again, and then it is over", async () => {
    const [first, second] = [await server(), await server()];
    for (const each of [first, second]) each.otherwise = dns.silence;
    const asking = resolver([first, second], { timeoutMs: 330, attemptMs: 60 });
    const start = performance.now();
    expect(await asking.lookup("a.test", "A")).toEqual(trouble("no answer within 0.33s"));
    expect(performance.now() - start).toBeLessThan(2_000);
    for (const { queries } of [first, second]) {
      expect(queries.length).toBeGreaterThanOrEqual(2);
      expect(queries.length).toBeLessThanOrEqual(4);
    }
    // The same question each time, so that one guess is not made easier by the next.
    expect(new Set(first.queries.map(({ id, port }) => `${id} ${port}`)).size).toBe(1);
  });

  test("late: it counts as long as the lookup waits, also when the next was asked", async () => {
    const [first, second] = [await server(), await server()];
    first.on("name.test", dns.late(150, listed));
    second.otherwise = dns.silence;
    const asking = resolver([first, second], { timeoutMs: 5_000, attemptMs: 50 });
    expect(await asking.lookup("name.test", "A")).toEqual(foundListed);
    expect(second.queries.length).toBeGreaterThan(0);
  });

  test("too late: it changes nothing", async () => {
    const { only, asking } = await pair({ timeoutMs: 60, attemptMs: 60 });
    only.on("name.test", dns.late(120, listed));
    expect((await asking.lookup("name.test", "A")).kind).toBe("trouble");
    await Bun.sleep(100);
    expect(asking.counts).toEqual({ outstanding: 0, waiting: 0, cached: 0, strays: 0 });
  });

  test("none at all is trouble, not a hang", async () => {
    expect(await resolver([]).lookup("a.test", "A")).toEqual(trouble("no DNS server"));
  });

  test.skipIf(!hasIPv6)("one over IPv6, over UDP and TCP", async () => {
    const only = await server({ address: "::1" });
    only.on("name.test", listed);
    only.on("big.test", dns.truncated, listed);
    const asking = resolver([only]);
    expect(await asking.lookup("name.test", "A")).toEqual(foundListed);
    expect(await asking.lookup("big.test", "A")).toEqual(foundListed);
  });

  test.skipIf(!hasIPv6)("one over IPv6 that refuses is named with brackets", async () => {
    const only = await server({ address: "::1" });
    only.on("name.test", dns.refused);
    const answer = await resolver([only]).lookup("name.test", "A");
    expect(answer).toEqual(trouble("REFUSED", `[::1]:${only.address.port}`));
  });
});

describe("TCP", () => {
  const many = Array.from({ length: 200 }, (_, at) => `127.0.0.${at + 1}`);

  test("truncated: asked again over TCP, and that answer counts", async () => {
    const { only, asking } = await pair();
    only.on("big.test", dns.truncated, dns.addresses(many));
    expect(await asking.lookup("big.test", "A")).toEqual({ ...foundListed, addresses: many });
    expect(only.queries.map(({ transport }) => transport)).toEqual(["udp", "tcp"]);
    expect(new Set(only.queries.map(({ id }) => id)).size).toBe(2);
    // Too long to keep.
    expect(asking.counts.cached).toBe(0);
  });

  const dead: readonly (readonly [string, dns.Behaviour, string])[] = [
    ["silence", dns.silence, "no answer within 0.1s"],
    ["another id", dns.forgedId(forged), "not the answer to what was asked"],
    ["another name", dns.say({ name: "other.test" }), "not the answer to what was asked"],
    ["TC there too", dns.truncated, "cut short there too"],
    ["too long", () => [{ octets: Buffer.alloc(20_000) }], "answer too long"],
    ["nothing", () => [{ octets: Buffer.alloc(0) }], "not the answer to what was asked"],
  ];
  test.each(dead)("dead by %s: trouble", async (label, behaviour, reason) => {
    const { only, asking } = await pair({ timeoutMs: 4_000, attemptMs: label === "silence" ? 100 : 4_000 });
    only.on("big.test", dns.truncated, behaviour);
    const { address, port } = only.address;
    const expected = trouble(`over TCP: ${reason}`, `${address}:${port}`);
    expect(await asking.lookup("big.test", "A")).toEqual(expected);
  });

  test("refused with the header alone: trouble at once", async () => {
    const { only, asking } = await pair({ timeoutMs: 60_000, attemptMs: 60_000 });
    only.on("big.test", dns.truncated, dns.headerAlone(5));
    expect(await asking.lookup("big.test", "A")).toEqual(
      trouble("REFUSED", `127.0.0.1:${only.address.port}`),
    );
  });

  test("refused: trouble", async () => {
    const only = await server({ tcp: false });
    only.on("big.test", dns.truncated);
    const expected = trouble(`over TCP: ${refused}`, `127.0.0.1:${only.address.port}`);
    expect(await resolver([only]).lookup("big.test", "A")).toEqual(expected);
  });

  test("no more than 32 connections at once, and none is left open", async () => {
    const { only, asking } = await pair({ timeoutMs: 3_000, attemptMs: 3_000 });
    only.otherwise = dns.truncated;
    const names = Array.from({ length: 60 }, (_, at) => `big${at}.test`);
    for (const name of names) only.on(name, dns.truncated, dns.late(100, listed));
    const before = descriptors();
    const answers = await Promise.all(names.map((name) => asking.lookup(name, "A")));
    expect(answers.filter(({ kind }) => kind === "found")).toHaveLength(32);
    // No server's fault: nobody was asked.
    const reasons = answers.map((answer) => (answer.kind === "busy" ? answer.reason : "found"));
    expect(reasons.filter((reason) => reason === "too many TCP connections")).toHaveLength(28);
    await eventually(() => descriptors() <= before, "the descriptors are given back");
    expect((await asking.lookup("big59.test", "A")).kind).toBe("found");
  });
});

describe("sharing and limits", () => {
  test("equal lookups at once share one question, later ones the answer, until it is too old", async () => {
    const clock = { now: 0 };
    const { only, asking } = await pair({}, clock);
    only.on("name.test", dns.late(20, listed));
    const answers = await Promise.all(
      ["name.test", "NAME.test", "name.test."].map((name) => asking.lookup(name, "A")),
    );
    expect(answers).toEqual([foundListed, foundListed, foundListed]);
    clock.now = 299_000;
    expect(await asking.lookup("name.test", "A")).toEqual({ ...foundListed, ttlMs: 1_000, cached: true });
    expect(only.queries).toHaveLength(1);
    clock.now = 300_000;
    expect(await asking.lookup("name.test", "A")).toEqual(foundListed);
    expect(only.queries).toHaveLength(2);
    await asking.lookup("name.test", "TXT");
    expect(only.queries).toHaveLength(3);
  });

  test("trouble is not kept", async () => {
    const { only, asking } = await pair();
    only.on("name.test", dns.servfail);
    expect((await asking.lookup("name.test", "A")).kind).toBe("trouble");
    only.on("name.test", listed);
    expect(await asking.lookup("name.test", "A")).toEqual(foundListed);
  });

  test("2,000 lookups at once over at most 64 ports; one more waits", async () => {
    const { only, asking } = await pair({ timeoutMs: 2_000, attemptMs: 2_000 });
    only.otherwise = dns.silence;
    const before = descriptors();
    const names = Array.from({ length: 2_000 }, (_, at) => `n${at}.test`);
    const lookups = names.map((name, at) => {
      const { promise, resolve } = Promise.withResolvers<LookupAnswer>();
      asking.lookUp({ name, type: "A", network: `${at % 50}` }, resolve);
      return promise;
    });
    const told: LookupAnswer[] = [];
    const more = asking.lookUp({ name: "more.test", type: "A", network: "n" }, (answer) => told.push(answer));
    await turns(1);
    expect(told).toEqual([busy]);
    await eventually(() => only.queries.length > 200, "what the kernel has room for arrives");
    expect(descriptors() - before).toBeLessThanOrEqual(64);
    const ofPort = Map.groupBy(only.queries, ({ port }) => port);
    expect(ofPort.size).toBeLessThanOrEqual(64);
    for (const queries of ofPort.values()) {
      expect(new Set(queries.map(({ id }) => id)).size).toBe(queries.length);
    }
    expect(only.asked("more.test")).toEqual([]);
    expect(asking.counts).toMatchObject({ outstanding: 2_001, waiting: 1 });
    more.cancel();
    expect(asking.counts).toMatchObject({ outstanding: 2_000, waiting: 0 });
    asking.close();
    const outcomes = new Set((await Promise.all(lookups)).map((answer) => JSON.stringify(answer)));
    expect([...outcomes]).toEqual(['{"kind":"trouble","reason":"resolver closed"}']);
    await eventually(() => descriptors() <= before, "the descriptors are given back");
    expect(await asking.lookup("n1.test", "A")).toEqual(trouble("resolver closed"));
  });

  test("what nobody waits for any more is given up, and its place is another's", async () => {
    const { only, asking } = await pair({ limits: { runningMax: 2, shareMax: 2, waitingMax: 1 } });
    only.otherwise = dns.silence;
    only.on("third.test", listed);
    const told: string[] = [];
    const ask = (name: string) =>
      asking.lookUp({ name, type: "A", network: "a" }, ({ kind }) => told.push(`${name} ${kind}`));
    const [first, again] = [ask("first.test"), ask("first.test")];
    ask("second.test");
    ask("third.test");
    ask("fourth.test");
    await turns(1);
    expect(told).toEqual(["third.test busy", "fourth.test busy"]);
    first.cancel();
    await eventually(() => only.asked("first.test").length > 0, "another wants to know it");
    expect(asking.counts).toMatchObject({ outstanding: 3, waiting: 1 });
    again.cancel();
    again.cancel();
    await eventually(() => told.length > 2, "its turn has come");
    expect(told.slice(2)).toEqual(["third.test found"]);
    expect([only.asked("fourth.test").length, asking.counts.outstanding]).toEqual([0, 1]);
  });

  test("a turn that comes too late is none", async () => {
    const clock = { now: 0 };
    const limits = { runningMax: 1, shareMax: 1, waitingMax: 5 };
    const { only, asking } = await pair({ timeoutMs: 1_000, limits }, clock);
    only.otherwise = dns.silence;
    const told: string[] = [];
    const ask = (name: string) =>
      asking.lookUp({ name, type: "A", network: "a" }, ({ kind }) => told.push(`${name} ${kind}`));
    const first = ask("first.test");
    ask("late.test");
    await turns(1);
    clock.now = 1_001;
    ask("next.test");
    first.cancel();
    await eventually(() => only.asked("next.test").length > 0, "the next one is asked");
    expect(told).toEqual(["late.test busy", "next.test busy", "late.test busy"]);
    expect(only.asked("late.test")).toEqual([]);
  });

  test("descriptors that are all in use are no server's fault", async () => {
    const { only } = await pair();
    const source = `
      import { DnsResolver } from "${import.meta.dir}/../../src/dns/resolver.ts";
      import { openSync } from "node:fs";
      const servers = [{ address: "127.0.0.1", port: ${only.address.port} }];
      const resolver = new DnsResolver({ servers, timeoutMs: 2_000 }, () => performance.now());
      const opened = [];
      try { for (;;) opened.push(openSync("/dev/null")); } catch {}
      const answer = await resolver.lookup("a.test", "A");
      console.log(answer.kind, answer.reason);
      process.exit(0);`;
    const command = `ulimit -n 64; exec "$0" -e "$1"`;
    const child = Bun.spawn(["bash", "-c", command, process.execPath, source], {
      stdout: "pipe",
      stderr: "inherit",
    });
    const watch = setTimeout(() => child.kill(), 10_000);
    expect(await new Response(child.stdout).text()).toMatch(/^busy .*\(EMFILE\)\n$/);
    clearTimeout(watch);
  });

  test("bursts answered, refused and silent leave no descriptor", async () => {
    const [first, second] = [await server(), await server()];
    first.otherwise = dns.servfail;
    const asking = resolver([first, second], { timeoutMs: 2_000, attemptMs: 1_000 });
    await asking.lookup("warm.test", "A");
    const before = descriptors();
    for (let round = 0; round < 10; round += 1) {
      const names = Array.from({ length: 250 }, (_, at) => `n${round}-${at}.test`);
      const answers = await Promise.all(names.map((name) => asking.lookup(name, "A")));
      expect(answers.filter(({ kind }) => kind === "none")).toHaveLength(250);
    }
    await eventually(() => descriptors() <= before, "the descriptors are given back");
    expect(asking.counts.outstanding).toBe(0);
  });

  test("an idle resolver keeps no process alive", async () => {
    const { only } = await pair();
    const source = `
      import { DnsResolver } from "${import.meta.dir}/../../src/dns/resolver.ts";
      const servers = [{ address: "127.0.0.1", port: ${only.address.port} }];
      const resolver = new DnsResolver({ servers, timeoutMs: 60_000 }, () => performance.now());
      const answers = await Promise.all(["a.test", "b.test"].map((name) => resolver.lookup(name, "A")));
      console.log(answers.map(({ kind }) => kind).join(" "));`;
    const child = Bun.spawn([process.execPath, "-e", source], { stdout: "pipe", stderr: "inherit" });
    const watch = setTimeout(() => child.kill(), 10_000);
    expect(await new Response(child.stdout).text()).toBe("none none\n");
    expect(await child.exited).toBe(0);
    clearTimeout(watch);
  });
});

test("the transport forgets what is cancelled", async () => {
  const only = await server();
  only.otherwise = dns.silence;
  const transport = new DnsTransport(1_000);
  const before = descriptors();
  const told: string[] = [];
  const handler = { answered: () => told.push("answered"), failed: () => told.push("failed") };
  const asking = transport.ask(only.address, dns.messageOf(dns.say({})), handler);
  asking.cancel();
  asking.again();
  asking.cancel();
  await turns(3);
  expect([told, only.queries]).toEqual([[], []]);
  await eventually(() => descriptors() <= before, "the descriptor is given back");
});
