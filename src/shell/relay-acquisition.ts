/**
 * One walk along the route of relays, until a relay session is ready or all have failed.
 *
 * Contract: exactly one of `done`, `gaveUp` and `cancelled` is called, perhaps before the constructor has returned.
 * Not here: how many there may be at once, and for whom (relay-pool.ts); which relay comes next
 * (relay/route.ts); SMTP (relay/session.ts).
 */
import { plaintextWillDo } from "../lib/tls-modes.ts";
import { describeFailure, type Failure } from "../relay/failures.ts";
import type { RelayReady, RelaySettings } from "../relay/messages.ts";
import {
  describePlace,
  type RelayHost,
  type RelayPlace,
  RelayRoute,
  type RestingPlaces,
  type RouteStep,
} from "../relay/route.ts";
import type { RelayOffer } from "../smtp/ehlo.ts";
import type { Dial } from "./network.ts";
import { RelayConnection, type RelayUser } from "./relay-connection.ts";
import { type Shell, stackOf } from "./shell.ts";

export interface DialSettings extends RelaySettings {
  readonly relays: readonly RelayHost[];
  /** PEM authorities that vouch for the relay; undefined: the system's. */
  readonly authorities: readonly string[] | undefined;
}

export interface AcquisitionEnd {
  /** Who asked, for the log. */
  readonly session: string;
  done(connection: RelayConnection, offer: RelayOffer): void;
  gaveUp(failure: Failure): void;
  cancelled(): void;
}

export class Acquisition {
  readonly #shell: Shell;
  readonly #settings: DialSettings;
  readonly #route: RelayRoute;
  readonly #end: AcquisitionEnd;
  #over = false;
  #dial: Dial | undefined;
  #connection: RelayConnection | undefined;

  constructor(shell: Shell, settings: DialSettings, resting: RestingPlaces, end: AcquisitionEnd) {
    this.#shell = shell;
    this.#settings = settings;
    this.#route = new RelayRoute(settings.relays, resting);
    this.#end = end;
    this.#step();
  }

  cancel(): void {
    if (this.#over) return;
    this.#over = true;
    this.#route.calledOff();
    this.#dial?.cancel();
    this.#connection?.abort();
    this.#end.cancelled();
  }

  /** A throw of ours on the way is this acquisition's failure and nobody else's. */
  #step(): void {
    try {
      this.#take(this.#route.next(this.#shell.network.now()));
    } catch (error) {
      this.#shell.log({ event: "fault", session: this.#end.session, stack: stackOf(error) });
      this.#giveUp({ kind: "fault" });
    }
  }

  #take(step: RouteStep): void {
    switch (step.step) {
      case "resolve":
        this.#resolve(step.relay);
        break;
      case "dial":
        this.#dialPlace(step.place);
        break;
      case "give-up":
        this.#giveUp(step.failure);
        break;
    }
  }

  #giveUp(failure: Failure): void {
    if (this.#over) return;
    this.#over = true;
    this.#route.calledOff();
    this.#end.gaveUp(failure);
  }

  #resolve(relay: RelayHost): void {
    void this.#shell.network.resolve(relay.host).then((result) => {
      if (this.#over) return;
      const now = this.#shell.network.now();
      if ("addresses" in result) {
        this.#route.resolved(relay, result.addresses, now);
      } else {
        this.#route.unresolved(relay, result.failure, now);
        this.#log(describePlace({ relay, address: relay.host, withoutTls: false }), result.failure);
      }
      this.#step();
    });
  }

  #dialPlace(place: RelayPlace): void {
    const { network } = this.#shell;
    const { authorities, connectTimeoutMs } = this.#settings;
    const settings: RelaySettings = { ...this.#settings, tls: place.withoutTls ? "off" : this.#tlsOf(place) };
    const dialledAt = network.now();
    const target = { address: place.address, port: place.relay.port };
    this.#dial = network.dial(target, connectTimeoutMs, {
      opened: (socket) => {
        const user: RelayUser = {
          session: this.#end.session,
          report: (report, connection) => {
            if (report.type === "ready") this.#ready(connection, report);
            else if (report.type === "lost") this.#failed(place, report.failure);
          },
        };
        const connection = new RelayConnection(
          this.#shell,
          socket,
          place,
          settings,
          authorities,
          user,
          dialledAt,
        );
        this.#connection = connection;
        connection.start();
        return connection;
      },
      failed: (reason) => this.#failed(place, { kind: "unreachable", detail: reason }),
    });
  }

  #tlsOf({ relay }: RelayPlace): RelaySettings["tls"] {
    return relay.tls ?? this.#settings.tls;
  }

  #ready(connection: RelayConnection, { offer, plaintext }: RelayReady): void {
    this.#over = true;
    const now = this.#shell.network.now();
    const outage = this.#route.recovered(connection.place, now);
    const reason = this.#route.arrived(connection.place, plaintext, now);
    const relay = describePlace(connection.place);
    if (outage !== undefined) this.#shell.log({ event: "relay-recovered", relay, ...outage });
    if (reason !== undefined) this.#shell.log({ event: "relay-plaintext", relay, reason });
    this.#end.done(connection, offer);
  }

  #failed(place: RelayPlace, failure: Failure): void {
    if (this.#over) return;
    this.#connection = undefined;
    const plainWillDo = plaintextWillDo(this.#tlsOf(place), this.#settings.credentials !== undefined);
    this.#route.failed(place, failure, plainWillDo, this.#shell.network.now());
    this.#log(describePlace(place), describeFailure(failure));
    if (failure.kind === "loop") {
      const advice = "RELAY_HOST leads back to this program: set it to the mail server behind";
      this.#shell.log({ event: "relay-loop", relay: describePlace(place), advice });
    }
    this.#step();
  }

  #log(relay: string, reason: string): void {
    this.#shell.log({ event: "relay-failed", session: this.#end.session, relay, reason });
  }
}
