/** The options of a transcript, as commands/settings.ts makes settings of them. */
import { load } from "../../src/config/load.ts";
import type { Config } from "../../src/config/options.ts";
import type { SessionPolicy } from "../../src/proxy/client-messages.ts";
import type { ScreeningSettings } from "../../src/proxy/client-screening.ts";
import type { RelaySettings } from "../../src/proxy/relay-messages.ts";
import { AddressSet } from "../../src/screening/addresses.ts";
import { ZoneHealth } from "../../src/screening/dnsbl-zones.ts";
import { PassedClients } from "../../src/screening/passed-clients.ts";

/** Without any of these nobody is screened, and everybody is trusted. */
export const screeningOptions: readonly string[] = [
  "GREETING_DELAY",
  "DNSBL_DOMAINS",
  "DNSBL_THRESHOLD",
  "DNSBL_TIMEOUT",
  "SCREENING",
  "TARPIT_DURATION",
  "MAX_TARPITTED",
  "TRUSTED_CLIENTS",
];

export interface WorldScreening extends ScreeningSettings {
  readonly trusted: AddressSet;
}

export function screeningOf(config: Config): WorldScreening {
  return {
    greetingDelayMs: config.greetingDelayMs,
    dnsblTimeoutMs: config.dnsblTimeoutMs,
    observe: config.screening === "observe",
    zones: config.dnsblZones ?? [],
    threshold: config.dnsblThreshold,
    health: new ZoneHealth(),
    memory: new PassedClients(),
    trusted: new AddressSet(config.trustedClients),
  };
}

export function configOf(options: Readonly<Record<string, string>>): Config {
  const defaults = { SERVER_NAME: "mx.example", RELAY_HOST: "relay.example", LOG_LEVEL: "debug" };
  const loaded = load({
    args: [],
    environment: { ...defaults, ...options },
    hostName: "mx.example",
    readFile: () => "",
  });
  if (!loaded.ok) throw new Error(`options: ${JSON.stringify(loaded.faults)}`);
  return loaded.config;
}

export function policyOf(config: Config): SessionPolicy {
  return {
    serverName: config.serverName,
    starttlsOffered: config.serverCert !== undefined,
    bareNewline: config.bareNewline,
    maxMessageOctets: config.maxMessageOctets,
    maxRecipients: config.maxRecipients,
    maxErrors: config.maxErrors,
    maxHops: config.maxHops,
    commandTimeoutMs: config.commandTimeoutMs,
    dataTimeoutMs: config.dataTimeoutMs,
    minDataRate: config.minDataRate,
    validRecipients: config.validRecipients,
    overrideRecipient: config.overrideRecipient,
    logDialogue: config.logLevel === "debug",
  };
}

export function settingsOf(config: Config): RelaySettings {
  const { relayUsername: username, relayPassword } = config;
  const withAuth = username !== undefined && relayPassword !== undefined;
  return {
    heloName: config.serverName,
    tls: config.relayTls,
    credentials: withAuth ? { username, password: relayPassword.reveal() } : undefined,
    connectTimeoutMs: config.relayConnectTimeoutMs,
    replyTimeoutMs: config.relayTimeoutMs,
    idleTimeoutMs: config.relayIdleTimeoutMs,
  };
}
