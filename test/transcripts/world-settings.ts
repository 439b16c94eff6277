/** The options of a transcript; commands/settings.ts makes settings of them, as for the program. */

import type { ScreeningSettings } from "../../src/client/screening.ts";
import { screeningSettings } from "../../src/commands/settings.ts";
import { load } from "../../src/config/load.ts";
import type { Config } from "../../src/config/options.ts";
import { AddressSet } from "../../src/screening/addresses.ts";

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
  return { ...screeningSettings(config), trusted: new AddressSet(config.trustedClients) };
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
