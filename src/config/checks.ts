/**
 * The rules between options, each of them once. Pure; works on what could be read, so that these findings are
 * reported together with those about single values.
 * Not here: what is doubtful in a pattern (recipient-pattern.ts); whether files exist and fit together (net/ finds
 * out, and `smtpproxy check` tells).
 */
import { tlsModes } from "../lib/tls-modes.ts";
import type { Finding } from "./findings.ts";
import { listenAddress } from "./kinds/hosts.ts";
import { quote } from "./kinds/values.ts";
import { doubled } from "./listening.ts";
import { OPTIONS, type Property, type Values } from "./options.ts";
import { doubts } from "./recipient-pattern.ts";

export interface Findings {
  readonly faults: readonly Finding[];
  readonly warnings: readonly Finding[];
}

/**
 * `draft` has the values that could be read; `sources` where each given text came from, good or bad, defaults
 * left out; `doubtful` what another fault may have kept from being given, which then is not missing.
 */
export function checkTogether(
  draft: Partial<Values>,
  sources: ReadonlyMap<Property, string>,
  doubtful: ReadonlySet<Property>,
): Findings {
  const faults: Finding[] = [];
  const warnings: Finding[] = [];
  const given = (property: Property) => sources.has(property);
  const missing = (property: Property) => !sources.has(property) && !doubtful.has(property);
  const found = (property: Property, reason: string): Finding => ({
    option: OPTIONS[property].name,
    source: sources.get(property) ?? "not set",
    reason,
  });

  if (given("serverCert") && missing("serverKey"))
    faults.push(found("serverCert", "needs SERVER_KEY as well"));
  if (given("serverKey") && missing("serverCert"))
    faults.push(found("serverKey", "needs SERVER_CERT as well"));

  if (given("relayPassword") && given("relayPasswordFile")) {
    faults.push(found("relayPassword", "cannot be set together with RELAY_PASSWORD_FILE"));
  }
  if (sources.get("relayPassword") === "flag") {
    warnings.push(found("relayPassword", "is visible to every user of this host; use RELAY_PASSWORD_FILE"));
  }
  const password = (["relayPassword", "relayPasswordFile"] as const).find(given);
  if (given("relayUsername") && missing("relayPassword") && missing("relayPasswordFile")) {
    faults.push(found("relayUsername", "needs RELAY_PASSWORD or RELAY_PASSWORD_FILE as well"));
  }
  if (password !== undefined && missing("relayUsername")) {
    faults.push(found(password, "needs RELAY_USERNAME as well"));
  }

  const twice = doubled(draft.listenAddresses ?? []);
  if (twice !== undefined) {
    const [inner, outer] = [twice.inner, twice.outer].map((address) => quote(listenAddress.format(address)));
    faults.push(found("listenAddresses", `names ${inner}, which ${outer} has already`));
  }

  const tls = draft.relayTls;
  const implicit = (draft.relayHosts ?? []).filter((relay) => relay.tls === "implicit");
  const isOff = tls !== undefined && !tlsModes[tls].isWanted;
  const credential = given("relayUsername") ? "relayUsername" : password;
  const unauthenticated = tls !== undefined && !tlsModes[tls].isVerified;
  if (implicit.length > 0 && isOff) {
    faults.push(found("relayHosts", "wants TLS by smtps://, and RELAY_TLS=off forbids it"));
  } else if (credential !== undefined && isOff) {
    faults.push(found(credential, "cannot be used with RELAY_TLS=off, because AUTH goes over TLS only"));
  } else if (
    credential !== undefined &&
    unauthenticated &&
    implicit.length < (draft.relayHosts ?? []).length
  ) {
    warnings.push(
      found(
        credential,
        `goes to a relay that RELAY_TLS=${tls} does not authenticate; verify or implicit does`,
      ),
    );
  }
  if (given("relayCa") && unauthenticated && implicit.length === 0) {
    warnings.push(found("relayCa", `has no effect with RELAY_TLS=${tls}; it has with verify or implicit`));
  }
  const zones = draft.dnsblZones;
  if (!given("dnsblZones")) {
    for (const property of ["dnsblThreshold", "dnsblTimeoutMs"] as const) {
      if (given(property)) warnings.push(found(property, "has no effect without DNSBL_DOMAINS"));
    }
  } else if (zones !== undefined && draft.dnsblThreshold !== undefined) {
    const most = zones.reduce((sum, { weight }) => sum + Math.max(weight, 0), 0);
    const onlyAllows = zones.every(({ weight }) => weight <= 0);
    if (most < draft.dnsblThreshold && !onlyAllows) {
      const reason = `is never reached: the weights of DNSBL_DOMAINS add up to ${most}`;
      warnings.push(found("dnsblThreshold", reason));
    }
  }
  const { maxConnections = 0, maxTarpitted = 0 } = draft;
  // Who is held counts as a client: offenders must not leave everybody else outside.
  if (maxConnections > 0 && 2 * maxTarpitted > maxConnections && draft.tarpitDurationMs !== 0) {
    const consequence = "offenders who are held count as connections, and could keep mail out";
    warnings.push(
      given("maxTarpitted")
        ? found("maxTarpitted", `is more than half of MAX_CONNECTIONS (${maxConnections}): ${consequence}`)
        : found("maxConnections", `is less than twice MAX_TARPITTED (${maxTarpitted}): ${consequence}`),
    );
  }
  if (!given("validRecipients")) {
    warnings.push(found("validRecipients", "mail for everyone is relayed"));
  } else if (draft.validRecipients !== undefined) {
    warnings.push(...doubts(draft.validRecipients).map((reason) => found("validRecipients", reason)));
  }
  return { faults, warnings };
}
