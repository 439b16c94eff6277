/** `smtpproxy check` by the compiled binary, against relays with every manner that an operator meets. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadServerTls } from "../../src/bun/tls.ts";
import { isFor } from "../../src/commands/check/certificate.ts";
import type { ServerTls } from "../../src/shell/network.ts";
import { Authority, makeCertificate } from "../bun/support.ts";
import { FakeRelay, type RelayManners } from "./fake-relay.ts";
import { binary, cleanUp, type Result, run } from "./support.ts";

const authority = new Authority();
const stranger = new Authority();
const relayFiles = authority.issue("relay", "DNS:relay.test,IP:127.0.0.1");
const relayTls = tlsOf(relayFiles);

beforeAll(() => {
  binary();
}, 60_000);
afterAll(() => {
  cleanUp();
  for (const { folder } of [authority, stranger]) rmSync(folder, { recursive: true });
});

function tlsOf({ cert, key }: { readonly cert: string; readonly key: string }): ServerTls {
  const loaded = loadServerTls(cert, key);
  if (!loaded.ok) throw new Error(loaded.fault);
  return loaded.tls;
}

const quiet = { VALID_RECIPIENTS: "@there$", SERVER_NAME: "proxy.test" };

async function checked(manners: RelayManners, environment: Readonly<Record<string, string>>) {
  using relay = new FakeRelay(manners);
  const result = await run(["check"], { environment: { RELAY_HOST: relay.host, ...quiet, ...environment } });
  expect(relay.faults).toEqual([]);
  expect(relay.mails).toEqual([]);
  return { ...result, relay };
}

/** The findings, which follow the configuration. */
function findings({ stdout }: Result): string {
  return stdout.slice(stdout.search(/^(ok|warning|FAILED) /m));
}

describe("the configuration", () => {
  test("is printed with where each value came from, and without the secret", async () => {
    const { status, stdout } = await checked(
      { tls: relayTls, keywords: ["AUTH PLAIN"] },
      { RELAY_USERNAME: "me", RELAY_PASSWORD: "hunter2", RELAY_TLS: "required", MAX_HOPS: "7" },
    );
    expect(status).toBe(0);
    expect(stdout).toMatch(/^MAX_HOPS +7 {2}\(environment\)$/m);
    expect(stdout).toMatch(/^MAX_ERRORS +10 {2}\(default\)$/m);
    expect(stdout).toMatch(/^RELAY_PASSWORD +\(hidden\) {2}\(environment\)$/m);
    expect(stdout).not.toContain("hunter2");
    expect(stdout).toContain(
      "warning  RELAY_USERNAME: goes to a relay that RELAY_TLS=required does not authenticate",
    );
  });
});

test("findings come first, the configuration behind them, the verdict last", async () => {
  const { stdout } = await checked({}, { RELAY_TLS: "off" });
  const places = ["ok       relay", "The configuration", "RELAY_HOST ", "mail can be relayed"].map((text) =>
    stdout.indexOf(text),
  );
  expect(places).toEqual(places.toSorted((one, other) => one - other));
  expect(places).not.toContain(-1);
});

describe("the relay", () => {
  test("in plaintext, as it was asked for", async () => {
    const result = await checked({}, { RELAY_TLS: "off" });
    expect(result.status).toBe(0);
    const text = findings(result);
    expect(text).toMatch(/^ok {7}relay 127\.0\.0\.1:\d+: ready after \d+ ms$/m);
    expect(text).toContain("plaintext, as RELAY_TLS=off has it");
    expect(text).toMatch(/^ {13}offers PIPELINING, SIZE 1000000, 8BITMIME$/m);
    expect(text).toMatch(/^ {13}lacks SMTPUTF8, DSN, STARTTLS, AUTH$/m);
    expect(text).toEndWith("\nok       mail can be relayed\n");
    expect(result.relay.commands).toEqual(["EHLO proxy.test", "MAIL FROM:<>", "RSET", "QUIT"]);
  });

  test("opportunistic without STARTTLS: a warning", async () => {
    const result = await checked({}, {});
    expect(result.status).toBe(0);
    expect(findings(result)).toMatch(
      /^warning {2}relay .*\n {13}plaintext: the relay does not offer STARTTLS$/m,
    );
    expect(findings(result)).toMatch(/\nok {7}mail can be relayed; degraded: relay \S+ in plaintext\n$/);
  });

  test("opportunistic with a handshake that fails: plaintext, and why", async () => {
    const result = await checked({ falseStarttls: true }, {});
    expect(result.status).toBe(0);
    expect(findings(result)).toMatch(
      /^warning {2}relay .*\n {13}plaintext: TLS handshake with the relay failed: .+$/m,
    );
  });

  test("opportunistic with a certificate that does not verify", async () => {
    const result = await checked({ tls: relayTls }, {});
    expect(result.status).toBe(0);
    expect(findings(result)).toMatch(
      /TLSv1\.3 \S+; its certificate does not verify, which RELAY_TLS=opportunistic/,
    );
    expect(findings(result)).toMatch(/offers .*STARTTLS/);
  });

  test("verified, and with AUTH PLAIN", async () => {
    const result = await checked(
      { tls: relayTls, keywords: ["SIZE", "DSN", "SMTPUTF8", "AUTH PLAIN LOGIN XOAUTH2"] },
      { RELAY_TLS: "verify", RELAY_CA: authority.pem, RELAY_USERNAME: "me@x", RELAY_PASSWORD: "hunter2" },
    );
    expect(findings(result)).toMatch(/^ok {7}relay .*: ready after \d+ ms$/m);
    expect(findings(result)).toMatch(/TLSv1\.3 \S+; its certificate verifies/);
    expect(findings(result)).toContain("authenticated as me@x");
    expect(findings(result)).toContain("offers SIZE, SMTPUTF8, DSN, STARTTLS, AUTH PLAIN LOGIN");
    expect(result.status).toBe(0);
    expect(result.stdout).not.toContain("hunter2");
  });

  test("implicit TLS, and AUTH LOGIN", async () => {
    const result = await checked(
      { tls: relayTls, implicit: true, keywords: ["AUTH LOGIN"] },
      { RELAY_TLS: "implicit", RELAY_CA: authority.pem, RELAY_USERNAME: "me", RELAY_PASSWORD: "hunter2" },
    );
    expect(result.status).toBe(0);
    expect(findings(result)).toContain("authenticated as me");
    expect(findings(result)).toContain("offers AUTH LOGIN\n");
  });

  test("smtps:// is TLS from the first octet, authenticated, whatever RELAY_TLS is for the others", async () => {
    using relay = new FakeRelay({ tls: relayTls, implicit: true });
    const environment = { ...quiet, RELAY_HOST: `smtps://${relay.host}`, RELAY_TLS: "required" };
    const trusting = await run(["check"], { environment: { ...environment, RELAY_CA: authority.pem } });
    expect(findings(trusting)).toContain("its certificate verifies");
    expect(trusting.status).toBe(0);
    const stranger = await run(["check"], { environment });
    expect(findings(stranger)).toMatch(/^FAILED {3}relay .*certificate/m);
    expect(stranger.status).toBe(1);
  });

  test("AUTH refused: the relay's own words, and the password nowhere", async () => {
    const secret = Buffer.from("\0me\0hunter2").toString("base64");
    const result = await checked(
      { tls: relayTls, keywords: ["AUTH PLAIN"], replies: { AUTH: "535 5.7.8 wrong user name or password" } },
      { RELAY_TLS: "verify", RELAY_CA: authority.pem, RELAY_USERNAME: "me", RELAY_PASSWORD: "hunter2" },
    );
    expect(result.status).toBe(1);
    expect(findings(result)).toMatch(
      /^FAILED {3}relay .*: relay refused AUTH: 535 5\.7\.8 wrong user name or password$/m,
    );
    expect(findings(result)).toMatch(/^ {13}> AUTH PLAIN \(hidden\)$/m);
    expect(result.stdout + result.stderr).not.toContain("hunter2");
    expect(result.stdout + result.stderr).not.toContain(secret);
    expect(findings(result)).toMatch(/\nFAILED {3}mail cannot be relayed: relay \S+\n$/);
  });

  test("a relay that takes no mail without TLS: what to set, and no mail is sent", async () => {
    const result = await checked(
      { tls: relayTls, replies: { MAIL: "530 5.7.0 Must issue a STARTTLS command first" } },
      { RELAY_TLS: "off" },
    );
    expect(result.status).toBe(1);
    expect(findings(result)).toMatch(
      /^FAILED {3}relay .*: relay refused MAIL: 530 5\.7\.0 Must issue a STARTTLS command first: set RELAY_TLS=required instead of off$/m,
    );
    expect(result.relay.commands).toEqual(["EHLO proxy.test", "MAIL FROM:<>", "RSET", "QUIT"]);
  });

  test("a relay that takes no bounces: a warning", async () => {
    const result = await checked(
      { replies: { MAIL: "550 5.7.1 no null sender here" } },
      { RELAY_TLS: "off" },
    );
    expect(result.status).toBe(0);
    expect(findings(result)).toMatch(
      /^warning {2}relay .*\n(?: {13}.*\n)* {13}refuses bounces \(MAIL FROM:<>\): 550 5\.7\.1 no null sender here$/m,
    );
    expect(findings(result)).toMatch(/degraded: relay 127\.0\.0\.1:\d+ takes no bounces$/m);
  });

  test("a relay that hangs up on MAIL", async () => {
    const result = await checked({ replies: { MAIL: "421 4.3.2 going down" } }, { RELAY_TLS: "off" });
    expect(result.status).toBe(1);
    expect(findings(result)).toMatch(/^FAILED {3}relay .*421 4\.3\.2 going down$/m);
  });

  test("STARTTLS missing where it is required", async () => {
    const result = await checked({}, { RELAY_TLS: "required" });
    expect(result.status).toBe(1);
    expect(findings(result)).toMatch(/^FAILED {3}relay .*: relay does not offer STARTTLS$/m);
  });

  test("a certificate that does not verify where it must", async () => {
    const expired = tlsOf(authority.issue("expired", "IP:127.0.0.1", 2020, 2021));
    const other = tlsOf(authority.issue("other", "DNS:other.test"));
    const cases: [ServerTls, string][] = [
      [relayTls, stranger.pem],
      [expired, authority.pem],
      [other, authority.pem],
    ];
    for (const [tls, ca] of cases) {
      const result = await checked({ tls }, { RELAY_TLS: "verify", RELAY_CA: ca });
      expect(result.status).toBe(1);
      expect(findings(result)).toMatch(/^FAILED {3}relay .*: TLS handshake with the relay failed: .+$/m);
    }
  });

  test("a greeting that refuses", async () => {
    const result = await checked({ greeting: "554 5.7.1 not you\x1b[31m" }, {});
    expect(result.status).toBe(1);
    // What a terminal would obey is escaped.
    expect(findings(result)).toMatch(
      /^FAILED {3}relay .*: relay refused greeting: 554 5\.7\.1 not you\\u\{1b\}\[31m$/m,
    );
    expect(result.stdout).not.toContain("\x1b");
  });

  test("silence is waited for, but not for long", async () => {
    const result = await checked({ silent: true }, { RELAY_CONNECT_TIMEOUT: "200ms" });
    expect(result.status).toBe(1);
    expect(findings(result)).toMatch(/^FAILED {3}relay .*: relay timeout, awaited the greeting$/m);
  });

  test("what is waited for long is named meanwhile", async () => {
    const result = await checked({ silent: true }, { RELAY_CONNECT_TIMEOUT: "2500ms" });
    expect(result.stderr).toBe(`waiting for relay ${result.relay.host}\n`);
  });

  test("a second relay that is dead is a warning, for mail goes by the first one", async () => {
    using relay = new FakeRelay();
    const dead = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const gone = `127.0.0.1:${dead.port}`;
    dead.stop(true);
    const environment = { RELAY_HOST: `${relay.host} ${gone}`, ...quiet, RELAY_TLS: "off" };
    const result = await run(["check"], { environment });
    expect(result.status).toBe(0);
    const [first, second] = findings(result).match(/^(ok|warning|FAILED) +relay .*$/gm) ?? [];
    expect(first).toStartWith(`ok       relay ${relay.host}: ready`);
    expect(second).toStartWith(`warning  relay ${gone}: nothing listens there`);
    expect(result.stdout).toEndWith(`\nok       mail can be relayed; degraded: relay ${gone}\n`);
  });

  test("a name without an address", async () => {
    const environment = { RELAY_HOST: "relay.invalid", ...quiet };
    const result = await run(["check"], { environment });
    expect(result.status).toBe(1);
    expect(findings(result)).toMatch(/^FAILED {3}relay relay\.invalid:25: the name has no address: \S+/m);
  }, 30_000);
});

describe("certificate and key", () => {
  const own = authority.issue("mx", "DNS:mx.test,DNS:*.mx.test");
  const certificate = async (cert: string, key: string) => {
    const result = await checked({}, { RELAY_TLS: "off", SERVER_CERT: cert, SERVER_KEY: key });
    return { ...result, line: findings(result).match(/^.*certificate.*(\n {13}.*)*/m)?.[0] ?? "" };
  };

  test("none", async () => {
    const result = await checked({}, { RELAY_TLS: "off" });
    expect(findings(result)).toStartWith(
      "ok       certificate: none is set, clients are not offered STARTTLS\n",
    );
  });

  test("a good one", async () => {
    const { status, line } = await certificate(own.cert, own.key);
    expect(status).toBe(0);
    expect(line).toMatch(/^ok {7}certificate: expires on 2045-01-01T00:00:00\.000Z, in \d+ days\n/);
    expect(line).toContain("for mx.test, *.mx.test");
    expect(line).toContain(`in ${own.cert}, its key in ${own.key}`);
  });

  test("one that has expired, and one that is for later", async () => {
    const past = authority.issue("past", "DNS:mx.test", 2020, 2021);
    const future = authority.issue("future", "DNS:mx.test", 2044, 2045);
    const expired = await certificate(past.cert, past.key);
    expect([expired.status, expired.line.split("\n")[0]]).toEqual([
      0,
      "warning  certificate: expired on 2021-01-01T00:00:00.000Z",
    ]);
    const early = await certificate(future.cert, future.key);
    expect([early.status, early.line.split("\n")[0]]).toEqual([
      0,
      "warning  certificate: is not valid before 2044-01-01T00:00:00.000Z",
    ]);
  });

  test("one for another name than SERVER_NAME: a warning, also in the last line", async () => {
    const { status, stdout } = await certificate(own.cert, own.key);
    expect(status).toBe(0);
    expect(stdout).toContain("warning  certificate: SERVER_NAME proxy.test is none of its names");
    expect(stdout).toEndWith("\nok       mail can be relayed; degraded: certificate\n");
  });

  test("names are compared without case, and a star is one label", () => {
    expect(isFor(["MX.test"], "mx.TEST.")).toBe(true);
    expect(isFor(["*.mx.test"], "a.mx.test")).toBe(true);
    expect(isFor(["*.mx.test", "192.0.2.1"], "mx.test")).toBe(false);
    expect(isFor(["*.mx.test"], "a.b.mx.test")).toBe(false);
    expect(isFor([], "mx.test")).toBe(false);
  });

  test("one that expires within 14 days", async () => {
    const [cert, key] = [join(authority.folder, "soon.pem"), join(authority.folder, "soon.key")];
    const notAfter = new Date(Date.now() + 5 * 86_400_000 - 1000).toISOString();
    makeCertificate({ name: "soon.test", notAfter, cert, key });
    const { status, line } = await certificate(cert, key);
    expect(status).toBe(0);
    expect(line).toMatch(/^warning {2}certificate: expires on .*, in 4 days\n/);
  });

  test("a key of another certificate, a missing file, garbage", async () => {
    const garbage = join(authority.folder, "garbage.pem");
    writeFileSync(garbage, "garbage\n");
    const cases: [string, string, string][] = [
      [own.cert, relayFiles.key, "does not belong to the certificate"],
      [join(authority.folder, "missing.pem"), own.key, "cannot read"],
      [garbage, own.key, "no certificate in"],
    ];
    for (const [cert, key, fault] of cases) {
      const { status, line } = await certificate(cert, key);
      expect(status).toBe(1);
      expect(line).toStartWith("FAILED   certificate: ");
      expect(line).toContain(fault);
    }
  });

  test("authorities that cannot be read", async () => {
    const result = await checked({}, { RELAY_TLS: "verify", RELAY_CA: own.key });
    expect(result.status).toBe(1);
    expect(findings(result)).toMatch(/^FAILED {3}RELAY_CA: no certificate in .*: it holds a private key$/m);
  });
});
