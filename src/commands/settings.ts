/**
 * Makes the settings of the program's parts from the configuration, and starts a command: loads the options, and
 * reports all errors together or goes on.
 * Not here: the options themselves (config/options.ts).
 */
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { hostname } from "node:os";
import { loadAuthorities } from "../bun/tls.ts";
import type { SessionPolicy } from "../client/messages.ts";
import type { ScreeningSettings } from "../client/screening.ts";
import { describe, type Finding } from "../config/findings.ts";
import { load, type Sources } from "../config/load.ts";
import { type Config, OPTIONS } from "../config/options.ts";
import { serversOf } from "../dns/resolv-conf.ts";
import { DnsResolver } from "../dns/resolver.ts";
import type { DnsServer } from "../dns/transport.ts";
import { newSessionId } from "../host/session-id.ts";
import { type LogEvent, logLine } from "../ops/events.ts";
import { formatLine, type LogFormat } from "../ops/log.ts";
import type { RelaySettings } from "../relay/messages.ts";
import { AddressSet } from "../screening/addresses.ts";
import { PassedClients } from "../screening/passed-clients.ts";
import { ZoneHealth } from "../screening/zone-health.ts";
import type { PoolSettings } from "../shell/relay-pool.ts";
import type { ServerSettings } from "../shell/server.ts";
import { complain } from "./print.ts";

/** sysexits.h: EX_CONFIG. systemd is told not to restart on it. */
export const exitConfig = 78;

/** This process's own, which no other can say. */
const loopMark = newSessionId();

export interface Loaded {
  readonly config: Config;
  readonly sources: Sources;
  readonly warnings: readonly Finding[];
}

/** More is no file of options, and no password. A device may have no end. */
const fileOctetsMax = 1024 * 1024;

/** In UTF-8. Throws what the system says, or that the file is too large. */
function readShortFile(path: string): string {
  const file = openSync(path, "r");
  try {
    const octets = Buffer.alloc(fileOctetsMax + 1);
    let length = 0;
    for (let read = -1; read !== 0 && length < octets.length; length += read) {
      read = readSync(file, octets, length, octets.length - length, null);
    }
    if (length > fileOctetsMax) throw new Error("it is larger than 1 MiB");
    return octets.toString("utf8", 0, length);
  } finally {
    closeSync(file);
  }
}

/** The configuration, or undefined after every fault was written to stderr, as text for people. */
export function loadOrExplain(args: readonly string[]): Loaded | undefined {
  return loadOr(args, (faults, warnings) =>
    explain([...faults, ...warnings.map((warning) => `warning: ${warning}`)]),
  );
}

/** The same for the service, whose log may be read by a machine: its faults then are too. */
export function loadOrLog(args: readonly string[]): Loaded | undefined {
  return loadOr(args, (faults, warnings, format = "text") => {
    explainStart(faults, format);
    if (format === "text") explain(warnings.map((warning) => `warning: ${warning}`));
    else for (const warning of warnings) complain(jsonLine({ event: "configuration", warning }));
  });
}

function loadOr(
  args: readonly string[],
  tell: (faults: readonly string[], warnings: readonly string[], format: LogFormat | undefined) => void,
): Loaded | undefined {
  const loaded = loadQuietly(args);
  const { warnings } = loaded;
  if (loaded.ok) return { config: loaded.config, sources: loaded.sources, warnings };
  tell(loaded.faults.map(describe), warnings.map(describe), loaded.logFormat);
  if (loaded.isBare) explain(["see smtpproxy --help, or try it without any option: smtpproxy demo"]);
  return undefined;
}

/** The configuration as it is now, or its faults. */
export function loadQuietly(args: readonly string[]): ReturnType<typeof load> {
  return load({
    args,
    environment: process.env,
    hostName: hostname(),
    readFile: readShortFile,
  });
}

/** Tells faults on stderr, one a line. */
export function explain(faults: readonly string[]): void {
  for (const fault of faults) complain(`smtpproxy: ${fault}\n`);
}

/** Tells what prevents the start, on stderr: as text for people, or as lines of the log where that is JSON. */
export function explainStart(faults: readonly string[], format: LogFormat): void {
  if (format === "text") explain(faults);
  else for (const reason of faults) complain(jsonLine({ event: "start-failed", reason }));
}

function jsonLine(event: LogEvent): string {
  return `${formatLine("json", logLine(event), Date.now())}\n`;
}

export type LoadedSettings =
  | { readonly ok: true; readonly settings: ServerSettings }
  | { readonly ok: false; readonly option: string; readonly fault: string };

export function serverSettings(config: Config): LoadedSettings {
  const authorities = relayAuthorities(config);
  if (!authorities.ok) return { ...authorities, option: OPTIONS.relayCa.name };
  const pool: PoolSettings = {
    ...relaySettings(config),
    relays: config.relayHosts,
    connectionsMax: config.relayMaxConnections,
    authorities: authorities.authorities,
  };
  const { maxConnections, maxConnectionsPerClient, maxTarpitted, tarpitDurationMs } = config;
  const settings = {
    policy: sessionPolicy(config),
    pool,
    screening: screeningSettings(config),
    trusted: new AddressSet(config.trustedClients),
    maxConnections,
    maxConnectionsPerClient,
    maxTarpitted,
    tarpitDurationMs,
  };
  return { ok: true, settings };
}

export function relayAuthorities(
  config: Config,
):
  | { readonly ok: true; readonly authorities: readonly string[] | undefined }
  | { readonly ok: false; readonly fault: string } {
  if (config.relayCa === undefined) return { ok: true, authorities: undefined };
  return loadAuthorities(config.relayCa);
}

export function relaySettings(config: Config): RelaySettings {
  const { relayUsername: username, relayPassword: password } = config;
  return {
    heloName: config.serverName,
    loopMark,
    tls: config.relayTls,
    credentials:
      username === undefined || password === undefined
        ? undefined
        : { username, password: password.reveal() },
    connectTimeoutMs: config.relayConnectTimeoutMs,
    replyTimeoutMs: config.relayTimeoutMs,
    idleTimeoutMs: config.relayIdleTimeoutMs,
    logDialogue: config.logLevel === "debug",
  };
}

export function screeningSettings(config: Config): ScreeningSettings {
  return {
    greetingDelayMs: config.greetingDelayMs,
    dnsblTimeoutMs: config.dnsblTimeoutMs,
    observe: config.screening === "observe",
    zones: config.dnsblZones ?? [],
    threshold: config.dnsblThreshold,
    health: new ZoneHealth(),
    memory: new PassedClients(),
  };
}

export function resolverOf(config: Config, now: () => number): DnsResolver {
  return new DnsResolver({ servers: nameServers(config), timeoutMs: config.dnsblTimeoutMs }, now);
}

/** Those of the options, or the system's. */
export function nameServers({ dnsServers }: Config): readonly DnsServer[] {
  return dnsServers?.map(({ host, port }) => ({ address: host, port })) ?? systemServers();
}

function systemServers(): readonly DnsServer[] {
  try {
    return serversOf(readFileSync("/etc/resolv.conf", "utf8"));
  } catch {
    return serversOf(""); // resolv.conf(5): without the file it is the name server on this host.
  }
}

export function sessionPolicy(config: Config): SessionPolicy {
  return {
    serverName: config.serverName,
    loopMark,
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
