/**
 * A world for transcripts: clients, relays, DNS, one clock, and between them the machines of src/client, src/mail, src/relay and
 * src/screening, wired as src/shell wires them, but without a socket. See client-peer.ts and relay-peer.ts.
 *
 * Every relay's name resolves at once. An assertion of ours that fails is thrown.
 */

import type { SessionPolicy } from "../../src/client/messages.ts";
import { relaySettings, sessionPolicy } from "../../src/commands/settings.ts";
import type { Config } from "../../src/config/options.ts";
import { plaintextWillDo } from "../../src/lib/tls-modes.ts";
import type { LogEvent } from "../../src/ops/events.ts";
import { adviceOn } from "../../src/relay/demands.ts";
import { describeFailure, type Failure } from "../../src/relay/failures.ts";
import type { RelaySettings } from "../../src/relay/messages.ts";
import { RelayOffers } from "../../src/relay/offers.ts";
import { RelayQueue, type RelayRequester } from "../../src/relay/queue.ts";
import { describePlace, type RelayPlace, RelayRoute, RestingPlaces } from "../../src/relay/route.ts";
import { TarpitSlots } from "../../src/screening/tarpit.ts";
import { noOffer, type RelayOffer } from "../../src/smtp/ehlo.ts";
import { describeReply, type Reply } from "../../src/smtp/replies.ts";
import { ClientPeer } from "./client-peer.ts";
import { ScriptedDns } from "./dns.ts";
import { nobody, RelayPeer } from "./relay-peer.ts";
import { configOf, screeningOf, screeningOptions, type WorldScreening } from "./world-settings.ts";

/** 2026-11-23 12:00:00 UTC, a Monday. */
export const unixEpochMs = Date.UTC(2026, 10, 23, 12);

const loopMark = "MARK0123";

/** How often something may be due at one instant: more is a deadline that does not move. */
const turnsAtOnceMax = 100;

/** A mail that asks for a relay connection. */
interface Request extends RelayRequester {
  readonly client: ClientPeer;
  readonly askedAt: number;
  dialled?: RelayPeer;
  calledOff?: () => void;
}

interface Machine {
  readonly deadline: number;
  wake(): void;
}

export class World {
  now = 0;
  readonly logs: LogEvent[] = [];
  readonly config: Config;
  readonly policy: SessionPolicy;
  readonly settings: RelaySettings;
  /** Undefined: nobody is screened. */
  readonly screening: WorldScreening | undefined;
  readonly dns = new ScriptedDns(() => this.now);
  readonly slots: TarpitSlots;
  /** Nobody is held where nobody is screened. */
  readonly tarpitDurationMs: number;
  /** Of the next client that connects. */
  clientAddress: string;
  readonly unixEpochMs = unixEpochMs;
  readonly clients: ClientPeer[] = [];
  readonly relays: RelayPeer[] = [];
  readonly #addresses: readonly string[];
  readonly #resting = new RestingPlaces();
  readonly #offers: RelayOffers;
  readonly #idle: RelayPeer[] = [];
  readonly #users = new Map<RelayPeer, Request>();
  readonly #queue: RelayQueue<Request>;
  #isServing = false;

  constructor(options: Readonly<Record<string, string>>) {
    const { CLIENT = "192.0.2.1", ADDRESSES = "198.51.100.1", ASKED = "all", ...others } = options;
    this.config = configOf(others);
    this.policy = { ...sessionPolicy(this.config), loopMark };
    this.settings = { ...relaySettings(this.config), loopMark };
    const screened = screeningOptions.some((name) => others[name] !== undefined);
    this.screening = screened ? screeningOf(this.config) : undefined;
    this.slots = new TarpitSlots(this.config.maxTarpitted);
    this.tarpitDurationMs = screened ? this.config.tarpitDurationMs : 0;
    this.clientAddress = CLIENT;
    this.#offers = new RelayOffers(this.config.relayHosts, this.#resting);
    if (ASKED === "all") for (const relay of this.config.relayHosts) this.#offers.learned(relay, noOffer);
    this.#queue = new RelayQueue(this.config.relayMaxConnections);
    this.#addresses = ADDRESSES.split(",");
  }

  get relayOffer(): RelayOffer {
    return this.#offers.current(this.now);
  }

  get relayPressure(): boolean {
    return this.#queue.isUnderPressure;
  }

  connect(): void {
    this.clients.push(new ClientPeer(this, `s${this.clients.length + 1}`, this.clientAddress));
  }

  /** The one that connected last. */
  get client(): ClientPeer | undefined {
    return this.clients.at(-1);
  }

  /** Time passes; machines are woken at their deadlines, in order. */
  pass(ms: number): void {
    const end = this.now + ms;
    this.#wakeUntil(end);
    this.now = end;
  }

  /** Time passes, and nobody is woken: what is due comes behind what happens next. */
  passUnnoticed(ms: number): void {
    this.now += ms;
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
  #next(): { readonly machine: Machine | undefined; readonly deadline: number } {
    let machine: Machine | undefined;
    let deadline = Number.POSITIVE_INFINITY;
    for (const other of [...this.clients, ...this.relays, this.dns, this]) {
      // Asked once, for some machines have to work it out.
      const otherDeadline = other.deadline;
      if (otherDeadline >= deadline) continue;
      machine = other;
      deadline = otherDeadline;
    }
    return { machine, deadline };
  }

  #flush(): void {
    for (const { outbox } of this.clients) outbox.flush();
    for (const { outbox } of this.relays) outbox.flush();
  }

  acquire(client: ClientPeer, fresh: boolean): { cancel(): void } {
    if (fresh) for (const idle of [...this.#idle]) this.#dismiss(idle);
    const request: Request = { client, fresh, network: client.network, askedAt: this.now };
    this.#queue.add(request);
    this.#serve();
    return {
      cancel: () => {
        this.#queue.remove(request);
        request.dialled?.abort();
        request.calledOff?.();
        this.#letGo(request);
      },
    };
  }

  /** The user of a connection is through with it: it is kept once it is clean. */
  takeBack(relay: RelayPeer): void {
    relay.user = {
      report: (report) => {
        if (report.type === "idle") this.#idle.push(relay);
        this.lost(report.type === "lost" ? relay : undefined);
      },
    };
    this.#letGo(this.#users.get(relay));
  }

  demanded({ place, secured }: RelayPeer, reply: Reply): void {
    const brokenTls = this.#resting.brokenTls(place.relay, place.address, this.now);
    this.#resting.tlsWanted(place);
    const advice = adviceOn(reply, { settings: this.settings, secured, brokenTls });
    const relay = describePlace(place);
    this.logs.push({ event: "relay-demands", relay, reply: describeReply(reply), advice });
  }

  /** A connection is no more, or came free. */
  lost(relay: RelayPeer | undefined): void {
    const index = relay === undefined ? -1 : this.#idle.indexOf(relay);
    if (index !== -1) this.#idle.splice(index, 1);
    this.#letGo(relay === undefined ? undefined : this.#users.get(relay));
  }

  #letGo(request: Request | undefined): void {
    if (request !== undefined) this.#queue.letGo(request);
    this.#serve();
  }

  #dismiss(idle: RelayPeer): void {
    this.#idle.splice(this.#idle.indexOf(idle), 1);
    idle.user = nobody;
    idle.run({ type: "dismissed" });
  }

  #serve(): void {
    if (this.#isServing) return;
    this.#isServing = true;
    for (let next = this.#nextServed(); next !== undefined; next = this.#nextServed()) {
      const [idle] = this.#idle;
      if (next.step === "make-room") {
        if (idle !== undefined) this.#dismiss(idle);
      } else if (next.step === "reuse") {
        const [usable] = this.#idle.splice(this.#usableIdle(), 1);
        if (usable?.offer === undefined) throw new Error("an idle connection has an offer");
        this.#users.set(usable, next.requester);
        next.requester.client.attached(usable, usable.offer, true);
      } else {
        this.#walk(next.requester);
      }
    }
    this.#isServing = false;
    const pressure = this.#queue.pressureChange(this.now);
    const { relayMaxConnections: connectionsMax } = this.config;
    if (pressure?.change === "begun") {
      const { held, waiting, networks } = pressure;
      this.logs.push({ event: "relay-pressure", connectionsMax, held, waiting, networks });
    } else if (pressure !== undefined) {
      this.logs.push({ event: "relay-pressure-over", connectionsMax, lastedMs: pressure.lastedMs });
    }
  }

  #nextServed(): ReturnType<RelayQueue<Request>["step"]> {
    return this.#queue.step({
      connections: this.relays.filter(({ outbox }) => !outbox.closed).length,
      idle: this.#idle.length,
      usableIdle: this.#usableIdle() === -1 ? 0 : 1,
    });
  }

  /** Those that have waited too long for their turn. */
  get deadline(): number {
    const [oldest] = this.#queue.requesters;
    return oldest === undefined ? Number.POSITIVE_INFINITY : oldest.askedAt + this.settings.connectTimeoutMs;
  }

  wake(): void {
    const [oldest] = this.#queue.requesters;
    if (oldest === undefined) return;
    this.#queue.remove(oldest);
    oldest.client.unavailable({ kind: "busy" });
  }

  #walk(request: Request): void {
    const route = new RelayRoute(this.config.relayHosts, this.#resting);
    const step = (): void => {
      const next = route.next(this.now);
      if (next.step === "resolve") {
        route.resolved(next.relay, this.#addresses, this.now);
        step();
      } else if (next.step === "give-up") {
        this.#queue.letGo(request);
        request.client.unavailable(next.failure);
        this.#serve();
      } else {
        request.calledOff = () => route.calledOff();
        request.dialled = this.#dial(next.place, route, request, (failure) => {
          route.failed(
            next.place,
            failure,
            plaintextWillDo(this.settings.tls, this.settings.credentials !== undefined),
            this.now,
          );
          const relay = describePlace(next.place);
          this.logs.push({ event: "relay-failed", session: "", relay, reason: describeFailure(failure) });
          step();
        });
      }
    };
    step();
  }

  #usableIdle(): number {
    return this.#idle.findLastIndex(({ place }) =>
      this.#resting.mayReuse(place.relay, this.config.relayHosts, this.now),
    );
  }

  #dial(
    place: RelayPlace,
    route: RelayRoute,
    request: Request,
    failed: (failure: Failure) => void,
  ): RelayPeer {
    const settings: RelaySettings = place.withoutTls ? { ...this.settings, tls: "off" } : this.settings;
    const relay = new RelayPeer(this, place, settings, failed);
    this.relays.push(relay);
    relay.user = {
      report: (report) => {
        if (report.type === "ready") {
          relay.offer = report.offer;
          this.#offers.learned(place.relay, report.offer);
          const outage = route.recovered(place, this.now);
          const name = describePlace(place);
          if (outage !== undefined) this.logs.push({ event: "relay-recovered", relay: name, ...outage });
          const reason = route.arrived(place, report.plaintext, this.now);
          if (reason !== undefined) this.logs.push({ event: "relay-plaintext", relay: name, reason });
          delete request.dialled;
          this.#users.set(relay, request);
          request.client.attached(relay, report.offer, false);
        } else if (report.type === "lost") {
          failed(report.failure);
        }
      },
    };
    return relay;
  }
}
