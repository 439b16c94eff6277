/**
 * The kinds of value that name a place in the network: listen addresses, hosts with ports, domain names, mailboxes.
 * Contract, and what all kinds share: values.ts.
 * Not here: addresses and networks of clients (lib/ip.ts); whether a name resolves or an address can be bound
 * (net/); paths in SMTP commands (smtp/), which follow a laxer grammar, because peers are forgiven what an operator
 * is told.
 * RFC 5321 §4.1.2, §4.1.3, §4.5.3.1; RFC 1035 §2.3.4.
 */
import { formatHostPort } from "../../lib/host-port.ts";
import { addressOctets, isIpv4Address, isIpv6Address } from "../../lib/ip.ts";
import { failure, hasControl, type Kind, type Parsed, quote, success } from "./values.ts";

/** Where to listen. Host "" is all addresses, of IPv6 and IPv4; port 0 is any free one. */
export type ListenAddress = { readonly host: string; readonly port: number } | { readonly unix: string };

/** `host` is a name or an address without brackets; `text` is the canonical `host:port`, for logs. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
  readonly text: string;
}

/** `tls`: "implicit" where smtps:// says so for this relay; else RELAY_TLS has the say. */
export interface RelayAddress extends HostPort {
  readonly tls?: "implicit";
}

const SUBMISSIONS_PORT = 465; // RFC 8314 §3.3
/** Names that a relay's port may have, as in /etc/services. */
const RELAY_PORTS: Readonly<Record<string, number>> = {
  smtp: 25,
  submission: 587,
  submissions: SUBMISSIONS_PORT,
  smtps: SUBMISSIONS_PORT,
};

const UNIX_PATH_OCTETS_MAX = 107; // sun_path in sockaddr_un(7), less the closing NUL
const LOCAL_PART_OCTETS_MAX = 64; // RFC 5321 §4.5.3.1.1
const MAILBOX_OCTETS_MAX = 254; // RFC 5321 §4.5.3.1.3, less the angle brackets
const DOMAIN_OCTETS_MAX = 253;

/** Letters, digits and inner hyphens in labels; the last label has a letter, so that no address passes as a name. */
function isDomain(text: string, label = /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/): boolean {
  const labels = text.split(".");
  return (
    text.length <= DOMAIN_OCTETS_MAX &&
    labels.every((part) => label.test(part)) &&
    !/^[0-9]+$/.test(labels.at(-1) ?? "")
  );
}

/** A host as resolvers take it: underscores are welcome too, because container networks have them in names. */
function isHostName(text: string): boolean {
  return isDomain(text, /^[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/);
}

function parsePort(text: string, min: number): number | undefined {
  const port = /^[0-9]{1,5}$/.test(text) ? Number(text) : Number.NaN;
  return port >= min && port <= 65535 ? port : undefined;
}

interface SplitHost {
  readonly host: string;
  readonly portText: string | undefined;
}

/** Splits `host`, `host:port`, `[v6]` and `[v6]:port`; the host, unless empty, is a good name or address. */
function splitHostPort(text: string): Parsed<SplitHost> {
  const [, v6, v6Port] = /^\[([^\]]*)\](?::(.*))?$/.exec(text) ?? [];
  if (v6 !== undefined) {
    if (!isIpv6Address(v6)) return failure(`has no IPv6 address in the brackets of ${quote(text)}`);
    return success({ host: v6, portText: v6Port });
  }
  if (isIpv6Address(text)) {
    return failure(`must have an IPv6 address in brackets, such as [2001:db8::1]:25, not ${quote(text)}`);
  }
  const colon = text.indexOf(":");
  const host = colon < 0 ? text : text.slice(0, colon);
  if (host !== "" && !isIpv4Address(host) && !isHostName(host)) {
    return failure(`has no good host name or address in ${quote(text)}`);
  }
  return success({ host, portText: colon < 0 ? undefined : text.slice(colon + 1) });
}

export const listenAddress: Kind<ListenAddress> = {
  placeholder: "HOST:PORT",
  parse(text) {
    if (text.startsWith("unix:")) {
      const unix = text.slice("unix:".length);
      if (!unix.startsWith("/") || hasControl(unix) || Buffer.byteLength(unix) > UNIX_PATH_OCTETS_MAX) {
        const limit = `at most ${UNIX_PATH_OCTETS_MAX} octets`;
        return failure(`must have an absolute path of ${limit} after unix:, not ${quote(unix)}`);
      }
      return success(Object.freeze({ unix }));
    }
    // "25" and "*:25" are how others write ":25".
    const split = splitHostPort(/^[0-9]+$/.test(text) ? `:${text}` : text.replace(/^\*(?=:)/, ""));
    if (!split.ok) return split;
    const { host, portText } = split.value;
    const port = parsePort(portText ?? "", 0);
    if (port === undefined) {
      return failure(
        `must be host:port, :port, port, [v6]:port or unix:/path, with a port up to 65535, not ${quote(text)}`,
      );
    }
    return success(Object.freeze({ host, port }));
  },
  format: (address) =>
    "unix" in address ? `unix:${address.unix}` : formatHostPort(address.host, address.port),
};

/** A host to connect to, with the port to take when none is given. */
export function hostPort(defaultPort: number): Kind<HostPort> {
  return {
    placeholder: "HOST:PORT",
    parse(text) {
      const split = splitHostPort(text);
      if (!split.ok) return split;
      const { host, portText } = split.value;
      const port = portText === undefined ? defaultPort : parsePort(portText, 1);
      if (host === "" || port === undefined) {
        return failure(
          `must be host, host:port or [v6]:port, with a port from 1 to 65535, not ${quote(text)}`,
        );
      }
      return success(Object.freeze({ host, port, text: formatHostPort(host, port) }));
    },
    format: (value) => value.text,
  };
}

/**
 * A relay as Postfix writes it too: a name may stand in brackets (there is no MX lookup that they could switch off)
 * and end in a dot, and the port may have a name. Or as an URL without anything behind the port.
 */
export function relayAddress(defaultPort: number): Kind<RelayAddress> {
  const form = "must be host, host:port, [v6]:port, smtp://host:port or smtps://host:port";
  return {
    placeholder: "HOST:PORT",
    parse(text) {
      // Not quoted: there may be a password in it.
      if (text.includes("@")) return failure(`${form}; RELAY_USERNAME and RELAY_PASSWORD have the login`);
      const [, scheme, place] = /^(smtps?):\/\/([^/]*)\/?$/i.exec(text) ?? [];
      const tls = scheme?.toLowerCase() === "smtps" ? { tls: "implicit" as const } : {};
      const split = splitHostPort(withoutOrnaments(place ?? text));
      if (!split.ok) return text.includes("/") ? failure(`${form}, not ${quote(text)}`) : split;
      const { host, portText } = split.value;
      const port = relayPort(portText, "tls" in tls ? SUBMISSIONS_PORT : defaultPort);
      if (host === "" || port === undefined) {
        return failure(`${form}, with a port from 1 to 65535, not ${quote(text)}`);
      }
      const named = formatHostPort(host, port);
      return success(Object.freeze({ host, port, text: "tls" in tls ? `smtps://${named}` : named, ...tls }));
    },
    format: (value) => value.text,
  };
}

/** The brackets around anything but an IPv6 address, and the dot at the end of a name. */
function withoutOrnaments(text: string): string {
  return text.replace(/^\[([^\]:]+)\](?=:|$)/, "$1").replace(/(?<=[A-Za-z_][A-Za-z0-9_-]*)\.(?=:|$)/, "");
}

function relayPort(text: string | undefined, fallback: number): number | undefined {
  if (text === undefined) return fallback;
  return Object.hasOwn(RELAY_PORTS, text) ? RELAY_PORTS[text] : parsePort(text, 1);
}

/** A server that has to be named by its address, bare or with a port; IPv6 with a port in brackets. */
export function addressPort(defaultPort: number): Kind<HostPort> {
  const named = hostPort(defaultPort);
  return {
    placeholder: "IP[:PORT]",
    parse(text, textOf) {
      const parsed = named.parse(isIpv6Address(text) ? `[${text}]` : text, textOf);
      if (parsed.ok && addressOctets(parsed.value.host) !== undefined) return parsed;
      const form = "an address such as 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:5353";
      return failure(`must be ${form}, with a port from 1 to 65535, not ${quote(text)}`);
    },
    format: named.format,
  };
}

export const domainName: Kind<string> = {
  placeholder: "NAME",
  parse(text) {
    if (isDomain(text)) return success(text);
    return failure(`must be a domain name in ASCII such as mail.example.com, not ${quote(text)}`);
  },
  format: String,
};

const DOT_STRING = /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*$/;
const QUOTED_STRING = /^"(?:[ !#-[\]-~]|\\[ -~])*"$/;

/** RFC 5321 §4.1.2 in ASCII: local part, "@", domain or address literal. */
export const mailbox: Kind<string> = {
  placeholder: "MAILBOX",
  parse(text) {
    const at = text.lastIndexOf("@");
    const local = text.slice(0, Math.max(at, 0));
    const domain = text.slice(at + 1);
    const good =
      text.length <= MAILBOX_OCTETS_MAX &&
      local.length <= LOCAL_PART_OCTETS_MAX &&
      (DOT_STRING.test(local) || QUOTED_STRING.test(local)) &&
      (isDomain(domain) || isAddressLiteral(domain));
    if (good) return success(text);
    return failure(`must be one mailbox such as me@example.com, not ${quote(text)}`);
  },
  format: String,
};

function isAddressLiteral(text: string): boolean {
  const [, v6, v4 = ""] = /^\[(?:IPv6:([0-9A-Fa-f:.]+)|([0-9.]+))\]$/i.exec(text) ?? [];
  return v6 === undefined ? isIpv4Address(v4) : isIpv6Address(v6);
}
