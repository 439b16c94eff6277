/**
 * Relay connections for transactions: an idle one if there is, else a fresh one along the route of relays.
 *
 * Contract: `acquire` answers its client with `attached` or `unavailable`, once, unless the request is cancelled; it
 * may do so before it returns. Whoever is attached orders `release` or `drop` at the end; a connection that reports
 * `idle` comes back here by itself. Never more than `connectionsMax` at once, dials included.
 * Not here: which relay comes next, and what rests (proxy/relay-route.ts); SMTP (proxy/relay-session.ts).
 */
import type { Surroundings } from "../proxy/client-messages.ts";
import { describeFailure, type Failure } from "../proxy/failures.ts";
import type { RelayReport, RelaySettings } from "../proxy/relay-messages.ts";
import {
  describePlace,
  type RelayHost,
  type RelayPlace,
  RelayRoute,
  RestingPlaces,
  type RouteStep,
} from "../proxy/relay-route.ts";
import type { RelayOffer } from "../smtp/ehlo.ts";
import { RelayConnection, type RelayUser } from "./relay-connection.ts";
import { type Shell, stackOf } from "./shell.ts";
import type { Dial } from "./socket.ts";

export interface PoolSettings extends RelaySettings {
  readonly relays: readonly RelayHost[];
  readonly connectionsMax: number;
  /** PEM authorities that vouch for the relay; undefined: the system's. */
  readonly authorities: readonly string[] | undefined;
}

/** What the pool keeps up to date for all sessions: the relay's last offer. */
export interface PoolSurroundings extends Surroundings {
  relayOffer: RelayOffer | undefined;
}

/** Whoever asks for a connection, and uses it once it is attached. */
export interface RelayClient extends RelayUser {
  attached(connection: RelayConnection, offer: RelayOffer, reused: boolean): void;
  unavailable(failure: Failure): void;
}

export interface RelayRequest {
  /** Neither `attached` nor `unavailable` is called any more. */
  cancel(): void;
}

interface IdleConnection {
  readonly connection: RelayConnection;
  readonly offer: RelayOffer;
}

export class RelayPool {
  readonly #shell: Shell;
  readonly #settings: PoolSettings;
  readonly #surroundings: PoolSurroundings;
  readonly #resting = new RestingPlaces();
  /** The most recently used is last, and is taken first. */
  readonly #idle: IdleConnection[] = [];
  readonly #open = new Set<RelayConnection>();
  #dialling = 0;
  #stopped = false;

  constructor(shell: Shell, settings: PoolSettings, surroundings: PoolSurroundings) {
    this.#shell = shell;
    this.#settings = settings;
    this.#surroundings = surroundings;
  }

  /** Open connections and dials under way. */
  get connections(): number {
    return this.#open.size + this.#dialling;
  }

  get idleConnections(): number {
    return this.#idle.length;
  }

  /** `fresh`: the last idle connection turned out dead, so none is trusted. */
  acquire(client: RelayClient, fresh: boolean): RelayRequest {
    if (fresh) this.#dismissIdle();
    else {
      const idle = this.#takeIdle();
      if (idle !== undefined) {
        idle.connection.use(client);
        client.attached(idle.connection, idle.offer, true);
        return { cancel: () => {} };
      }
    }
    // An idle connection that may not serve now is worth less than one that may.
    if (this.connections >= this.#settings.connectionsMax) this.#idle[0]?.connection.dismiss();
    if (this.connections >= this.#settings.connectionsMax) {
      client.unavailable({ kind: "busy" });
      return { cancel: () => {} };
    }
    this.#dialling += 1;
    return new Acquisition(this.#shell, this.#settings, this.#resting, {
      session: client.session,
      done: (connection, offer) => {
        this.#dialling -= 1;
        this.#open.add(connection);
        this.#surroundings.relayOffer = offer;
        connection.use(client);
        client.attached(connection, offer, false);
      },
      gaveUp: (failure) => {
        this.#dialling -= 1;
        client.unavailable(failure);
      },
      cancelled: () => {
        this.#dialling -= 1;
      },
    });
  }

  /** The user of a connection is through with it; its `session` stays in the log. Its reports come to the pool until it is idle or lost. */
  takeBack(connection: RelayConnection, offer: RelayOffer, session: string): void {
    connection.use({
      session,
      report: (report: RelayReport) => {
        if (report.type === "lost") this.lost(connection);
        else if (report.type === "idle") this.#keep({ connection, offer });
      },
    });
  }

  /** A connection is no more. May be told more than once. */
  lost(connection: RelayConnection): void {
    this.#open.delete(connection);
    const index = this.#idle.findIndex((idle) => idle.connection === connection);
    if (index !== -1) this.#idle.splice(index, 1);
  }

  /** Keeps nothing any more; connections in use live on. */
  stop(): void {
    this.#stopped = true;
    this.#dismissIdle();
  }

  #keep(idle: IdleConnection): void {
    if (this.#stopped) idle.connection.dismiss();
    else this.#idle.push(idle);
  }

  #takeIdle(): IdleConnection | undefined {
    const { relays } = this.#settings;
    const now = this.#shell.network.now();
    const index = this.#idle.findLastIndex(({ connection }) =>
      this.#resting.mayReuse(connection.place.relay, relays, now),
    );
    return index === -1 ? undefined : this.#idle.splice(index, 1)[0];
  }

  #dismissIdle(): void {
    for (const { connection } of [...this.#idle]) connection.dismiss();
  }
}

interface AcquisitionEnd {
  /** Who asked, for the log. */
  readonly session: string;
  done(connection: RelayConnection, offer: RelayOffer): void;
  gaveUp(failure: Failure): void;
  cancelled(): void;
}

/** One walk along the route until a relay session is ready. Its place in the pool's count is its own. */
class Acquisition implements RelayRequest {
  readonly #shell: Shell;
  readonly #settings: PoolSettings;
  readonly #resting: RestingPlaces;
  readonly #route: RelayRoute;
  readonly #end: AcquisitionEnd;
  #over = false;
  #dial: Dial | undefined;
  #connection: RelayConnection | undefined;

  constructor(shell: Shell, settings: PoolSettings, resting: RestingPlaces, end: AcquisitionEnd) {
    this.#shell = shell;
    this.#settings = settings;
    this.#resting = resting;
    this.#route = new RelayRoute(settings.relays, resting);
    this.#end = end;
    this.#step();
  }

  cancel(): void {
    if (this.#over) return;
    this.#over = true;
    this.#dial?.cancel();
    this.#connection?.abort();
    this.#end.cancelled();
  }

  /** A throw of ours on the way is this acquisition's failure and nobody else's. */
  #step(): void {
    try {
      this.#take(this.#route.next());
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
    const settings: RelaySettings = place.withoutTls ? { ...this.#settings, tls: "off" } : this.#settings;
    const dialledAt = network.now();
    const target = { address: place.address, port: place.relay.port };
    this.#dial = network.dial(target, connectTimeoutMs, {
      opened: (socket) => {
        const user: RelayUser = {
          session: this.#end.session,
          report: (report, connection) => {
            if (report.type === "ready") this.#ready(connection, report.offer);
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

  #ready(connection: RelayConnection, offer: RelayOffer): void {
    this.#over = true;
    this.#resting.woke(connection.place);
    this.#end.done(connection, offer);
  }

  #failed(place: RelayPlace, failure: Failure): void {
    if (this.#over) return;
    this.#connection = undefined;
    const plainWillDo = this.#settings.tls === "opportunistic" && this.#settings.credentials === undefined;
    this.#route.failed(place, failure, plainWillDo, this.#shell.network.now());
    this.#log(describePlace(place), describeFailure(failure));
    this.#step();
  }

  #log(relay: string, reason: string): void {
    this.#shell.log({ event: "relay-failed", session: this.#end.session, relay, reason });
  }
}
