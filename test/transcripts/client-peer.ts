/**
 * One client of a `World`: a client session, wired as shell/client-connection.ts wires it, and in the tarpit what
 * shell/tarpit.ts leaves of it; without a socket.
 * What the client sends while it is not read waits; it has not been lost.
 */

import type { ClientAction, ClientEvent, LookupAnswer } from "../../src/client/messages.ts";
import { ClientScreening } from "../../src/client/screening.ts";
import { ClientSession } from "../../src/client/session.ts";
import { AssertionFault } from "../../src/lib/assert.ts";
import type { Failure } from "../../src/relay/failures.ts";
import type { RelayOrder, RelayReport } from "../../src/relay/messages.ts";
import { describePlace } from "../../src/relay/route.ts";
import { clientNetwork, isTrusted } from "../../src/screening/addresses.ts";
import type { TarpitStay } from "../../src/screening/tarpit.ts";
import type { RelayOffer } from "../../src/smtp/ehlo.ts";
import { Outbox } from "./outbox.ts";
import type { RelayPeer } from "./relay-peer.ts";
import type { World } from "./world.ts";

const tls = { version: "TLSv1.3", cipher: "TLS_AES_128_GCM_SHA256" };

export class ClientPeer {
  readonly outbox = new Outbox();
  /** Shares the relay connections with others, if it is screened. */
  readonly network: string | undefined;
  readonly #world: World;
  readonly #name: string;
  readonly #address: string;
  readonly session: ClientSession;
  readonly #events: ClientEvent[] = [];
  #running = false;
  readonly #unread: (Buffer | "ended")[] = [];
  #paused = false;
  #reading = false;
  #request: { cancel(): void } | undefined;
  #relay: RelayPeer | undefined;
  /** In the tarpit, and since when. */
  #stay: TarpitStay | undefined;

  constructor(world: World, name: string, address: string) {
    this.#world = world;
    this.#name = name;
    this.#address = address;
    this.network = world.screening === undefined ? undefined : clientNetwork(address);
    this.session = this.#newSession();
    this.run({ type: "connected" });
  }

  get deadline(): number {
    if (this.#stay !== undefined) return this.#stay.deadline();
    return this.session.isOver ? Number.POSITIVE_INFINITY : this.session.deadline();
  }

  wake(): void {
    if (this.#stay === undefined) this.run({ type: "time" });
    else this.#dribble(this.#stay);
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

  lookedUp(record: "A" | "TXT", zone: string, answer: LookupAnswer): void {
    this.run({ type: "looked-up", record, zone, answer });
  }

  #newSession(): ClientSession {
    const { policy, screening } = this.#world;
    const { now } = this.#world;
    const session = this.#name;
    const address = this.#address;
    if (screening === undefined) {
      return new ClientSession(policy, this.#world, { session, address, isTrusted: true }, now);
    }
    const facts = { session, address, isTrusted: isTrusted(screening.trusted, address) };
    return new ClientSession(
      policy,
      this.#world,
      facts,
      now,
      (output) => new ClientScreening(screening, facts, now, policy.serverName, output),
    );
  }

  #report(report: RelayReport, relay: RelayPeer): void {
    if (this.#relay !== relay) return;
    if (report.type === "demanded") this.#world.demanded(relay, report.reply);
    if (report.type === "lost") {
      this.#world.lost(relay);
      this.#relay = undefined;
    }
    this.run({ type: "relay", report });
  }

  #read(): void {
    if (this.#reading) return;
    this.#reading = true;
    while (!this.#paused && !this.outbox.closed) {
      const next = this.#unread.shift();
      if (next === undefined) break;
      if (this.#stay !== undefined) this.#throwAway(this.#stay, next);
      else this.run(next === "ended" ? { type: "ended" } : { type: "octets", octets: next });
    }
    this.#reading = false;
  }

  #gone(reason: string): void {
    if (!this.outbox.close(undefined)) return;
    if (this.#stay === undefined) this.run({ type: "closed", reason });
    else this.#leave(reason);
  }

  #perform(action: ClientAction): void {
    switch (action.type) {
      case "write":
        this.outbox.write(action.octets);
        break;
      case "secure":
        this.outbox.see("starts TLS");
        break;
      case "tarpit":
        this.#tarpit(action.octets);
        break;
      case "look-up":
        this.#world.dns.ask(this, action);
        break;
      case "close":
      case "terminate": {
        const how = action.type === "close" ? "closes" : "terminates";
        if (this.outbox.close(how)) this.run({ type: "closed", reason: "closed" });
        break;
      }
      case "spent":
        // As the shell frees it: whoever looks at it all the same sees nothing of it.
        if (action.octets.length === action.octets.buffer.byteLength) action.octets.fill(0);
        break;
      case "pause":
        this.#pause();
        break;
      case "resume":
        this.#resume();
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
    if (order.order === "drop") this.#world.lost(relay);
  }

  #pause(): void {
    if (!this.#paused) this.outbox.see("pauses");
    this.#paused = true;
  }

  #resume(): void {
    if (this.#paused) this.outbox.see("resumes");
    this.#paused = false;
  }

  // --- The tarpit ----------------------------------------------------------------------------------------------

  /** What is left of the session is a stay; without a free slot the offender is told at once. */
  #tarpit(octets: Buffer): void {
    const { slots, tarpitDurationMs, now } = this.#world;
    const stay = slots.take(octets, tarpitDurationMs, now);
    if (stay === undefined) {
      this.outbox.write(octets);
      if (this.outbox.close("closes")) this.run({ type: "closed", reason: "closed" });
      return;
    }
    this.#stay = stay;
    this.run({ type: "closed", reason: "tarpitted" });
    this.#resume();
  }

  #throwAway(stay: TarpitStay, octets: Buffer | "ended"): void {
    if (octets === "ended") {
      this.#leave("closed by the client");
      this.outbox.close("closes");
      return;
    }
    stay.discard(octets.length, this.#world.now);
    if (stay.isReadingPaused) this.#pause();
  }

  #dribble(stay: TarpitStay): void {
    this.outbox.write(stay.time(this.#world.now));
    if (!stay.isReadingPaused) this.#resume();
    if (stay.isOver) {
      this.#leave("complete");
      this.outbox.close("closes");
    }
    this.#read();
  }

  #leave(end: string): void {
    const stay = this.#stay;
    if (stay === undefined) throw new AssertionFault("it is in the tarpit");
    this.#stay = undefined;
    stay.leave();
    this.#world.logs.push({
      event: "tarpit",
      session: this.#name,
      client: this.#address,
      heldMs: Math.round(this.#world.now - stay.startedAt),
      discardedOctets: stay.octetsThrownAway,
      end,
    });
  }
}
