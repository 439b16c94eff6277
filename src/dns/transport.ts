/**
 * One question to one server, and its answer back: octets over UDP, and over TCP when the answer was cut short.
 *
 * An answer counts only if it came from the server's address and port to the port that asked, with the id, the
 * name (in any case), type and class that were asked (RFC 5452 §9.1). Anything else is dropped and counted. An error
 * may lack the question: servers that understand or serve nobody send their header alone. That spares a forger
 * nothing, for he knows the question as well as we do; and an error makes us ask elsewhere, and never a listing.
 * So that nobody guesses them, every question has a random id and a port of its own, chosen by the kernel, up to
 * `portsMax` a server; beyond that it shares one of those, at random (RFC 5452 §9.2). A port closes with its last
 * question, so an idle transport has no descriptor open and keeps no process alive.
 * Never throws; what goes wrong is reported by `failed`. No event is called from within a method.
 * The traps of Bun here, and what is done about them:
 * - A UDP socket is bound to 0.0.0.0 unless told; connecting it to an IPv6 address then fails.
 * - Its `error` handler is called with the error alone, not with the socket first as bun-types says.
 * - Bun.connect has no timeout and cannot be called off: a timer races it, and a late `open` is terminated.
 *   Until the kernel gives up it counts as one of `tcpMax`.
 * - Bun.connect both rejects and calls `connectError`: the first of them counts.
 * Not here: when to ask again or elsewhere, and what an answer means (resolver.ts).
 * Rejected: unconnected sockets. The kernel drops strangers for us (uncounted), and tells of a dead server at once.
 * Rejected: a lasting pool of ports. A new socket costs 14 µs, and a port that lives long can be found out.
 * RFC 1035 §4, RFC 5452, RFC 7766.
 */
import { isIPv6 } from "node:net";
import { codeOf, type Doing, explainError } from "../lib/errors.ts";
import { formatHostPort } from "../lib/host-port.ts";

export interface DnsServer {
  /** IPv4 or IPv6, no name. */
  readonly address: string;
  readonly port: number;
}

/** "192.0.2.1:53" or "[2001:db8::1]:53". */
export function describeServer({ address, port }: DnsServer): string {
  return formatHostPort(address, port);
}

export interface AskHandler {
  /** The answer, not cut short. Header and question are sound; nothing else has been looked at. */
  answered(message: Buffer): void;
  /** This server will not answer any more. */
  failed(failure: AskFailure): void;
}

export interface AskFailure {
  /** One line: "REFUSED". */
  readonly reason: string;
  /** Nobody was asked, for want of room here: connections, descriptors, memory. */
  readonly isOurs: boolean;
}

/** A question under way. It is asked until `answered`, `failed` or `cancel`, whichever comes first. */
export interface Asking {
  /** Sends the question once more: the same octets from the same port. Nothing over TCP. */
  again(): void;
  cancel(): void;
}

/** Sockets for one server. 2,000 questions at once then share each port by about 30. */
export const portsMax = 64;
/** Connections at once, to all servers. */
export const tcpMax = 32;
/** Over TCP; no list says more than this about one address. */
const tcpOctetsMax = 16 * 1024;
export const headerOctets = 12;
/** What the kernel says when this host has run out of something. */
const ownLacks: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]);
const closedEarly: AskFailure = { reason: "closed without an answer", isOurs: false };
/** FORMERR, SERVFAIL, NOTIMP, REFUSED (RFC 1035 §4.1.1). NXDOMAIN says something of a name, so it has to name it. */
const errorCodes: ReadonlySet<number> = new Set([1, 2, 4, 5]);

export class DnsTransport {
  readonly #tcpTimeoutMs: number;
  readonly #ports = new Map<DnsServer, UdpPort[]>();
  #tcpConnections = 0;
  #strays = 0;

  /** `tcpTimeoutMs`: for a connection and its answer together. */
  constructor(tcpTimeoutMs: number) {
    this.#tcpTimeoutMs = tcpTimeoutMs;
  }

  /** Datagrams that answered no question that is out: forged, late, or broken. */
  get strays(): number {
    return this.#strays;
  }

  /** `query` is a whole message with one question; its id is filled in. One server is one object. */
  ask(server: DnsServer, query: Buffer, handler: AskHandler): Asking {
    const port = this.#portFor(server);
    let cancelTcp: (() => void) | undefined;
    const id = port.ask(query, {
      failed: (failure) => handler.failed(failure),
      answered: (message) => {
        if (!isTruncated(message)) handler.answered(message);
        else cancelTcp = this.#askTcp(server, query, handler);
      },
    });
    return {
      again: () => port.send(id),
      cancel: () => {
        port.forget(id);
        cancelTcp?.();
      },
    };
  }

  /** Gives up what is out, without a word. */
  close(): void {
    for (const ports of this.#ports.values()) for (const port of [...ports]) port.close();
  }

  #portFor(server: DnsServer): UdpPort {
    const ports = this.#ports.get(server) ?? [];
    this.#ports.set(server, ports);
    const shared = ports.length < portsMax ? undefined : ports[random16() % ports.length];
    if (shared !== undefined) return shared;
    const port = new UdpPort(server, {
      stray: () => {
        this.#strays += 1;
      },
      closed: () => void ports.splice(ports.indexOf(port), 1),
    });
    ports.push(port);
    return port;
  }

  /** Returns the way to call it off. */
  #askTcp(server: DnsServer, query: Buffer, handler: AskHandler): (() => void) | undefined {
    if (this.#tcpConnections >= tcpMax) {
      queueMicrotask(() => handler.failed({ reason: "too many TCP connections", isOurs: true }));
      return undefined;
    }
    this.#tcpConnections += 1;
    return askTcp(server, query, this.#tcpTimeoutMs, handler, () => {
      this.#tcpConnections -= 1;
    });
  }
}

/** A UDP socket of one server's, open for as long as questions wait on it. */
class UdpPort {
  readonly #waiting = new Map<number, { readonly query: Buffer; readonly handler: AskHandler }>();
  readonly #owner: { stray(): void; closed(): void };
  #socket: Bun.udp.ConnectedSocket<"buffer"> | undefined;
  #closed = false;

  constructor(server: DnsServer, owner: { stray(): void; closed(): void }) {
    this.#owner = owner;
    // Bun.udpSocket throws at once where there is no descriptor left, and the owner has no port yet.
    queueMicrotask(() => this.#open(server));
  }

  /** Returns the question's id on this port. */
  ask(query: Buffer, handler: AskHandler): number {
    let id = random16();
    while (this.#waiting.has(id)) id = random16();
    this.#waiting.set(id, { query: withId(query, id), handler });
    this.send(id);
    return id;
  }

  /** A full send buffer counts as a datagram lost on the way: the resolver asks again. */
  send(id: number): void {
    const asked = this.#waiting.get(id);
    if (asked === undefined || this.#socket === undefined) return;
    try {
      this.#socket.send(asked.query);
    } catch (error) {
      const failure = failureOf(error, "dial");
      queueMicrotask(() => {
        if (this.forget(id)) asked.handler.failed(failure);
      });
    }
  }

  /** False if it was answered or forgotten before. The last one closes the port. */
  forget(id: number): boolean {
    if (!this.#waiting.delete(id)) return false;
    if (this.#waiting.size === 0) this.close();
    return true;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#waiting.clear();
    this.#socket?.close();
    this.#socket = undefined;
    this.#owner.closed();
  }

  async #open(server: DnsServer): Promise<void> {
    if (this.#closed) return;
    try {
      const socket = await Bun.udpSocket({
        hostname: isIPv6(server.address) ? "::" : "0.0.0.0",
        connect: { hostname: server.address, port: server.port },
        binaryType: "buffer",
        socket: {
          data: (_socket, message) => this.#received(message),
          error: (...told: unknown[]) => this.#failed(toldFailure(told)),
        },
      });
      if (this.#closed) return socket.close();
      this.#socket = socket;
      for (const id of this.#waiting.keys()) this.send(id);
    } catch (error) {
      this.#failed(failureOf(error, "dial"));
    }
  }

  #received(message: Buffer): void {
    if (this.#closed) return;
    const id = message.length < headerOctets ? undefined : message.readUInt16BE(0);
    const asked = id === undefined ? undefined : this.#waiting.get(id);
    if (id === undefined || asked === undefined || !isAnswerTo(message, asked.query)) {
      this.#owner.stray();
      return;
    }
    this.forget(id);
    asked.handler.answered(message);
  }

  /** What goes wrong on a connected socket goes wrong for all who wait on it: the server is not there. */
  #failed(failure: AskFailure): void {
    const waiting = [...this.#waiting.values()];
    this.close();
    for (const { handler } of waiting) handler.failed(failure);
  }
}

/** A connection for one question. `freed` is called once, when its descriptor is gone. Returns the way to stop it. */
function askTcp(
  server: DnsServer,
  query: Buffer,
  timeoutMs: number,
  handler: AskHandler,
  freed: () => void,
): () => void {
  const asked = withId(query, random16());
  let native: Bun.Socket<unknown> | undefined;
  let state: "asking" | "over" | "freed" = "asking";
  let received: Buffer = Buffer.alloc(0);
  const stop = (): boolean => {
    if (state !== "asking") return false;
    state = "over";
    clearTimeout(timer);
    native?.terminate();
    return true;
  };
  const failWith = ({ reason, isOurs }: AskFailure): void => {
    if (stop()) handler.failed({ reason: `over TCP: ${reason}`, isOurs });
  };
  const fail = (reason: string): void => failWith({ reason, isOurs: false });
  const gone = (failure: AskFailure): void => {
    failWith(failure);
    if (state !== "freed") freed();
    state = "freed";
  };
  const timer = setTimeout(() => fail(`no answer within ${timeoutMs / 1000}s`), timeoutMs);
  const socket: Bun.SocketHandler<unknown> = {
    open(opened) {
      native = opened;
      if (state !== "asking") return void opened.terminate();
      const framed = Buffer.concat([Buffer.from([asked.length >> 8, asked.length & 0xff]), asked]);
      if (opened.write(framed) !== framed.length) fail("cannot write");
    },
    data(_socket, octets) {
      if (state !== "asking") return;
      received = Buffer.concat([received, octets]);
      const length = received.length < 2 ? 0 : received.readUInt16BE(0);
      if (length > tcpOctetsMax) return fail("answer too long");
      if (received.length < 2 || received.length < 2 + length) return;
      const message = received.subarray(2, 2 + length);
      const sameId = length >= headerOctets && message.readUInt16BE(0) === asked.readUInt16BE(0);
      if (!sameId || !isAnswerTo(message, asked)) return fail("not the answer to what was asked");
      if (isTruncated(message)) return fail("cut short there too");
      if (stop()) handler.answered(message);
    },
    close: (_socket, error) => gone(error ? failureOf(error, "talk") : closedEarly),
    end: () => failWith(closedEarly),
    error: (_socket, error) => failWith(failureOf(error, "talk")),
    connectError: (_socket, error) => gone(failureOf(error, "dial")),
  };
  const connect = async () => Bun.connect<unknown>({ hostname: server.address, port: server.port, socket });
  connect().catch((error: unknown) => gone(failureOf(error, "dial")));
  return stop;
}

/** `query` is ours, so only letters of its question can differ from the answer's: lengths, type and class are none. */
export function isAnswerTo(message: Buffer, query: Buffer): boolean {
  if (message.length < headerOctets || query.length < headerOctets) return false;
  const isResponse = (message.readUInt8(2) & 0xf8) === 0x80;
  if (!isResponse) return false;
  if (message.readUInt16BE(4) === 0) return errorCodes.has(message.readUInt8(3) & 0x0f);
  if (message.readUInt16BE(4) !== 1 || message.length < query.length) return false;
  for (let at = headerOctets; at < query.length; at += 1) {
    if (lowerCase(message[at]) !== lowerCase(query[at])) return false;
  }
  return true;
}

function isTruncated(message: Buffer): boolean {
  return (message.readUInt8(2) & 0x02) !== 0;
}

/** Bun's UDP `error` is called with the error among other things. */
function toldFailure(told: readonly unknown[]): AskFailure {
  const error = told.find((one) => codeOf(one) !== undefined);
  return error === undefined ? { reason: "UDP error", isOurs: false } : failureOf(error, "dial");
}

function failureOf(error: unknown, doing: Doing): AskFailure {
  return { reason: explainError(error, doing), isOurs: ownLacks.has(codeOf(error) ?? "") };
}

function lowerCase(octet = 0): number {
  return octet >= 0x41 && octet <= 0x5a ? octet + 0x20 : octet;
}

function withId(query: Buffer, id: number): Buffer {
  const copy = Buffer.from(query);
  copy.writeUInt16BE(id, 0);
  return copy;
}

function random16(): number {
  const [number = 0] = crypto.getRandomValues(new Uint16Array(1));
  return number;
}
