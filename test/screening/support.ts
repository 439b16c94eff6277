/** What the tests of DNSBL and greeting have in common. */
import { type DnsblZone, dnsblZones } from "../../src/config/kinds/dnsbl-zone.ts";
import type { ZoneAnswer, ZoneFailure } from "../../src/screening/dnsbl.ts";

/** Entries as an operator writes them. */
export function zonesOf(text: string): readonly DnsblZone[] {
  const parsed = dnsblZones.parse(text, () => undefined);
  if (!parsed.ok) throw new Error(parsed.fault);
  return parsed.value;
}

/** What a zone answers; without an address, it does not know the client. It holds for ten minutes. */
export function says(addresses: readonly string[] = [], ttlMs = 600_000): ZoneAnswer {
  return { addresses, ttlMs, cached: false };
}

export const noAnswer: ZoneFailure = { reason: "SERVFAIL", server: "127.0.0.1:53" };
