/**
 * A world for transcripts: a client, relays, one clock, and between them the machines of src/proxy, wired as
 * net/client-connection.ts, net/relay-connection.ts and net/relay-pool.ts wire them, but without a socket.
 *
 * What the machines write is on its way to the peer until the turn is over; `(terminates)` loses it, as a real
 * socket does. What the client sends while it is not read waits; it has not been lost.
 * Every name resolves at once. An assertion of ours that fails is thrown.
 */
import { load } from "../../src/config/load.ts";
import type { Config } from "../../src/config/options.ts";
import type { LogEvent } from "../../src/ops/events.ts";
import type { ClientAction, ClientEvent, SessionPolicy } from "../../src/proxy/client-messages.ts";
import { ClientSession } from "../../src/proxy/client-session.ts";
import { describeFailure, type Failure } from "../../src/proxy/failures.ts";
import type {
  RelayAction,
  RelayEvent,
  RelayOrder,
  RelayReport,
  RelaySettings,
} from "../../src/proxy/relay-messages.ts";
import { describePlace, type RelayPlace, RelayRoute, RestingPlaces } from "../../src/proxy/relay-route.ts";
import { RelaySession } from "../../src/proxy/relay-session.ts";
import type { RelayOffer } from "../../src/smtp/ehlo.ts";

/** 2026-11-23 12:00:00 UTC, a Monday. */
export const unixEpochMs = Date.UTC(2026, 10, 23, 12);
const tls = { version: "TLSv1.3", cipher: "TLS_AES_128_GCM_SHA256" };

/** How often something may be due at one instant: more is a deadline that does not move. */
const turnsAtOnceMax = 100;

/** What a peer has heard and seen and a transcript has not yet told, in order. */
export type Output = Buffer | string;

class Outbox {
  readonly heard: Output[] = [];
  #unsent: Buffer[] = [];
  #closed = false;

  get closed(): boolean {
    return this.#closed;
  }

  write(octets: Buffer): void {
    if (!this.#closed) this.#unsent.push(octets);
  }

  flush(): void {
    if (this.#unsent.length === 0) return;
    const last = this.heard.at(-1);
    const before = typeof last === "object" ? [last] : [];
    this.heard.splice(this.heard.length - before.length, before.length);
    this.heard.push(Buffer.concat([...before, ...this.#unsent.splice(0)]));
  }

  see(event: string): void {
    this.flush();
    this.heard.push(event);
  }

  /** Returns false if that was done before. */
  close(how: "closes" | "terminates" | "gives up" | undefined): boolean {
    if (how === "terminates") this.#unsent = [];
    this.flush();
    if (this.#closed) return false;
    this.#closed = true;
    if (how !== undefined) this.see(how);
    return true;
  }
}

interface RelayUser {
  report(report: RelayReport): void;
}

const nobody: RelayUser = { report() {} };

export class RelayPeer {
  readonly outbox = new Outbox();
  readonly place: RelayPlace;
  readonly settings: RelaySettings;
  readonly #world: World;
  readonly #dialledAt: number;
  /** undefined while it is dialled. */
  #session: RelaySession | undefined;
  #failed: ((failure: Failure) => void) | undefined;
  user: RelayUser = nobody;
  offer: RelayOffer | undefined;
  secured = false;
  #congested = false;

  constructor(world: World, place: RelayPlace, settings: RelaySettings, failed: (failure: Failure) => void) {
    this.place = place;
    this.settings = settings;
    this.#world = world;
    this.#dialledAt = world.now;
    this.#failed = failed;
    this.outbox.see(`dials ${describePlace(place)}`);
  }

  get deadline(): number {
    if (this.outbox.closed) return Number.POSITIVE_INFINITY;
    return this.#session?.deadline() ?? this.#dialledAt + this.settings.connectTimeoutMs;
  }

  wake(): void {
    if (this.#session === undefined) this.#dialFailed(`timeout after ${this.settings.connectTimeoutMs}ms`);
    else this.run({ type: "time" });
  }

  act(event: string): boolean {
    const [word = "", detail = ""] = event.split(/ (.*)/);
    switch (word) {
      case "opens":
        this.#session = new RelaySession(this.settings, this.#dialledAt);
        this.run({ type: "opened" });
        return true;
      case "refuses":
        this.#dialFailed(detail === "" ? "ECONNREFUSED" : detail);
        return true;
      case "secured":
        this.secured = true;
        this.run({ type: "secured" });
        return true;
      case "handshake":
        this.run({ type: "handshake-failed", reason: "EPROTO: wrong version number" });
        return event === "handshake fails";
      case "ends":
        this.run({ type: "ended" });
        return true;
      case "resets":
        this.run({ type: "closed", reason: "ECONNRESET" });
        return true;
      case "congested":
      case "drained":
        this.#congested = word === "congested";
        this.run({ type: word });
        return true;
      case "progress":
        this.run({ type: word });
        return true;
      default:
        return false;
    }
  }

  /** The relay speaks. While it is congested, not all that we said has left us. */
  send(octets: Buffer): void {
    this.run({ type: "octets", octets, unsent: this.#congested });
  }

  run(event: RelayEvent): void {
    if (this.#session === undefined) throw new Error("the relay has not opened the connection");
    if (this.outbox.closed) return;
    this.#session.receive(event, this.#world.now);
    const reports: RelayReport[] = [];
    for (const action of this.#session.drain()) this.#perform(action, reports);
    // Last, for who hears one may give the next order at once.
    for (const report of reports) this.user.report(report);
  }

  /** Nobody wants it any more while it is dialled or set up. */
  abort(): void {
    this.user = nobody;
    this.outbox.close(this.#session === undefined ? "gives up" : "terminates");
    this.#failed = undefined;
  }

  #dialFailed(detail: string): void {
    const failed = this.#failed;
    this.#failed = undefined;
    this.outbox.close(undefined);
    failed?.({ kind: "unreachable", detail });
  }

  #perform(action: RelayAction, reports: RelayReport[]): void {
    switch (action.type) {
      case "write":
        this.outbox.write(action.octets);
        break;
      case "secure":
        this.outbox.see(action.verify ? "starts TLS, verified" : "starts TLS");
        break;
      case "close":
        this.outbox.close("closes");
        break;
      case "terminate":
        this.outbox.close("terminates");
        break;
      case "report":
        reports.push(action.report);
        break;
      case "dialogue": {
        const { direction, text } = action;
        this.#world.logs.push({ event: "dialogue", session: "", with: "relay", direction, text });
        break;
      }
    }
  }
}

export class ClientPeer {
  readonly outbox = new Outbox();
  readonly #world: World;
  readonly session: ClientSession;
  readonly #events: ClientEvent[] = [];
  #running = false;
  readonly #unread: (Buffer | "ended")[] = [];
  #paused = false;
  #reading = false;
  #request: { cancel(): void } | undefined;
  #relay: RelayPeer | undefined;

  constructor(world: World, name: string) {
    this.#world = world;
    const facts = { session: name, address: world.clientAddress };
    this.session = new ClientSession(world.policy, world, facts, world.now);
    this.run({ type: "connected" });
  }

  get deadline(): number {
    return this.session.isOver ? Number.POSITIVE_INFINITY : this.session.deadline();
  }

  wake(): void {
    this.run({ type: "time" });
  }

  send(octets: Buffer | "ended"): void {
    this.#unread.push(octets);
    this.#read();
  }

  act(event: string): boolean {
    switch (event) {
      case "secured":
        this.run({ type: "secured", tls });
        return true;
      case "handshake fails":
        this.run({ type: "handshake-failed", reason: "EPROTO: wrong version number" });
        this.#gone("closed");
        return true;
      case "ends":
        this.send("ended");
        return true;
      case "resets":
        this.#gone("ECONNRESET");
        return true;
      case "congested":
      case "drained":
        this.run({ type: event });
        return true;
      default:
        return false;
    }
  }

  /** An event that comes while another is carried out waits for its turn. */
  run(event: ClientEvent): void {
    this.#events.push(event);
    if (this.#running) return;
    this.#running = true;
    for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
      this.session.receive(next, this.#world.now);
      for (const action of this.session.drain()) this.#perform(action);
    }
    this.#running = false;
    this.#read();
  }

  attached(relay: RelayPeer, offer: RelayOffer, reused: boolean): void {
    this.#relay = relay;
    this.#request = undefined;
    relay.user = { report: (report) => this.#report(report, relay) };
    const facts = { name: describePlace(relay.place), offer, tls: relay.secured ? tls : undefined, reused };
    this.run({ type: "attached", relay: facts });
  }

  unavailable(failure: Failure): void {
    this.#request = undefined;
    this.run({ type: "unavailable", failure });
  }

  #report(report: RelayReport, relay: RelayPeer): void {
    if (this.#relay !== relay) return;
    if (report.type === "lost") this.#relay = undefined;
    this.run({ type: "relay", report });
  }

  #read(): void {
    if (this.#reading) return;
    this.#reading = true;
    while (!this.#paused && !this.outbox.closed) {
      const next = this.#unread.shift();
      if (next === undefined) break;
      this.run(next === "ended" ? { type: "ended" } : { type: "octets", octets: next });
    }
    this.#reading = false;
  }

  #gone(reason: string): void {
    if (this.outbox.close(undefined)) this.run({ type: "closed", reason });
  }

  #perform(action: ClientAction): void {
    switch (action.type) {
      case "write":
        this.outbox.write(action.octets);
        break;
      case "secure":
        this.outbox.see("starts TLS");
        break;
      case "close":
      case "terminate": {
        const how = action.type === "close" ? "closes" : "terminates";
        if (this.outbox.close(how)) this.run({ type: "closed", reason: "closed" });
        break;
      }
      case "pause":
        this.#paused = true;
        this.outbox.see("pauses");
        break;
      case "resume":
        this.#paused = false;
        this.outbox.see("resumes");
        break;
      case "acquire":
        this.#request = this.#world.acquire(this, action.fresh);
        break;
      case "relay":
        this.#order(action.order);
        break;
      case "log":
        this.#world.logs.push(action.event);
        break;
    }
  }

  #order(order: RelayOrder): void {
    const relay = this.#relay;
    if (order.order === "release" || order.order === "drop") {
      this.#request?.cancel();
      this.#request = undefined;
      this.#relay = undefined;
      if (relay !== undefined) this.#world.takeBack(relay);
    }
    relay?.run({ type: "order", order });
  }
}

export class World {
  now = 0;
  readonly logs: LogEvent[] = [];
  readonly config: Config;
  readonly policy: SessionPolicy;
  readonly settings: RelaySettings;
  readonly clientAddress: string;
  readonly unixEpochMs = unixEpochMs;
  relayOffer: RelayOffer | undefined;
  client: ClientPeer | undefined;
  readonly relays: RelayPeer[] = [];
  readonly #addresses: readonly string[];
  readonly #resting = new RestingPlaces();
  readonly #idle: RelayPeer[] = [];
  #sessions = 0;

  constructor(options: Readonly<Record<string, string>>) {
    const { CLIENT = "192.0.2.1", ADDRESSES = "198.51.100.1", ...others } = options;
    this.config = configOf(others);
    this.policy = policyOf(this.config);
    this.settings = settingsOf(this.config);
    this.clientAddress = CLIENT;
    this.#addresses = ADDRESSES.split(",");
  }

  connect(): void {
    this.#sessions += 1;
    this.client = new ClientPeer(this, `s${this.#sessions}`);
  }

  /** Time passes; machines are woken at their deadlines, in order. */
  pass(ms: number): void {
    const end = this.now + ms;
    this.#wakeUntil(end);
    this.now = end;
  }

  /** A turn is over: what was written is out, and what is due at once is done. Call after each event from outside. */
  endTurn(): void {
    this.#flush();
    this.#wakeUntil(this.now);
  }

  #wakeUntil(end: number): void {
    let turns = 0;
    for (let next = this.#next(); next.deadline <= end; next = this.#next()) {
      turns = next.deadline > this.now ? 0 : turns + 1;
      if (turns > turnsAtOnceMax) throw new Error("a deadline is over and does not move");
      this.now = Math.max(this.now, next.deadline);
      next.machine?.wake();
      this.#flush();
    }
  }

  /** The machine that has to be woken first. */
  #next(): { readonly machine: ClientPeer | RelayPeer | undefined; readonly deadline: number } {
    let machine: ClientPeer | RelayPeer | undefined = this.client;
    let deadline = machine?.deadline ?? Number.POSITIVE_INFINITY;
    for (const relay of this.relays) {
      if (relay.deadline < deadline) {
        machine = relay;
        deadline = relay.deadline;
      }
    }
    return { machine, deadline };
  }

  #flush(): void {
    this.client?.outbox.flush();
    for (const { outbox } of this.relays) outbox.flush();
  }

  acquire(client: ClientPeer, fresh: boolean): { cancel(): void } | undefined {
    if (fresh) {
      for (const idle of this.#idle.splice(0)) {
        idle.user = nobody;
        idle.run({ type: "dismissed" });
      }
    }
    const idle = this.#takeIdle();
    if (idle?.offer !== undefined) {
      client.attached(idle, idle.offer, true);
      return undefined;
    }
    if (this.relays.filter(({ outbox }) => !outbox.closed).length >= this.config.relayMaxConnections) {
      client.unavailable({ kind: "busy" });
      return undefined;
    }
    const route = new RelayRoute(this.config.relayHosts, this.#resting);
    let dialled: RelayPeer | undefined;
    const step = (): void => {
      const next = route.next();
      if (next.step === "resolve") {
        route.resolved(next.relay, this.#addresses, this.now);
        step();
      } else if (next.step === "give-up") {
        client.unavailable(next.failure);
      } else {
        dialled = this.#dial(next.place, client, (failure) => {
          route.failed(next.place, failure, plainWillDo(this.settings), this.now);
          const relay = describePlace(next.place);
          this.logs.push({ event: "relay-failed", session: "", relay, reason: describeFailure(failure) });
          step();
        });
      }
    };
    step();
    return { cancel: () => dialled?.abort() };
  }

  /** The user of a connection is through with it: it is kept once it is clean. */
  takeBack(relay: RelayPeer): void {
    relay.user = {
      report: (report) => {
        const index = this.#idle.indexOf(relay);
        if (report.type === "lost" && index !== -1) this.#idle.splice(index, 1);
        else if (report.type === "idle") this.#idle.push(relay);
      },
    };
  }

  #takeIdle(): RelayPeer | undefined {
    const index = this.#idle.findLastIndex(({ place }) =>
      this.#resting.mayReuse(place.relay, this.config.relayHosts, this.now),
    );
    return index === -1 ? undefined : this.#idle.splice(index, 1)[0];
  }

  #dial(place: RelayPlace, client: ClientPeer, failed: (failure: Failure) => void): RelayPeer {
    const settings: RelaySettings = place.withoutTls ? { ...this.settings, tls: "off" } : this.settings;
    const relay = new RelayPeer(this, place, settings, failed);
    this.relays.push(relay);
    relay.user = {
      report: (report) => {
        if (report.type === "ready") {
          relay.offer = report.offer;
          this.relayOffer = report.offer;
          this.#resting.woke(place);
          client.attached(relay, report.offer, false);
        } else if (report.type === "lost") {
          failed(report.failure);
        }
      },
    };
    return relay;
  }
}

function plainWillDo({ tls: wanted, credentials }: RelaySettings): boolean {
  return wanted === "opportunistic" && credentials === undefined;
}

function configOf(options: Readonly<Record<string, string>>): Config {
  const defaults = { SERVER_NAME: "mx.example", RELAY_HOST: "relay.example", LOG_LEVEL: "debug" };
  const loaded = load({
    args: [],
    environment: { ...defaults, ...options },
    hostName: "mx.example",
    readFile: () => "",
  });
  if (!loaded.ok) throw new Error(`options: ${JSON.stringify(loaded.faults)}`);
  return loaded.config;
}

function policyOf(config: Config): SessionPolicy {
  return {
    serverName: config.serverName,
    starttlsOffered: config.serverCert !== undefined,
    bareNewline: config.bareNewline,
    maxMessageOctets: config.maxMessageOctets,
    maxRecipients: config.maxRecipients,
    maxErrors: config.maxErrors,
    maxHops: config.maxHops,
    commandTimeoutMs: config.commandTimeoutMs,
    dataTimeoutMs: config.dataTimeoutMs,
    validRecipients: config.validRecipients,
    overrideRecipient: config.overrideRecipient,
    logDialogue: config.logLevel === "debug",
  };
}

function settingsOf(config: Config): RelaySettings {
  const { relayUsername: username, relayPassword } = config;
  const withAuth = username !== undefined && relayPassword !== undefined;
  return {
    heloName: config.serverName,
    tls: config.relayTls,
    credentials: withAuth ? { username, password: relayPassword.reveal() } : undefined,
    connectTimeoutMs: config.relayConnectTimeoutMs,
    replyTimeoutMs: config.relayTimeoutMs,
    idleTimeoutMs: config.relayIdleTimeoutMs,
  };
}
