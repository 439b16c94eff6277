/**
 * TCP between two kernels, as far as a program can see it: octets in order, cut anywhere, late; a send buffer that is
 * full until the other kernel acknowledges; a receive buffer that is full until its program reads; FIN, and RST.
 *
 * What leaves a kernel carries the acknowledgement of what that kernel had received by then; octets are acknowledged
 * at once by a segment of their own as well. Segments never overtake each other.
 * `user` hears of what arrived; no event is told from within a method. Deterministic: every draw is from `random`.
 * Not here: Bun's reading of events (native.ts), what actors make of them (actor.ts), loss, which TCP hides.
 */
import type { Clock, Timer } from "./clock.ts";
import type { Random } from "./random.ts";

/** How a connection behaves, in both directions. Plain data. */
export interface Conditions {
  /** How long a segment takes, from and to, in whole milliseconds. */
  readonly latencyMs: readonly [number, number];
  /** No segment is longer. */
  readonly segmentOctetsMax: number;
  /** How often a segment is cut at a random place before its natural end. */
  readonly cut: number;
  /** What the kernel takes of the program's octets until they are acknowledged. */
  readonly sendBufferOctets: number;
  /** What a kernel keeps for a program that does not read. */
  readonly receiveBufferOctets: number;
  /** How often write() takes less than the kernel could. */
  readonly shortWrite: number;
  /** How often a chunk that was on its way still comes after pause(). */
  readonly lateChunk: number;
  /** How often `drain` comes unasked. */
  readonly spuriousDrain: number;
  /** How often a segment is held up, and by how much more. What comes behind waits too. */
  readonly stall: number;
  readonly stallMs: readonly [number, number];
  /**
   * How often the program looks at its sockets late, and by how much: what has come meanwhile comes as one, and a
   * reset is felt by write() before it is heard of. Whoever looks late finds more acknowledged than a reply knew of.
   */
  readonly lateRead: number;
  readonly lateReadMs: readonly [number, number];
}

export const calm: Conditions = {
  latencyMs: [0, 2],
  segmentOctetsMax: 65_536,
  cut: 0,
  sendBufferOctets: 262_144,
  receiveBufferOctets: 131_072,
  shortWrite: 0,
  lateChunk: 0,
  spuriousDrain: 0,
  stall: 0,
  stallMs: [0, 0],
  lateRead: 0,
  lateReadMs: [0, 0],
};

/** Whose socket it is: a program, or an actor. */
export interface KernelUser {
  /** There are octets to be read, or the peer's FIN, or a reset. */
  readable(): void;
  /** A write that was not taken whole may be tried again. */
  writable(): void;
}

interface Segment {
  readonly at: number;
  readonly octets: Buffer | undefined;
  readonly flag: "fin" | "rst" | undefined;
  readonly acknowledged: number;
  /** What follows comes in an event of its own. */
  readonly apart: boolean;
}

const nobody: KernelUser = { readable() {}, writable() {} };

export class KernelSocket {
  user = nobody;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #conditions: Conditions;
  /** Infinite for an actor, whose kernel takes everything. */
  readonly #sendBufferOctets: number;
  #peer: KernelSocket | undefined;
  /** Taken and not yet sent. */
  #outbox: Buffer[] = [];
  #outboxOctets = 0;
  #taken = 0;
  #acknowledged = 0;
  #sending: "open" | "fin-wanted" | "fin-sent" = "open";
  #isBlocked = false;
  /** On the way to us. */
  #coming: Segment[] = [];
  #comingOctets = 0;
  #lastComingAt = 0;
  #arrival: Timer | undefined;
  /** Arrived and not yet read. */
  #inbox: Buffer[] = [];
  #inboxOctets = 0;
  #received = 0;
  #finArrived = false;
  #look: Timer | undefined;
  /** Its program has closed it; the kernel still sends what it had taken. */
  #isDeserted = false;
  #death: "ECONNRESET" | "EPIPE" | "ours" | undefined;

  constructor(clock: Clock, random: Random, conditions: Conditions, sendBufferOctets: number) {
    this.#clock = clock;
    this.#random = random;
    this.#conditions = conditions;
    this.#sendBufferOctets = sendBufferOctets;
  }

  static join(one: KernelSocket, other: KernelSocket): void {
    one.#peer = other;
    other.#peer = one;
  }

  /** SIOCOUTQ: taken, and not acknowledged by the peer's kernel. */
  get unacknowledgedOctets(): number {
    return this.#taken - this.#acknowledged;
  }

  /** Taken, and not read by the peer's program. */
  get unreadByPeer(): number {
    const peer = this.#peer;
    return this.#outboxOctets + (peer === undefined ? 0 : peer.#comingOctets + peer.#inboxOctets);
  }

  get unreadOctets(): number {
    return this.#inboxOctets;
  }

  /** The peer's FIN is what is to be read next. */
  get atFin(): boolean {
    return this.#finArrived && this.#inboxOctets === 0;
  }

  /** Why nothing can be written any more: the peer's reset (EPIPE after its FIN), or ours. */
  get death(): "ECONNRESET" | "EPIPE" | "ours" | undefined {
    return this.#death;
  }

  get finSent(): boolean {
    return this.#sending !== "open";
  }

  /** How many of `wanted` octets can be sent now; -1: none ever again. Where it is not all, `writable` follows. */
  take(wanted: number): number {
    if (this.#death !== undefined || this.#sending !== "open") return -1;
    const room = Math.max(0, this.#sendBufferOctets - this.unacknowledgedOctets);
    let taken = Math.min(wanted, room);
    if (taken > 0 && this.#random.chance(this.#conditions.shortWrite)) {
      taken = this.#random.below(taken);
      this.#clock.timer(this.#latency(), () => this.#unblock());
    }
    if (taken < wanted) this.#isBlocked = true;
    return taken;
  }

  /** Sends it all, whatever `take` would say. The Buffer is kept until it is read. */
  send(octets: Buffer): void {
    if (this.#death !== undefined || this.#sending !== "open") return;
    this.#outbox.push(octets);
    this.#outboxOctets += octets.length;
    this.#taken += octets.length;
    this.#transmit();
  }

  /** FIN behind what was sent. Reading goes on. */
  shutdown(): void {
    if (this.#death !== undefined || this.#sending !== "open") return;
    this.#sending = "fin-wanted";
    this.#transmit();
  }

  /** As close(2): FIN, or a reset if something was left unread; octets that come later are answered by a reset. */
  close(): void {
    if (this.#death !== undefined || this.#isDeserted) return;
    this.#isDeserted = true;
    if (this.#inboxOctets > 0) this.reset();
    else this.shutdown();
  }

  reset(): void {
    if (this.#death !== undefined) return;
    this.#die("ours");
    const latency = this.#latency();
    if (this.#peer !== undefined) this.#peer.#launch(undefined, "rst", this.#received, true, latency);
  }

  /** What has arrived, as one chunk. */
  read(octetsMax: number): Buffer | undefined {
    const first = this.#inbox[0];
    if (first === undefined) return undefined;
    const arrived = this.#inbox.length === 1 ? first : Buffer.concat(this.#inbox, this.#inboxOctets);
    const isAll = arrived.length <= octetsMax;
    const octets = isAll ? arrived : arrived.subarray(0, octetsMax);
    this.#inbox = isAll ? [] : [arrived.subarray(octetsMax)];
    this.#inboxOctets -= octets.length;
    if (this.#peer !== undefined) this.#peer.#transmit();
    return octets;
  }

  // Private parts.

  get #window(): number {
    if (this.#isDeserted || this.#death !== undefined) return Number.POSITIVE_INFINITY;
    return this.#conditions.receiveBufferOctets - this.#inboxOctets - this.#comingOctets;
  }

  #latency(): number {
    const [from, to] = this.#conditions.latencyMs;
    return from === to ? from : this.#random.between(from, to);
  }

  #transmit(): void {
    const peer = this.#peer;
    if (peer === undefined || this.#death !== undefined) return;
    if (this.#outboxOctets === 0 && this.#sending !== "fin-wanted") return;
    let window = peer.#window;
    let latency = this.#latency();
    for (let first = this.#outbox[0]; first !== undefined && window > 0; first = this.#outbox[0]) {
      const whole = Math.min(first.length, this.#conditions.segmentOctetsMax, window);
      const isCut = whole > 1 && this.#random.chance(this.#conditions.cut);
      const size = isCut ? this.#random.between(1, whole - 1) : whole;
      const isLast = size === first.length;
      if (isLast) this.#outbox.shift();
      else this.#outbox[0] = first.subarray(size);
      this.#outboxOctets -= size;
      window -= size;
      peer.#launch(isLast ? first : first.subarray(0, size), undefined, this.#received, !isLast, latency);
      if (!isLast) latency = this.#latency();
    }
    if (this.#outboxOctets > 0 || this.#sending !== "fin-wanted") return;
    this.#sending = "fin-sent";
    peer.#launch(undefined, "fin", this.#received, false, latency);
  }

  /** A segment sets out to us. */
  #launch(
    octets: Buffer | undefined,
    flag: "fin" | "rst" | undefined,
    acknowledged: number,
    apart: boolean,
    latency: number,
  ): void {
    const { stall, stallMs } = this.#conditions;
    const held = this.#random.chance(stall) ? this.#random.between(...stallMs) : 0;
    const at = Math.max(this.#lastComingAt, this.#clock.now + latency + held);
    this.#lastComingAt = at;
    this.#coming.push({ at, octets, flag, acknowledged, apart });
    this.#comingOctets += octets?.length ?? 0;
    if (this.#coming.length === 1) this.#awaitArrival(at);
  }

  #awaitArrival(at: number): void {
    this.#arrival = this.#clock.timer(at - this.#clock.now, () => this.#arrive());
  }

  /** All that is due comes at once, up to where it was cut. */
  #arrive(): void {
    let isNews = false;
    let count = 0;
    for (const segment of this.#coming) {
      if (segment.at > this.#clock.now) break;
      count += 1;
      if (this.#accept(segment)) isNews = true;
      if (segment.apart || this.#death !== undefined) break;
    }
    this.#coming.splice(0, count);
    const next = this.#coming[0];
    if (next !== undefined) this.#awaitArrival(next.at);
    if (isNews) this.#tellReadable();
  }

  /** True if there is something for the user. */
  #accept({ octets, flag, acknowledged }: Segment): boolean {
    if (octets !== undefined) this.#comingOctets -= octets.length;
    if (this.#death !== undefined) return false;
    if (flag === "rst") {
      this.#die(this.#finArrived ? "EPIPE" : "ECONNRESET");
      return true;
    }
    if (acknowledged > this.#acknowledged) {
      this.#acknowledged = acknowledged;
      if (this.unacknowledgedOctets * 3 <= this.#sendBufferOctets * 2) this.#unblock();
    }
    if (flag === "fin") this.#finArrived = true;
    if (octets === undefined) return flag === "fin";
    if (this.#isDeserted) {
      this.reset();
      return false;
    }
    this.#received += octets.length;
    this.#inbox.push(octets);
    this.#inboxOctets += octets.length;
    const peer = this.#peer;
    if (peer !== undefined && peer.#sendBufferOctets !== Number.POSITIVE_INFINITY) {
      peer.#launch(undefined, undefined, this.#received, false, this.#latency());
    }
    return true;
  }

  #tellReadable(): void {
    if (this.#isDeserted || this.#look !== undefined) return;
    const { lateRead, lateReadMs } = this.#conditions;
    const looksLate = this.#sendBufferOctets !== Number.POSITIVE_INFINITY && this.#random.chance(lateRead);
    if (!looksLate) {
      this.user.readable();
      return;
    }
    this.#look = this.#clock.timer(this.#random.between(...lateReadMs), () => {
      this.#look = undefined;
      this.user.readable();
    });
  }

  #unblock(): void {
    if (!this.#isBlocked || this.#isDeserted || this.#death !== undefined) return;
    this.#isBlocked = false;
    this.user.writable();
  }

  #die(death: "ECONNRESET" | "EPIPE" | "ours"): void {
    this.#death = death;
    this.#outbox = [];
    this.#outboxOctets = 0;
    this.#arrival?.cancel();
    this.#coming = [];
    this.#comingOctets = 0;
    if (death === "ours") {
      this.#look?.cancel();
      this.#look = undefined;
    }
  }
}
