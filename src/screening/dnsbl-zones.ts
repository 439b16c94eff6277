/**
 * What an answer of a DNSBL zone means.
 *
 * Only an address in 127.0.0.0/8 is a listing, and of those 127.255.255.0/24 is none: there lists say that they
 * refuse to serve this resolver. Any other address comes from a zone that is no list any more (a parking page) or
 * from a resolver that makes answers up. Such a zone would list everybody.
 * Not here: what becomes of such a zone (zone-health.ts), how entries are written (config/kinds/dnsbl-zone.ts), one client's
 * score (dnsbl.ts), queries (net/).
 * RFC 5782 §2.1, §5; RFC 6471 §3.4.
 */
import type { AnswerFilter, DnsblZone } from "../config/kinds/dnsbl-zone.ts";
import { type AddressOctets, addressOctets } from "../lib/ip.ts";

/** More than a reply line has room for, and enough for the sentence and the link that lists publish. */
const explanationCharsMax = 200;

/** "refusal": the zone does not serve us, or is no list. */
export type AnswerMeaning = "listing" | "refusal";

export function meaningOf(answer: string): AnswerMeaning {
  const [first, second, third] = ipv4Octets(answer) ?? [];
  return first === 127 && !(second === 255 && third === 255) ? "listing" : "refusal";
}

/** Whether a listing is one that the filter asks for. */
export function matches(filter: AnswerFilter | undefined, answer: string): boolean {
  const octets = ipv4Octets(answer);
  if (octets === undefined) return false;
  if (filter === undefined) return true;
  return octets.every((octet, index) => filter[index]?.some(({ from, to }) => from <= octet && octet <= to));
}

function ipv4Octets(answer: string): AddressOctets | undefined {
  const octets = addressOctets(answer);
  return octets?.length === 4 ? octets : undefined;
}

/** The names to ask, each once, in the order of the entries. */
export function distinctZones(zones: readonly DnsblZone[]): readonly string[] {
  return [...new Set(zones.map(({ zone }) => zone))];
}

/**
 * What a zone's TXT record says, fit for a reply line: printable ASCII, cut, and with the shown name in place of the
 * zone's own. Undefined: nothing worth saying.
 */
export function explanation(txt: string, { zone, shownName }: Pick<DnsblZone, "zone" | "shownName">) {
  const text = txt
    .replaceAll(/[^ -~]+/g, "?")
    .replaceAll(/ +/g, " ")
    .trim();
  // A key stands before the name that may be shown, and some zones repeat it alone.
  const key = zone.endsWith(`.${shownName}`) ? zone.slice(0, -shownName.length - 1) : "";
  const hidden = replaceAllOf(text, zone, shownName);
  const shown = key === "" ? hidden : replaceAllOf(hidden, key, "(key)");
  return shown === "" ? undefined : shown.slice(0, explanationCharsMax);
}

/** Whatever the case of the letters. */
function replaceAllOf(text: string, words: string, replacement: string): string {
  const lower = text.toLowerCase();
  let replaced = "";
  let from = 0;
  for (let at = lower.indexOf(words); at >= 0; at = lower.indexOf(words, from)) {
    replaced += text.slice(from, at) + replacement;
    from = at + words.length;
  }
  return replaced + text.slice(from);
}
