/**
 * A reload (SIGHUP): the configuration and the certificate are read again. The certificate is taken over; everything
 * else that has changed is reported, since it needs a restart. With any fault nothing changes.
 * What came from the environment cannot be read again: the system sets it at the start of a process only. systemd's
 * credentials are copies that were made then, too, and that is reported as well.
 * Not here: when a reload is asked for (serve.ts), the certificate's rules (certificate-watch.ts).
 */
import { parseArguments } from "../config/arguments.ts";
import { differences } from "../config/differences.ts";
import { describe } from "../config/findings.ts";
import { type Config, OPTIONS, PROPERTIES, type Property } from "../config/options.ts";
import type { LogEvent } from "../ops/events.ts";
import type { CertificateWatch } from "./certificate-watch.ts";
import { loadQuietly, relayAuthorities } from "./settings.ts";

/** What is in use. */
export interface Running {
  readonly args: readonly string[];
  readonly config: Config;
  /** RELAY_CA's. */
  readonly authorities: readonly string[] | undefined;
  readonly certificate: CertificateWatch | undefined;
}

export interface Reloaded {
  readonly report: LogEvent & { readonly event: "reload" };
  /** With the files that the certificate now comes from. */
  readonly config: Config;
}

export function reload(running: Running, date: number): Reloaded {
  const { args, config, certificate } = running;
  const loaded = loadQuietly(args);
  if (!loaded.ok) return failed(running, loaded.faults.map(describe).join("; "));
  const authorities = relayAuthorities(loaded.config);
  if (!authorities.ok) return failed(running, `RELAY_CA: ${authorities.fault}`);

  const changed = new Set<Property>(differences(config, loaded.config));
  if (String(authorities.authorities) !== String(running.authorities)) changed.add("relayCa");
  const { serverCert, serverKey } = loaded.config;
  const taken = certificate !== undefined && serverCert !== undefined && serverKey !== undefined;
  if (taken) {
    const fault = certificate.reload({ cert: serverCert, key: serverKey }, date);
    if (fault !== undefined) return failed(running, `SERVER_CERT: ${fault}`);
    changed.delete("serverCert");
    changed.delete("serverKey");
  }
  const { configFile } = parseArguments(args, 0);
  const files = [configFile, serverCert, serverKey, loaded.config.relayCa, loaded.config.relayPasswordFile];
  const stale = [
    ...([...loaded.sources.values()].includes("environment") ? ["environment"] : []),
    ...(files.some(isCredential) ? ["credentials"] : []),
  ];
  return {
    config: taken ? { ...config, serverCert, serverKey } : config,
    report: {
      event: "reload",
      outcome: "done",
      readAgain: listed([
        ...(configFile === undefined ? [] : [configFile]),
        ...(taken ? certificateOptions : []),
      ]),
      restartNeeded: listed(
        PROPERTIES.filter((property) => changed.has(property)).map((property) => OPTIONS[property].name),
      ),
      notReadAgain: listed(stale),
      reason: undefined,
    },
  };
}

const certificateOptions = [OPTIONS.serverCert.name, OPTIONS.serverKey.name];

function isCredential(path: string | undefined): boolean {
  const { CREDENTIALS_DIRECTORY: folder } = process.env;
  return folder !== undefined && folder !== "" && path?.startsWith(`${folder}/`) === true;
}

function failed({ config }: Running, reason: string): Reloaded {
  const nothing = { readAgain: undefined, restartNeeded: undefined, notReadAgain: undefined };
  return { config, report: { event: "reload", outcome: "failed", ...nothing, reason } };
}

function listed(names: readonly string[]): string | undefined {
  return names.length === 0 ? undefined : names.join(", ");
}
