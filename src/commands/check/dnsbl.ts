/**
 * Asks every DNSBL zone for its test entries, by each name server on its own, for `smtpproxy check`: 127.0.0.2 is
 * listed by every list that works and 127.0.0.1 by none (RFC 5782 §5); a list of IPv6 addresses alone has
 * ::ffff:7f00:2 and ::ffff:7f00:1 in their place.
 * So it comes out which list refuses which server (the big ones refuse public resolvers), which zone is dead or
 * misspelled, which lists the whole world, and which server does not answer.
 *
 * Contract: resolves, never rejects, within three lookups of at most `lookupMsMax`; all zones and servers at once.
 * Only a zone that lists everybody is `FAILED`: all other trouble is a zone that does not count, and mail goes through.
 * A zone is named as it may be shown, for its own name may have a key in it.
 * Not here: how names are looked up (dns/resolver.ts), what an address means (screening/dnsbl-zones.ts).
 * Rejected: asking all servers as one, as the service does. The first that answers would speak for the others, which
 * take its place when it is out of order.
 */

import type { LookupAnswer } from "../../client/messages.ts";
import { type DnsblZone, dnsblZone } from "../../config/kinds/dnsbl-zone.ts";
import type { Config } from "../../config/options.ts";
import { DnsResolver } from "../../dns/resolver.ts";
import { type DnsServer, describeServer } from "../../dns/transport.ts";
import { distinctZones, explanation, matches, meaningOf } from "../../screening/dnsbl-zones.ts";
import { shown } from "../print.ts";
import { nameServers } from "../settings.ts";
import type { Finding } from "./finding.ts";

/** The operator waits, so no lookup takes longer, whatever DNSBL_TIMEOUT grants it. */
const lookupMsMax = 5_000;

/** An address that is or is not listed for a test, and its name in front of the zone. */
interface TestEntry {
  readonly address: string;
  readonly reversed: string;
}

const inIPv6 = `f.7.f.f.f.f${".0".repeat(20)}`;
const testEntries: Readonly<
  Record<"ipv4" | "ipv6", { readonly listed: TestEntry; readonly not: TestEntry }>
> = {
  ipv4: {
    listed: { address: "127.0.0.2", reversed: "2.0.0.127" },
    not: { address: "127.0.0.1", reversed: "1.0.0.127" },
  },
  ipv6: {
    listed: { address: "::ffff:7f00:2", reversed: `2.0.0.0.0.0.${inIPv6}` },
    not: { address: "::ffff:7f00:1", reversed: `1.0.0.0.0.0.${inIPv6}` },
  },
};

/** What came of one zone by one server. */
interface ServerResult {
  readonly server: DnsServer;
  readonly outcome: Outcome;
}

type Outcome =
  /** `unmatched`: entries of the options that the test entry's answer does not match. */
  | { readonly kind: "works"; readonly listed: string; readonly unmatched: readonly DnsblZone[] }
  /** `counted`: by an entry of the options; else filters keep it from doing harm. */
  | { readonly kind: "lists-everybody"; readonly listed: string; readonly counted: boolean }
  | { readonly kind: "lists-nobody" }
  /** 127.255.255.0/24: the list does not serve this server. `why` is its own text. */
  | { readonly kind: "refuses"; readonly answer: string; readonly why: string | undefined }
  /** An address that no list answers with. */
  | { readonly kind: "no-list"; readonly answer: string }
  | { readonly kind: "trouble"; readonly reason: string };

interface TestedZone {
  readonly zone: string;
  readonly shownName: string;
  /** All that the options say of it. */
  readonly entries: readonly DnsblZone[];
}

export async function checkDnsbl(config: Config): Promise<readonly Finding[]> {
  const zones = testedZones(config.dnsblZones ?? []);
  if (zones.length === 0)
    return [{ verdict: "ok", about: "DNSBL", text: "none is set, clients are not looked up" }];
  const timeoutMs = Math.min(config.dnsblTimeoutMs, lookupMsMax);
  const byServer = await Promise.all(
    nameServers(config).map(async (server) => {
      const resolver = new DnsResolver({ servers: [server], timeoutMs }, () => performance.now());
      const outcomes = await Promise.all(zones.map((zone) => judgeZone(resolver, zone)));
      resolver.close();
      return outcomes.map((outcome) => ({ server, outcome }));
    }),
  );
  const { dead, living } = partServers(byServer);
  const ofZones = zones.flatMap(({ shownName }, index) =>
    describeZone(
      shownName,
      living.flatMap((results) => results[index] ?? []),
    ),
  );
  return [...dead, ...ofZones];
}

function testedZones(all: readonly DnsblZone[]): readonly TestedZone[] {
  return distinctZones(all).map((zone) => {
    const entries = all.filter((entry) => entry.zone === zone);
    return { zone, shownName: entries[0]?.shownName ?? "", entries };
  });
}

/** A server by which no zone could be asked is reported once. */
function partServers(byServer: readonly (readonly ServerResult[])[]) {
  const dead: Finding[] = [];
  const living: (readonly ServerResult[])[] = [];
  for (const results of byServer) {
    const [first] = results;
    const isDead = results.every(({ outcome }) => outcome.kind === "trouble");
    if (!isDead) living.push(results);
    else if (first?.outcome.kind === "trouble") {
      const text = `no DNSBL zone could be asked: ${first.outcome.reason}`;
      dead.push({ verdict: "warning", about: `DNS server ${describeServer(first.server)}`, text });
    }
  }
  return { dead, living };
}

async function judgeZone(resolver: DnsResolver, tested: TestedZone): Promise<Outcome> {
  const { zone, entries } = tested;
  for (const { listed, not } of [testEntries.ipv4, testEntries.ipv6]) {
    const names = [listed, not].map(({ reversed }) => `${reversed}.${zone}`);
    const answers = await Promise.all(names.map((name) => resolver.lookup(name, "A")));
    const trouble = answers.find((answer) => answer.kind === "trouble" || answer.kind === "busy");
    if (trouble !== undefined) return { kind: "trouble", reason: trouble.reason };
    const [ofListed = [], ofNot = []] = answers.map(addressesOf);
    const wrong = [...ofListed, ...ofNot].find((address) => meaningOf(address) === "refusal");
    if (wrong !== undefined) {
      const asked = names[ofListed.includes(wrong) ? 0 : 1] ?? "";
      return wrong.startsWith("127.")
        ? { kind: "refuses", answer: wrong, why: await askWhy(resolver, asked, tested) }
        : { kind: "no-list", answer: wrong };
    }
    if (ofNot.length > 0) {
      const counted = entries.some(({ filter }) => ofNot.some((address) => matches(filter, address)));
      return { kind: "lists-everybody", listed: `${not.address} as ${ofNot.join(", ")}`, counted };
    }
    if (ofListed.length > 0) {
      const unmatched = entries.filter(({ filter }) => !ofListed.some((address) => matches(filter, address)));
      return { kind: "works", listed: `${listed.address} as ${ofListed.join(", ")}`, unmatched };
    }
  }
  return { kind: "lists-nobody" };
}

async function askWhy(resolver: DnsResolver, name: string, zone: TestedZone): Promise<string | undefined> {
  const answer = await resolver.lookup(name, "TXT");
  const [text] = answer.kind === "texts" ? answer.texts : [];
  return text === undefined ? undefined : explanation(text, zone);
}

function addressesOf(answer: LookupAnswer): readonly string[] {
  return answer.kind === "found" ? answer.addresses.toSorted() : [];
}

/** Servers that found the same share a finding. */
function describeZone(zone: string, results: readonly ServerResult[]): readonly Finding[] {
  const found = new Map<string, { readonly outcome: Outcome; readonly servers: string[] }>();
  for (const { server, outcome } of results) {
    const key = JSON.stringify(outcome);
    const same = found.get(key) ?? { outcome, servers: [] };
    found.set(key, same);
    same.servers.push(describeServer(server));
  }
  return [...found.values()].map(({ outcome, servers }) => {
    return { about: `DNSBL ${zone} by ${servers.join(", ")}`, ...describeOutcome(outcome) };
  });
}

function describeOutcome(outcome: Outcome): Omit<Finding, "about"> {
  const found = (verdict: Finding["verdict"], text: string, ...details: readonly string[]) => ({
    verdict,
    text,
    details,
  });
  switch (outcome.kind) {
    case "works":
      return found(
        "ok",
        `works, and lists the test entry ${outcome.listed}`,
        ...outcome.unmatched.map((entry) => `${hideZone(entry)} does not count the test entry: no fault`),
      );
    case "lists-everybody":
      return outcome.counted
        ? found("FAILED", `lists everybody, ${outcome.listed} too: take it out of DNSBL_DOMAINS`)
        : found(
            "warning",
            `lists everybody, ${outcome.listed} too, but for that no filter of yours counts it`,
          );
    case "lists-nobody":
      return found("warning", "lists no test entry, not even 127.0.0.2: it is dead, or its name is wrong");
    case "refuses":
      return found(
        "warning",
        `refuses to serve this DNS server (${outcome.answer}), so it does not count`,
        ...(outcome.why === undefined ? [] : [`it says: ${shown(outcome.why)}`]),
        "ask by a resolver of your own (DNS_SERVERS), or with the key that the list gives you",
      );
    case "no-list":
      return found(
        "warning",
        `answers ${outcome.answer}, as no list does, so it does not count`,
        "the zone is given up, or this DNS server makes answers up",
      );
    case "trouble":
      return found("warning", `could not be asked: ${outcome.reason}`);
  }
}

/** The entry as the operator wrote it, but for the zone's own name. */
function hideZone(entry: DnsblZone): string {
  return dnsblZone.format({ ...entry, zone: entry.shownName });
}
