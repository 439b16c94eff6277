/**
 * One client's connection: a socket, a client session that decides, and its tie to a relay connection.
 * Feeds events to the session, performs its actions, and carries orders and reports between it and the relay. What is
 * written in one turn leaves in one write.
 * An assertion of ours that fails in here ends this session alone, with 421 4.3.0.
 * Not here: any rule (client/session.ts); accepting and counting connections (server.ts).
 */

import type {
  ClientAction,
  ClientEvent,
  LookupAnswer,
  SessionPolicy,
  Surroundings,
} from "../client/messages.ts";
import { ClientScreening, type ScreeningSettings } from "../client/screening.ts";
import { ClientSession } from "../client/session.ts";
import type { Failure } from "../relay/failures.ts";
import type { RelayOrder, RelayReport } from "../relay/messages.ts";
import { describePlace } from "../relay/route.ts";
import { type AddressSet, clientNetwork, isTrusted } from "../screening/addresses.ts";
import type { RelayOffer } from "../smtp/ehlo.ts";
import {
  congestedOctets,
  type ServerTls,
  type Socket,
  type SocketHandler,
  type TlsFacts,
} from "./network.ts";
import type { RelayConnection } from "./relay-connection.ts";
import type { RelayClient, RelayPool, RelayRequest } from "./relay-pool.ts";
import { type Shell, stackOf } from "./shell.ts";
import type { Tarpit } from "./tarpit.ts";
import type { Resting, TurnShare } from "./turn-share.ts";
import { type Sleeper, WakeTimer } from "./wake-timer.ts";

/** What looks names up; dns/resolver.ts fulfils it. */
export interface Resolver {
  /**
   * `network`: whose share of the look-ups it takes. `told` is called later and once, or twice where the first answer
   * is "busy"; never once it was cancelled.
   */
  lookUp(
    question: { readonly name: string; readonly type: "A" | "TXT"; readonly network: string },
    told: (answer: LookupAnswer) => void,
  ): { cancel(): void };
  close(): void;
}

export interface ClientSurroundings {
  readonly policy: SessionPolicy;
  readonly surroundings: Surroundings;
  readonly pool: RelayPool;
  readonly screening: ScreeningSettings;
  /** Who is not screened at all. */
  readonly trusted: AddressSet;
  readonly resolver: Resolver;
  readonly tarpit: Tarpit;
  readonly share: TurnShare;
  /** The certificate of the moment; undefined: STARTTLS is not offered. */
  readonly tls: () => ServerTls | undefined;
  /** During a shutdown: how long a client that got its last reply may take to hang up; undefined: no shutdown. */
  readonly farewellMs: () => number | undefined;
  /** The session is over, and nothing of it is left but, perhaps, a socket in the tarpit. */
  over(connection: ClientConnection): void;
  /** The socket is gone. Told once, perhaps long after `over`. */
  left(address: string): void;
}

export class ClientConnection implements SocketHandler, RelayClient, Resting, Sleeper {
  readonly session: string;
  readonly network: string | undefined;
  readonly #shell: Shell;
  readonly #socket: Socket;
  readonly #around: ClientSurroundings;
  readonly #address: string;
  readonly #session: ClientSession;
  readonly #timer: WakeTimer;
  /** Those that came while another was carried out. */
  #events: ClientEvent[] | undefined;
  #running = false;
  #flushing = false;
  #congested = false;
  /** During a stop: ends a client that got its last reply and does not hang up. */
  #farewell: { cancel(): void } | undefined;
  #over = false;
  #isLeaving = false;
  /** The session does not want to read; and: others have their turn first. */
  #isPaused = false;
  #rests = false;
  /** The socket is not this session's any more. */
  #isTarpitted = false;
  #request: RelayRequest | undefined;
  /** Those that are not answered: no more than one a zone, and one for a text. */
  #lookUps: readonly { cancel(): void }[] | undefined;
  #relay: { readonly connection: RelayConnection; readonly offer: RelayOffer } | undefined;

  constructor(shell: Shell, socket: Socket, around: ClientSurroundings) {
    this.session = shell.newSessionId();
    this.#shell = shell;
    this.#socket = socket;
    this.#around = around;
    this.#address = socket.remote.family === "unix" ? "" : socket.remote.address;
    const { policy, surroundings, screening, trusted } = around;
    const trustedHere = isTrusted(trusted, this.#address);
    this.network = trustedHere ? undefined : clientNetwork(this.#address);
    const facts = { session: this.session, address: this.#address, isTrusted: trustedHere };
    const now = shell.network.now();
    this.#session = new ClientSession(
      policy,
      surroundings,
      facts,
      now,
      (output) => new ClientScreening(screening, facts, now, policy.serverName, output),
    );
    this.#timer = new WakeTimer(shell.network, this);
  }

  /** Greets. Call once, when the socket's handler is in place. */
  start(): void {
    this.#run({ type: "connected" });
  }

  /** The last reply was sent; the client has yet to hang up. */
  get isLeaving(): boolean {
    return this.#isLeaving;
  }

  shutdown(): void {
    if (this.#isLeaving) this.#limitFarewell();
    this.#run({ type: "shutdown" });
  }

  cut(): void {
    this.#run({ type: "grace-over" });
  }

  // --- What the socket tells -----------------------------------------------------------------------------------

  octets(octets: Buffer): void {
    this.#run({ type: "octets", octets });
  }

  ended(): void {
    this.#run({ type: "ended" });
  }

  drained(): void {
    this.#congested = false;
    this.#run({ type: "drained" });
  }

  secured(facts: TlsFacts): void {
    this.#run({ type: "secured", tls: facts });
  }

  handshakeFailed(reason: string): void {
    this.#run({ type: "handshake-failed", reason });
  }

  closed(reason: string): void {
    this.#farewell?.cancel();
    this.#run({ type: "closed", reason });
    this.#giveLookUpsUp();
    this.#around.left(this.#address);
  }

  // --- What the relay tells ------------------------------------------------------------------------------------

  attached(connection: RelayConnection, offer: RelayOffer, reused: boolean): void {
    this.#relay = { connection, offer };
    this.#request = undefined;
    const relay = { name: describePlace(connection.place), offer, tls: connection.tls, reused };
    this.#run({ type: "attached", relay });
  }

  pressed(): void {
    this.#timer.update();
  }

  unavailable(failure: Failure): void {
    this.#request = undefined;
    this.#run({ type: "unavailable", failure });
  }

  report(report: RelayReport, connection: RelayConnection): void {
    if (this.#relay?.connection !== connection) return;
    if (report.type === "demanded") this.#around.pool.demanded(connection, report.reply);
    if (report.type === "lost") {
      this.#around.pool.lost(connection);
      this.#relay = undefined;
    }
    this.#run({ type: "relay", report });
  }

  // --- What the timer tells ------------------------------------------------------------------------------------

  deadline(): number {
    return this.#rests ? Number.POSITIVE_INFINITY : this.#session.deadline();
  }

  wake(): void {
    this.#run({ type: "time" });
  }

  // --- The loop ------------------------------------------------------------------------------------------------

  /** An event that comes while another is carried out waits for its turn. */
  #run(event: ClientEvent): void {
    if (this.#running) {
      if (this.#events === undefined) this.#events = [event];
      else this.#events.push(event);
      return;
    }
    this.#running = true;
    const startedAt = this.#around.share.now();
    try {
      for (let next: ClientEvent | undefined = event; next !== undefined; next = this.#events?.shift()) {
        this.#session.receive(next, this.#shell.network.now());
        for (const action of this.#session.drain()) this.#perform(action);
      }
    } catch (error) {
      this.#fault(error);
    } finally {
      this.#running = false;
    }
    this.#settle();
    if (!this.#over && !this.#isTarpitted && this.#around.share.charge(this, startedAt)) this.#rest();
  }

  /** Not read, and commands that were read wait as well. */
  #rest(): void {
    this.#rests = true;
    this.#socket.pause();
  }

  rested(): void {
    if (!this.#rests) return;
    this.#rests = false;
    if (!this.#isPaused) this.#socket.resume();
    this.#timer.update();
  }

  #perform(action: ClientAction): void {
    switch (action.type) {
      case "write":
        this.#socket.write(action.octets);
        this.#flushSoon();
        break;
      case "secure":
        this.#secure();
        break;
      case "close":
        this.#leave();
        break;
      case "terminate":
        this.#socket.terminate();
        break;
      case "tarpit":
        this.#tarpit(action.octets);
        break;
      case "look-up":
        this.#lookUp(action);
        break;
      case "spent":
        this.#socket.spent(action.octets);
        break;
      case "pause":
        this.#isPaused = true;
        this.#socket.pause();
        break;
      case "resume":
        this.#isPaused = false;
        if (!this.#rests) this.#socket.resume();
        break;
      case "acquire":
        this.#request = this.#around.pool.acquire(this, action.fresh);
        break;
      case "relay":
        this.#order(action.order);
        break;
      case "log":
        this.#shell.log(action.event);
        break;
    }
  }

  #leave(): void {
    this.#socket.close();
    this.#isLeaving = true;
    this.#limitFarewell();
  }

  /** A client that does not hang up must not hold up the end of the program. */
  #limitFarewell(): void {
    const farewellMs = this.#around.farewellMs();
    if (farewellMs === undefined || this.#farewell !== undefined) return;
    this.#farewell = this.#shell.network.timer(farewellMs, () => this.#socket.terminate());
  }

  #order(order: RelayOrder): void {
    const relay = this.#relay;
    if (order.order === "release" || order.order === "drop") {
      this.#request?.cancel();
      this.#request = undefined;
      this.#relay = undefined;
      if (relay === undefined) return;
      this.#around.pool.takeBack(relay.connection, relay.offer, this.session);
      relay.connection.order(order);
      if (order.order === "drop") this.#around.pool.lost(relay.connection);
    } else {
      relay?.connection.order(order);
    }
  }

  /** The socket is not this session's any more; without a free slot the offender gets its reply at once. */
  #tarpit(octets: Buffer): void {
    if (!this.#around.tarpit.hold(this.#socket, octets, this.session)) {
      this.#socket.write(octets);
      this.#leave();
      return;
    }
    this.#isTarpitted = true;
    this.#rests = false;
    this.#around.share.forget(this);
    this.#run({ type: "closed", reason: "tarpitted" });
    this.#giveLookUpsUp();
  }

  #lookUp({ record, zone, name }: Extract<ClientAction, { type: "look-up" }>): void {
    const question = { name, type: record, network: this.network ?? "" };
    const lookUp = this.#around.resolver.lookUp(question, (answer) => {
      if (answer.kind !== "busy") {
        // A session may last, and what it was looked up with is not to last as long.
        const others = this.#lookUps?.filter((other) => other !== lookUp) ?? [];
        this.#lookUps = others.length > 0 ? others : undefined;
      }
      this.#run({ type: "looked-up", record, zone, answer });
    });
    this.#lookUps = [...(this.#lookUps ?? []), lookUp];
  }

  /** Nobody is left who wants to know. */
  #giveLookUpsUp(): void {
    for (const lookUp of this.#lookUps ?? []) lookUp.cancel();
    this.#lookUps = undefined;
  }

  #secure(): void {
    const tls = this.#around.tls();
    this.#socket.flush();
    // A client that does not take a reply of one line will not make a handshake either.
    if (tls === undefined || this.#socket.queuedOctets > 0) this.#socket.terminate();
    else this.#socket.secure(tls);
  }

  /** At the end of the turn: the relay's replies to a hundred RCPT come together, and leave in one write. */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.#socket.flush();
      if (this.#congested || this.#socket.queuedOctets <= congestedOctets) return;
      this.#congested = true;
      this.#run({ type: "congested" });
    });
  }

  #settle(): void {
    this.#timer.update();
    if (!this.#session.isOver || this.#over) return;
    this.#over = true;
    this.#around.share.forget(this);
    this.#timer.stop();
    this.#around.over(this);
  }

  /** The session's own state cannot be trusted any more: it is asked for its last words, and not to fail again. */
  #fault(error: unknown): void {
    this.#shell.log({ event: "fault", session: this.session, stack: stackOf(error) });
    this.#events = undefined;
    this.#request?.cancel();
    this.#request = undefined;
    if (this.#relay !== undefined) {
      this.#relay.connection.abort();
      this.#around.pool.lost(this.#relay.connection);
      this.#relay = undefined;
    }
    try {
      this.#session.receive({ type: "fault" }, this.#shell.network.now());
      for (const action of this.#session.drain()) this.#perform(action);
    } catch (again) {
      this.#shell.log({ event: "fault", session: this.session, stack: stackOf(again) });
      this.#socket.terminate();
    }
  }
}
