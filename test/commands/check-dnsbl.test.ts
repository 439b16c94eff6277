/** `smtpproxy check` and the DNSBL zones: by the compiled binary, with DNS servers that play every kind of list. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import * as dns from "../dns/server.ts";
import { FakeRelay } from "./fake-relay.ts";
import { binary, cleanUp, run } from "./support.ts";

beforeAll(() => {
  binary();
}, 60_000);
afterAll(cleanUp);

const servers: dns.DnsServer[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.stop();
});

async function dnsServer(options?: Parameters<typeof dns.DnsServer.start>[0]): Promise<dns.DnsServer> {
  const server = await dns.DnsServer.start(options);
  servers.push(server);
  return server;
}

const nameOf = ({ address: { address, port } }: dns.DnsServer): string => `${address}:${port}`;

const ipv6Tail = `f.7.f.f.f.f${".0".repeat(20)}`;

/** A list as it should be: its test entry is listed, and nothing else. */
function isList(server: dns.DnsServer, zone: string, answers: readonly string[] = ["127.0.0.2"]): void {
  server.on(`2.0.0.127.${zone}`, dns.addresses(answers));
}

async function check(asked: readonly dns.DnsServer[], zones: string, more: Record<string, string> = {}) {
  using relay = new FakeRelay();
  const result = await run(["check"], {
    environment: {
      RELAY_HOST: relay.host,
      RELAY_TLS: "off",
      VALID_RECIPIENTS: "@there$",
      SERVER_NAME: "proxy.test",
      DNSBL_DOMAINS: zones,
      DNS_SERVERS: asked.map(nameOf).join(" "),
      DNSBL_TIMEOUT: "1s",
      ...more,
    },
  });
  expect(result.stderr).toMatch(/^(?:waiting for the DNSBL zones\n)?$/);
  const lines = result.stdout.split("\n");
  const first = lines.findIndex((line) => /^[A-Za-z]+ +(?:DNSBL|DNS server)[ :]/.test(line));
  return { ...result, findings: lines.slice(first, lines.indexOf("", first)), last: lines.at(-2) };
}

test("without zones nobody is asked", async () => {
  const server = await dnsServer();
  const { status, findings } = await check([server], "");
  expect([status, findings]).toEqual([0, ["ok       DNSBL: none is set, clients are not looked up"]]);
  expect(server.queries).toEqual([]);
});

test("a list that works, asked by each server on its own", async () => {
  const [one, two] = [await dnsServer(), await dnsServer()];
  isList(one, "list.test", ["127.0.0.4", "127.0.0.2"]);
  isList(two, "list.test", ["127.0.0.2", "127.0.0.4"]);
  const { status, findings, last } = await check([one, two], "list.test");
  expect(findings).toEqual([
    `ok       DNSBL list.test by ${nameOf(one)}, ${nameOf(two)}: works, and lists the test entry 127.0.0.2 as 127.0.0.2, 127.0.0.4`,
  ]);
  expect([status, last]).toEqual([0, "ok       mail can be relayed"]);
  for (const server of [one, two]) {
    const names = server.queries.map(({ name }) => name).sort();
    expect(names).toEqual(["1.0.0.127.list.test", "2.0.0.127.list.test"]);
  }
});

test("a list of IPv6 addresses alone has test entries of its own", async () => {
  const server = await dnsServer();
  server.on(`2.0.0.0.0.0.${ipv6Tail}.six.test`, dns.addresses(["127.0.0.2"]));
  const { status, findings } = await check([server], "six.test");
  expect(findings).toEqual([
    `ok       DNSBL six.test by ${nameOf(server)}: works, and lists the test entry ::ffff:7f00:2 as 127.0.0.2`,
  ]);
  expect(status).toBe(0);
  expect(server.asked(`1.0.0.0.0.0.${ipv6Tail}.six.test`)).toHaveLength(1);
});

test("a list that refuses one of the servers, with its own reason", async () => {
  const [own, open] = [await dnsServer(), await dnsServer()];
  isList(own, "list.test");
  open.otherwise = (query) =>
    query.type === "TXT"
      ? dns.texts([["Error: open resolver\x1b[2J; https://list.test/why"]])(query)
      : dns.addresses(["127.255.255.254"])(query);
  const { status, findings, last, stdout } = await check([own, open], "list.test");
  expect(findings).toEqual([
    `ok       DNSBL list.test by ${nameOf(own)}: works, and lists the test entry 127.0.0.2 as 127.0.0.2`,
    `warning  DNSBL list.test by ${nameOf(open)}: refuses to serve this DNS server (127.255.255.254), so it does not count`,
    "             it says: Error: open resolver?[2J; https://list.test/why",
    "             ask by a resolver of your own (DNS_SERVERS), or with the key that the list gives you",
  ]);
  expect(stdout).not.toContain("\x1b");
  expect([status, last]).toEqual([
    0,
    `ok       mail can be relayed; degraded: DNSBL list.test by ${nameOf(open)}`,
  ]);
});

test("a parking page, and a zone that lists nobody", async () => {
  const server = await dnsServer();
  server.on("1.0.0.127.parked.test", dns.addresses(["192.0.2.80"]));
  server.on("2.0.0.127.parked.test", dns.addresses(["192.0.2.80"]));
  const { status, findings } = await check([server], "parked.test mistyped.test");
  expect(findings).toEqual([
    `warning  DNSBL parked.test by ${nameOf(server)}: answers 192.0.2.80, as no list does, so it does not count`,
    "             the zone is given up, or this DNS server makes answers up",
    `warning  DNSBL mistyped.test by ${nameOf(server)}: lists no test entry, not even 127.0.0.2: it is dead, or its name is wrong`,
  ]);
  expect(status).toBe(0);
});

test("a zone that lists everybody fails, unless no filter counts it", async () => {
  const server = await dnsServer();
  server.otherwise = dns.addresses(["127.0.0.5"]);
  const failed = await check([server], "all.test");
  expect(failed.findings).toEqual([
    `FAILED   DNSBL all.test by ${nameOf(server)}: lists everybody, 127.0.0.1 as 127.0.0.5 too: take it out of DNSBL_DOMAINS`,
  ]);
  expect([failed.status, failed.last]).toEqual([
    1,
    `FAILED   mail cannot be relayed: DNSBL all.test by ${nameOf(server)}`,
  ]);
  const filtered = await check([server], "all.test=127.0.0.2");
  expect(filtered.findings).toEqual([
    `warning  DNSBL all.test by ${nameOf(server)}: lists everybody, 127.0.0.1 as 127.0.0.5 too, but for that no filter of yours counts it`,
  ]);
  expect(filtered.status).toBe(0);
  // One of several entries is enough.
  expect((await check([server], "all.test=127.0.0.2 all.test=127.0.0.[4..6]*2")).status).toBe(1);
});

test("a zone that lists everybody in IPv6 alone fails too", async () => {
  const server = await dnsServer();
  for (const last of ["1", "2"]) {
    server.on(`${last}.0.0.0.0.0.${ipv6Tail}.all.test`, dns.addresses(["127.0.0.2"]));
  }
  const { status, findings } = await check([server], "all.test");
  expect(findings[0]).toContain("lists everybody, ::ffff:7f00:1 as 127.0.0.2 too");
  expect(status).toBe(1);
});

test("a filter that the test entry does not match is no fault", async () => {
  const server = await dnsServer();
  isList(server, "list.test");
  const { status, findings } = await check([server], "list.test=127.0.0.[10..11]*2 list.test=127.0.0.2*3");
  expect(findings).toEqual([
    `ok       DNSBL list.test by ${nameOf(server)}: works, and lists the test entry 127.0.0.2 as 127.0.0.2`,
    "             list.test=127.0.0.[10..11]*2 does not count the test entry: no fault",
  ]);
  expect(status).toBe(0);
});

test("a key in a zone's name is shown nowhere", async () => {
  const server = await dnsServer();
  server.on("2.0.0.127.s3cret.list.test", dns.addresses(["127.255.255.250"]));
  server.otherwise = (query) =>
    query.type === "TXT" ? dns.texts([[`${query.name}: key expired`]])(query) : dns.nxdomain()(query);
  const zones = "s3cret.list.test=127.0.0.9=>list.test s3cret.other.test=>other.test";
  const { stdout, stderr, findings } = await check([server], zones);
  expect(findings[0]).toStartWith(`warning  DNSBL list.test by ${nameOf(server)}: refuses to serve`);
  expect(findings.join("\n")).toContain("\nwarning  DNSBL other.test by ");
  expect(stdout + stderr).not.toContain("s3cret");
  expect(stdout).toMatch(
    /^DNSBL_DOMAINS +\(hidden\)=127\.0\.0\.9=>list\.test \(hidden\)=>other\.test {2}\(environment\)$/m,
  );
  expect(server.asked("2.0.0.127.s3cret.list.test")).not.toEqual([]);
});

test("a key that the list repeats in its reason is replaced there too", async () => {
  const server = await dnsServer();
  server.on("2.0.0.127.s3cret.list.test", (query) =>
    query.type === "TXT"
      ? dns.texts([["no such key: S3cret.list.test"]])(query)
      : dns.addresses(["127.255.255.250"])(query),
  );
  const { stdout, findings } = await check([server], "s3cret.list.test=>list.test");
  expect(findings[1]).toBe("             it says: no such key: list.test");
  expect(stdout.toLowerCase()).not.toContain("s3cret");
});

test("servers that are silent, refuse, or are not there are told of once; the others go on", async () => {
  const [good, silent, refusing, gone] = [
    await dnsServer(),
    await dnsServer(),
    await dnsServer(),
    await dnsServer(),
  ];
  isList(good, "a.test");
  isList(good, "b.test");
  silent.otherwise = dns.silence;
  refusing.otherwise = dns.refused;
  gone.stop();
  const startedAt = performance.now();
  const { status, findings } = await check([silent, refusing, gone, good], "a.test b.test");
  expect(findings).toEqual([
    `warning  DNS server ${nameOf(silent)}: no DNSBL zone could be asked: no answer within 1s`,
    `warning  DNS server ${nameOf(refusing)}: no DNSBL zone could be asked: REFUSED`,
    `warning  DNS server ${nameOf(gone)}: no DNSBL zone could be asked: nothing listens there, a firewall refuses, or no route leads there (ECONNREFUSED)`,
    `ok       DNSBL a.test by ${nameOf(good)}: works, and lists the test entry 127.0.0.2 as 127.0.0.2`,
    `ok       DNSBL b.test by ${nameOf(good)}: works, and lists the test entry 127.0.0.2 as 127.0.0.2`,
  ]);
  expect(status).toBe(0);
  expect(performance.now() - startedAt).toBeLessThan(5_000);
});

test("one zone that cannot be asked by a server that answers for another", async () => {
  const server = await dnsServer();
  isList(server, "a.test");
  server.on("1.0.0.127.b.test", dns.servfail);
  const { status, findings } = await check([server], "a.test b.test");
  expect(findings[1]).toBe(`warning  DNSBL b.test by ${nameOf(server)}: could not be asked: SERVFAIL`);
  expect(status).toBe(0);
});

test("the wait has a limit of its own", async () => {
  const server = await dnsServer();
  server.otherwise = dns.silence;
  const startedAt = performance.now();
  const { findings } = await check([server], "a.test", { DNSBL_TIMEOUT: "1m" });
  expect(findings).toEqual([
    `warning  DNS server ${nameOf(server)}: no DNSBL zone could be asked: no answer within 5s`,
  ]);
  expect(performance.now() - startedAt).toBeLessThan(8_000);
}, 20_000);
