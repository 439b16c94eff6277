/**
 * What a client is offered in answer to EHLO. SMTPUTF8 and DSN are the relay's to fulfil: they are offered if it
 * offered them at its last dial, and the smaller of its limit and ours is the SIZE.
 * RFC 5321 §4.1.1.1; RFC 1870; RFC 2034; RFC 2920; RFC 3207; RFC 3461; RFC 6152; RFC 6531.
 */
import type { Offered } from "../smtp/parameters.ts";
import type { SessionPolicy, Surroundings } from "./client-messages.ts";

export const nothingOffered: Offered = { extended: false, smtputf8: false, dsn: false };

/** What the commands that follow may use. */
export function offerOf({ relayOffer }: Surroundings): Offered {
  return { extended: true, smtputf8: relayOffer?.smtputf8 ?? false, dsn: relayOffer?.dsn ?? false };
}

/** The lines of the reply to EHLO behind the first. */
export function ehloKeywords(
  policy: SessionPolicy,
  surroundings: Surroundings,
  offered: Offered,
  tlsActive: boolean,
): readonly string[] {
  const keywords = [
    "PIPELINING",
    `SIZE ${messageOctetsMax(policy, surroundings)}`,
    "8BITMIME",
    "ENHANCEDSTATUSCODES",
  ];
  if (policy.starttlsOffered && !tlsActive) keywords.push("STARTTLS");
  if (offered.smtputf8) keywords.push("SMTPUTF8");
  if (offered.dsn) keywords.push("DSN");
  return keywords;
}

/** The largest message that has a chance, in octets. */
export function messageOctetsMax({ maxMessageOctets }: SessionPolicy, { relayOffer }: Surroundings): number {
  const relayOctetsMax = relayOffer?.sizeOctetsMax ?? 0;
  return relayOctetsMax > 0 ? Math.min(relayOctetsMax, maxMessageOctets) : maxMessageOctets;
}
