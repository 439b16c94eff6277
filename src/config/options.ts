/**
 * THE table of options. The loader, the type `Config`, flags, --help, example/defaults and the README's table all
 * come from it; adding an option is adding one row, then `bun src/config/write-generated.ts`.
 * A row has either a default (as the operator would write it) or an example of what could be written; `unset` then
 * says what holds when nothing is written. Meanings are plain text, one sentence or two.
 * Not here: rules between options (checks.ts), how texts are read (config/kinds/values.ts, config/kinds/hosts.ts).
 * Rejected: a schema library. The table is small, and the types below follow from it by themselves.
 */
import { dnsblZones } from "./kinds/dnsbl-zone.ts";
import { addressPort, domainName, listenAddress, mailbox, relayAddress } from "./kinds/hosts.ts";
import { network } from "./kinds/networks.ts";
import {
  choice,
  DAY_MS,
  duration,
  HOUR_MS,
  integer,
  type Kind,
  line,
  listOf,
  MINUTE_MS,
  MS,
  path,
  pattern,
  secret,
  size,
} from "./kinds/values.ts";

export const SECTIONS = [
  "Listening",
  "TLS",
  "Relay",
  "Recipients",
  "Screening",
  "Limits",
  "Timeouts",
  "Log",
] as const;

interface RowHead {
  /** The environment variable, and the key in a file. */
  readonly name: string;
  readonly section: (typeof SECTIONS)[number];
  readonly meaning: string;
  /** Set where an empty value is a value of its own. Everywhere else empty means: not set. */
  readonly emptyIsValue?: true;
}

/**
 * One option. `default` and `example` are texts as an operator writes them, without the quotes of a file. Without a
 * default it is `required`, or `unset` says what holds instead; `filled`: the loader then supplies a value.
 */
export type Option<T> = RowHead & { readonly kind: Kind<T> } & (
    | { readonly default: string; readonly required?: undefined; readonly filled?: undefined }
    | {
        readonly default?: undefined;
        readonly example: string;
        readonly required: true;
        readonly filled?: undefined;
      }
    | {
        readonly default?: undefined;
        readonly example: string;
        readonly required?: undefined;
        readonly unset: string;
        readonly filled?: true;
      }
  );

const SMTP_PORT = 25;
const SUBMISSIONS_PORT = 465; // RFC 8314 §3.3
const DNS_PORT = 53;
/** A mail server waits 5 minutes for the greeting (RFC 5321 §4.5.3.2.1), which must be there by then. */
const GREETING_DELAY_MS_MAX = 4 * MINUTE_MS;

const PER_RELAY_PORT = {
  plain: listOf(relayAddress(SMTP_PORT)),
  implicit: listOf(relayAddress(SUBMISSIONS_PORT)),
};

/** The one value that depends on another option: TLS from the first octet has a port of its own. */
const relayHosts: typeof PER_RELAY_PORT.plain = {
  ...PER_RELAY_PORT.plain,
  parse: (text, textOf) =>
    PER_RELAY_PORT[textOf("RELAY_TLS") === "implicit" ? "implicit" : "plain"].parse(text, textOf),
};

const table = {
  listenAddresses: {
    name: "LISTEN_ADDRESS",
    section: "Listening",
    kind: listOf(listenAddress),
    default: ":25",
    meaning:
      "Where to accept mail: a list of host:port, [v6]:port, :port or port (all addresses), or " +
      "unix:/path. Sockets handed over by systemd replace it.",
  },
  serverName: {
    name: "SERVER_NAME",
    section: "Listening",
    kind: domainName,
    example: "mail.example.com",
    unset: "the host's name",
    filled: true,
    meaning: "Name of this server in the greeting, in EHLO to the relay and in Received lines.",
  },
  serverCert: {
    name: "SERVER_CERT",
    section: "TLS",
    kind: path,
    example: "/etc/smtpproxy/cert.pem",
    unset: "no STARTTLS",
    meaning:
      "PEM file with the certificate, followed by its chain. With SERVER_CERT and SERVER_KEY, STARTTLS is " +
      "offered.",
  },
  serverKey: {
    name: "SERVER_KEY",
    section: "TLS",
    kind: path,
    example: "/etc/smtpproxy/key.pem",
    unset: "no STARTTLS",
    meaning: "PEM file with the private key of the certificate.",
  },
  relayHosts: {
    name: "RELAY_HOST",
    section: "Relay",
    kind: relayHosts,
    example: "smtp.example.com:25",
    required: true,
    meaning:
      "Where to relay mail to: a list of host or host:port in order of preference; [host]:port, " +
      "smtp://host and smtps://host are understood as well. The port is 25 unless given, or 465 with " +
      "smtps:// and with RELAY_TLS=implicit.",
  },
  relayTls: {
    name: "RELAY_TLS",
    section: "Relay",
    kind: choice("off", "opportunistic", "required", "verify", "implicit"),
    default: "opportunistic",
    meaning:
      "TLS to the relay: off, opportunistic (if offered), required (encrypted), verify (encrypted and " +
      "authenticated), implicit (TLS from the first octet, authenticated). smtps:// in RELAY_HOST means " +
      "implicit for that relay.",
  },
  relayCa: {
    name: "RELAY_CA",
    section: "Relay",
    kind: path,
    example: "/etc/smtpproxy/relay-ca.pem",
    unset: "the system's",
    meaning: "PEM file with the authorities that the relay's certificate may come from.",
  },
  relayUsername: {
    name: "RELAY_USERNAME",
    section: "Relay",
    kind: line,
    example: "me@example.com",
    unset: "no AUTH",
    meaning: "User name for AUTH PLAIN or LOGIN to the relay, over TLS only.",
  },
  relayPassword: {
    name: "RELAY_PASSWORD",
    section: "Relay",
    kind: secret,
    example: "correct horse battery staple",
    unset: "no AUTH",
    meaning: "Password for AUTH. As a flag it is visible to every user of the host.",
  },
  relayPasswordFile: {
    name: "RELAY_PASSWORD_FILE",
    section: "Relay",
    kind: path,
    example: "/run/credentials/smtpproxy.service/relay-password",
    unset: "no AUTH",
    meaning: "File whose only line is the password, such as one of systemd's credentials.",
  },
  validRecipients: {
    name: "VALID_RECIPIENTS",
    section: "Recipients",
    kind: pattern,
    example: "(?i)^[^@]+@example\\.com$",
    unset: "everyone, with a warning",
    meaning:
      "Regular expression in Go's (RE2's) syntax, searched anywhere in the address. " +
      "Recipients that do not match are refused.",
  },
  overrideRecipient: {
    name: "OVERRIDE_RECIPIENT",
    section: "Recipients",
    kind: mailbox,
    example: "me@example.net",
    unset: "the client's recipients",
    meaning: "One mailbox that replaces all valid recipients.",
  },
  greetingDelayMs: {
    name: "GREETING_DELAY",
    section: "Screening",
    kind: duration(0, GREETING_DELAY_MS_MAX),
    default: "5s",
    meaning:
      "How long a client waits for the last line of the greeting; a client that speaks before it is " +
      "refused. 0: no delay.",
  },
  dnsblZones: {
    name: "DNSBL_DOMAINS",
    section: "Screening",
    kind: dnsblZones,
    example: "zen.spamhaus.org=127.0.0.[2..11]*2 bl.example.net list.dnswl.org=127.0.[0..255].[1..3]*-2",
    unset: "no DNSBL",
    meaning:
      "List of zones, each with an optional filter and weight as in postscreen: zone=127.0.0.[2..11]*3. A " +
      "negative weight makes a zone an allowlist. zone=>name shows that name to clients and in the log, " +
      "for a zone that contains a secret key: key.zen.example=127.0.0.[2..11]*3=>zen.example.",
  },
  dnsblThreshold: {
    name: "DNSBL_THRESHOLD",
    section: "Screening",
    kind: integer(1, 1000),
    default: "1",
    meaning: "A client whose weights add up to this is refused.",
  },
  dnsblTimeoutMs: {
    name: "DNSBL_TIMEOUT",
    section: "Screening",
    kind: duration(MS, MINUTE_MS),
    default: "5s",
    meaning:
      "How long to wait for DNSBL answers, from the connection on. A zone without an answer by then does " +
      "not count.",
  },
  dnsServers: {
    name: "DNS_SERVERS",
    section: "Screening",
    kind: listOf(addressPort(DNS_PORT)),
    example: "127.0.0.1 [::1]:5353",
    unset: "those of /etc/resolv.conf",
    meaning: "List of ip, ip:port or [v6]:port of DNS servers to ask about clients, in order of preference.",
  },
  trustedClients: {
    name: "TRUSTED_CLIENTS",
    section: "Screening",
    kind: listOf(network, 0),
    default: "127.0.0.0/8 ::1",
    emptyIsValue: true,
    meaning:
      "List of addresses and networks (CIDR) whose clients skip the screening and the limits per client. " +
      "Clients on a unix socket count as 127.0.0.1. Empty: no client.",
  },
  screening: {
    name: "SCREENING",
    section: "Screening",
    kind: choice("enforce", "observe"),
    default: "enforce",
    meaning:
      "enforce: offenders are refused. observe: the verdict is only logged, and their mail is relayed.",
  },
  tarpitDurationMs: {
    name: "TARPIT_DURATION",
    section: "Screening",
    kind: duration(0, HOUR_MS),
    default: "60s",
    meaning:
      "How long an offender is held by a reply that is sent one octet at a time. 0: it is disconnected at " +
      "once.",
  },
  maxTarpitted: {
    name: "MAX_TARPITTED",
    section: "Screening",
    kind: integer(0, 100_000),
    default: "500",
    meaning: "Maximum number of offenders in the tarpit at a time; further ones are disconnected at once.",
  },
  bareNewline: {
    name: "BARE_NEWLINE",
    section: "Limits",
    kind: choice("reject", "normalize"),
    default: "reject",
    meaning:
      "What to do with a bare LF in mail data: reject the message (550 5.5.2), or normalize it to CRLF.",
  },
  maxMessageOctets: {
    name: "MAX_MESSAGE_SIZE",
    section: "Limits",
    kind: size(1, 1024 ** 4),
    default: "150M",
    meaning:
      "Maximum size of a message (K, M and G are powers of 1024). If the relay allows less (SIZE), that " +
      "counts.",
  },
  maxRecipients: {
    name: "MAX_RECIPIENTS",
    section: "Limits",
    kind: integer(1, 10_000),
    default: "100",
    meaning: "Maximum number of recipients per message; further ones get 452 4.5.3.",
  },
  maxErrors: {
    name: "MAX_ERRORS",
    section: "Limits",
    kind: integer(1, 10_000),
    default: "10",
    meaning: "Number of errors at which a session is ended with 421 4.7.0.",
  },
  maxHops: {
    name: "MAX_HOPS",
    section: "Limits",
    kind: integer(1, 1000),
    default: "50",
    meaning: "Maximum number of Received lines in a message; with more it gets 554 5.4.6.",
  },
  maxConnections: {
    name: "MAX_CONNECTIONS",
    section: "Limits",
    kind: integer(1, 100_000),
    default: "1000",
    meaning: "Maximum number of clients at a time; further ones get 421 4.3.2.",
  },
  maxConnectionsPerClient: {
    name: "MAX_CONNECTIONS_PER_CLIENT",
    section: "Limits",
    kind: integer(1, 100_000),
    default: "20",
    meaning:
      "Maximum number of connections at a time from one IPv4 address or IPv6 /64; further ones get 421 " +
      "4.7.0.",
  },
  minDataRate: {
    name: "MIN_DATA_RATE",
    section: "Limits",
    kind: integer(0, 1_000_000),
    default: "500",
    meaning: "Minimum rate of mail data, in octets per second, after a grace of 60 s. 0: no minimum.",
  },
  relayMaxConnections: {
    name: "RELAY_MAX_CONNECTIONS",
    section: "Limits",
    kind: integer(1, 100_000),
    default: "50",
    meaning:
      "Maximum number of connections to the relays at a time; further mails wait for one, at most " +
      "RELAY_CONNECT_TIMEOUT, and then get 451 4.3.2.",
  },
  commandTimeoutMs: {
    name: "COMMAND_TIMEOUT",
    section: "Timeouts",
    kind: duration(MS, DAY_MS),
    default: "5m",
    meaning: "How long to wait for the client's next command; then it gets 421 4.4.2.",
  },
  dataTimeoutMs: {
    name: "DATA_TIMEOUT",
    section: "Timeouts",
    kind: duration(MS, DAY_MS),
    default: "3m",
    meaning: "How long to wait for the client to go on within mail data; then it gets 421 4.4.2.",
  },
  relayConnectTimeoutMs: {
    name: "RELAY_CONNECT_TIMEOUT",
    section: "Timeouts",
    kind: duration(MS, DAY_MS),
    default: "30s",
    meaning: "How long to wait for a relay address to connect and greet.",
  },
  relayTimeoutMs: {
    name: "RELAY_TIMEOUT",
    section: "Timeouts",
    kind: duration(MS, DAY_MS),
    default: "5m",
    meaning: "How long to wait for a reply of the relay; after the final dot, twice as long.",
  },
  relayIdleTimeoutMs: {
    name: "RELAY_IDLE_TIMEOUT",
    section: "Timeouts",
    kind: duration(0, DAY_MS),
    default: "30s",
    meaning: "How long to keep a used relay connection for the next mail. 0: it is closed at once.",
  },
  shutdownGraceMs: {
    name: "SHUTDOWN_GRACE",
    section: "Timeouts",
    kind: duration(0, DAY_MS),
    default: "30s",
    meaning: "How long mail transactions in progress may take after SIGTERM.",
  },
  logFormat: {
    name: "LOG_FORMAT",
    section: "Log",
    kind: choice("text", "json"),
    default: "text",
    meaning: 'text: lines of key="value" pairs. json: one JSON object per line.',
  },
  logLevel: {
    name: "LOG_LEVEL",
    section: "Log",
    kind: choice("error", "warn", "info", "debug"),
    default: "info",
    meaning:
      "Least severe events to log: error, warn, info or debug. debug also logs the SMTP dialogue, without " +
      "mail data.",
  },
} as const satisfies Record<string, Option<unknown>>;

type Table = typeof table;

/** A property of `Config`. */
export type Property = keyof Table;

/** What each property holds when it is set. */
export type Values = { [P in Property]: Table[P]["kind"] extends Kind<infer T> ? T : never };

type CertainRow = { readonly default: string } | { readonly required: true } | { readonly filled: true };

type Certain = {
  [P in Property]: Table[P] extends CertainRow ? P : never;
}[Property];

/** What has a default, is required or gets filled in is always there; the others are there when they are set. */
export type Config = Readonly<Pick<Values, Certain> & Partial<Pick<Values, Exclude<Property, Certain>>>>;

export const OPTIONS: { readonly [P in Property]: Option<Values[P]> } = table;

function isProperty(key: string): key is Property {
  return Object.hasOwn(table, key);
}

/** In the order in which operators read them. */
export const PROPERTIES: readonly Property[] = Object.keys(table).filter(isProperty);

const BY_NAME: ReadonlyMap<string, Property> = new Map(
  PROPERTIES.map((property) => [OPTIONS[property].name, property]),
);

export function propertyOf(name: string): Property | undefined {
  return BY_NAME.get(name);
}

/** LISTEN_ADDRESS is --listen-address. */
export function flagOf(name: string): string {
  return `--${name.toLowerCase().replaceAll("_", "-")}`;
}

/** Whether a text counts as given at all. */
export function isSet(option: Pick<RowHead, "emptyIsValue">, text: string): boolean {
  return text !== "" || option.emptyIsValue === true;
}

/** Whether every property that `Config` promises is there. */
export function isComplete(draft: Partial<Values>): draft is Partial<Values> & Config {
  return PROPERTIES.every((property) => {
    const option: Option<unknown> = OPTIONS[property];
    const certain = option.default !== undefined || option.required === true || option.filled === true;
    return !certain || draft[property] !== undefined;
  });
}
