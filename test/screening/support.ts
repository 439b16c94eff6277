/** What the tests of DNSBL and greeting have in common. */
import { type DnsblZone, dnsblZones } from "../../src/config/dnsbl-zone.ts";

/** Entries as an operator writes them. */
export function zonesOf(text: string): readonly DnsblZone[] {
  const parsed = dnsblZones.parse(text, () => undefined);
  if (!parsed.ok) throw new Error(parsed.fault);
  return parsed.value;
}
