/**
 * The whole proxy as one object: listeners, client connections, the relay pool, and the way to end them.
 *
 * Contract: `askRelays` at most once, `listen` once or more, `shutdown` once. Errors of `listen` are thrown as one line for the operator.
 * Not here: configuration and signals (commands/serve.ts), any rule of SMTP (proxy/).
 */
import type { SessionPolicy, Surroundings } from "../client/messages.ts";
import type { ScreeningSettings } from "../client/screening.ts";
import type { AddressSet } from "../screening/addresses.ts";
import { Admission, type AdmissionRefusal } from "../screening/admission.ts";
import { tooManyConnections, tooManyFromClient } from "../smtp/catalogue.ts";
import type { RelayOffer } from "../smtp/ehlo.ts";
import { describeReply, formatReply, type Reply } from "../smtp/replies.ts";
import { ClientConnection, type ClientSurroundings, type Resolver } from "./client-connection.ts";
import type { Listener, ListenTarget, ServerTls, Socket, SocketHandler } from "./network.ts";
import { type PoolSettings, RelayPool } from "./relay-pool.ts";
import { SessionMemory } from "./session-memory.ts";
import type { Shell } from "./shell.ts";
import { Tarpit } from "./tarpit.ts";
import { TurnShare } from "./turn-share.ts";

export interface ServerSettings {
  readonly maxConnections: number;
  readonly maxConnectionsPerClient: number;
  readonly trusted: AddressSet;
  readonly screening: ScreeningSettings;
  readonly maxTarpitted: number;
  readonly tarpitDurationMs: number;
  readonly policy: SessionPolicy;
  readonly pool: PoolSettings;
}

const refusals: Record<AdmissionRefusal, Reply> = {
  total: tooManyConnections,
  "per-client": tooManyFromClient,
};
/** Refused connections that may linger to read their 421; further ones are reset. */
export const leavingMax = 50;

/** How long a client that was told 421 may take to hang up, once the program is to end. */
export const farewellMs = 1_000;

export class Server {
  readonly #shell: Shell;
  readonly #resolver: Resolver;
  readonly #admission: Admission;
  readonly #tarpit: Tarpit;
  readonly #around: ClientSurroundings;
  readonly #pool: RelayPool;
  readonly #listeners: Listener[] = [];
  readonly #connections = new Set<ClientConnection>();
  readonly #memory: SessionMemory;
  #leaving = 0;
  #tls: ServerTls | undefined;
  #isEnding = false;
  #isHurried = false;
  #waitedEnough: (() => void) | undefined;

  constructor(shell: Shell, settings: ServerSettings, resolver: Resolver, tls: ServerTls | undefined) {
    this.#shell = shell;
    this.#memory = new SessionMemory(shell.collectYoung ?? (() => {}));
    this.#resolver = resolver;
    this.#admission = new Admission(settings);
    const left = (address: string): void => this.#admission.left(address);
    this.#tarpit = new Tarpit(shell, settings.maxTarpitted, settings.tarpitDurationMs, left);
    this.#tls = tls;
    const pool = new RelayPool(shell, settings.pool);
    this.#pool = pool;
    const surroundings: Surroundings = {
      get relayOffer(): RelayOffer {
        return pool.offer;
      },
      get relayPressure(): boolean {
        return pool.isUnderPressure;
      },
      get unixEpochMs(): number {
        return shell.network.unixEpochMs;
      },
    };
    this.#around = {
      policy: settings.policy,
      surroundings,
      pool,
      tls: () => this.#tls,
      screening: settings.screening,
      trusted: settings.trusted,
      resolver,
      tarpit: this.#tarpit,
      share: new TurnShare(shell),
      farewellMs: () => (this.#isEnding ? farewellMs : undefined),
      over: (connection) => this.#over(connection),
      left,
    };
  }

  /** Offenders that are held at the moment. */
  get tarpitted(): number {
    return this.#tarpit.size;
  }

  get sessions(): number {
    return this.#connections.size;
  }

  /** Mails that wait for a relay connection to come free. */
  get waitingForRelay(): number {
    return this.#pool.waiting;
  }

  /** What the relays offer, before the first client is. Takes `limitMs` at most, and fails never. */
  askRelays(limitMs: number): Promise<void> {
    return this.#pool.ask(limitMs);
  }

  listen(target: ListenTarget): Listener {
    const listener = this.#shell.network.listen(target, (socket) => this.#accept(socket));
    this.#listeners.push(listener);
    this.#shell.log({ event: "listening", address: listener.name });
    return listener;
  }

  /** For sessions that start TLS from now on. */
  replaceTls(tls: ServerTls): void {
    this.#tls = tls;
  }

  /**
   * Accepts nothing more, sends away clients without a transaction in progress, gives the others `graceMs`, then cuts
   * them. A client that was told 421 has `farewellMs` to hang up. Resolves to the number of sessions that were cut.
   */
  async shutdown(graceMs: number): Promise<number> {
    this.#isEnding = true;
    for (const listener of this.#listeners) listener.stop();
    this.#pool.stop();
    this.#tarpit.empty();
    for (const connection of [...this.#connections]) connection.shutdown();
    await this.#wait(graceMs);
    const cut = [...this.#connections].filter(({ isLeaving }) => !isLeaving);
    for (const connection of cut) connection.cut();
    // What was written in this turn leaves at its end, however great the hurry.
    await this.#wait(this.#isHurried ? 0 : farewellMs);
    this.#resolver.close();
    return cut.length;
  }

  /** Ends the grace and the farewell of a shutdown that is under way. */
  hurry(): void {
    this.#isHurried = true;
    this.#waitedEnough?.();
  }

  /** Resolves when no session is left, or after `limitMs`, or when it is to hurry. */
  #wait(limitMs: number): Promise<void> {
    if (this.#connections.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#shell.network.timer(limitMs, resolve);
      this.#waitedEnough = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  #accept(socket: Socket): SocketHandler {
    const refusal = this.#admission.admit(socket.remote.family === "unix" ? "" : socket.remote.address);
    if (refusal !== undefined) return this.#sendAway(socket, refusals[refusal]);
    const connection = new ClientConnection(this.#shell, socket, this.#around);
    this.#connections.add(connection);
    this.#memory.grew(this.#connections.size);
    connection.start();
    return connection;
  }

  #sendAway(socket: Socket, reply: Reply): SocketHandler {
    this.#shell.log({
      event: "connection-refused",
      client: socket.remote.address,
      reply: describeReply(reply),
      connections: this.#admission.connections,
    });
    socket.write(formatReply(reply));
    this.#leaving += 1;
    if (this.#leaving <= leavingMax) {
      socket.close();
    } else {
      socket.flush();
      socket.terminate();
    }
    return {
      octets() {},
      ended() {},
      drained() {},
      secured() {},
      handshakeFailed() {},
      closed: () => {
        this.#leaving -= 1;
      },
    };
  }

  #over(connection: ClientConnection): void {
    this.#connections.delete(connection);
    if (this.#connections.size === 0) this.#waitedEnough?.();
  }
}
