/**
 * Relay connections for transactions: an idle one if there is, else a fresh one along the route of relays, else the
 * next that comes free.
 *
 * Contract: `acquire` answers its client with `attached` or `unavailable`, once, unless the request is cancelled; it
 * may do so before it returns. Whoever is attached orders `release` or `drop` at the end; a connection that reports
 * `idle` comes back here by itself. Never more than `connectionsMax` at a time, dials included: further requests
 * wait, at most `connectTimeoutMs`. A connection that comes free goes to a waiting request, and if there is none, to
 * the oldest that waits for its own dial; that dial goes on, for the next mail.
 * Not here: whose turn it is (relay/queue.ts); dialling (relay-acquisition.ts); which relay comes next, and
 * which are set aside (relay/route.ts); SMTP (relay/session.ts).
 */

import { adviceOn } from "../relay/demands.ts";
import type { Failure } from "../relay/failures.ts";
import type { RelayReport } from "../relay/messages.ts";
import { RelayOffers } from "../relay/offers.ts";
import { RelayQueue, type RelayRequester } from "../relay/queue.ts";
import { describePlace, type RelayHost, RestingPlaces } from "../relay/route.ts";
import type { RelayOffer } from "../smtp/ehlo.ts";
import { describeReply, type Reply } from "../smtp/replies.ts";
import { Acquisition, type DialSettings } from "./relay-acquisition.ts";
import type { RelayConnection, RelayUser } from "./relay-connection.ts";
import type { Shell } from "./shell.ts";

export interface PoolSettings extends DialSettings {
  readonly connectionsMax: number;
}

/** Whoever asks for a connection, and uses it once it is attached. */
export interface RelayClient extends RelayUser {
  /** Shares the connections with other networks (relay/queue.ts); undefined: has no share. */
  readonly network: string | undefined;
  /** Connections have become scarce: its deadline may be nearer now. */
  pressed(): void;
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

interface Request extends RelayRequester {
  readonly client: RelayClient;
  /** While it waits for its turn. */
  timer?: { cancel(): void };
  /** While it is dialled for. */
  acquisition?: Acquisition;
}

export class RelayPool {
  readonly #shell: Shell;
  readonly #settings: PoolSettings;
  readonly #resting = new RestingPlaces();
  readonly #offers: RelayOffers;
  readonly #queue: RelayQueue<Request>;
  /** The most recently used is last, and is taken first. */
  readonly #idle: IdleConnection[] = [];
  readonly #open = new Set<RelayConnection>();
  readonly #users = new Map<RelayConnection, Request>();
  /** Those that are dialled for, oldest first. */
  readonly #dialledFor = new Set<Request>();
  /** Dials for no mail, or whose mail has taken another connection. */
  readonly #spare = new Set<Acquisition>();
  #isServing = false;
  #stopped = false;

  constructor(shell: Shell, settings: PoolSettings) {
    this.#shell = shell;
    this.#settings = settings;
    this.#offers = new RelayOffers(settings.relays, this.#resting);
    this.#queue = new RelayQueue(settings.connectionsMax);
  }

  /** Open connections and dials under way. */
  get connections(): number {
    return this.#open.size + this.#dialledFor.size + this.#spare.size;
  }

  get idleConnections(): number {
    return this.#idle.length;
  }

  /** Connections are scarce: clients that have one and say nothing are waited for less long. */
  get isUnderPressure(): boolean {
    return this.#queue.isUnderPressure;
  }

  /** Mails that wait for a connection to come free. */
  get waiting(): number {
    return this.#queue.requesters.length;
  }

  /** What a mail can count on that comes now. */
  get offer(): RelayOffer {
    return this.#offers.current(this.#shell.network.now());
  }

  /**
   * Asks every relay what it offers, and keeps the connections for the first mails. Resolves when all have answered
   * or failed, or after `limitMs`; what has not answered by then may still do so.
   */
  async ask(limitMs: number): Promise<void> {
    let limit: { cancel(): void } | undefined;
    const tooLate = new Promise<void>((resolve) => {
      limit = this.#shell.network.timer(limitMs, resolve);
    });
    const relays = this.#settings.relays.slice(0, this.#settings.connectionsMax);
    await Promise.race([tooLate, Promise.all(relays.map((relay) => this.#askOne(relay)))]);
    limit?.cancel();
  }

  /** `fresh`: the last idle connection turned out dead, so none is trusted. */
  acquire(client: RelayClient, fresh: boolean): RelayRequest {
    if (fresh) this.#dismissIdle();
    const request: Request = { client, fresh, network: client.network };
    this.#queue.add(request);
    try {
      this.#serve();
      if (this.#queue.has(request)) this.#await(request);
    } catch (error) {
      this.#cancel(request);
      throw error;
    }
    return { cancel: () => this.#cancel(request) };
  }

  /** A relay wants something of us before it takes mail. */
  demanded({ place, tls }: RelayConnection, reply: Reply): void {
    const brokenTls = this.#resting.brokenTls(place.relay, place.address, this.#shell.network.now());
    this.#resting.tlsWanted(place);
    const advice = adviceOn(reply, {
      settings: this.#settings,
      secured: tls !== undefined,
      brokenTls,
    });
    const relay = describePlace(place);
    this.#shell.log({ event: "relay-demands", relay, reply: describeReply(reply), advice });
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
    this.#letGo(connection);
    this.#serve();
  }

  /** A connection is lost. May be called more than once. */
  lost(connection: RelayConnection): void {
    this.#open.delete(connection);
    const index = this.#idle.findIndex((idle) => idle.connection === connection);
    if (index !== -1) this.#idle.splice(index, 1);
    this.#letGo(connection);
    this.#serve();
  }

  /** Keeps nothing any more; connections in use live on. */
  stop(): void {
    this.#stopped = true;
    for (const acquisition of this.#spare) acquisition.cancel();
    this.#dismissIdle();
  }

  #await(request: Request): void {
    request.timer = this.#shell.network.timer(this.#settings.connectTimeoutMs, () => {
      this.#queue.remove(request);
      request.client.unavailable({ kind: "busy" });
    });
  }

  #cancel(request: Request): void {
    request.timer?.cancel();
    this.#queue.remove(request);
    request.acquisition?.cancel();
  }

  #letGo(connection: RelayConnection): void {
    const request = this.#users.get(connection);
    this.#users.delete(connection);
    if (request !== undefined) this.#queue.letGo(request);
  }

  /** A client may ask again or give back while it is served: the round that runs takes care of that. */
  #serve(): void {
    if (this.#isServing) return;
    this.#isServing = true;
    try {
      for (let next = this.#next(); next !== undefined; next = this.#next()) {
        if (next.step === "make-room") this.#idle[0]?.connection.dismiss();
        else if (next.step === "reuse") this.#reuse(next.requester);
        else this.#dialFor(next.requester);
      }
    } finally {
      this.#isServing = false;
    }
    this.#notePressure();
  }

  #notePressure(): void {
    const change = this.#queue.pressureChange(this.#shell.network.now());
    if (change === undefined) return;
    const { connectionsMax } = this.#settings;
    if (change.change === "over") {
      this.#shell.log({ event: "relay-pressure-over", connectionsMax, lastedMs: change.lastedMs });
      return;
    }
    const { held, waiting, networks } = change;
    this.#shell.log({ event: "relay-pressure", connectionsMax, held, waiting, networks });
    for (const { client } of [...this.#users.values()]) client.pressed();
  }

  #next(): ReturnType<RelayQueue<Request>["step"]> {
    return this.#queue.step({
      connections: this.connections,
      idle: this.#idle.length,
      usableIdle: this.#usableIdle() === -1 ? 0 : 1,
    });
  }

  #reuse(request: Request): void {
    const [idle] = this.#idle.splice(this.#usableIdle(), 1);
    if (idle !== undefined) this.#attach(request, idle, true);
  }

  #attach(request: Request, { connection, offer }: IdleConnection, reused: boolean): void {
    request.timer?.cancel();
    this.#users.set(connection, request);
    connection.use(request.client);
    request.client.attached(connection, offer, reused);
  }

  #dialFor(request: Request): void {
    request.timer?.cancel();
    this.#dialledFor.add(request);
    // The mail may have taken another connection by then.
    const ended = (): boolean => {
      if (acquisition !== undefined) this.#spare.delete(acquisition);
      delete request.acquisition;
      return this.#dialledFor.delete(request);
    };
    let acquisition: Acquisition | undefined;
    acquisition = new Acquisition(this.#shell, this.#settings, this.#resting, {
      session: request.client.session,
      done: (connection, offer) => {
        const isWanted = ended();
        this.#open.add(connection);
        this.#offers.learned(connection.place.relay, offer);
        if (isWanted) this.#attach(request, { connection, offer }, false);
        else this.#keepUnused(connection, offer, request.client.session);
      },
      gaveUp: (failure) => {
        if (ended()) {
          this.#queue.letGo(request);
          request.client.unavailable(failure);
        }
        this.#serve();
      },
      cancelled: () => {
        if (ended()) this.#queue.letGo(request);
        this.#serve();
      },
    });
    // It may be over already.
    if (this.#dialledFor.has(request)) request.acquisition = acquisition;
  }

  #askOne(relay: RelayHost): Promise<void> {
    return new Promise((resolve) => {
      const session = this.#shell.newSessionId();
      let acquisition: Acquisition | undefined;
      const ended = (): void => {
        if (acquisition !== undefined) this.#spare.delete(acquisition);
        acquisition = undefined;
        isOver = true;
        resolve();
      };
      let isOver = false;
      const settings = { ...this.#settings, relays: [relay] };
      acquisition = new Acquisition(this.#shell, settings, this.#resting, {
        session,
        done: (connection, offer) => {
          ended();
          this.#open.add(connection);
          this.#offers.learned(relay, offer);
          this.#keepUnused(connection, offer, session);
        },
        gaveUp: () => {
          ended();
          this.#serve();
        },
        cancelled: ended,
      });
      if (!isOver) this.#spare.add(acquisition);
    });
  }

  /** It is ready, and nobody wants it now. */
  #keepUnused(connection: RelayConnection, offer: RelayOffer, session: string): void {
    this.takeBack(connection, offer, session);
    connection.order({ order: "release" });
  }

  #keep(idle: IdleConnection): void {
    this.#idle.push(idle);
    this.#serve();
    this.#serveWhoIsDialledFor();
    if (this.#stopped) this.#dismissIdle();
  }

  #serveWhoIsDialledFor(): void {
    if (this.#usableIdle() === -1) return;
    for (const request of this.#dialledFor) {
      if (request.fresh || request.acquisition === undefined) continue;
      this.#spare.add(request.acquisition);
      this.#dialledFor.delete(request);
      delete request.acquisition;
      this.#reuse(request);
      return;
    }
  }

  /** Where the idle connection is that may serve now, or -1. */
  #usableIdle(): number {
    if (this.#idle.length === 0) return -1;
    const { relays } = this.#settings;
    const now = this.#shell.network.now();
    return this.#idle.findLastIndex(({ connection }) =>
      this.#resting.mayReuse(connection.place.relay, relays, now),
    );
  }

  #dismissIdle(): void {
    for (const { connection } of [...this.#idle]) connection.dismiss();
  }
}
