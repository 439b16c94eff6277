/** Loading: precedence, every fault at once, rules between options, and where each value came from. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { describe as describeFinding } from "../../src/config/findings.ts";
import { type Loaded, load, type Surroundings } from "../../src/config/load.ts";
import { flagOf, isSet, OPTIONS, PROPERTIES, propertyOf } from "../../src/config/options.ts";
import { renderConfig } from "../../src/config/render.ts";
import { editDistance, nearMiss, OTHER_NAMES } from "../../src/config/spelling.ts";

interface Given {
  readonly args?: readonly string[];
  readonly environment?: Surroundings["environment"];
  readonly files?: Readonly<Record<string, string>>;
  readonly hostName?: string;
  readonly positionals?: number;
}

function loadFrom({
  args = [],
  environment = {},
  files = {},
  hostName = "host.example",
  positionals = 0,
}: Given) {
  const readFile = (path: string) => {
    const content = files[path];
    if (content === undefined)
      throw Object.assign(new Error(`no such file, open '${path}'`), { code: "ENOENT" });
    return content;
  };
  return load({ args, environment, hostName, readFile, positionals });
}

const RELAY = { RELAY_HOST: "relay.example", VALID_RECIPIENTS: "@ours$" };

function loaded(given: Given): Extract<Loaded, { ok: true }> {
  const result = loadFrom(given);
  if (!result.ok) throw new Error(result.faults.map(describeFinding).join("\n"));
  return result;
}

function faults(given: Given): string[] {
  const result = loadFrom(given);
  if (result.ok) throw new Error("there is no fault");
  return result.faults.map(describeFinding);
}

function warnings(environment: Surroundings["environment"], given: Given = {}): string[] {
  return loaded({ environment: { ...RELAY, ...environment }, ...given }).warnings.map(describeFinding);
}

test("the defaults", () => {
  const { config, sources, warnings } = loaded({ environment: RELAY });
  const { validRecipients, ...rest } = config;
  expect(rest).toEqual({
    listenAddresses: [{ host: "", port: 25 }],
    serverName: "host.example",
    relayHosts: [{ host: "relay.example", port: 25, text: "relay.example:25" }],
    relayTls: "opportunistic",
    greetingDelayMs: 5000,
    dnsblThreshold: 1,
    dnsblTimeoutMs: 5000,
    trustedClients: [
      { octets: [127, 0, 0, 0], prefixBits: 8 },
      { octets: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], prefixBits: 128 },
    ],
    screening: "enforce",
    tarpitDurationMs: 60_000,
    maxTarpitted: 500,
    bareNewline: "reject",
    maxMessageOctets: 150 * 1024 * 1024,
    maxRecipients: 100,
    maxErrors: 10,
    maxHops: 50,
    maxConnections: 1000,
    maxConnectionsPerClient: 20,
    minDataRate: 500,
    relayMaxConnections: 50,
    commandTimeoutMs: 300_000,
    dataTimeoutMs: 180_000,
    relayConnectTimeoutMs: 30_000,
    relayTimeoutMs: 300_000,
    relayIdleTimeoutMs: 30_000,
    shutdownGraceMs: 30_000,
    logFormat: "text",
    logLevel: "info",
  });
  expect(validRecipients?.source).toBe("@ours$");
  expect(warnings).toEqual([]);
  expect(sources.get("relayHosts")).toBe("environment");
  expect(PROPERTIES.filter((property) => sources.get(property) === "default")).toHaveLength(
    PROPERTIES.length - 2,
  );
});

test("the configuration is frozen, lists and all", () => {
  const { config } = loaded({ environment: RELAY });
  for (const part of [config, config.listenAddresses, config.relayHosts, config.relayHosts[0]]) {
    expect(Object.isFrozen(part)).toBe(true);
  }
});

test("flag beats environment beats file beats default, and the source is told", () => {
  const files = { "/etc/defaults": "# file\nLOG_LEVEL=error\nMAX_HOPS=10\n\nMAX_ERRORS=5\n" };
  const { config, sources } = loaded({
    args: ["--config", "/etc/defaults", "--log-level=debug"],
    environment: { ...RELAY, LOG_LEVEL: "warn", MAX_HOPS: "20" },
    files,
  });
  expect([config.logLevel, config.maxHops, config.maxErrors, config.maxRecipients]).toEqual([
    "debug",
    20,
    5,
    100,
  ]);
  const told = (["logLevel", "maxHops", "maxErrors", "maxRecipients"] as const).map((p) => sources.get(p));
  expect(told).toEqual(["flag", "environment", "file /etc/defaults:5", "default"]);
});

test("precedence holds for any mixture", () => {
  const place = fc.option(fc.integer({ min: 1, max: 1000 }), { nil: undefined });
  fc.assert(
    fc.property(place, place, place, (flag, variable, line) => {
      const { config } = loaded({
        args: ["--config=f", ...(flag === undefined ? [] : ["--max-hops", `${flag}`])],
        environment: { ...RELAY, MAX_HOPS: variable?.toString() },
        files: { f: line === undefined ? "" : `MAX_HOPS=${line}` },
      });
      expect(config.maxHops).toBe(flag ?? variable ?? line ?? 50);
    }),
  );
});

describe("the port of the relay", () => {
  test.each([
    ["implicit", "a.example, b.example:587", ["a.example:465", "b.example:587"]],
    ["verify", "a.example, b.example:465", ["a.example:25", "b.example:465"]],
  ])("with %s", (RELAY_TLS, RELAY_HOST, hosts) => {
    const { config } = loaded({ environment: { RELAY_HOST, RELAY_TLS } });
    expect(config.relayHosts.map(({ text }) => text)).toEqual(hosts);
  });

  test("whatever the place RELAY_TLS comes from", () => {
    const { config } = loaded({ args: ["--relay-tls", "implicit"], environment: RELAY });
    expect(config.relayHosts[0]?.port).toBe(465);
  });
});

describe("flags", () => {
  test("both forms, and a value with “=” in it", () => {
    const { config } = loaded({
      args: ["--relay-host", "r.example", "--valid-recipients=^a=b$", "--max-hops=7"],
    });
    expect(config.relayHosts[0]?.host).toBe("r.example");
    expect(config.validRecipients?.source).toBe("^a=b$");
    expect(config.maxHops).toBe(7);
  });

  test("a value may begin with one hyphen", () => {
    const args = ["--relay-username", "u", "--relay-password", "-x", "--relay-tls", "verify"];
    expect(loaded({ args, environment: RELAY }).config.relayPassword?.reveal()).toBe("-x");
  });

  test.each([
    [["--listen-address"], "--listen-address (flag): needs a value"],
    [["--listen-address="], "--listen-address (flag): needs a value"],
    [["--listen-address", "--max-hops=5"], "--listen-address (flag): needs a value"],
    [["--config"], "--config (flag): needs a value"],
    [["--config="], "--config (flag): needs a value"],
    [["--max-hops=1", "--max-hops", "2"], "--max-hops (flag): is given twice"],
    [["--config=f", "--config=f"], "--config (flag): is given twice"],
    [["--frobnicate=9"], "--frobnicate (flag): is no option"],
    [["--frobnicate", "9"], "--frobnicate (flag): is no option"],
    [["--relay-hots=x"], "--relay-hots (flag): is no option; did you mean --relay-host?"],
    [["--RELAY_HOST=x"], "--RELAY_HOST (flag): is no option; did you mean --relay-host?"],
    [["-relay-host=x"], "-relay-host (flag): is no option; did you mean --relay-host?"],
    [["-v"], "-v (flag): is no option"],
    [["--\u001b[2J=x"], "“--\\u{1b}[2J” (flag): is no option"],
    [["--constructor=x"], "--constructor (flag): is no option"],
    [["mail.eml"], "“mail.eml” (flag): is one argument too many"],
    [["--", "--max-hops"], "“--max-hops” (flag): is one argument too many"],
  ])("%j", (args, fault) => {
    expect(faults({ args, environment: RELAY, files: { f: "" } })).toEqual([fault]);
  });

  test("an unknown flag's value is not shown", () => {
    expect(faults({ args: ["--relay-pasword=hunter2"], environment: RELAY }).join()).not.toContain("hunter2");
    expect(faults({ args: ["--relay-pasword", "hunter2"], environment: RELAY }).join()).not.toContain(
      "hunter2",
    );
  });

  test("positionals, where they are welcome", () => {
    const result = loaded({ args: ["a", "--max-hops=5", "--", "--b"], environment: RELAY, positionals: 2 });
    expect(result.positionals).toEqual(["a", "--b"]);
    expect(faults({ args: ["a", "b", "c"], environment: RELAY, positionals: 2 })).toHaveLength(1);
  });

  test("every option has one", () => {
    for (const property of PROPERTIES) {
      const flag = flagOf(OPTIONS[property].name);
      expect(faults({ args: [flag], environment: RELAY })).toContain(`${flag} (flag): needs a value`);
    }
  });
});

describe("the environment", () => {
  test("empty means not set", () => {
    const { config, sources } = loaded({
      environment: { ...RELAY, MAX_HOPS: "", SERVER_CERT: "", LOG_LEVEL: "" },
    });
    expect([config.maxHops, config.serverCert, config.logLevel]).toEqual([50, undefined, "info"]);
    expect(sources.get("maxHops")).toBe("default");
    expect(isSet({}, "")).toBe(false);
    expect(isSet({ emptyIsValue: true }, "")).toBe(true);
  });

  test("empty means nobody where it is a value of its own", () => {
    const { config, sources } = loaded({ environment: { ...RELAY, TRUSTED_CLIENTS: "" } });
    expect(config.trustedClients).toEqual([]);
    expect(sources.get("trustedClients")).toBe("environment");
    expect(renderConfig(config, sources)).toMatch(/^TRUSTED_CLIENTS +\(empty\) {2}\(environment\)$/m);
  });

  test.each([
    ["RELAY_HOSTS", "RELAY_HOST"],
    ["VALID_RECIPIENT", "VALID_RECIPIENTS"],
    ["MAX_HOP", "MAX_HOPS"],
    ["LISTEN_ADRESS", "LISTEN_ADDRESS"],
    ["LISTEN_ADDRESSES", "LISTEN_ADDRESS"],
    ["relay_host", "RELAY_HOST"],
    ["SERVERNAME", "SERVER_NAME"],
    ["OVERRIDE_RECIPIENTS", "OVERRIDE_RECIPIENT"],
    ["RELAY_PASSWD", "RELAY_PASSWORD"],
    ["RELAY_USER", "RELAY_USERNAME"],
    ["RELAY_PASS", "RELAY_PASSWORD"],
    ["LISTEN_ADDR", "LISTEN_ADDRESS"],
    ["MAX_CONN", "MAX_CONNECTIONS"],
    ["TLS_CERT", "SERVER_CERT"],
    ["tls-key", "SERVER_KEY"],
    // A stranger's, perhaps: a warning does not keep the service from starting.
    ["SERVER_PORT", "SERVER_CERT"],
  ])("%s is nearly %s", (name, option) => {
    expect(warnings({ [name]: "x" })).toEqual([
      `${name} (environment): is no option; did you mean ${option}?`,
    ]);
  });

  test("the other names are not near by accident, and name options", () => {
    for (const [other, option] of OTHER_NAMES) {
      expect([other, nearMiss(other)]).toEqual([other, option]);
      expect(propertyOf(option)).toBeDefined();
    }
  });

  test("innocent variables are left alone", () => {
    const innocent =
      "PATH HOME USER LOGNAME SHELL LANG LC_ALL TERM TZ PWD OLDPWD SHLVL _ HOSTNAME TMPDIR EDITOR PAGER " +
      "LISTEN_FDS LISTEN_PID LISTEN_FDNAMES LISTEN_PIDFDID NOTIFY_SOCKET WATCHDOG_USEC WATCHDOG_PID " +
      "INVOCATION_ID JOURNAL_STREAM SYSTEMD_EXEC_PID MAINPID MANAGERPID MEMORY_PRESSURE_WATCH " +
      "CREDENTIALS_DIRECTORY STATE_DIRECTORY RUNTIME_DIRECTORY LOGS_DIRECTORY CONFIGURATION_DIRECTORY " +
      "CI NODE_ENV NODE_OPTIONS BUN_INSTALL HTTP_PROXY http_proxy NO_PROXY SSL_CERT_FILE SSL_CERT_DIR " +
      "KUBERNETES_SERVICE_HOST KUBERNETES_PORT RELAY_SERVICE_HOST SERVER_SOFTWARE SERVER_ADDR LS_COLORS XDG_DATA_DIRS";
    const environment = Object.fromEntries(innocent.split(" ").map((name) => [name, "1"]));
    loaded({ environment: { ...RELAY, ...environment, RELAY_PORT: "tcp://10.0.0.1:25" } });
  });

  test("nor does the name of one option pass for a fault of another", () => {
    for (const property of PROPERTIES) expect(nearMiss(OPTIONS[property].name)).toBeUndefined();
  });
});

test("edit distance", () => {
  const cases = [
    ["", "", 0],
    ["abc", "abc", 0],
    ["abc", "abd", 1],
    ["abc", "ab", 1],
    ["abc", "xabc", 1],
    ["ab", "ba", 2],
    ["kitten", "sitten", 1],
    ["abcdef", "abc", Number.POSITIVE_INFINITY],
  ] as const;
  for (const [a, b, distance] of cases) expect(editDistance(a, b)).toBe(distance);
});

describe("the file", () => {
  test("that cannot be read", () => {
    expect(faults({ args: ["--config", "nowhere"], environment: RELAY })).toEqual([
      "--config (flag): cannot read “nowhere”: there is no such file (ENOENT)",
    ]);
  });

  test("that is none of ours: the first faults, and how many more there are", () => {
    const f = `${"nonsense\n".repeat(1000)}${"k".repeat(1000)}=1\n`;
    const found = faults({ args: ["--config", "f"], files: { f } });
    expect(found).toHaveLength(21);
    expect(found.at(-1)).toBe("--config (flag): “f” has 981 further faults");
    expect(Math.max(...found.map((fault) => fault.length))).toBeLessThan(200);
  });

  test("with faults, each with its line", () => {
    const f = "RELAY_HOST=r.example\nRELAY_HOTS=x\nnonsense\nBOGUS=1\nexport MAX_HOPS=3\nMAX_HOPS=none\n";
    expect(faults({ args: ["--config", "f"], files: { f } })).toEqual([
      "line 3 (file f:3): has no “=” and is no comment",
      "RELAY_HOTS (file f:2): is no option; did you mean RELAY_HOST?",
      "BOGUS (file f:4): is no option",
      "export MAX_HOPS (file f:5): is no option",
      "MAX_HOPS (file f:6): must be a whole number from 1 to 1000, not “none”",
    ]);
  });

  test("with a byte order mark and CRLF, as some editors have it", () => {
    const f = "\uFEFFRELAY_HOST=r.example\r\nMAX_HOPS=3\r\n";
    const { config } = loaded({ args: ["--config", "f"], files: { f } });
    expect([config.relayHosts[0]?.text, config.maxHops]).toEqual(["r.example:25", 3]);
  });

  test("the last of several lines counts, with a warning", () => {
    const f = "MAX_HOPS=3\nMAX_HOPS=4\nLOG_LEVEL=debug\nLOG_LEVEL=\n";
    const { config, warnings } = loaded({ args: ["--config", "f"], environment: RELAY, files: { f } });
    expect([config.maxHops, config.logLevel]).toEqual([4, "info"]);
    expect(warnings.map(describeFinding)).toEqual([
      "MAX_HOPS (file f:2): takes the place of an earlier line",
      "LOG_LEVEL (file f:4): takes the place of an earlier line",
    ]);
  });
});

test("all faults at once", () => {
  expect(
    faults({
      args: ["--bogus", "--max-hops=0"],
      environment: { RELAY_TIMEOUT: "5 parsecs", RELAY_HOSTS: "x", SERVER_KEY: "k" },
      files: {},
    }),
  ).toEqual([
    "--bogus (flag): is no option",
    "RELAY_HOST (not set): must be set, such as smtp.example.com:25",
    "MAX_HOPS (flag): must be a whole number from 1 to 1000, not “0”",
    "RELAY_TIMEOUT (environment): must be a duration such as 500ms, 5s, 1m30s, 1.5h or 1d, not “5 parsecs”",
    "SERVER_KEY (environment): needs SERVER_CERT as well",
  ]);
});

describe("one cause is one line", () => {
  const all = (given: Given) => {
    const result = loadFrom(given);
    if (result.ok) throw new Error("there is no fault");
    const { isBare } = result;
    return { lines: [...result.faults, ...result.warnings].map(describeFinding), isBare };
  };
  const inFile = (f: string) => all({ args: ["--config", "f"], files: { f }, hostName: "box" });

  test("a file that cannot be read", () => {
    expect(all({ args: ["--config", "nowhere"], hostName: "box" }).lines).toEqual([
      "--config (flag): cannot read “nowhere”: there is no such file (ENOENT)",
    ]);
    expect(all({ args: ["--config"], hostName: "box" }).lines).toEqual(["--config (flag): needs a value"]);
  });

  test.each([
    ["RELAY_HOTS=r.example", "RELAY_HOTS (file f:1): is no option; did you mean RELAY_HOST?"],
    ["RELAY_HOST r.example", "line 1 (file f:1): has no “=” and is no comment"],
    ["RELAY_HOST='r.example", "line 1 (file f:1): opens a quote that nothing closes"],
    [
      "RELAY_HOST=r.example\nSERVER_CERT=c\nTLS_KEY=k",
      "TLS_KEY (file f:3): is no option; did you mean SERVER_KEY?",
    ],
    [
      "RELAY_HOST=r.example\nRELAY_USERNAME=u\nRELAY_PASS=p",
      "RELAY_PASS (file f:3): is no option; did you mean RELAY_PASSWORD?",
    ],
    [
      "RELAY_HOST=r.example\nRELAY_USER=u\nRELAY_PASSWORD=p",
      "RELAY_USER (file f:2): is no option; did you mean RELAY_USERNAME?",
    ],
    [
      "RELAY_HOST=r.example\nRELAY_TLS=none\nRELAY_USERNAME=u\nRELAY_PASSWORD=p",
      "RELAY_TLS (file f:2): must be off, opportunistic, required, verify or implicit, not “none”",
    ],
    [
      "RELAY_HOST=r_.example\nMAX_HOPS=x",
      "MAX_HOPS (file f:2): must be a whole number from 1 to 1000, not “x”",
    ],
  ])("%j", (f, line) => expect(inFile(f)).toEqual({ lines: [line], isBare: false }));

  test.each([
    [["--relay-hots", "r.example"], "--relay-hots (flag): is no option; did you mean --relay-host?"],
    [["--relay-host"], "--relay-host (flag): needs a value"],
  ])("%j", (args, line) => expect(all({ args, hostName: "box" })).toEqual({ lines: [line], isBare: false }));

  test("what may explain the fault stays", () => {
    expect(all({ environment: { RELAY_HOTS: "r.example" }, hostName: "box" })).toEqual({
      lines: [
        "RELAY_HOST (not set): must be set, such as smtp.example.com:25",
        "RELAY_HOTS (environment): is no option; did you mean RELAY_HOST?",
      ],
      isBare: true,
    });
  });

  test("without any configuration", () => {
    const lines = ["RELAY_HOST (not set): must be set, such as smtp.example.com:25"];
    expect(all({ hostName: "box" })).toEqual({ lines, isBare: true });
    expect(all({ environment: { LOG_LEVEL: "info" }, hostName: "box" })).toEqual({ lines, isBare: false });
  });
});

describe("rules between options", () => {
  const environment = (more: Surroundings["environment"]) => ({ environment: { ...RELAY, ...more } });
  const user = { RELAY_USERNAME: "me", RELAY_PASSWORD: "hunter2", RELAY_TLS: "verify" };

  test("smtps:// and RELAY_TLS", () => {
    const RELAY_HOST = "smtps://a.example b.example";
    const { config } = loaded(environment({ RELAY_HOST, RELAY_TLS: "required" }));
    expect(config.relayHosts.map(({ text, tls }) => [text, tls])).toEqual([
      ["smtps://a.example:465", "implicit"],
      ["b.example:25", undefined],
    ]);
    for (const more of [{}, user]) {
      expect(faults(environment({ ...more, RELAY_HOST, RELAY_TLS: "off" }))).toEqual([
        "RELAY_HOST (environment): wants TLS by smtps://, and RELAY_TLS=off forbids it",
      ]);
    }
    const secured = { ...user, RELAY_HOST: "smtps://a.example", RELAY_TLS: "", RELAY_CA: "ca" };
    expect(warnings(secured)).toEqual([]);
    expect(warnings({ ...secured, RELAY_CA: "", RELAY_HOST })).toHaveLength(1);
  });

  test("listen addresses in each other's way", () => {
    for (const [addresses, inner, outer] of [
      [":25 127.0.0.1:25", "127.0.0.1:25", ":25"],
      ["[::1]:25 *:25", "[::1]:25", ":25"],
      ["0.0.0.0:25 127.0.0.1:25", "127.0.0.1:25", "0.0.0.0:25"],
      ["[::]:25 [::1]:25", "[::1]:25", "[::]:25"],
    ] as const) {
      expect(faults(environment({ LISTEN_ADDRESS: addresses }))).toEqual([
        `LISTEN_ADDRESS (environment): names “${inner}”, which “${outer}” has already`,
      ]);
    }
    for (const fine of [
      "0.0.0.0:25 [::]:25",
      "127.0.0.1:25 [::1]:25 [::]:587",
      ":0 127.0.0.1:0",
      "unix:/s :25",
    ]) {
      expect(loaded(environment({ LISTEN_ADDRESS: fine })).ok).toBe(true);
    }
  });

  test("certificate and key", () => {
    expect(faults(environment({ SERVER_CERT: "c" }))).toEqual([
      "SERVER_CERT (environment): needs SERVER_KEY as well",
    ]);
    const { config } = loaded(environment({ SERVER_CERT: "c", SERVER_KEY: "k" }));
    expect([config.serverCert, config.serverKey]).toEqual(["c", "k"]);
  });

  test("user name and password", () => {
    expect(faults(environment({ ...user, RELAY_PASSWORD: "" }))).toEqual([
      "RELAY_USERNAME (environment): needs RELAY_PASSWORD or RELAY_PASSWORD_FILE as well",
    ]);
    expect(faults(environment({ ...user, RELAY_USERNAME: "" }))).toEqual([
      "RELAY_PASSWORD (environment): needs RELAY_USERNAME as well",
    ]);
    expect(faults({ ...environment({ ...user, RELAY_PASSWORD_FILE: "p" }), files: { p: "x" } })).toEqual([
      "RELAY_PASSWORD (environment): cannot be set together with RELAY_PASSWORD_FILE",
    ]);
    expect(faults(environment({ ...user, RELAY_TLS: "off" }))).toEqual([
      "RELAY_USERNAME (environment): cannot be used with RELAY_TLS=off, because AUTH goes over TLS only",
    ]);
  });

  test("DNSBL options without a zone, and a threshold that no client reaches", () => {
    expect(warnings({ DNSBL_THRESHOLD: "2", DNSBL_TIMEOUT: "1s" })).toEqual([
      "DNSBL_THRESHOLD (environment): has no effect without DNSBL_DOMAINS",
      "DNSBL_TIMEOUT (environment): has no effect without DNSBL_DOMAINS",
    ]);
    const DNSBL_DOMAINS = "a.example*2 b.example c.example*-9";
    expect(warnings({ DNSBL_DOMAINS, DNSBL_THRESHOLD: "4" })).toEqual([
      "DNSBL_THRESHOLD (environment): is never reached: the weights of DNSBL_DOMAINS add up to 3",
    ]);
    expect(warnings({ DNSBL_DOMAINS, DNSBL_THRESHOLD: "3" })).toEqual([]);
    expect(warnings({ DNSBL_DOMAINS: "c.example*-9" })).toEqual([]);
    expect(faults(environment({ DNSBL_DOMAINS: "a..b" }))).toHaveLength(1);
  });

  test("a tarpit that could take most of the connections is worth a warning", () => {
    const consequence = "offenders who are held count as connections, and could keep mail out";
    expect(warnings({ MAX_CONNECTIONS: "200" })).toEqual([
      `MAX_CONNECTIONS (environment): is less than twice MAX_TARPITTED (500): ${consequence}`,
    ]);
    expect(warnings({ MAX_TARPITTED: "501" })).toEqual([
      `MAX_TARPITTED (environment): is more than half of MAX_CONNECTIONS (1000): ${consequence}`,
    ]);
    expect(warnings({ MAX_CONNECTIONS: "200", MAX_TARPITTED: "100" })).toEqual([]);
    expect(warnings({ MAX_CONNECTIONS: "200", TARPIT_DURATION: "0" })).toEqual([]);
    expect(warnings({ MAX_CONNECTIONS: "200", MAX_TARPITTED: "0" })).toEqual([]);
  });

  test("an invalid RELAY_TLS does not hide other faults, nor make new ones", () => {
    expect(faults(environment({ ...user, RELAY_TLS: "maybe", SERVER_CERT: "c" }))).toHaveLength(2);
  });

  test("credentials and a relay that nobody authenticates", () => {
    expect(warnings(user)).toEqual([]);
    expect(warnings({ ...user, RELAY_TLS: "implicit" })).toEqual([]);
    for (const tls of ["opportunistic", "required"]) {
      expect(warnings({ ...user, RELAY_TLS: tls })).toEqual([
        `RELAY_USERNAME (environment): goes to a relay that RELAY_TLS=${tls} does not authenticate; verify or implicit does`,
      ]);
    }
  });

  test("a password as a flag", () => {
    const result = loaded({ ...environment({ ...user, RELAY_PASSWORD: "" }), args: ["--relay-password=x"] });
    expect(result.warnings.map(describeFinding)).toEqual([
      "RELAY_PASSWORD (flag): is visible to every user of this host; use RELAY_PASSWORD_FILE",
    ]);
  });

  test("authorities without authentication", () => {
    expect(warnings({ RELAY_CA: "ca.pem", RELAY_TLS: "verify" })).toEqual([]);
    for (const tls of ["off", "opportunistic", "required"]) {
      expect(warnings({ RELAY_CA: "ca.pem", RELAY_TLS: tls })).toEqual([
        `RELAY_CA (environment): has no effect with RELAY_TLS=${tls}; it has with verify or implicit`,
      ]);
    }
  });

  test("no VALID_RECIPIENTS", () => {
    expect(warnings({ VALID_RECIPIENTS: "" })).toEqual([
      "VALID_RECIPIENTS (not set): mail for everyone is relayed",
    ]);
  });

  test("a doubtful VALID_RECIPIENTS: one warning for each doubt", () => {
    const doubtful = warnings({ VALID_RECIPIENTS: "/me@example.com/\n" });
    expect(doubtful.map((warning) => warning.split(/[,;]/)[0])).toEqual([
      "VALID_RECIPIENTS (environment): begins or ends with a blank or a line end",
      "VALID_RECIPIENTS (environment): has slashes around it",
      "VALID_RECIPIENTS (environment): is not anchored at its end",
    ]);
    expect(faults({ environment: { ...RELAY, VALID_RECIPIENTS: "(" } })).toHaveLength(1);
  });

  test("the host's name", () => {
    expect(warnings({}, { hostName: "box" })).toEqual([
      "SERVER_NAME (default): the host's name “box” is no full domain name; “box” is used",
    ]);
    expect(warnings({}, { hostName: "my_box.example" })).toEqual([
      "SERVER_NAME (default): the host's name “my_box.example” is no full domain name; “localhost” is used",
    ]);
    expect(warnings({ SERVER_NAME: "box" }, { hostName: "my_box" })).toEqual([]);
    expect(loaded({ environment: RELAY, hostName: "" }).config.serverName).toBe("localhost");
  });
});

describe("the password's file", () => {
  const environment = { ...RELAY, RELAY_USERNAME: "me", RELAY_PASSWORD_FILE: "p", RELAY_TLS: "verify" };

  test.each(["hunter2", "hunter2\n", "hunter2\r\n", "\uFEFFhunter2\r\n"])("%j", (p) => {
    const { config, sources } = loaded({ environment, files: { p } });
    expect(config.relayPassword?.reveal()).toBe("hunter2");
    expect(sources.get("relayPassword")).toBe("RELAY_PASSWORD_FILE");
    expect(sources.get("relayPasswordFile")).toBe("environment");
  });

  test.each(["", "\n", "hunter2\n\n", "hunter2\nmore", "hun\0ter2"])(
    "%j is a fault that does not show it",
    (p) => {
      expect(faults({ environment, files: { p } })).toEqual([
        "RELAY_PASSWORD_FILE (environment): must have the password on its only line: “p” has not",
      ]);
    },
  );

  test("in Latin-1 is a fault: the relay would be sent another password", () => {
    const p = Buffer.from("gehe\xefm\n", "latin1").toString("utf8");
    expect(faults({ environment, files: { p } })).toEqual([
      "RELAY_PASSWORD_FILE (environment): “p” must be in UTF-8",
    ]);
    expect(loaded({ environment, files: { p: "geheïm\n" } }).config.relayPassword?.reveal()).toBe("geheïm");
  });

  test("that cannot be read", () => {
    expect(faults({ environment })).toEqual([
      "RELAY_PASSWORD_FILE (environment): cannot read “p”: there is no such file (ENOENT)",
    ]);
  });
});

test("garbage from everywhere never throws, and every finding is one clean line", () => {
  const text = fc.oneof(fc.string({ unit: "binary" }), fc.string());
  const flag = fc.constantFrom(
    ...PROPERTIES.map((property) => flagOf(OPTIONS[property].name)),
    "--config",
    "--",
  );
  const variable = fc.constantFrom(...PROPERTIES.map((property) => OPTIONS[property].name));
  const args = fc.array(
    fc.oneof(
      text,
      flag,
      fc.tuple(flag, text).map(([name, value]) => `${name}=${value}`),
    ),
  );
  fc.assert(
    fc.property(
      args,
      fc.dictionary(fc.oneof(variable, text), text),
      text,
      text,
      (args, environment, hostName, content) => {
        const result = load({
          args: [...args, "--config=f"],
          environment,
          hostName,
          readFile: () => content,
        });
        for (const finding of [...(result.ok ? [] : result.faults), ...result.warnings]) {
          expect(describeFinding(finding)).toMatch(/^[^\p{C}]+$/u);
        }
        expect(result.ok || result.faults.length > 0).toBe(true);
      },
    ),
    { numRuns: 2000 },
  );
});
