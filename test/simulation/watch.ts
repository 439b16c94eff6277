/**
 * Stands between the program and the network and tells what passes: which octets each socket was given and what had
 * been written to it by then, in the one order that the program saw. So an oracle needs not guess what was still on
 * its way. Nothing is changed, unless a `Saboteur` plays a defect of the program, by which the oracles are tested.
 * Not here: what is right (session-judge.ts, relay-ledger.ts).
 */

import type { LogEvent } from "../../src/ops/events.ts";
import type {
  ClientTls,
  Dial,
  DialHandler,
  DialTarget,
  Endpoint,
  Listener,
  ListenTarget,
  Network,
  ServerTls,
  Socket,
  SocketHandler,
  TlsFacts,
} from "../../src/shell/network.ts";

/** Hears of one socket. */
export interface SocketWatch {
  received(octets: Buffer): void;
  wrote(octets: Buffer): void;
  ended(): void;
  securing(): void;
  secured(): void;
  /** The program ended it, in good order or not. */
  left(how: "close" | "terminate"): void;
  /** The program gave it to another handler. */
  handedOn(): void;
  closed(reason: string): void;
}

export interface NetworkWatch {
  accepted(socket: Socket): SocketWatch;
  dialled(socket: Socket): SocketWatch;
}

/** What `Socket.write` is called with. */
export interface Write {
  readonly octets: Buffer;
  readonly spent: Buffer | undefined;
}

/** A defect that is played: what the program is made to do otherwise. */
export interface Saboteur {
  /** What is written in place of `octets`. */
  write?(octets: Buffer, side: "client" | "relay"): Buffer;
  /** What is written to a relay in one turn, in place of `writes`. */
  turn?(writes: readonly Write[]): readonly Write[];
  log?(event: LogEvent): readonly LogEvent[];
  /** True: this socket is not closed. */
  leaks?(side: "client" | "relay"): boolean;
}

export class WatchedNetwork implements Network {
  readonly #network: Network;
  readonly #watch: NetworkWatch;
  readonly #saboteur: Saboteur;

  constructor(network: Network, watch: NetworkWatch, saboteur: Saboteur) {
    this.#network = network;
    this.#watch = watch;
    this.#saboteur = saboteur;
  }

  dial(target: DialTarget, timeoutMs: number, handler: DialHandler): Dial {
    return this.#network.dial(target, timeoutMs, {
      opened: (socket) => {
        const watch = this.#watch.dialled(socket);
        const watched = new WatchedSocket(socket, watch, this.#saboteur, "relay");
        return watchedHandler(handler.opened(watched), watch);
      },
      failed: (reason) => handler.failed(reason),
    });
  }

  listen(target: ListenTarget, accept: (socket: Socket) => SocketHandler): Listener {
    return this.#network.listen(target, (socket) => {
      const watch = this.#watch.accepted(socket);
      return watchedHandler(accept(new WatchedSocket(socket, watch, this.#saboteur, "client")), watch);
    });
  }

  resolve(host: string): ReturnType<Network["resolve"]> {
    return this.#network.resolve(host);
  }

  now(): number {
    return this.#network.now();
  }

  get unixEpochMs(): number {
    return this.#network.unixEpochMs;
  }

  timer(delayMs: number, callback: () => void): { cancel(): void } {
    return this.#network.timer(delayMs, callback);
  }
}

class WatchedSocket implements Socket {
  readonly #socket: Socket;
  readonly #watch: SocketWatch;
  readonly #saboteur: Saboteur;
  readonly #side: "client" | "relay";
  #left = false;
  /** Written, where a saboteur wants to see a whole turn of it. */
  #turn: Write[] = [];

  constructor(socket: Socket, watch: SocketWatch, saboteur: Saboteur, side: "client" | "relay") {
    this.#socket = socket;
    this.#watch = watch;
    this.#saboteur = saboteur;
    this.#side = side;
  }

  get remote(): Endpoint {
    return this.#socket.remote;
  }

  get queuedOctets(): number {
    return this.#socket.queuedOctets;
  }

  get unreadOctets(): number {
    return this.#socket.unreadOctets;
  }

  handle(handler: SocketHandler): void {
    this.#watch.handedOn();
    this.#socket.handle(watchedHandler(handler, this.#watch));
  }

  write(octets: Buffer, spent?: Buffer): void {
    const written = this.#saboteur.write?.(octets, this.#side) ?? octets;
    if (!this.#left) this.#watch.wrote(written);
    if (this.#side === "relay" && this.#saboteur.turn !== undefined)
      this.#turn.push({ octets: written, spent });
    else this.#socket.write(written, spent);
  }

  spent(octets: Buffer): void {
    this.#socket.spent(octets);
  }

  flush(): void {
    this.#endTurn();
    this.#socket.flush();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  secure(tls: ServerTls | ClientTls): void {
    this.#watch.securing();
    this.#socket.secure(tls);
  }

  close(): void {
    if (this.#saboteur.leaks?.(this.#side) === true) return;
    this.#leave("close");
    this.#endTurn();
    this.#socket.close();
  }

  terminate(): void {
    if (this.#saboteur.leaks?.(this.#side) === true) return;
    this.#leave("terminate");
    this.#socket.terminate();
  }

  #endTurn(): void {
    const writes = this.#saboteur.turn?.(this.#turn) ?? [];
    this.#turn = [];
    for (const { octets, spent } of writes) this.#socket.write(octets, spent);
  }

  #leave(how: "close" | "terminate"): void {
    if (!this.#left) this.#watch.left(how);
    this.#left = true;
  }
}

function watchedHandler(handler: SocketHandler, watch: SocketWatch): SocketHandler {
  return {
    octets(octets: Buffer) {
      watch.received(octets);
      handler.octets(octets);
    },
    ended() {
      watch.ended();
      handler.ended();
    },
    drained: () => handler.drained(),
    secured(facts: TlsFacts) {
      watch.secured();
      handler.secured(facts);
    },
    handshakeFailed: (reason: string) => handler.handshakeFailed(reason),
    closed(reason: string) {
      watch.closed(reason);
      handler.closed(reason);
    },
  };
}
