/**
 * The entries of DNSBL_DOMAINS: how one is written, and what is known of it afterwards. Postfix's syntax for
 * postscreen_dnsbl_sites, so that operators can move theirs, with one extension:
 *
 *     zone[=filter][*weight][=>name]
 *
 *     zen.example                      any answer counts 1
 *     zen.example=127.0.0.[2..11]*3    answers 127.0.0.2 to 127.0.0.11 count 3
 *     good.example=127.0.[0;5].2*-2    a negative weight is an allowlist
 *     key.zen.example=>zen.example     clients and the log are shown zen.example, for the key is a secret
 *
 * A filter is four parts with dots between, each a number or a list of numbers and ranges in brackets, with “;”
 * between. A zone may have several entries; it is asked once, and each entry that matches counts once.
 * Contract, and what all kinds share: values.ts. Zones are in lower case, and the parts of a filter sorted and
 * merged, so that equal entries are equal values.
 * Not here: whether an answer matches (screening/dnsbl-zones.ts).
 * Rejected: a second option that maps zones to names, as postscreen has it: a zone that is added to the one and
 * forgotten in the other would show its key to everyone.
 * postconf(5), postscreen_dnsbl_sites; RFC 5782 §2.1.
 */
import { domainName } from "./hosts.ts";
import { failure, type Kind, listOf, type Parsed, quote, success } from "./values.ts";

/** Both ends belong to it. */
export interface OctetRange {
  readonly from: number;
  readonly to: number;
}

/** The values that one octet of an answer may have, ascending and apart. */
export type OctetPattern = readonly OctetRange[];

/** One pattern for each of the four octets of an answer. */
export type AnswerFilter = readonly OctetPattern[];

export interface DnsblZone {
  /** The name that queries are made of. May have a secret in it: `shownName` is the one for clients and the log. */
  readonly zone: string;
  readonly shownName: string;
  /** Undefined: every answer that is a listing at all. */
  readonly filter: AnswerFilter | undefined;
  readonly weight: number;
}

const OCTET_MAX = 255;
const LOOPBACK_OCTET = 127;
const WEIGHT_MAX = 1000;
/** A name in the DNS, less the 32 nibbles of an IPv6 address with their dots. */
const ZONE_OCTETS_MAX = 253 - 64;

/** No part has one of “=”, “*” and “>” in it. What a shell leaves of an unquoted “=>” is no entry. */
const ENTRY = /^([^=*>]*)(?:=([^=*>]*))?(?:\*([^=*>]*))?(?:=>([^=*>]*))?$/;

export const dnsblZone: Kind<DnsblZone> = {
  placeholder: "ZONE[=FILTER][*WEIGHT][=>NAME]",
  parse(text, textOf) {
    const parts = ENTRY.exec(text);
    if (parts === null) return failure(`must be zone[=filter][*weight][=>name], not ${quote(text)}`);
    const [, zone = "", filterText, weightText, shownName = zone] = parts;
    if (!domainName.parse(zone, textOf).ok || zone.length > ZONE_OCTETS_MAX) {
      return failure(`must name a zone such as zen.spamhaus.org, not ${quote(zone)}`);
    }
    const filter = filterText === undefined ? success(undefined) : parseFilter(filterText);
    if (!filter.ok) return filter;
    const weight = /^-?[0-9]{1,4}$/.test(weightText ?? "1") ? Number(weightText ?? "1") : Number.NaN;
    if (!(Math.abs(weight) <= WEIGHT_MAX)) {
      const bounds = `from -${WEIGHT_MAX} to ${WEIGHT_MAX}`;
      return failure(`must have a whole number ${bounds} as the weight in ${quote(text)}`);
    }
    if (!domainName.parse(shownName, textOf).ok) {
      return failure(`must show a name such as zen.spamhaus.org behind “=>”, not ${quote(shownName)}`);
    }
    return success(
      Object.freeze({
        zone: zone.toLowerCase(),
        shownName: shownName.toLowerCase(),
        filter: filter.value,
        weight: weight + 0, // "-0" is 0
      }),
    );
  },
  format({ zone, shownName, filter, weight }) {
    const filterText = filter === undefined ? "" : `=${filter.map(formatPattern).join(".")}`;
    const weightText = weight === 1 ? "" : `*${weight}`;
    return `${zone}${filterText}${weightText}${shownName === zone ? "" : `=>${shownName}`}`;
  },
};

const entries = listOf(dnsblZone);

/** All of them. An entry that differs from another in nothing but its weight is taken for a typing error. */
export const dnsblZones: Kind<readonly DnsblZone[]> = {
  ...entries,
  parse(text, textOf) {
    const parsed = entries.parse(text, textOf);
    if (!parsed.ok) return parsed;
    const seen = new Set<string>();
    const names = new Map<string, string>();
    for (const entry of parsed.value) {
      const { zone, shownName } = entry;
      const same = dnsblZone.format({ ...entry, shownName: zone, weight: 1 });
      // The zone's own name may hold a key: a fault names it as it may be shown.
      if (seen.has(same)) return failure(`gives an entry of ${quote(shownName)} two weights`);
      seen.add(same);
      const other = names.get(zone) ?? shownName;
      if (other !== shownName) {
        const shorter = other.length < shownName.length ? other : shownName;
        return failure(`must show the zone of ${quote(shorter)} under one name in all its entries`);
      }
      names.set(zone, shownName);
    }
    return parsed;
  },
};

const OCTETS =
  /^([0-9]{1,3}|\[[0-9.;]*\])\.([0-9]{1,3}|\[[0-9.;]*\])\.([0-9]{1,3}|\[[0-9.;]*\])\.([0-9]{1,3}|\[[0-9.;]*\])$/;

function parseFilter(text: string): Parsed<AnswerFilter> {
  const patterns = (OCTETS.exec(text) ?? []).slice(1).map(parsePattern);
  const filter = patterns.filter((pattern) => pattern !== undefined);
  if (filter.length < 4) {
    return failure(
      `must have a filter such as 127.0.0.2, 127.0.0.[2..11] or 127.0.[1;3..7].2, not ${quote(text)}`,
    );
  }
  if (!canMatch(filter)) {
    return failure(`has the filter ${quote(text)}, which no listing matches: they are in 127.0.0.0/8`);
  }
  return success(Object.freeze(filter));
}

/** A number, or numbers and ranges in brackets; undefined where it is none of it. */
function parsePattern(text: string): OctetPattern | undefined {
  const ranges: OctetRange[] = [];
  for (const part of text.replace(/^\[(.*)\]$/, "$1").split(";")) {
    const [, low, high = low] = /^([0-9]{1,3})(?:\.\.([0-9]{1,3}))?$/.exec(part) ?? [];
    const range = { from: Number(low), to: Number(high) };
    if (!(range.from <= range.to && range.to <= OCTET_MAX)) return undefined;
    ranges.push(range);
  }
  return merge(ranges);
}

/** Sorted, and with no range that touches the next. */
function merge(ranges: readonly OctetRange[]): OctetPattern {
  const merged: OctetRange[] = [];
  for (const range of ranges.toSorted((a, b) => a.from - b.from)) {
    const last = merged.at(-1);
    if (last !== undefined && range.from <= last.to + 1) {
      merged[merged.length - 1] = { from: last.from, to: Math.max(last.to, range.to) };
    } else {
      merged.push(range);
    }
  }
  return Object.freeze(merged.map((range) => Object.freeze(range)));
}

/** Whether anything in 127.0.0.0/8, less the error codes in 127.255.255.0/24, is let through. */
function canMatch([first, second, third]: AnswerFilter): boolean {
  const onlyLast = (pattern: OctetPattern | undefined) => pattern?.[0]?.from === OCTET_MAX;
  const loopback = first?.some(({ from, to }) => from <= LOOPBACK_OCTET && to >= LOOPBACK_OCTET) === true;
  return loopback && !(onlyLast(second) && onlyLast(third));
}

function formatPattern(pattern: OctetPattern): string {
  const parts = pattern.map(({ from, to }) => (from === to ? `${from}` : `${from}..${to}`));
  const [only = ""] = parts;
  return parts.length === 1 && !only.includes("..") ? only : `[${parts.join(";")}]`;
}
