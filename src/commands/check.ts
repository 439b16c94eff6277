/**
 * `smtpproxy check`: is everything in place that a mail needs? For the operator, before a start and in trouble.
 * The configuration with where each value came from; certificate and key; every address of every relay, through EHLO,
 * TLS and AUTH; every DNSBL zone by every name server. Nothing listens and no mail is sent, so that it may run beside
 * the service.
 * Each finding begins with `ok`, `warning` or `FAILED`.
 * Exit status: 0 if a certificate that was set can be used, every relay has an address that works, and no DNSBL zone
 * lists everybody; else 1; 78 if the configuration is at fault.
 * Not here: how a relay is tried (check-relay.ts), how a zone is (check-dnsbl.ts).
 */
import type { Config } from "../config/options.ts";
import { renderConfig } from "../config/render.ts";
import { BunNetwork } from "../net/bun-network.ts";
import type { PoolSettings } from "../net/relay-pool.ts";
import type { Network } from "../net/socket.ts";
import { loadServerTls } from "../net/tls.ts";
import { describePlace, type RelayHost } from "../proxy/relay-route.ts";
import { commit, version } from "../version.ts";
import { checkDnsbl } from "./check-dnsbl.ts";
import { type Finding, formatFinding } from "./check-finding.ts";
import { describeFault, type Probe, type ProbeSuccess, probe, relayAddresses } from "./check-relay.ts";
import { print, shown } from "./print.ts";
import { exitConfig, explain, loadOrExplain, serverSettings } from "./settings.ts";

const dayMs = 86_400_000;
const expiryWarningMs = 14 * dayMs;

export async function check(args: readonly string[]): Promise<number> {
  const loaded = loadOrExplain(args);
  if (loaded === undefined) return exitConfig;
  const { config, sources, warnings } = loaded;
  const configuration = renderConfig(withoutKeys(config), sources);
  await print(`smtpproxy ${version} (${commit}): the configuration\n\n${configuration}\n`);

  const findings: Finding[] = [];
  const tell = async (some: readonly Finding[]): Promise<void> => {
    findings.push(...some);
    await print(some.map(formatFinding).join(""));
  };
  await tell(warnings.map((text) => ({ verdict: "warning", text })));
  await tell([checkCertificate(config)]);
  // All at once, told in the operator's order: the wait is that of the slowest.
  const zones = checkDnsbl(config);
  const settings = serverSettings(config);
  if (settings.ok) {
    const network = new BunNetwork((error) => explain([describeFault(error)]));
    const { pool } = settings.settings;
    const relays = config.relayHosts.map((relay) => checkRelay(network, config, pool, relay));
    for (const relay of relays) await tell(await relay);
  } else {
    await tell([{ verdict: "FAILED", text: settings.fault }]);
  }
  await tell(await zones);
  return conclude(findings);
}

/** A zone that is shown under another name has a secret in its own. */
function withoutKeys(config: Config): Config {
  const dnsblZones = config.dnsblZones?.map((entry) =>
    entry.zone === entry.shownName ? entry : { ...entry, zone: "(hidden)" },
  );
  return dnsblZones === undefined ? config : { ...config, dnsblZones };
}

async function conclude(findings: readonly Finding[]): Promise<number> {
  const count = (verdict: Finding["verdict"], word: string): string => {
    const number = findings.filter((finding) => finding.verdict === verdict).length;
    return `${number} ${word}${number === 1 ? "" : "s"}`;
  };
  const failed = findings.some(({ verdict }) => verdict === "FAILED");
  const text = failed
    ? `${count("FAILED", "failure")}, ${count("warning", "warning")}`
    : "mail can be relayed";
  const warned = !failed && findings.some(({ verdict }) => verdict === "warning");
  const rest = warned ? `, with ${count("warning", "warning")}` : "";
  await print(`\n${formatFinding({ verdict: failed ? "FAILED" : "ok", text: text + rest })}`);
  return failed ? 1 : 0;
}

// --- The certificate -------------------------------------------------------------------------------------------

function checkCertificate({ serverCert, serverKey }: Config): Finding {
  if (serverCert === undefined || serverKey === undefined) {
    return { verdict: "ok", text: "certificate: none is set, clients are not offered STARTTLS" };
  }
  const loaded = loadServerTls(serverCert, serverKey);
  if (!loaded.ok) return { verdict: "FAILED", text: `certificate: ${loaded.fault}` };
  const { names, notBefore, notAfter } = loaded.certificate;
  const leftMs = notAfter.getTime() - Date.now();
  const verdict =
    leftMs <= 0 || notBefore.getTime() > Date.now() ? "FAILED" : leftMs < expiryWarningMs ? "warning" : "ok";
  const validity =
    leftMs <= 0
      ? `expired on ${notAfter.toISOString()}`
      : notBefore.getTime() > Date.now()
        ? `is not valid before ${notBefore.toISOString()}`
        : `expires on ${notAfter.toISOString()}, in ${days(leftMs)}`;
  return {
    verdict,
    text: `certificate: ${validity}`,
    details: [`for ${names.map(shown).join(", ") || "no name"}`, `in ${serverCert}, its key in ${serverKey}`],
  };
}

function days(ms: number): string {
  const count = Math.floor(ms / dayMs);
  return count === 1 ? "1 day" : `${count} days`;
}

// --- The relays ------------------------------------------------------------------------------------------------

async function checkRelay(
  network: Network,
  config: Config,
  settings: PoolSettings,
  relay: RelayHost,
): Promise<readonly Finding[]> {
  const name = nameOf(relay, relay.host);
  const found = await relayAddresses(network, relay.host);
  if ("failure" in found) {
    return [{ verdict: "FAILED", text: `relay ${name}: the name has no address: ${shown(found.failure)}` }];
  }
  const probes = await Promise.all(
    found.addresses.map((address) => probe(network, settings, relay, address)),
  );
  const works = probes.some(({ result }) => result.ok);
  const findings = probes.map((result) => describeProbe(config, relay, result, works));
  if (works || probes.length === 1) return findings;
  return [
    ...findings,
    { verdict: "FAILED", text: `relay ${name}: none of its ${probes.length} addresses works` },
  ];
}

/** An address that fails beside one that works costs time, not mail. */
function describeProbe(
  config: Config,
  relay: RelayHost,
  { address, dialogue, result }: Probe,
  works: boolean,
): Finding {
  const name = nameOf(relay, address);
  if (!result.ok) {
    return {
      verdict: works ? "warning" : "FAILED",
      text: `relay ${name}: ${shown(result.reason)}`,
      details: dialogue.map(shown),
    };
  }
  const transport = describeTransport(config, result);
  return {
    verdict: transport.verdict,
    text: `relay ${name}: ready after ${result.readyMs} ms`,
    details: [
      transport.text,
      ...(config.relayUsername === undefined ? [] : [`authenticated as ${config.relayUsername}`]),
      ...describeOffer(config, result),
    ],
  };
}

function describeTransport(
  { relayTls }: Config,
  { tls, offer, handshakeFailure }: ProbeSuccess,
): { readonly verdict: "ok" | "warning"; readonly text: string } {
  if (tls !== undefined) {
    const certificate = tls.authorized
      ? "its certificate verifies"
      : `its certificate does not verify, which RELAY_TLS=${relayTls} lets pass`;
    return { verdict: "ok", text: `${tls.version} ${tls.cipher}; ${certificate}` };
  }
  if (relayTls === "off") return { verdict: "ok", text: "plaintext, as RELAY_TLS=off has it" };
  const reason =
    handshakeFailure ?? (offer.starttls ? "the relay refused STARTTLS" : "the relay does not offer STARTTLS");
  return { verdict: "warning", text: `plaintext: ${shown(reason)}` };
}

function describeOffer({ relayTls }: Config, { offer, tls }: ProbeSuccess): readonly string[] {
  const { sizeOctetsMax, auth } = offer;
  const keywords: readonly (readonly [keyword: string, offered: boolean])[] = [
    ["PIPELINING", offer.pipelining],
    [
      `SIZE${sizeOctetsMax === undefined || sizeOctetsMax === 0 ? "" : ` ${sizeOctetsMax}`}`,
      sizeOctetsMax !== undefined,
    ],
    ["8BITMIME", offer.eightBitMime],
    ["SMTPUTF8", offer.smtputf8],
    ["DSN", offer.dsn],
    // Within TLS it is not offered again.
    ["STARTTLS", offer.starttls || (tls !== undefined && relayTls !== "implicit")],
    [["AUTH", ...auth].join(" "), auth.length > 0],
  ];
  const list = (offered: boolean): string =>
    keywords.flatMap(([keyword, is]) => (is === offered ? keyword : [])).join(", ") || "nothing";
  return [`offers ${list(true)}`, `lacks ${list(false)}`];
}

function nameOf(relay: RelayHost, address: string): string {
  return describePlace({ relay, address, withoutTls: false });
}
