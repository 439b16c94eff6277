/**
 * The largest message that has a chance: MAX_MESSAGE_SIZE, or the relay's SIZE if that is less (RFC 1870 §6.1; 0 there
 * means that the relay tells no limit).
 * Not here: the counting (witnesses.ts), what EHLO offers of it (client/offer.ts).
 */
import { messageTooBig } from "../smtp/catalogue.ts";
import type { RelayOffer } from "../smtp/ehlo.ts";
import type { Reply } from "../smtp/replies.ts";

export interface SizeLimit {
  readonly octetsMax: number;
  /** Whose limit it is. */
  readonly isRelays: boolean;
}

export function sizeLimit(maxMessageOctets: number, offer: RelayOffer | undefined): SizeLimit {
  const relayOctetsMax = offer?.sizeOctetsMax ?? 0;
  return relayOctetsMax > 0 && relayOctetsMax < maxMessageOctets
    ? { octetsMax: relayOctetsMax, isRelays: true }
    : { octetsMax: maxMessageOctets, isRelays: false };
}

export function tooBig({ octetsMax, isRelays }: SizeLimit): Reply {
  return messageTooBig(octetsMax, isRelays ? "the relay" : "this server");
}
