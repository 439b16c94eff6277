/**
 * What a client is offered in answer to EHLO. SMTPUTF8 and DSN are the relay's to fulfil: they are offered if the relay
 * offers them whose turn it is (relay/offers.ts), and the smaller of its limit and ours is the SIZE.
 * A client that has our own name may be our own relay session, led back here by RELAY_HOST. It is told our mark behind
 * our name, by which that session knows (relay/setup.ts). Nobody else is: it would tell strangers when we were started.
 * Rejected: to call a relay that has our name a loop, since a proxy and the mail server behind it on one host share
 * theirs; to compare addresses, which a translation of addresses on the way back hides.
 * RFC 5321 §4.1.1.1; RFC 1870; RFC 2034; RFC 2920; RFC 3207; RFC 3461; RFC 6152; RFC 6531.
 */

import { sizeLimit } from "../mail/size-limit.ts";
import { ehloAccepted, heloAccepted } from "../smtp/catalogue.ts";
import type { Offered } from "../smtp/parameters.ts";
import type { Reply } from "../smtp/replies.ts";
import type { SessionPolicy, Surroundings } from "./messages.ts";

export const nothingOffered: Offered = { extended: false, smtputf8: false, dsn: false };

/** The reply to EHLO or HELO, and what the commands that follow may use. */
export function answerGreeting(
  verb: "EHLO" | "HELO",
  clientName: string,
  policy: SessionPolicy,
  surroundings: Surroundings,
  tlsActive: boolean,
): { readonly offered: Offered; readonly reply: Reply } {
  const { serverName, loopMark } = policy;
  if (verb === "HELO") return { offered: nothingOffered, reply: heloAccepted(serverName) };
  const { relayOffer } = surroundings;
  const offered = { extended: true, smtputf8: relayOffer.smtputf8, dsn: relayOffer.dsn };
  const size = `SIZE ${sizeLimit(policy.maxMessageOctets, relayOffer).octetsMax}`;
  const keywords = ["PIPELINING", size, "8BITMIME", "ENHANCEDSTATUSCODES"];
  if (policy.starttlsOffered && !tlsActive) keywords.push("STARTTLS");
  if (offered.smtputf8) keywords.push("SMTPUTF8");
  if (offered.dsn) keywords.push("DSN");
  const isOwnName = clientName.toLowerCase() === serverName.toLowerCase();
  const greeting = isOwnName ? `${serverName} mark ${loopMark}` : serverName;
  return { offered, reply: ehloAccepted(greeting, keywords) };
}
