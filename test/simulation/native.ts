/**
 * A fake of the socket that Bun 1.4.5 hands to src/bun/socket.ts, over a kernel of wire.ts. Each behaviour here was
 * seen with real sockets on loopback:
 * - `write` takes a part, 0, or -1 and keeps nothing; `drain` comes when there is room, and unasked.
 * - What a handler throws goes to `error`: of ours, `drain` alone may throw.
 * - `end` and `terminate` call `close` before they return. Once both ends have sent FIN, `close` comes by itself, and
 *   without `end` where ours went first.
 * - A paused socket does not hear the peer's FIN, but a reset, and with it all that had arrived before, in as many
 *   chunks as it takes. Where our own write felt the reset, `close` carries no error.
 * - After `upgradeTLS`: `data` and `close` on the raw socket first, then on the TLS socket. `shutdown` sends close_notify
 *   and FIN; `end` sends close_notify alone, waits for the peer's, and makes the TLS socket's `terminate` a no-op.
 * - A failed handshake: `handshake` with false, then `close`, and the peer gets an alert and FIN; a reset skips
 *   `handshake`. A broken session: `error`, then `close` without one.
 * Not here: dialling and listening (network.ts).
 */
import type { BunSocket, NativeSocket } from "../../src/bun/socket.ts";
import type { Clock, Timer } from "./clock.ts";
import type { Random } from "./random.ts";
import { endedInHandshake, TlsSession, type Trust } from "./tls-records.ts";
import type { Conditions, KernelSocket, KernelUser } from "./wire.ts";

type Handlers = Bun.SocketHandler<BunSocket | undefined>;

export interface NativeSurroundings {
  readonly clock: Clock;
  readonly random: Random;
  readonly conditions: Conditions;
  /** Bun's default for `upgradeTLS`: accepted sockets are servers. */
  readonly role: "client" | "server";
  /** The descriptor is free. */
  closed(): void;
}

interface UpgradeOptions {
  readonly data: BunSocket | undefined;
  readonly tls: { readonly rejectUnauthorized?: boolean };
  readonly socket: Handlers;
}

/** Bun reads at most so much at a time. */
const readOctetsMax = 524_288;

/** What Bun keeps of one connection: one descriptor, and one or two sockets that stand for it. */
export class NativeConnection implements KernelUser {
  readonly #kernel: KernelSocket;
  readonly #around: NativeSurroundings;
  #raw: FakeNative;
  #secure: FakeNative | undefined;
  #session: TlsSession | undefined;
  #tls: "none" | "handshake" | "established" | "failed" = "none";
  #verifies = false;
  #isClosed = false;
  #isPaused = false;
  /** Until when a late chunk may come after `pause`; in the past: none may. */
  #lateUntil = -1;
  #hasShutDown = false;
  /** TLS `end()` waits for the peer. */
  #isEnding = false;
  #toldEnd = false;
  #feltReset = false;
  #turn: Timer | undefined;

  constructor(kernel: KernelSocket, handlers: Handlers, around: NativeSurroundings) {
    this.#kernel = kernel;
    this.#around = around;
    this.#raw = new FakeNative(this, "raw", handlers);
    kernel.user = this;
    this.#spuriousDrain();
  }

  /** What `open` is called with. */
  get native(): NativeSocket {
    return this.#raw.asNative;
  }

  get kernelQueuedOctets(): number {
    return this.#isClosed ? 0 : this.#kernel.unacknowledgedOctets;
  }

  // --- What the kernel tells ------------------------------------------------------------------------------------

  readable(): void {
    this.#spuriousDrain();
    this.#poll();
  }

  writable(): void {
    if (this.#isClosed) return;
    const native = this.#secure ?? this.#raw;
    if (this.#tls !== "none" && this.#tls !== "established") return;
    try {
      native.handlers.drain?.(native.asNative);
    } catch (error) {
      native.handlers.error?.(native.asNative, error instanceof Error ? error : new Error(String(error)));
    }
  }

  // --- What the sockets are asked for ---------------------------------------------------------------------------

  /** The raw socket writes past its TLS session, as Bun's does. */
  write(octets: Buffer, level: "raw" | "tls"): number {
    if (this.#isClosed || this.#hasShutDown || this.#isEnding || this.#tls === "failed") return -1;
    if (this.#tls === "handshake" && level === "tls") return 0;
    const taken = this.#kernel.take(octets.length);
    if (taken < 0) this.#feltReset = true;
    if (taken <= 0) return taken;
    const part = taken === octets.length ? octets : octets.subarray(0, taken);
    if (level === "tls") this.#session?.write(part);
    else this.#kernel.send(Buffer.from(part));
    return taken;
  }

  pause(): void {
    const { clock, random, conditions } = this.#around;
    this.#isPaused = true;
    this.#lateUntil = random.chance(conditions.lateChunk) ? clock.now + conditions.latencyMs[1] : -1;
    this.#spuriousDrain();
  }

  resume(): void {
    this.#isPaused = false;
    this.#spuriousDrain();
    this.#pollSoon();
  }

  shutdown(): void {
    if (this.#isClosed || this.#hasShutDown) return;
    this.#hasShutDown = true;
    this.#session?.end();
    this.#kernel.shutdown();
    this.#pollSoon();
  }

  end(): number {
    if (this.#isClosed || this.#isEnding || this.#tls === "failed") return -1;
    if (this.#tls === "handshake") this.#failHandshake(endedInHandshake);
    else this.#session?.end();
    if (this.#tls === "established" && !this.#toldEnd) {
      this.#isEnding = true;
      this.#spuriousDrain();
    } else this.#close(undefined);
    return 0;
  }

  terminate(level: "raw" | "tls"): void {
    if (this.#isClosed || (level === "tls" && this.#isEnding)) return;
    this.#failHandshake(endedInHandshake);
    this.#kernel.reset();
    this.#close(undefined);
  }

  upgrade({ data, tls, socket }: UpgradeOptions): [NativeSocket, NativeSocket] {
    const raw = new FakeNative(this, "raw", this.#raw.handlers);
    raw.data = this.#raw.data;
    this.#raw.detach();
    const secure = new FakeNative(this, "tls", socket);
    secure.data = data;
    this.#raw = raw;
    this.#secure = secure;
    this.#verifies = tls.rejectUnauthorized ?? false;
    this.#session = new TlsSession(this.#around.role, "trusted", {
      send: (records) => this.#kernel.send(records),
      accepts: (trust) => trust === "trusted" || !this.#verifies,
      established: (trust) => this.#established(trust),
      plain: (octets) => this.#plain(octets),
      peerEnded: () => this.#tellEnd(),
      failed: (fault) => this.#sessionFailed(fault),
    });
    this.#tls = "handshake";
    this.#session.start();
    return [raw.asNative, secure.asNative];
  }

  // --- Reading --------------------------------------------------------------------------------------------------

  #pollSoon(): void {
    this.#turn ??= this.#around.clock.timer(0, () => {
      this.#turn = undefined;
      this.#poll();
    });
  }

  #poll(): void {
    if (this.#isClosed) return;
    if (this.#kernel.death !== undefined) {
      this.#broken();
      return;
    }
    while (!this.#isClosed && this.#kernel.unreadOctets > 0 && this.#mayRead()) this.#readOnce();
    if (!this.#isClosed && !this.#isPaused && this.#kernel.atFin) this.#finArrived();
  }

  #mayRead(): boolean {
    if (!this.#isPaused) return true;
    const isLate = this.#around.clock.now <= this.#lateUntil;
    this.#lateUntil = -1;
    return isLate;
  }

  /** What comes with the octets that made the program start TLS is not the session's. */
  #readOnce(): void {
    const session = this.#session;
    const octets = this.#kernel.read(readOctetsMax);
    if (octets === undefined) return;
    this.#raw.handlers.data?.(this.#raw.asNative, ownCopy(octets));
    if (this.#isClosed || session === undefined) return;
    session.receive(octets);
    if (session.peerHasEnded && (this.#isEnding || this.#hasShutDown)) this.#close(undefined);
  }

  /** The peer's reset, or our own write's end by it. */
  #broken(): void {
    const { death } = this.#kernel;
    while (!this.#isClosed && this.#kernel.unreadOctets > 0) this.#readOnce();
    const felt = this.#feltReset;
    if (!this.#hasShutDown && (felt || death === "EPIPE")) this.#tellEnd();
    this.#close(felt ? undefined : errorOf(death ?? "ECONNRESET", "connection reset"));
  }

  #finArrived(): void {
    if (this.#tls === "handshake") {
      this.#sessionFailed(endedInHandshake);
      return;
    }
    if (!this.#hasShutDown) this.#tellEnd();
    if (this.#hasShutDown || this.#isEnding) this.#close(undefined);
  }

  #tellEnd(): void {
    if (this.#toldEnd || this.#isClosed) return;
    this.#toldEnd = true;
    const native = this.#secure ?? this.#raw;
    native.handlers.end?.(native.asNative);
  }

  // --- TLS ------------------------------------------------------------------------------------------------------

  #established(trust: Trust): void {
    this.#tls = "established";
    this.#tellHandshake(trust !== "wrong-name", doubtOf(trust, this.#around.role));
    this.#spuriousDrain();
  }

  #plain(octets: Buffer): void {
    const native = this.#secure;
    if (!this.#isClosed && native !== undefined) native.handlers.data?.(native.asNative, ownCopy(octets));
  }

  #tellHandshake(success: boolean, error: Error | null): void {
    const native = this.#secure;
    if (native !== undefined) native.handlers.handshake?.(native.asNative, success, error);
  }

  #sessionFailed(fault: string): void {
    const native = this.#secure;
    if (this.#isClosed || native === undefined) return;
    if (this.#tls === "handshake") this.#failHandshake(fault);
    else native.handlers.error?.(native.asNative, faultOf(fault));
    this.#close(undefined);
  }

  /** No-op unless a handshake is under way. */
  #failHandshake(fault: string): void {
    if (this.#tls !== "handshake") return;
    this.#tls = "failed";
    this.#tellHandshake(false, faultOf(fault));
  }

  #close(error: Error | undefined): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#turn?.cancel();
    this.#kernel.close();
    this.#around.closed();
    for (const native of [this.#raw, this.#secure]) {
      if (native !== undefined) native.handlers.close?.(native.asNative, error);
    }
  }

  #spuriousDrain(): void {
    const { clock, random, conditions } = this.#around;
    if (random.chance(conditions.spuriousDrain)) clock.timer(0, () => this.writable());
  }
}

/** One of Bun's sockets: the plain one, or the raw or TLS one after `upgradeTLS`. */
class FakeNative {
  data: BunSocket | undefined;
  readonly handlers: Handlers;
  /** The one cast: the fake has those of Bun's members that bun/socket.ts uses, and no others. */
  readonly asNative = this as unknown as NativeSocket;
  readonly #level: "raw" | "tls";
  #connection: NativeConnection | undefined;

  constructor(connection: NativeConnection, level: "raw" | "tls", handlers: Handlers) {
    this.#connection = connection;
    this.#level = level;
    this.handlers = handlers;
  }

  /** For `SocketSystem.kernelQueuedOctets`. */
  get kernelQueuedOctets(): number {
    return this.#connection?.kernelQueuedOctets ?? 0;
  }

  detach(): void {
    this.#connection = undefined;
  }

  write(octets: Buffer): number {
    return this.#connection?.write(octets, this.#level) ?? -1;
  }
  pause(): void {
    this.#connection?.pause();
  }
  resume(): void {
    this.#connection?.resume();
  }
  shutdown(): void {
    this.#connection?.shutdown();
  }
  end(): number {
    return this.#connection?.end() ?? -1;
  }
  terminate(): void {
    this.#connection?.terminate(this.#level);
  }
  upgradeTLS(options: UpgradeOptions): [NativeSocket, NativeSocket] {
    if (this.#connection === undefined) throw new Error("the socket is detached");
    return this.#connection.upgrade(options);
  }
  getCipher(): { readonly name: string } {
    return { name: "TLS_AES_128_GCM_SHA256" };
  }
  getTLSVersion(): string {
    return "TLSv1.3";
  }
}

/** What the fake's kernel holds unacknowledged: the `kernelQueuedOctets` of a `SocketSystem`. */
export function kernelQueuedOctetsOf(native: NativeSocket): number {
  return "kernelQueuedOctets" in native && typeof native.kernelQueuedOctets === "number"
    ? native.kernelQueuedOctets
    : 0;
}

function errorOf(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

const doubts: Readonly<Record<Exclude<Trust, "trusted">, readonly [code: string, message: string]>> = {
  "unknown-authority": ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "unable to verify the first certificate"],
  "wrong-name": ["ERR_TLS_CERT_ALTNAME_INVALID", "the name is not in the cert's altnames"],
};

/** Bun's octets are alone in their memory, which the program may give back. */
function ownCopy(octets: Buffer): Buffer {
  const own = Buffer.allocUnsafeSlow(octets.length);
  octets.copy(own);
  return own;
}

/** The error with which a handshake succeeds; a server never has a certificate to look at. */
function doubtOf(trust: Trust, role: "client" | "server"): Error | null {
  if (role === "server") return errorOf("UNABLE_TO_GET_ISSUER_CERT", "unable to get issuer certificate");
  return trust === "trusted" ? null : errorOf(...doubts[trust]);
}

function faultOf(fault: string): Error {
  if (fault === endedInHandshake) return errorOf("ECONNRESET", "connection lost");
  if (fault === "unknown-authority" || fault === "wrong-name") return errorOf(...doubts[fault]);
  return errorOf("EPROTO", `error:100000f7:SSL routines:OPENSSL_internal:${fault}`);
}
