/**
 * The proxy in this process, over real sockets, with its log events, its timers and its clock in the test's hands.
 */
import { BunNetwork } from "../../src/bun/network.ts";
import { newSessionId } from "../../src/host/session-id.ts";
import type { LogEvent, TransactionEvent } from "../../src/ops/events.ts";
import { AddressSet } from "../../src/screening/addresses.ts";
import { PassedClients } from "../../src/screening/passed-clients.ts";
import { ZoneHealth } from "../../src/screening/zone-health.ts";
import type { Resolver } from "../../src/shell/client-connection.ts";
import {
  congestedOctets,
  type Dial,
  type DialHandler,
  type DialTarget,
  type Listener,
  type ListenTarget,
  type Network,
  type ServerTls,
  type Socket,
  type SocketHandler,
} from "../../src/shell/network.ts";
import { Server, type ServerSettings } from "../../src/shell/server.ts";
import { eventually } from "../bun/support.ts";
import { ScriptedClient } from "./scripted-client.ts";

export { Authority, descriptors, eventually, patternOctets, sha256 } from "../bun/support.ts";
export { noReply, ScriptedClient } from "./scripted-client.ts";
export { type Act, type RelayTalk, type Script, ScriptedRelay, type Step } from "./scripted-relay.ts";

type Resolved = { readonly addresses: readonly string[] } | { readonly failure: string };

/** BunNetwork, with what a test may want to bend. */
export class WatchedNetwork implements Network {
  readonly #inner: BunNetwork;
  /** Timers set and neither fired nor cancelled. */
  timers = 0;
  /** How many more times the clock throws. */
  clockFails = 0;
  /** Added to the clock. */
  skewMs = 0;
  readonly dialled: string[] = [];
  readonly held: HeldSocket[] = [];
  /** Names that the test resolves. */
  names: Readonly<Record<string, readonly string[]>> = {};
  /** Called before each dial; may throw. */
  onDial: (target: DialTarget) => void = () => {};
  /** New connections to the relay can be held. */
  holdable = false;

  constructor(onFault: (error: unknown) => void) {
    this.#inner = new BunNetwork(onFault, { closeMs: 200 });
  }

  dial(target: DialTarget, timeoutMs: number, handler: DialHandler): Dial {
    this.dialled.push("unix" in target ? target.unix : `${target.address} ${target.port}`);
    this.onDial(target);
    return this.#inner.dial(target, timeoutMs, {
      opened: (socket) => {
        if (!this.holdable) return handler.opened(socket);
        const held = new HeldSocket(socket);
        this.held.push(held);
        return held.opened((outer) => handler.opened(outer));
      },
      failed: (reason) => handler.failed(reason),
    });
  }

  listen(target: ListenTarget, accept: (socket: Socket) => SocketHandler): Listener {
    return this.#inner.listen(target, accept);
  }

  async resolve(host: string): Promise<Resolved> {
    const addresses = this.names[host];
    return addresses === undefined ? this.#inner.resolve(host) : { addresses };
  }

  now(): number {
    if (this.clockFails > 0) {
      this.clockFails -= 1;
      throw new Error("the clock has a bug");
    }
    return this.#inner.now() + this.skewMs;
  }

  get unixEpochMs(): number {
    return this.#inner.unixEpochMs - this.skewMs;
  }

  timer(delayMs: number, callback: () => void): { cancel(): void } {
    this.timers += 1;
    let live = true;
    const over = (): void => {
      if (live) this.timers -= 1;
      live = false;
    };
    const timer = this.#inner.timer(delayMs, () => {
      over();
      callback();
    });
    return {
      cancel: () => {
        over();
        timer.cancel();
      },
    };
  }
}

/** A socket whose peer's window can be shut: what is written stays in its queue until `letGo`. */
export class HeldSocket implements Socket {
  readonly #inner: Socket;
  #handler: SocketHandler | undefined;
  #queue: Buffer[] = [];
  #congested = false;
  holding = false;
  /** What is held counts as taken by the kernel: it is unread, and not queued. */
  kernelTakes = false;
  writeFails = false;

  constructor(inner: Socket) {
    this.#inner = inner;
  }

  opened(adopt: (socket: Socket) => SocketHandler): SocketHandler {
    this.#handler = adopt(this);
    return this.#handler;
  }

  get remote() {
    return this.#inner.remote;
  }
  get #heldOctets(): number {
    return this.#queue.reduce((sum, { length }) => sum + length, 0);
  }
  get queuedOctets(): number {
    return this.#inner.queuedOctets + (this.kernelTakes ? 0 : this.#heldOctets);
  }
  get unreadOctets(): number {
    return this.#inner.unreadOctets + this.#heldOctets;
  }
  handle(handler: SocketHandler): void {
    this.#handler = handler;
    this.#inner.handle(handler);
  }
  write(octets: Buffer): void {
    if (this.writeFails) throw new Error("this socket has a bug");
    if (this.holding) this.#queue.push(octets);
    else this.#inner.write(octets);
  }
  spent(octets: Buffer): void {
    this.#inner.spent(octets);
  }
  flush(): void {
    this.#inner.flush();
    if (this.queuedOctets > congestedOctets) this.#congested = true;
  }
  letGo(): void {
    this.holding = false;
    for (const octets of this.#queue.splice(0)) this.#inner.write(octets);
    this.#inner.flush();
    if (this.#congested) this.#handler?.drained();
    this.#congested = false;
  }
  pause(): void {
    this.#inner.pause();
  }
  resume(): void {
    this.#inner.resume();
  }
  secure(tls: Parameters<Socket["secure"]>[0]): void {
    this.#inner.secure(tls);
  }
  close(): void {
    this.#inner.close();
  }
  terminate(): void {
    this.#queue = [];
    this.#inner.terminate();
  }
}

const loopback = { octets: [127, 0, 0, 0], prefixBits: 8 };
const noResolver: Resolver = {
  lookUp(_question, told) {
    queueMicrotask(() => told({ kind: "none", ttlMs: 60_000 }));
    return { cancel() {} };
  },
  close() {},
};

export interface Bent {
  readonly policy?: Partial<ServerSettings["policy"]>;
  readonly pool?: Partial<ServerSettings["pool"]>;
  readonly maxConnections?: number;
  readonly tls?: ServerTls;
  readonly screening?: Partial<ServerSettings["screening"]>;
  readonly server?: Partial<ServerSettings>;
  readonly resolver?: Resolver;
}

export class TestProxy {
  readonly server: Server;
  readonly network: WatchedNetwork;
  readonly events: LogEvent[] = [];
  readonly faults: unknown[] = [];
  readonly port: number;

  constructor(relayPorts: readonly number[], bent: Bent = {}) {
    this.network = new WatchedNetwork((error) => this.faults.push(error));
    const shell = {
      network: this.network,
      log: (event: LogEvent) => void this.events.push(event),
      newSessionId,
      // A clock of its own: the test bends the network's.
      stopwatch: () => performance.now(),
    };
    const settings: ServerSettings = {
      maxConnections: bent.maxConnections ?? 100,
      maxConnectionsPerClient: 20,
      maxTarpitted: 50,
      tarpitDurationMs: 1_000,
      trusted: new AddressSet([loopback]),
      screening: {
        greetingDelayMs: 0,
        dnsblTimeoutMs: 1_000,
        observe: false,
        zones: [],
        threshold: 1,
        health: new ZoneHealth(),
        memory: new PassedClients(),
        ...bent.screening,
      },
      policy: {
        serverName: "proxy.test",
        loopMark: "MARK0123",
        starttlsOffered: bent.tls !== undefined,
        bareNewline: "reject",
        maxMessageOctets: 300 * 1024 * 1024,
        maxRecipients: 100,
        maxErrors: 10,
        maxHops: 50,
        commandTimeoutMs: 5_000,
        dataTimeoutMs: 5_000,
        minDataRate: 0,
        validRecipients: undefined,
        overrideRecipient: undefined,
        logDialogue: false,
        ...bent.policy,
      },
      pool: {
        heloName: "proxy.test",
        loopMark: "MARK0123",
        tls: "off",
        credentials: undefined,
        connectTimeoutMs: 5_000,
        replyTimeoutMs: 5_000,
        idleTimeoutMs: 20_000,
        logDialogue: false,
        relays: relayPorts.map((port) => ({ host: "127.0.0.1", port })),
        connectionsMax: 20,
        authorities: undefined,
        ...bent.pool,
      },
    };
    this.server = new Server(shell, { ...settings, ...bent.server }, bent.resolver ?? noResolver, bent.tls);
    this.port = this.server.listen({ host: "127.0.0.1", port: 0 }).port;
  }

  get transactions(): readonly TransactionEvent[] {
    return this.events.filter((event) => event.event === "transaction");
  }

  get outcomes(): readonly string[] {
    return this.transactions.map(({ outcome }) => outcome);
  }

  get stacks(): readonly string[] {
    return this.events.flatMap((event) => (event.event === "fault" ? [event.stack] : []));
  }

  /** Ends the proxy and shows that it left nothing behind. */
  async stop(): Promise<void> {
    await eventually(() => this.server.sessions === 0, "no session is left");
    await this.server.shutdown(0);
    await eventually(() => this.network.timers === 0, `no timer is left of ${this.network.timers}`);
    if (this.faults.length > 0) throw new Error(`faults in handlers: ${this.faults.map(String).join("; ")}`);
  }

  /** A whole mail by a client of its own: the reply to the dot. */
  async mail(body: string, to?: readonly string[]): Promise<string> {
    const client = await ScriptedClient.greeted(this.port);
    const reply = await client.mail(body, to);
    await client.quit();
    return reply;
  }
}

/** What the relay got less our trace line; throws unless exactly that line is in front. */
export function behindTrace(body: Buffer): string {
  const text = body.toString("latin1");
  const trace = /^Received: from [^\r\n]*(?:\r\n[ \t][^\r\n]*)*\r\n/.exec(text);
  if (trace === null) throw new Error(`no trace line in front of ${text.slice(0, 200)}`);
  return text.slice(trace[0].length);
}
