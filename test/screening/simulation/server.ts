/**
 * The proxy of the simulator: admission, client sessions, tarpit and memory as shell/server.ts, shell/client-connection.ts
 * and shell/tarpit.ts put them together, over a clock and sockets of the simulator's own.
 * Throws when something is not as it has to be, whatever the clients do: limits that are not kept, octets to a side
 * that is paused, a deadline that does not move, an assertion of ours.
 */

import type { ClientAction, ClientEvent, SessionPolicy } from "../../../src/client/messages.ts";
import { ClientScreening } from "../../../src/client/screening.ts";
import { ClientSession } from "../../../src/client/session.ts";
import { AssertionFault } from "../../../src/lib/assert.ts";
import type { LogEvent } from "../../../src/ops/events.ts";
import { clientKey, isTrusted } from "../../../src/screening/addresses.ts";
import { Admission } from "../../../src/screening/admission.ts";
import { TarpitSlots as Slots, type TarpitSlots, type TarpitStay } from "../../../src/screening/tarpit.ts";
import { tooManyConnections, tooManyFromClient } from "../../../src/smtp/catalogue.ts";
import { noOffer } from "../../../src/smtp/ehlo.ts";
import { formatReply } from "../../../src/smtp/replies.ts";
import type { WorldScreening } from "../../transcripts/world-settings.ts";
import type { Chance, Clock } from "./clock.ts";
import type { ScriptedZones } from "./dns.ts";
import type { RelayPool, RelayTie } from "./relay.ts";

/** The client's end of a connection. */
export interface Remote {
  readonly address: string;
  /** One way. */
  readonly latencyMs: number;
  /** Does not read what it is told. */
  readonly isDeaf: boolean;
  heard(octets: Buffer): void;
  secured(): void;
  /** The server sent FIN, or broke the connection. */
  closed(): void;
  /** Of its session. */
  logged(event: LogEvent): void;
}

export interface ServerLimits {
  readonly maxConnections: number;
  readonly maxConnectionsPerClient: number;
  readonly maxTarpitted: number;
  readonly tarpitDurationMs: number;
  readonly rememberedMax: number;
}

const tls = { version: "TLSv1.3", cipher: "TLS_AES_128_GCM_SHA256" };
const congestedOctets = 64 * 1024;
/** What a client that reads nothing may cost: one turn's replies more than what makes it congested. */
const queuedOctetsMax = 3 * congestedOctets;
const closeMs = 5_000;
/** Wakes at one instant, beyond which a deadline does not move. */
const wakesMax = 100;

export class SimulatedServer {
  readonly clock: Clock;
  readonly policy: SessionPolicy;
  readonly screening: WorldScreening;
  readonly zones: ScriptedZones;
  readonly relays: RelayPool;
  readonly limits: ServerLimits;
  readonly slots: TarpitSlots;
  readonly chance: Chance;
  readonly admission: Admission;
  readonly connections = new Set<Connection>();
  readonly counts = new Map<string, number>();
  readonly relayOffer = noOffer;
  readonly relayPressure = false;
  readonly unixEpochMs = 0;
  readonly #perClient = new Map<string, number>();
  #sessions = 0;

  constructor(
    clock: Clock,
    chance: Chance,
    policy: SessionPolicy,
    screening: WorldScreening,
    zones: ScriptedZones,
    relays: RelayPool,
    limits: ServerLimits,
  ) {
    this.clock = clock;
    this.chance = chance;
    this.policy = policy;
    this.screening = screening;
    this.zones = zones;
    this.relays = relays;
    this.limits = limits;
    this.slots = new Slots(limits.maxTarpitted);
    this.admission = new Admission({ ...limits, trusted: screening.trusted });
  }

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  /** Undefined: sent away at the door. */
  connect(remote: Remote): Connection | undefined {
    const refusal = this.admission.admit(remote.address);
    if (refusal !== undefined) {
      this.count(`sent away: ${refusal}`);
      const octets = formatReply(refusal === "total" ? tooManyConnections : tooManyFromClient);
      this.clock.after(remote.latencyMs, () => remote.heard(octets));
      this.clock.after(remote.latencyMs, () => remote.closed());
      return undefined;
    }
    this.#sessions += 1;
    const connection = new Connection(this, remote, `s${this.#sessions}`);
    this.connections.add(connection);
    this.#countClient(remote.address, 1);
    connection.start();
    return connection;
  }

  left(connection: Connection): void {
    this.connections.delete(connection);
    this.admission.left(connection.address);
    this.#countClient(connection.address, -1);
  }

  #countClient(address: string, change: number): void {
    if (isTrusted(this.screening.trusted, address)) return;
    const key = clientKey(address);
    const here = (this.#perClient.get(key) ?? 0) + change;
    this.#perClient.set(key, here);
    must(here <= this.limits.maxConnectionsPerClient, `${key} is not here too often`);
  }

  /** Behind each event. */
  check(): void {
    const { maxConnections, maxTarpitted, rememberedMax } = this.limits;
    must(this.admission.connections === this.connections.size, "who is admitted is here");
    must(this.connections.size <= maxConnections, "MAX_CONNECTIONS is kept");
    must(this.slots.taken <= maxTarpitted, "MAX_TARPITTED is kept");
    must(this.screening.memory.size <= rememberedMax, "the memory of passed clients is bounded");
  }
}

export function must(condition: boolean, what: string): asserts condition {
  if (!condition) throw new AssertionFault(`not so: ${what}`);
}

export class Connection {
  readonly address: string;
  readonly startedAt: number;
  readonly name: string;
  readonly #server: SimulatedServer;
  readonly #remote: Remote;
  readonly #session: ClientSession;
  readonly #isScreened: boolean;
  readonly #events: ClientEvent[] = [];
  readonly #unread: (Buffer | "ended")[] = [];
  #running = false;
  #paused = false;
  #armedFor = Number.POSITIVE_INFINITY;
  #wakes = 0;
  #wokenAt = -1;
  #queuedOctets = 0;
  #congested = false;
  #tie: RelayTie | undefined;
  #stay: TarpitStay | undefined;
  /** "closing": we sent FIN. "gone": nothing follows. */
  #state: "open" | "closing" | "gone" = "open";
  /** What the zones said in time, as the simulator sees it. */
  score = 0;
  /** Relay connections were asked for, or mail was given to one. */
  relayOrders = 0;
  wasTarpitted = false;

  constructor(server: SimulatedServer, remote: Remote, name: string) {
    this.#server = server;
    this.#remote = remote;
    this.name = name;
    this.address = remote.address;
    const { clock, policy, screening } = server;
    this.startedAt = clock.now;
    const facts = {
      session: name,
      address: remote.address,
      isTrusted: isTrusted(screening.trusted, remote.address),
    };
    const passes = screening.memory.passes(remote.address, clock.now);
    if (facts.isTrusted) server.count("trusted");
    else if (passes.delay) server.count(passes.dnsbl ? "remembered" : "remembered for the delay alone");
    this.#isScreened = !facts.isTrusted && !passes.dnsbl;
    this.#session = new ClientSession(
      policy,
      server,
      facts,
      clock.now,
      (output) => new ClientScreening(screening, facts, clock.now, policy.serverName, output),
    );
  }

  get isScreened(): boolean {
    return this.#isScreened;
  }

  start(): void {
    this.#run({ type: "connected" });
  }

  // --- From the client -----------------------------------------------------------------------------------------

  octets(octets: Buffer): void {
    if (this.#state !== "open") return;
    this.#unread.push(octets);
    this.#read();
  }

  ended(): void {
    if (this.#state === "closing") this.#gone("closed");
    if (this.#state !== "open") return;
    this.#unread.push("ended");
    this.#read();
  }

  reset(): void {
    this.#gone("ECONNRESET");
  }

  #read(): void {
    while (!this.#paused && this.#state === "open" && !this.#running) {
      const next = this.#unread.shift();
      if (next === undefined) return;
      if (this.#stay !== undefined) this.#throwAway(this.#stay, next);
      else this.#run(next === "ended" ? { type: "ended" } : { type: "octets", octets: next });
    }
  }

  // --- The session ---------------------------------------------------------------------------------------------

  #run(event: ClientEvent): void {
    this.#events.push(event);
    if (this.#running) return;
    this.#running = true;
    for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
      this.#session.receive(next, this.#server.clock.now);
      for (const action of this.#session.drain()) this.#perform(action);
    }
    this.#running = false;
    this.#noteCongestion();
    this.#arm();
    this.#read();
  }

  #perform(action: ClientAction): void {
    const { clock, zones } = this.#server;
    switch (action.type) {
      case "write":
        this.#write(action.octets);
        break;
      case "secure":
        clock.after(2 * this.#remote.latencyMs, () => {
          if (this.#state !== "open") return;
          this.#run({ type: "secured", tls });
          this.#remote.secured();
        });
        break;
      case "close":
        this.#close();
        break;
      case "terminate":
        this.#gone("closed");
        break;
      case "tarpit":
        this.#tarpit(action.octets);
        break;
      case "look-up":
        must(this.#isScreened, "nothing is asked about a client that is exempt");
        zones.ask(action, this.address, (answer, points) => {
          const inTime = clock.now < this.startedAt + this.#server.screening.dnsblTimeoutMs;
          if (inTime) this.score += points;
          this.#run({ type: "looked-up", record: action.record, zone: action.zone, answer });
        });
        break;
      case "spent":
        break;
      case "pause":
        must(!this.#paused, "who is paused is not paused again");
        this.#paused = true;
        this.#server.count("paused");
        break;
      case "resume":
        must(this.#paused, "who is resumed was paused");
        this.#paused = false;
        break;
      case "acquire":
        this.relayOrders += 1;
        this.#tie = this.#server.relays.acquire((event) => {
          if (event.type === "unavailable") this.#tie = undefined;
          if (event.type === "relay" && event.report.type === "lost") this.#tie = undefined;
          this.#run(event);
        });
        break;
      case "relay": {
        const tie = this.#tie;
        if (action.order.order === "release" || action.order.order === "drop") this.#tie = undefined;
        else this.relayOrders += 1;
        tie?.order(action.order);
        break;
      }
      case "log":
        this.#log(action.event);
        break;
    }
  }

  #log(event: LogEvent): void {
    this.#remote.logged(event);
    if (event.event === "screening") this.#server.count(`verdict: ${event.verdict}`);
    else if (event.event === "session") this.#server.count(`end: ${event.end.replace(/:.*/, "")}`);
    else if (event.event === "transaction") this.#server.count(`mail: ${event.outcome}`);
    else if (event.event === "dnsbl-unusable") this.#server.count("zone refuses");
  }

  #write(octets: Buffer): void {
    if (this.#state !== "open" || octets.length === 0) return;
    if (this.#remote.isDeaf) {
      this.#queuedOctets += octets.length;
      must(this.#queuedOctets <= queuedOctetsMax, "what a deaf client is told is bounded");
      return;
    }
    this.#server.clock.after(this.#remote.latencyMs, () => this.#remote.heard(octets));
  }

  #noteCongestion(): void {
    if (this.#congested || this.#queuedOctets <= congestedOctets) return;
    this.#congested = true;
    this.#run({ type: "congested" });
  }

  #close(): void {
    if (this.#state !== "open") return;
    this.#state = "closing";
    const { clock } = this.#server;
    clock.after(this.#remote.latencyMs, () => this.#remote.closed());
    clock.after(closeMs, () => this.#gone("closed"));
  }

  #gone(reason: string): void {
    if (this.#state === "gone") return;
    if (this.#state === "open") {
      this.#server.clock.after(this.#remote.latencyMs, () => this.#remote.closed());
    }
    this.#state = "gone";
    if (this.#stay !== undefined) this.#leave(reason);
    if (!this.wasTarpitted) this.#run({ type: "closed", reason });
    this.#server.left(this);
  }

  // --- Time ----------------------------------------------------------------------------------------------------

  get #deadline(): number {
    if (this.#stay !== undefined) return this.#stay.deadline();
    return this.#session.isOver ? Number.POSITIVE_INFINITY : this.#session.deadline();
  }

  #arm(): void {
    const deadline = this.#deadline;
    if (deadline >= this.#armedFor) return;
    this.#armedFor = deadline;
    // A timer knows whole milliseconds, and the loop may be late.
    const late = this.#server.chance.happens(0.1) ? this.#server.chance.between(0, 30) : 0;
    this.#server.clock.at(Math.ceil(deadline) + late, () => this.#fired(deadline));
  }

  #fired(armedFor: number): void {
    if (armedFor !== this.#armedFor) return;
    this.#armedFor = Number.POSITIVE_INFINITY;
    const { now } = this.#server.clock;
    this.#wakes = now === this.#wokenAt ? this.#wakes + 1 : 0;
    this.#wokenAt = now;
    must(this.#wakes < wakesMax, "a deadline that is over moves");
    if (this.#deadline <= now) {
      if (this.#stay === undefined) this.#run({ type: "time" });
      else this.#dribble(this.#stay);
    }
    this.#arm();
  }

  // --- The tarpit ----------------------------------------------------------------------------------------------

  #tarpit(octets: Buffer): void {
    const { slots, limits, clock } = this.#server;
    const stay = slots.take(octets, limits.tarpitDurationMs, clock.now);
    if (stay === undefined) {
      this.#server.count("told at once");
      this.#write(octets);
      this.#close();
      return;
    }
    this.#server.count("tarpitted");
    this.wasTarpitted = true;
    this.#stay = stay;
    this.#paused = false;
    this.#events.push({ type: "closed", reason: "tarpitted" });
  }

  #throwAway(stay: TarpitStay, octets: Buffer | "ended"): void {
    if (octets === "ended") {
      this.#leave("closed by the client");
      this.#close();
      return;
    }
    stay.discard(octets.length, this.#server.clock.now);
    this.#paused = stay.isReadingPaused;
    this.#arm();
  }

  #dribble(stay: TarpitStay): void {
    this.#write(stay.time(this.#server.clock.now));
    this.#paused = stay.isReadingPaused;
    if (stay.isOver) {
      this.#leave("complete");
      this.#close();
    }
    this.#read();
  }

  #leave(end: string): void {
    this.#server.count(`tarpit: ${end}`);
    this.#stay?.leave();
    this.#stay = undefined;
  }
}
