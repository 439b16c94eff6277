/** Targets of the configuration: the kinds of value, the environment, the file, the command line. */
import { isIP } from "node:net";
import { parseArguments } from "../../src/config/arguments.ts";
import { parseEnvFile } from "../../src/config/env-file.ts";
import { describe as describeFinding, type Finding } from "../../src/config/findings.ts";
import { dnsblZones } from "../../src/config/kinds/dnsbl-zone.ts";
import {
  addressPort,
  domainName,
  listenAddress,
  mailbox,
  relayAddress,
} from "../../src/config/kinds/hosts.ts";
import { network } from "../../src/config/kinds/networks.ts";
import { DAY_MS, duration, type Kind, listOf, path, pattern, size } from "../../src/config/kinds/values.ts";
import { type Loaded, load } from "../../src/config/load.ts";
import {
  flagOf,
  OPTIONS,
  type Option,
  PROPERTIES,
  type Property,
  type Values,
} from "../../src/config/options.ts";
import { isDomainOrLiteral, parseForwardPath } from "../../src/smtp/paths.ts";
import { environmentOf, hold, holdClean, partsOf, same, type Target } from "./target.ts";

const textOf = () => undefined;

/** A kind of value: its faults are clean lines, and what it takes it formats and takes again. */
function kindTarget<T>(
  name: string,
  kind: Kind<T>,
  words: readonly string[],
  check: (value: T, text: string) => void = () => {},
  beginnings: readonly string[] = ["", words[0] ?? ""],
): Target {
  return {
    name,
    reads: "text",
    words: [...words, " ", ",", "\0", "é"],
    beginnings,
    read(input) {
      const parsed = kind.parse(input, textOf);
      if (!parsed.ok) {
        holdClean(parsed.fault);
        return { gives: null, shape: parsed.fault.replaceAll(/“[^”]*”|[\d:.]+/g, "…").slice(0, 40) };
      }
      const text = kind.format(parsed.value);
      const again = kind.parse(text, textOf);
      hold(again.ok, "what is formatted is taken again", text);
      same(kind.format(again.value), text, "format, then parse, is the same");
      hold(typeof parsed.value !== "object" || Object.isFrozen(parsed.value), "a value is frozen", text);
      check(parsed.value, input);
      const signs = [...new Set(text.match(/[!-/:-@[-`{-~]/g))].sort().join("");
      return { gives: text, shape: `ok ${signs}` };
    },
  };
}

const hostWords = [
  "a.example",
  "a_b",
  "-",
  ".",
  ":",
  "25",
  "0",
  "65536",
  "[",
  "]",
  "::1",
  "::ffff:",
  "010.1.1.1",
  "0x1.2.3.4",
  "192.0.2.1",
  "%eth0",
  "unix:/run/a",
];
const ipWords = [
  "192.0.2.",
  "10.",
  "0",
  "1",
  "01",
  "255",
  "256",
  "/",
  "8",
  "24",
  "128",
  "::",
  ":",
  "ffff",
  "2001:db8",
  ".",
];

/** An address to the system too; of scopes Node knows fewer. */
function isAddress(host: string): boolean {
  return isIP(host.replace(/%.*/s, "")) !== 0;
}

function holdHost(host: string): void {
  const isName = !/:|^[\d.]*$/.test(host);
  hold(host === "" || isName || isAddress(host), "a host is a name or an address", host);
}

const kinds: readonly Target[] = [
  kindTarget("listen-address", listenAddress, hostWords, (value) => {
    if ("host" in value) holdHost(value.host);
  }),
  kindTarget("relay-host", listOf(relayAddress(25)), [...hostWords, "smtp://", "smtps://", "/"], (values) => {
    for (const { host } of values) holdHost(host);
  }),
  kindTarget("dns-server", addressPort(53), [...hostWords, ...ipWords], ({ host, port }) => {
    hold(isAddress(host) && port > 0, "a server is an address to others too", host);
  }),
  kindTarget("domain-name", domainName, ["a", "-", "_", ".", "example", "1", "é"], (value) => {
    hold(isDomainOrLiteral(value), "our own name is one in SMTP", value);
  }),
  kindTarget(
    "mailbox",
    mailbox,
    [
      "a",
      "@",
      ".",
      '"',
      "\\",
      " ",
      "b.example",
      "[192.0.2.1]",
      "[IPv6:::1]",
      "[IPv6:",
      "192.0.2.1]",
      "<",
      ">",
      "\\\r\n",
    ],
    (value) => same(parseForwardPath(`<${value}>`)?.path.address, value, "it is a forward-path"),
  ),
  kindTarget("network", network, ipWords, ({ octets, prefixBits }, text) => {
    hold(isIP(text.replace(/\/.*/s, "")) !== 0, "its address is one to others too", text);
    hold(
      [4, 16].includes(octets.length) && prefixBits <= 8 * octets.length,
      "it has so many bits",
      prefixBits,
    );
  }),
  kindTarget(
    "dnsbl-zones",
    dnsblZones,
    [
      ..."zen.example key.zen.example =127.0.0. 2 [ 2..11 ] ; .. * *2 *-1 - => = > 127 0 255 . a".split(" "),
      "\t",
    ],
    (zones) => {
      for (const { zone, shownName, weight } of zones) {
        hold(`${"f.".repeat(32)}${zone}`.length <= 253, "a question fits a name", zone);
        hold(Number.isInteger(weight) && !Object.is(weight, -0), "a weight is a number", weight);
        hold(isDomainOrLiteral(shownName), "a reply may show it", shownName);
      }
    },
  ),
  kindTarget("duration", duration(0, DAY_MS), [
    "5",
    "0",
    "s",
    "ms",
    "m",
    "h",
    "d",
    "min",
    "sec",
    "9999",
    ".",
    "-",
  ]),
  kindTarget("size", size(1, 1024 ** 4), ["5", "0", "K", "M", "G", "9999", ".", "k", "iB"]),
  kindTarget("path", path, ["/", "a", "..", "é", "\u{1f600}", "\u2028", "\ud800"]),
  // RE2 promises linear time for searching; the pattern itself is the operator's.
  kindTarget(
    "pattern",
    pattern,
    "^ $ . * + ? ( ) [ ] { } | \\ a @ (?i) \\d {2,1000} (?P<n> \\p{L} [^".split(" "),
    () => {},
    [],
  ),
];

const examples = PROPERTIES.map((property): string => {
  const option: Option<unknown> = OPTIONS[property];
  return option.default ?? option.example;
});
const names = PROPERTIES.map((property) => OPTIONS[property].name);

const environment: Target = {
  name: "environment",
  reads: "text",
  words: [
    ...names.map((name, index) => `\0${name}=${examples[index]}`),
    "\0",
    "=",
    "\0RELAY_HOST=a.example",
    "\0RELAY_HOTS=a",
    "tcp://",
    "\0FOO=bar",
  ],
  beginnings: ["", "RELAY_HOST="],
  read: (input) => read(loadWith({ environment: environmentOf(input) })),
};

const configFile: Target = {
  name: "config-file",
  reads: "text",
  words: [
    ...names.map((name, index) => `\n${name}='${examples[index]}'`),
    "\n",
    "\r",
    "#",
    ";",
    "=",
    "'",
    '"',
    "\\",
    " ",
    "\nRELAY_HOST=a.example",
    "\nRELAY_HOTS=a",
  ],
  beginnings: ["", "RELAY_HOST=", 'A="', "A='"],
  read: (input) => read(loadWith({ file: input })),
};

function loadWith(given: { environment?: Record<string, string>; file?: string }): Loaded {
  const { environment = {}, file } = given;
  const args = file === undefined ? [] : ["--config=f"];
  return load({ args, environment, hostName: "host.example", readFile: () => file ?? "secret" });
}

function read(loaded: Loaded) {
  const findings = [...(loaded.ok ? [] : loaded.faults), ...loaded.warnings];
  for (const finding of findings) holdClean(describeFinding(finding));
  if (!loaded.ok) {
    hold(loaded.faults.length > 0, "a refusal has a reason");
    const gives = [...new Set(loaded.faults.map(({ option }) => option))].sort();
    return {
      gives: { faults: gives },
      shape: `faults ${gives.filter((name) => names.includes(name)).slice(0, 1)}`,
    };
  }
  const given = PROPERTIES.filter((property) => loaded.sources.get(property) !== "default");
  // A password is told by nobody, so it cannot be written again.
  const told = given.filter((property) => property !== "relayPassword" && property !== "relayPasswordFile");
  const values = Object.fromEntries(told.map((property) => textIn(loaded.config, property)));
  const again = loadWith({ environment: { ...values, RELAY_USERNAME: "" } });
  hold(again.ok, "what was loaded can be written", values);
  for (const property of told) {
    if (property === "relayUsername") continue;
    same(textIn(again.config, property), textIn(loaded.config, property), "it is loaded again the same");
  }
  return {
    gives: { values, warnings: loaded.warnings.map(({ option }) => option) },
    shape: `ok ${given.slice(0, 1)}`,
  };
}

function textIn<P extends Property>(config: Partial<Values>, property: P): [name: string, text: string] {
  const option: Option<Values[P]> = OPTIONS[property];
  const value: Values[P] | undefined = config[property];
  return [option.name, value === undefined ? "" : option.kind.format(value)];
}

const envFile: Target = {
  name: "env-file",
  reads: "text",
  words: ["A", "B", "=", "\n", "\r", "\r\n", "#", ";", "'", '"', "\\", "$", "`", " ", "\t", "é"],
  beginnings: ["", "A=", 'A="', "A='", "A"],
  read(input) {
    const { entries, faults } = parseEnvFile(input);
    const places = [...entries, ...faults].map(({ line }) => line);
    const linesMax = input.split("\n").length;
    hold(
      places.every((line) => line >= 1 && line <= linesMax),
      "what is told of a line is",
      places,
    );
    same(
      entries.map(({ line }) => line),
      entries.map(({ line }) => line).sort((a, b) => a - b),
      "in order",
    );
    const octets = entries.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
    hold(octets <= input.length, "nothing is made up", entries);
    for (const { key, value } of entries) {
      hold(key === key.trim() || /^[^ \t]/.test(key), "a key has no space before or behind it", key);
      if (value.includes("'")) continue;
      const again = parseEnvFile(`${key}='${value}'\n`);
      same(again, { entries: [{ key, value, line: 1 }], faults: [] }, "written again, it is read the same");
    }
    const gives = {
      entries: entries.map(({ key, value }) => [key, value]),
      faults: faults.map(({ line }) => line),
    };
    const reasons = [...new Set(faults.map(({ reason }) => reason))].sort();
    const { value = "" } = entries[0] ?? {};
    const signs = [..."\n'\"\\ "].filter((sign) => value.includes(sign)).join("");
    const joins = /"[^"]*\\\n/.test(input) ? "quoted" : /\\\n/.test(input);
    return { gives, shape: `${reasons} ${entries.length > 1} ${signs} ${joins}` };
  },
};

const commandLine: Target = {
  name: "arguments",
  reads: "text",
  words: [
    ...names.map((name) => `\0${flagOf(name)}`),
    "\0",
    "\0--",
    "\0-",
    "=",
    "a",
    "\0--config",
    "\0--relay-hots",
    "\0--RELAY_HOST",
    "\x1b",
    "é",
  ],
  beginnings: ["", "--relay-host="],
  read(input) {
    const args = partsOf(input);
    const { options, configFile: file, positionals, faults } = parseArguments(args, 1);
    for (const fault of faults) holdClean(describeFinding(fault));
    const given = [...options].map(([property, text]) => `${flagOf(OPTIONS[property].name)}=${text}`);
    const all = [...given, ...(file === undefined ? [] : [`--config=${file}`]), "--", ...positionals];
    const again = parseArguments(all, Number.POSITIVE_INFINITY);
    same(
      again,
      { options, configFile: file, positionals, faults: [], doubtful: new Set() },
      "written again, it is read the same",
    );
    const isLost = args.length > 0 && options.size + positionals.length + faults.length === 0;
    hold(!isLost || file !== undefined || args.every((arg) => arg === "--"), "nothing is passed over", args);
    const gives = {
      options: given,
      file: file ?? null,
      positionals,
      faults: faults.map(({ option }) => option),
    };
    return {
      gives,
      shape: `${options.size > 0} ${file !== undefined} ${Math.min(positionals.length, 2)} ${reasonOf(faults)}`,
    };
  },
};

function reasonOf([first]: readonly Finding[]): string {
  return first === undefined ? "" : first.reason.replace(/mean .*/, "mean …");
}

export const configTargets: readonly Target[] = [...kinds, environment, configFile, envFile, commandLine];
