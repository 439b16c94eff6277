/**
 * `smtpproxy check`: is everything in place that a mail needs? For the operator, before a start and in trouble.
 * First what was found, each finding with `ok`, `warning` or `FAILED`: warnings of the configuration; certificate and
 * key; every address of every relay, through EHLO, TLS, AUTH and MAIL; every DNSBL zone by every name server. Behind it the
 * configuration, with where each value came from. The last line says whether mail can be relayed.
 * Nothing listens and no mail is sent, so that it may run beside the service.
 * Exit status: 0 if mail can be relayed, whatever is degraded; 1 if not: no relay has an address that works, a
 * certificate that is set cannot be used, or a DNSBL zone lists everybody; 78 if the configuration is at fault.
 * Not here: how a relay is tried (relay.ts), how a zone is (dnsbl.ts), our certificate
 * (certificate.ts).
 */

import { BunNetwork } from "../../bun/network.ts";
import type { Config } from "../../config/options.ts";
import { renderConfig } from "../../config/render.ts";
import { tlsModes } from "../../lib/tls-modes.ts";
import { describePlace, type RelayHost } from "../../relay/route.ts";
import type { Network } from "../../shell/network.ts";
import type { PoolSettings } from "../../shell/relay-pool.ts";
import { commit, version } from "../../version.ts";
import { addressesOfThisHost, findOwnRelays } from "../own-relay.ts";
import { complain, print, shown } from "../print.ts";
import { exitConfig, explain, loadOrExplain, serverSettings } from "../settings.ts";
import { checkCertificate } from "./certificate.ts";
import { checkDnsbl } from "./dnsbl.ts";
import { conclusion, type Finding, formatFinding } from "./finding.ts";
import { Progress } from "./progress.ts";
import { describeFault, type Probe, type ProbeSuccess, probe, relayAddresses } from "./relay.ts";

export async function check(args: readonly string[]): Promise<number> {
  const loaded = loadOrExplain(args);
  if (loaded === undefined) return exitConfig;
  const { config, sources, warnings } = loaded;
  print(`smtpproxy ${version} (${commit}): check\n\n`);
  const progress = new Progress(process.stderr.isTTY === true, complain);

  const findings: Finding[] = [];
  const tell = async (some: readonly Finding[]): Promise<void> => {
    findings.push(...some);
    print(some.map(formatFinding).join(""));
  };
  await tell(
    warnings.map(({ option, source, reason }) => ({
      verdict: "warning",
      about: option,
      text: source === "default" ? reason : `${reason} (${source})`,
    })),
  );
  await tell(checkCertificate(config, Date.now()));
  await tell(await checkOwnRelays(config));
  // All at once, told in the operator's order: the wait is that of the slowest.
  const zones = progress.during("the DNSBL zones", checkDnsbl(config));
  const settings = serverSettings(config);
  if (settings.ok) await tell(await checkRelays(config, settings.settings.pool, progress));
  else await tell([{ verdict: "FAILED", about: settings.option, text: settings.fault }]);
  await tell(await zones);

  print(`\nThe configuration\n\n${renderConfig(withoutKeys(config), sources)}\n`);
  const { ok, line } = conclusion(findings);
  print(line);
  return ok ? 0 : 1;
}

/** A zone that is shown under another name has a secret in its own. */
function withoutKeys(config: Config): Config {
  const dnsblZones = config.dnsblZones?.map((entry) =>
    entry.zone === entry.shownName ? entry : { ...entry, zone: "(hidden)" },
  );
  return dnsblZones === undefined ? config : { ...config, dnsblZones };
}

// --- The relays ------------------------------------------------------------------------------------------------

/** Nothing listens here, so a relay that is the service itself would look as good as any. */
async function checkOwnRelays({ relayHosts, listenAddresses }: Config): Promise<readonly Finding[]> {
  const network = new BunNetwork((error) => explain([describeFault(error)]));
  const found = await findOwnRelays(network, relayHosts, listenAddresses, addressesOfThisHost());
  const finding = (verdict: Finding["verdict"], text: string): Finding => {
    return { verdict, about: "RELAY_HOST", text: text.replace("RELAY_HOST: ", "") };
  };
  return [
    ...found.faults.map((text) => finding("FAILED", text)),
    ...found.warnings.map((text) => finding("warning", text)),
  ];
}

/** A relay out of reach beside one that works costs time, not mail. */
async function checkRelays(
  config: Config,
  pool: PoolSettings,
  progress: Progress,
): Promise<readonly Finding[]> {
  const network = new BunNetwork((error) => explain([describeFault(error)]));
  const relays = await Promise.all(
    config.relayHosts.map((relay) =>
      progress.during(aboutRelay(relay, relay.host), checkRelay(network, config, pool, relay)),
    ),
  );
  const works = relays.some((findings) => findings.some(({ verdict }) => verdict !== "FAILED"));
  return relays
    .flat()
    .map((finding) => (works && finding.verdict === "FAILED" ? { ...finding, verdict: "warning" } : finding));
}

async function checkRelay(
  network: Network,
  config: Config,
  settings: PoolSettings,
  relay: RelayHost,
): Promise<readonly Finding[]> {
  const about = aboutRelay(relay, relay.host);
  const found = await relayAddresses(network, relay.host);
  if ("failure" in found) {
    return [{ verdict: "FAILED", about, text: `the name has no address: ${shown(found.failure)}` }];
  }
  const probes = await Promise.all(
    found.addresses.map((address) => probe(network, settings, relay, address)),
  );
  const works = probes.some(({ result }) => result.ok);
  const findings = probes.map((result) => describeProbe(config, relay, result, works));
  if (works || probes.length === 1) return findings;
  return [...findings, { verdict: "FAILED", about, text: `none of its ${probes.length} addresses works` }];
}

/** An address that fails beside one that works costs time, not mail. */
function describeProbe(
  config: Config,
  relay: RelayHost,
  { address, dialogue, result }: Probe,
  works: boolean,
): Finding {
  const about = aboutRelay(relay, address);
  if (!result.ok) {
    return {
      verdict: works ? "warning" : "FAILED",
      about,
      text: shown(result.reason),
      details: dialogue.map(shown),
    };
  }
  const relayTls = relay.tls ?? config.relayTls;
  const transport = describeTransport(relayTls, result);
  const { bounceRefusal } = result;
  const isPlaintext = transport.verdict === "warning";
  return {
    verdict: isPlaintext || bounceRefusal !== undefined ? "warning" : "ok",
    about,
    degraded: [
      ...(isPlaintext ? [`${about} in plaintext`] : []),
      ...(bounceRefusal === undefined ? [] : [`${about} takes no bounces`]),
    ].join(", "),
    text: `ready after ${result.readyMs} ms`,
    details: [
      transport.text,
      ...(bounceRefusal === undefined ? [] : [`refuses bounces (MAIL FROM:<>): ${shown(bounceRefusal)}`]),
      ...(config.relayUsername === undefined ? [] : [`authenticated as ${config.relayUsername}`]),
      ...describeOffer(relayTls, result),
    ],
  };
}

function describeTransport(
  relayTls: Config["relayTls"],
  { tls, whyPlaintext = "no TLS" }: ProbeSuccess,
): { readonly verdict: "ok" | "warning"; readonly text: string } {
  if (tls !== undefined) {
    const certificate = tls.authorized
      ? "its certificate verifies"
      : `its certificate does not verify, which RELAY_TLS=${relayTls} lets pass`;
    return { verdict: "ok", text: `${tls.version} ${tls.cipher}; ${certificate}` };
  }
  if (!tlsModes[relayTls].isWanted) return { verdict: "ok", text: "plaintext, as RELAY_TLS=off has it" };
  return { verdict: "warning", text: `plaintext: ${shown(whyPlaintext)}` };
}

function describeOffer(relayTls: Config["relayTls"], { offer, tls }: ProbeSuccess): readonly string[] {
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
    ["STARTTLS", offer.starttls || (tls !== undefined && !tlsModes[relayTls].isFromStart)],
    [["AUTH", ...auth].join(" "), auth.length > 0],
  ];
  const list = (offered: boolean): string =>
    keywords.flatMap(([keyword, is]) => (is === offered ? keyword : [])).join(", ") || "nothing";
  return [`offers ${list(true)}`, `lacks ${list(false)}`];
}

function aboutRelay(relay: RelayHost, address: string): string {
  return `relay ${describePlace({ relay, address, withoutTls: false })}`;
}
