/**
 * Which relay, and which of its addresses, is dialled next for one transaction.
 *
 * Relays are taken in the operator's order, and a relay's addresses in the resolver's. An address that failed is
 * set aside for a while: it is tried only after all others, so that mail never waits for it.
 * With opportunistic TLS and no credentials an address with which TLS broke is dialled once more without, and without
 * from the start for an hour (plaintext-places.ts).
 *
 * An address or relay whose pause lasts (pauses.ts) is not dialled at all; a transaction that is left with such
 * alone fails at once.
 *
 * Contract: call `next`, carry out its step, report `resolved`, `unresolved` or `failed`, and call it again; at the end
 * report `arrived` or `calledOff`.
 * Not here: resolving and dialling (shell/relay-acquisition.ts).
 * Rejected: a race of several addresses (RFC 8305). It costs the relay connections it never uses, and since a dead
 * address is set aside, it costs one timeout a minute.
 */

import { assert } from "../lib/assert.ts";
import { formatHostPort } from "../lib/host-port.ts";
import { describeFailure, type Failure } from "./failures.ts";
import type { Plaintext } from "./messages.ts";
import { type Outage, RelayPauses } from "./pauses.ts";
import { PlaintextPlaces } from "./plaintext-places.ts";

/** How long a failed address is tried only after all others. */
export const restMs = 60_000;
/** Addresses of one name that are tried; more would keep the client waiting in vain. */
export const addressesMax = 8;
/** Failed addresses that are remembered. */
const restingMax = 1_000;

export interface RelayHost {
  readonly host: string;
  readonly port: number;
  /** TLS from the first octet, whatever holds for the others. */
  readonly tls?: "implicit";
}

export interface RelayPlace {
  readonly relay: RelayHost;
  readonly address: string;
  /** TLS broke here within the last hour, and encryption was only a wish. */
  readonly withoutTls: boolean;
}

export type RouteStep =
  | { readonly step: "resolve"; readonly relay: RelayHost }
  | { readonly step: "dial"; readonly place: RelayPlace }
  | { readonly step: "give-up"; readonly failure: Failure };

/** "host:port [address]": how the log names a place. */
export function describePlace({ relay: { host, port }, address }: RelayPlace): string {
  const name = formatHostPort(host, port);
  return address === host ? name : `${name} [${address}]`;
}

/** The addresses that failed lately, and with them their relays, for all transactions. */
export class RestingPlaces {
  readonly pauses = new RelayPauses();
  /** Until when each one is set aside, oldest first. */
  readonly #until = new Map<string, number>();
  readonly #plaintext = new PlaintextPlaces();

  failed(relay: RelayHost, address: string | undefined, now: number): void {
    for (const key of address === undefined
      ? [relayKey(relay)]
      : [relayKey(relay), placeKey(relay, address)]) {
      this.#until.delete(key);
      this.#until.set(key, now + restMs);
    }
    for (const oldest of this.#until.keys()) {
      if (this.#until.size <= restingMax) break;
      this.#until.delete(oldest);
    }
  }

  woke({ relay, address }: RelayPlace): void {
    this.#until.delete(relayKey(relay));
    this.#until.delete(placeKey(relay, address));
  }

  tlsBroke({ relay, address }: RelayPlace, reason: string, now: number): void {
    this.#plaintext.tlsBroke(placeKey(relay, address), reason, now);
  }

  /** The relay insists on TLS: this address is asked for it again. */
  tlsWanted({ relay, address }: RelayPlace): void {
    this.#plaintext.forget(placeKey(relay, address));
  }

  /** How TLS broke here; undefined: it did not, within the last hour. */
  brokenTls(relay: RelayHost, address: string, now: number): string | undefined {
    return this.#plaintext.reason(placeKey(relay, address), now);
  }

  rests(relay: RelayHost, address: string, now: number): boolean {
    return this.#rests(placeKey(relay, address), now);
  }

  /**
   * An idle connection to `relay` serves the next mail only while every relay that is preferred to it is set aside;
   * otherwise a busy second relay would never be left again.
   */
  mayReuse(relay: RelayHost, relays: readonly RelayHost[], now: number): boolean {
    const preferred = relays.slice(0, Math.max(relays.indexOf(relay), 0));
    return preferred.every((other) => this.restsAll(other, now));
  }

  /** What was last tried of this relay failed. */
  restsAll(relay: RelayHost, now: number): boolean {
    return this.#rests(relayKey(relay), now);
  }

  #rests(key: string, now: number): boolean {
    return (this.#until.get(key) ?? Number.NEGATIVE_INFINITY) > now;
  }
}

/** The way of one acquisition through the relays. */
export class RelayRoute {
  readonly #resting: RestingPlaces;
  readonly #unresolved: RelayHost[];
  #current: RelayPlace[] = [];
  /** Resting addresses, for the end. */
  readonly #lastResort: RelayPlace[] = [];
  /** Of the last dial, and of the first that was passed over. */
  #failure: Failure | undefined;
  #paused: Failure | undefined;
  /** Pauses that are over and that this transaction tries. */
  readonly #tried = new Set<string>();
  /** When the last step was begun. */
  #begunAt = 0;

  constructor(relays: readonly RelayHost[], resting: RestingPlaces) {
    this.#unresolved = [...relays];
    this.#resting = resting;
  }

  next(now: number): RouteStep {
    this.#begunAt = now;
    for (;;) {
      const relay = this.#current.length > 0 ? undefined : this.#unresolved.shift();
      if (relay !== undefined) {
        if (this.#mayTry([relayKey(relay)], now)) return { step: "resolve", relay };
        continue;
      }
      const place = this.#current.shift() ?? this.#lastResort.shift();
      if (place === undefined) {
        this.#endTrials();
        const nothing: Failure = { kind: "unreachable", detail: "no relay" };
        return { step: "give-up", failure: this.#failure ?? this.#paused ?? nothing };
      }
      const keys = [relayKey(place.relay), placeKey(place.relay, place.address)];
      if (this.#mayTry(keys, now)) return { step: "dial", place };
    }
  }

  /** The client has left: whatever was tried may be tried by the next. */
  calledOff(): void {
    this.#endTrials();
  }

  resolved(relay: RelayHost, addresses: readonly string[], now: number): void {
    assert(this.#current.length === 0, "a relay is resolved when the one before is through");
    for (const address of addresses.slice(0, addressesMax)) {
      const withoutTls = this.#resting.brokenTls(relay, address, now) !== undefined;
      const place: RelayPlace = { relay, address, withoutTls };
      (this.#resting.rests(relay, address, now) ? this.#lastResort : this.#current).push(place);
    }
  }

  /** The name could not be resolved. */
  unresolved(relay: RelayHost, detail: string, now: number): void {
    this.#failure = { kind: "unreachable", detail };
    this.#resting.failed(relay, undefined, now);
    this.#resting.pauses.failed(relayKey(relay), "connection", detail, this.#begunAt, now);
  }

  /** The relay is ready. Returns why mail goes to it unencrypted, where encryption was a wish. */
  arrived(place: RelayPlace, plaintext: Plaintext | undefined, now: number): string | undefined {
    this.#resting.woke(place);
    if (plaintext?.broke === true) this.#resting.tlsBroke(place, plaintext.reason, now);
    return (
      plaintext?.reason ??
      (place.withoutTls ? this.#resting.brokenTls(place.relay, place.address, now) : undefined)
    );
  }

  /** The relay is ready: no pause is left of it. Returns the outage that is over by that. */
  recovered({ relay, address }: RelayPlace, now: number): Outage | undefined {
    const { pauses } = this.#resting;
    const ofRelay = pauses.worked(relayKey(relay), now);
    const outage = pauses.worked(placeKey(relay, address), now) ?? ofRelay;
    this.#endTrials();
    return outage;
  }

  /** `plainWillDo`: TLS is only a wish. */
  failed(place: RelayPlace, failure: Failure, plainWillDo: boolean, now: number): void {
    this.#failure = failure;
    if (failure.kind === "tls" && plainWillDo && !place.withoutTls) {
      this.#resting.tlsBroke(place, describeFailure(failure), now);
      this.#current.unshift({ ...place, withoutTls: true });
    } else {
      this.#resting.failed(place.relay, place.address, now);
      this.#pause(place, failure, now);
    }
  }

  /** Refused credentials are refused by all addresses of a relay, and an account is locked for all of them. */
  #pause(place: RelayPlace, failure: Failure, now: number): void {
    const isLogin = isLoginRefused(failure);
    const key = isLogin ? relayKey(place.relay) : placeKey(place.relay, place.address);
    const kind = isLogin ? "credentials" : failure.kind === "loop" ? "loop" : "connection";
    this.#resting.pauses.failed(key, kind, describeFailure(failure), this.#begunAt, now);
  }

  #mayTry(keys: readonly string[], now: number): boolean {
    const { pauses } = this.#resting;
    for (const key of keys) {
      const pause = pauses.pause(key, this, now);
      if (pause === undefined) continue;
      this.#paused ??= { kind: "paused", ...pause };
      return false;
    }
    for (const key of keys) {
      pauses.tries(key, this);
      this.#tried.add(key);
    }
    return true;
  }

  #endTrials(): void {
    for (const key of this.#tried) this.#resting.pauses.calledOff(key, this);
  }
}

/** 421 says that the relay goes away, and a 2yz that it makes no sense. */
function isLoginRefused(failure: Failure): boolean {
  if (failure.kind !== "refused-setup" || failure.step !== "AUTH") return false;
  return failure.reply.code >= 400 && failure.reply.code !== 421;
}

/** As what a relay is remembered. */
export function relayKey({ host, port }: RelayHost): string {
  return `${host} ${port}`;
}

function placeKey({ port }: RelayHost, address: string): string {
  return `[${address}] ${port}`;
}
