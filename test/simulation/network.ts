/**
 * The `Network` of src/shell/network.ts in a simulated world: the real BunSocket over a fake of Bun's socket, a virtual
 * clock, made-up name resolution; and the actors' way in, as clients that dial the program and relays that listen.
 *
 * Everything that happens is a timer of the clock: nothing happens by itself. One seed, one run.
 * It tells failures in the words of bun/network.ts. Not here: unix sockets, inherited descriptors, the bound on
 * dials without an answer (abandonedDialsMax).
 */
import { isIP, isIPv4 } from "node:net";
import { BunSocket, type FaultHandler, plainHandlers, type SocketSystem } from "../../src/bun/socket.ts";
import {
  closeMs,
  type Dial,
  type DialHandler,
  type DialTarget,
  type Endpoint,
  type Listener,
  type ListenTarget,
  type Network,
  type Socket,
  type SocketHandler,
} from "../../src/shell/network.ts";
import { ActorEnd, type End, type Peer } from "./actor.ts";
import type { Clock, Timer } from "./clock.ts";
import { kernelQueuedOctetsOf, NativeConnection } from "./native.ts";
import type { Random } from "./random.ts";
import { type Conditions, calm, KernelSocket } from "./wire.ts";

export type { End, Peer, TlsFate } from "./actor.ts";
export { type Conditions, calm } from "./wire.ts";

/**
 * What becomes of the program's dial. "silent": no answer at all. "resets": at once, or just after it was opened.
 * `accept` is called when the connection is there; the Peer may be written for with `end` from then on.
 */
export type RelayBehaviour = { accept(end: End): Peer } | "refused" | "silent" | "resets";

export type NameAnswer = { readonly addresses: readonly string[] } | { readonly failure: string };

export interface Stoppable {
  stop(): void;
}

export interface Address {
  readonly address: string;
  readonly port: number;
}

type Accept = (socket: Socket) => SocketHandler;

interface Relay {
  readonly behaviour: RelayBehaviour;
  readonly conditions: Conditions;
}

const firstFreePort = 40_000;
/** The program's own address, where it dials itself. */
const own = "192.0.2.1";

export class FakeNetwork implements Network {
  /** What a host name resolves to. Others fail with ENOTFOUND; addresses are themselves. */
  readonly names = new Map<string, NameAnswer>();
  /** How long an answer takes, from and to. */
  namesMs: readonly [number, number] = [0, 20];
  /** The wall clock may be set while the world runs. */
  unixEpochMs: number;
  readonly #clock: Clock;
  /** Only forked: each connection has a stream of its own, so that one client less changes nothing for the others. */
  readonly #random: Random;
  readonly #namesRandom: Random;
  readonly #system: SocketSystem;
  readonly #onFault: FaultHandler;
  readonly #listeners = new Map<number, Accept>();
  readonly #relays = new Map<string, Relay>();
  #nextPort = firstFreePort;
  #openSockets = 0;
  #openTimers = 0;
  #openDials = 0;
  /** So far. */
  #dials = 0;

  constructor(clock: Clock, random: Random, onFault: FaultHandler, unixEpochMs: number) {
    this.#clock = clock;
    this.#random = random;
    this.#namesRandom = random.fork("names");
    this.#onFault = onFault;
    this.unixEpochMs = unixEpochMs;
    this.#system = {
      closeMs,
      onFault,
      timer: (delayMs, callback) => this.timer(delayMs, callback),
      socketClosed: () => {},
      kernelQueuedOctets: kernelQueuedOctetsOf,
    };
  }

  /** Descriptors of the program. */
  get openSockets(): number {
    return this.#openSockets;
  }

  /** The program's timers that neither ran nor were cancelled, those of its dials among them. */
  get openTimers(): number {
    return this.#openTimers;
  }

  /** The program's dials that are neither open nor failed nor cancelled. */
  get openDials(): number {
    return this.#openDials;
  }

  // --- For the actors -------------------------------------------------------------------------------------------

  /** A client dials a listener of the program. Where nobody listens its End is closed: closed("ECONNREFUSED"). */
  connect(from: Address, to: number, conditions: Conditions, peer: (end: End) => Peer): void {
    const random = this.#random.fork(`client ${from.address} ${from.port}`);
    this.#clock.timer(random.between(...conditions.latencyMs), () => {
      const [ours, theirs] = this.#kernels(random, conditions, Number.POSITIVE_INFINITY);
      const end = new ActorEnd(theirs, random);
      const accept = this.#listeners.get(to);
      if (accept === undefined) {
        end.refuse(peer(end));
        return;
      }
      end.adopt(peer(end));
      this.#open(ours, random, "server", conditions, from.address, accept);
    });
  }

  /** A relay listens. It takes the place of another one at the same address; `stop` refuses dials from then on. */
  serve(address: string, port: number, behaviour: RelayBehaviour, conditions: Conditions): Stoppable {
    const relay = { behaviour, conditions };
    const key = keyOf({ address, port });
    this.#relays.set(key, relay);
    return {
      stop: () => {
        if (this.#relays.get(key) === relay) this.#relays.delete(key);
      },
    };
  }

  // --- For the program ------------------------------------------------------------------------------------------

  dial(target: DialTarget, timeoutMs: number, handler: DialHandler): Dial {
    let waiting = true;
    let timer: Timer | undefined;
    const settle = (): boolean => {
      const first = waiting;
      waiting = false;
      timer?.cancel();
      if (first) this.#openDials -= 1;
      return first;
    };
    const fail = (reason: string): void => {
      if (settle()) this.#guard(() => handler.failed(reason));
    };
    this.#openDials += 1;
    timer = this.timer(timeoutMs, () => fail(`no answer within ${timeoutMs / 1000}s`));
    if ("unix" in target) queueMicrotask(() => fail("ENOENT"));
    else this.#reach(target, settle, fail, (socket) => handler.opened(socket));
    return { cancel: () => void settle() };
  }

  listen(target: ListenTarget, accept: Accept): Listener {
    if (!("port" in target)) throw new Error("the simulated network listens on TCP ports alone");
    const port = target.port === 0 ? this.#freePort() : target.port;
    if (this.#listeners.has(port)) throw new Error(`cannot listen on ${target.host}:${port}: EADDRINUSE`);
    this.#listeners.set(port, accept);
    return {
      name: `${target.host}:${port}`,
      port,
      stop: () => {
        if (this.#listeners.get(port) === accept) this.#listeners.delete(port);
      },
    };
  }

  resolve(host: string): Promise<NameAnswer> {
    if (isIP(host) !== 0) return Promise.resolve({ addresses: [host] });
    return new Promise((resolve) => {
      this.#clock.timer(this.#namesRandom.between(...this.namesMs), () => {
        resolve(this.names.get(host) ?? { failure: host === "" ? "no host name" : "ENOTFOUND" });
      });
    });
  }

  now(): number {
    return this.#clock.now;
  }

  timer(delayMs: number, callback: () => void): Timer {
    let waiting = true;
    const settle = (): void => {
      if (waiting) this.#openTimers -= 1;
      waiting = false;
    };
    this.#openTimers += 1;
    const timer = this.#clock.timer(delayMs, () => {
      settle();
      this.#guard(callback);
    });
    return {
      cancel: () => {
        settle();
        timer.cancel();
      },
    };
  }

  // --- Private parts --------------------------------------------------------------------------------------------

  /** A dial on its way. `settle` is false if nobody waits for it any more. */
  #reach(target: Address, settle: () => boolean, fail: (reason: string) => void, accept: Accept): void {
    const relay = this.#relays.get(keyOf(target));
    const conditions = relay?.conditions ?? calm;
    this.#dials += 1;
    const random = this.#random.fork(`dial ${this.#dials}`);
    const roundTrip = random.between(...conditions.latencyMs) + random.between(...conditions.latencyMs);
    if (relay?.behaviour === "silent") return;
    this.#clock.timer(roundTrip, () => {
      const answer = this.#relays.get(keyOf(target))?.behaviour ?? this.#listeners.get(target.port);
      if (answer === undefined || answer === "refused") fail("ECONNREFUSED");
      else if (answer === "resets" && random.chance(0.5)) fail("ECONNRESET");
      else if (answer === "silent") return;
      else if (settle()) this.#answer(target, random, conditions, answer, accept);
      else if (typeof answer === "object") this.#abandon(answer, random, conditions);
    });
  }

  /** The program has given up meanwhile: the relay sees a connection come, and its reset. */
  #abandon(answer: { accept(end: End): Peer }, random: Random, conditions: Conditions): void {
    const [ours, theirs] = this.#kernels(random, conditions, Number.POSITIVE_INFINITY);
    const end = new ActorEnd(theirs, random);
    end.adopt(answer.accept(end));
    ours.reset();
  }

  #answer(
    target: Address,
    random: Random,
    conditions: Conditions,
    answer: Exclude<RelayBehaviour, "refused" | "silent"> | Accept,
    accept: Accept,
  ): void {
    const isOurs = typeof answer === "function";
    const capacity = isOurs ? conditions.sendBufferOctets : Number.POSITIVE_INFINITY;
    const [ours, theirs] = this.#kernels(random, conditions, capacity);
    if (typeof answer === "object") {
      const end = new ActorEnd(theirs, random);
      end.adopt(answer.accept(end));
    }
    this.#open(ours, random, "client", conditions, target.address, accept);
    if (isOurs) this.#open(theirs, random, "server", conditions, own, answer);
    else if (answer === "resets") theirs.reset();
  }

  /** Two ends of a connection, the program's first. */
  #kernels(
    random: Random,
    conditions: Conditions,
    othersCapacity: number,
  ): readonly [KernelSocket, KernelSocket] {
    const ours = new KernelSocket(this.#clock, random, conditions, conditions.sendBufferOctets);
    const theirs = new KernelSocket(this.#clock, random, conditions, othersCapacity);
    KernelSocket.join(ours, theirs);
    return [ours, theirs];
  }

  #open(
    kernel: KernelSocket,
    random: Random,
    role: "client" | "server",
    conditions: Conditions,
    address: string,
    accept: Accept,
  ): void {
    this.#openSockets += 1;
    const connection = new NativeConnection(kernel, plainHandlers, {
      clock: this.#clock,
      random,
      conditions,
      role,
      closed: () => {
        this.#openSockets -= 1;
      },
    });
    const remote: Endpoint = { family: isIPv4(address) ? "ipv4" : "ipv6", address };
    new BunSocket(connection.native, remote, this.#system, accept);
  }

  #freePort(): number {
    this.#nextPort += 1;
    return this.#nextPort;
  }

  #guard(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.#onFault(error);
    }
  }
}

function keyOf({ address, port }: Address): string {
  return `${address} ${port}`;
}
