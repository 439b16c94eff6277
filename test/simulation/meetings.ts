/**
 * What the tests of the simulated network share: a small world in which one program's socket meets one actor that
 * writes down what it hears.
 */
import { expect } from "bun:test";
import type { ClientTls, ServerTls, Socket } from "../../src/shell/network.ts";
import { Recorder } from "../bun/support.ts";
import { Clock } from "./clock.ts";
import { type Conditions, calm, type End, FakeNetwork, type Peer } from "./network.ts";
import { Random } from "./random.ts";

/** The pretended TLS looks at no certificate of ours. */
export const serverTls: ServerTls = { role: "server", context: {} };

export function clientTls(verify: boolean): ClientTls {
  return { role: "client", serverName: "relay.test", verify, authorities: [] };
}

export function simulated(conditions: Partial<Conditions> = {}, seed = 1): SmallWorld {
  return new SmallWorld(conditions, seed);
}

/** Writes down what an actor hears. "octets" is in `events` once for each run of them. */
export class ActorRecorder implements Peer {
  readonly events: string[] = [];
  readonly chunks: Buffer[] = [];
  octetsReceived = 0;
  /** Called after an event was written down. */
  on: Partial<Peer> = {};

  octets(octets: Buffer): void {
    if (this.events.at(-1) !== "octets") this.events.push("octets");
    this.octetsReceived += octets.length;
    this.chunks.push(octets);
    this.on.octets?.(octets);
  }
  ended(): void {
    this.events.push("ended");
    this.on.ended?.();
  }
  secured(): void {
    this.events.push("secured");
  }
  handshakeFailed(reason: string): void {
    this.events.push(`handshakeFailed ${reason}`);
  }
  closed(reason: string): void {
    this.events.push(`closed ${reason}`);
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString("latin1");
  }
}

/** The program's socket and an actor, connected. */
export interface Meeting {
  readonly program: Recorder;
  readonly actor: ActorRecorder;
  readonly end: End;
  readonly world: SmallWorld;
}

export class SmallWorld {
  readonly clock = new Clock();
  readonly network: FakeNetwork;
  readonly conditions: Conditions;
  readonly faults: unknown[] = [];

  constructor(conditions: Partial<Conditions>, seed: number) {
    this.conditions = { ...calm, ...conditions };
    this.network = new FakeNetwork(this.clock, new Random(seed), (error) => this.faults.push(error), 0);
  }

  run(ms: number): void {
    this.clock.runUntil(this.clock.now + ms);
  }

  /** An actor dials the program. */
  meetClient(address = "198.51.100.1"): Meeting {
    const { actor, accept, end } = newActor();
    let program: Recorder | undefined;
    const listener = this.network.listen({ host: "", port: 25 }, (socket) => {
      program = new Recorder(socket);
      return program;
    });
    this.network.connect({ address, port: 9 }, 25, this.conditions, accept);
    this.run(this.conditions.latencyMs[1]);
    listener.stop();
    return this.#meeting(program, actor, end());
  }

  /** The program dials an actor. */
  meetRelay(): Meeting {
    const { actor, accept, end } = newActor();
    let program: Recorder | undefined;
    const relay = this.network.serve("192.0.2.25", 25, { accept }, this.conditions);
    const opened = (socket: Socket) => {
      program = new Recorder(socket);
      return program;
    };
    this.network.dial({ address: "192.0.2.25", port: 25 }, 30_000, { opened, failed() {} });
    this.run(2 * this.conditions.latencyMs[1]);
    relay.stop();
    return this.#meeting(program, actor, end());
  }

  /** The program hangs up; then nothing is left of the connections, nor of anything else. */
  leaveNothing(...meetings: readonly Meeting[]): void {
    for (const { program } of meetings) program.socket.terminate();
    this.run(30_000);
    for (const { program, actor } of meetings) {
      expect([program.closings, actor.events.filter((event) => event.startsWith("closed")).length]).toEqual([
        1, 1,
      ]);
    }
    const { openSockets, openTimers, openDials } = this.network;
    expect({ openSockets, openTimers, openDials }).toEqual({ openSockets: 0, openTimers: 0, openDials: 0 });
    expect([this.clock.pending, this.faults]).toEqual([0, []]);
  }

  #meeting(program: Recorder | undefined, actor: ActorRecorder, end: End | undefined): Meeting {
    if (program === undefined || end === undefined) throw new Error("they did not meet");
    return { program, actor, end, world: this };
  }
}

/** An actor that is to be connected once. */
export function newActor() {
  const actor = new ActorRecorder();
  let opened: End | undefined;
  const accept = (end: End): Peer => {
    opened = end;
    return actor;
  };
  return { actor, accept, end: () => opened };
}
