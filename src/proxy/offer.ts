/**
 * What a client is offered in answer to EHLO. SMTPUTF8 and DSN are the relay's to fulfil: they are offered if the relay
 * offers them whose turn it is (relay-offers.ts), and the smaller of its limit and ours is the SIZE.
 * RFC 5321 §4.1.1.1; RFC 1870; RFC 2034; RFC 2920; RFC 3207; RFC 3461; RFC 6152; RFC 6531.
 */
import { ehloAccepted, heloAccepted } from "../smtp/catalogue.ts";
import type { Offered } from "../smtp/parameters.ts";
import type { Reply } from "../smtp/replies.ts";
import type { SessionPolicy, Surroundings } from "./client-messages.ts";

export const nothingOffered: Offered = { extended: false, smtputf8: false, dsn: false };

/** The reply to EHLO or HELO, and what the commands that follow may use. */
export function answerGreeting(
  verb: "EHLO" | "HELO",
  policy: SessionPolicy,
  surroundings: Surroundings,
  tlsActive: boolean,
): { readonly offered: Offered; readonly reply: Reply } {
  const { serverName } = policy;
  if (verb === "HELO") return { offered: nothingOffered, reply: heloAccepted(serverName) };
  const { relayOffer } = surroundings;
  const offered = { extended: true, smtputf8: relayOffer.smtputf8, dsn: relayOffer.dsn };
  const size = `SIZE ${messageOctetsMax(policy, surroundings)}`;
  const keywords = ["PIPELINING", size, "8BITMIME", "ENHANCEDSTATUSCODES"];
  if (policy.starttlsOffered && !tlsActive) keywords.push("STARTTLS");
  if (offered.smtputf8) keywords.push("SMTPUTF8");
  if (offered.dsn) keywords.push("DSN");
  return { offered, reply: ehloAccepted(serverName, keywords) };
}

/** The largest message that has a chance, in octets. */
export function messageOctetsMax({ maxMessageOctets }: SessionPolicy, { relayOffer }: Surroundings): number {
  const relayOctetsMax = relayOffer.sizeOctetsMax ?? 0;
  return relayOctetsMax > 0 ? Math.min(relayOctetsMax, maxMessageOctets) : maxMessageOctets;
}
