/**
 * What each relay offered at its last dial, and so what a client may be offered: what the relay would take whose turn
 * it is now.
 *
 * The first relay that is not set aside decides; if all are, the first of all, for it is dialled first. A
 * relay that never could be asked counts as offering SMTPUTF8 and DSN: its mail is delayed anyway until it is there,
 * while a client that is not offered SMTPUTF8 has to bounce the mail that needs it. For the same reason SMTPUTF8 is
 * offered while a second relay without it stands in for a preferred one with it: such mail waits for that one.
 * Memory: one entry a relay of RELAY_HOST.
 * Not here: EHLO's answer (client/offer.ts); which relays are set aside (route.ts); asking them at the start
 * (shell/relay-pool.ts).
 * Rejected: what the relay dialled last offered. With two relays that is neither's word.
 */
import { noOffer, type RelayOffer } from "../smtp/ehlo.ts";
import { type RelayHost, type RestingPlaces, relayKey } from "./route.ts";

export const assumedOffer: RelayOffer = { ...noOffer, smtputf8: true, dsn: true };

export class RelayOffers {
  readonly #relays: readonly RelayHost[];
  readonly #resting: RestingPlaces;
  readonly #offers = new Map<string, RelayOffer>();

  /** `relays`: in the order of preference. */
  constructor(relays: readonly RelayHost[], resting: RestingPlaces) {
    this.#relays = relays;
    this.#resting = resting;
  }

  /** A relay session is ready. */
  learned(relay: RelayHost, offer: RelayOffer): void {
    this.#offers.set(relayKey(relay), offer);
  }

  /** What a mail can count on that comes now. */
  current(now: number): RelayOffer {
    const awake = this.#relays.findIndex((relay) => !this.#resting.restsAll(relay, now));
    const known = this.#relays.map((relay) => this.#offers.get(relayKey(relay)));
    const offer = known[Math.max(awake, 0)] ?? assumedOffer;
    const preferred = known.slice(0, Math.max(awake, 0));
    return offer.smtputf8 || !preferred.some((one) => one?.smtputf8) ? offer : { ...offer, smtputf8: true };
  }
}
