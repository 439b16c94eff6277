/**
 * One stream socket of the contract in shell/network.ts, over a socket of Bun's. With network.ts and, for questions to
 * name servers, dns/transport.ts, what knows Bun's TCP and its traps; each of them has a test in test/bun/.
 *
 * No event is called from within a method: whoever calls `terminate()` or `flush()` is not called back before it
 * returns. A throw in a handler is our own fault: it goes to `onFault`, and that socket alone is terminated.
 * The traps and what is done about them:
 * - `write` takes a part and keeps nothing: the tail stays in our queue until `drain`, which may also come unasked.
 *   -1 means that nothing can be written any more; what the peer had sent before may still be read, so it waits.
 * - `end()` loses what was written and may never close: an orderly end is flush, `shutdown()`, read to the peer's
 *   FIN, `end()`, with a timer of ours behind it.
 * - After a TLS `end()` the TLS socket's `terminate()` does nothing: only the raw socket's frees the descriptor.
 * - After `upgradeTLS` the raw socket's handlers still hear ciphertext (a copy, whose memory is given back) and closing:
 *   whichever socket closes first is the end.
 * - A paused socket makes no handshake: pausing waits until it is done.
 * - Without `verify`, Bun's `success` is true for an unknown authority and false for a wrong name, both usable.
 * - Bun sends an IP address as SNI, against RFC 6066 §3, unless it is left to verify the dialled address itself.
 * Not here: deadlines of handshakes, or of silence while paused (a paused socket does not hear the peer's FIN): the
 * caller's, who then calls `terminate()`.
 * Rejected: node:net and node:tls, which are sound but cost 10 to 15 MB more under load; Bun's
 * `socket.timeout()`, which neither closes nor restarts.
 */

import { isIP } from "node:net";
import { assert } from "../lib/assert.ts";
import { codeOf, explainCode, explainError, explainTlsFailure, oneLine } from "../lib/errors.ts";
import {
  type ClientTls,
  congestedOctets,
  type Endpoint,
  type ServerTls,
  type Socket,
  type SocketHandler,
} from "../shell/network.ts";
import { giveBack, noteReceived } from "./received-memory.ts";
import { clientContext } from "./tls.ts";

/** Hears of a handler that threw. `socket` is missing where the throw was in a timer's or a dial's callback. */
export type FaultHandler = (error: unknown, socket?: Socket) => void;

/** A socket of Bun's. Its data is our side of it, from `open` on. */
export type NativeSocket = Bun.Socket<BunSocket | undefined>;

/** What a socket needs of the system beside Bun's socket itself. */
export interface SocketSystem {
  /** How long an orderly end may take before the socket is terminated. */
  readonly closeMs: number;
  readonly onFault: FaultHandler;
  timer(delayMs: number, callback: () => void): { cancel(): void };
  /** Its descriptor is free, or about to be. */
  socketClosed(): void;
  /** What the kernel has taken and the peer has not acknowledged. */
  kernelQueuedOctets(native: NativeSocket): number;
}

/** What bun-types lacks of the options that `upgradeTLS` takes. */
interface UpgradeOptions extends Bun.TLSOptions {
  readonly secureContext: object;
}

/** Small Buffers in the queue are joined up to this size; it is also about what one TLS record batch takes. */
const joinedOctetsMax = 64 * 1024;

const noHandler: SocketHandler = {
  octets() {},
  ended() {},
  drained() {},
  secured() {},
  handshakeFailed() {},
  closed() {},
};

/** What queues are that are empty: shared, and never written to. */
const none: never[] = [];

export class BunSocket implements Socket {
  readonly remote: Endpoint;
  readonly #system: SocketSystem;
  /** Where octets go and come from: the TLS socket, once there is one. */
  #stream: NativeSocket;
  /** The one whose `terminate()` always works. */
  #raw: NativeSocket;
  #handler = noHandler;
  #phase: "open" | "securing" | "closing" | "closed" = "open";
  #outlet: "free" | "blocked" | "shut" = "free";
  #queue: Buffer[] = none;
  #queuedOctets = 0;
  #takenOctets = 0;
  /** Buffers to give back, each once so many octets were taken. */
  #spent: { readonly at: number; readonly octets: Buffer }[] = none;
  #congested = false;
  #paused = false;
  #peerEnded = false;
  /** Our write was the first to feel a reset: Bun then reports an orderly end. */
  #isBroken = false;
  #closeTimer: { cancel(): void } | undefined;

  /** `native` is open. `adopt` returns the handler; it may use the socket already. */
  constructor(
    native: NativeSocket,
    remote: Endpoint,
    system: SocketSystem,
    adopt: (socket: Socket) => SocketHandler,
  ) {
    this.remote = remote;
    this.#stream = native;
    this.#raw = native;
    this.#system = system;
    native.data = this;
    this.#tell(() => {
      this.#handler = adopt(this);
    });
  }

  get queuedOctets(): number {
    return this.#queuedOctets;
  }

  get unreadOctets(): number {
    return this.#queuedOctets + this.#system.kernelQueuedOctets(this.#raw);
  }

  handle(handler: SocketHandler): void {
    this.#handler = handler;
  }

  write(octets: Buffer, spent?: Buffer): void {
    if (this.#phase === "closing" || this.#phase === "closed" || this.#outlet === "shut") return;
    if (octets.length === 0) return;
    if (this.#queuedOctets === 0) this.#queue = [octets];
    else this.#queue.push(octets);
    this.#queuedOctets += octets.length;
    if (spent === undefined) return;
    const last = { at: this.#takenOctets + this.#queuedOctets, octets: spent };
    if (this.#spent.length === 0) this.#spent = [last];
    else this.#spent.push(last);
  }

  spent(octets: Buffer): void {
    giveBack(octets);
  }

  flush(): void {
    if (this.#phase === "securing" || this.#phase === "closed") return;
    if (this.#outlet === "free") this.#pour();
    if (this.#queuedOctets > congestedOctets) this.#congested = true;
  }

  pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    if (this.#phase === "open") this.#stream.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#phase === "open") this.#stream.resume();
  }

  secure(tls: ServerTls | ClientTls): void {
    if (this.#phase === "closing" || this.#phase === "closed") return;
    assert(this.#phase === "open" && this.#stream === this.#raw, "TLS starts once a socket");
    assert(this.#queuedOctets === 0, "TLS starts with an empty queue");
    this.#phase = "securing";
    if (this.#paused) this.#raw.resume();
    try {
      [this.#raw, this.#stream] = this.#raw.upgradeTLS<BunSocket | undefined>({
        data: this,
        tls: this.#upgradeOptions(tls),
        socket: securedHandlers(tls),
      });
    } catch (error) {
      queueMicrotask(() => this.#failHandshake(oneLine(error)));
    }
  }

  close(): void {
    if (this.#phase === "securing") this.terminate();
    if (this.#phase !== "open") return;
    this.#phase = "closing";
    this.#limitClosing();
    if (this.#paused) this.#stream.resume();
    this.flush();
  }

  terminate(): void {
    if (this.#phase === "closed") return;
    this.#finish("terminated");
    this.#raw.terminate();
  }

  // From here on: what Bun tells. Called by the handlers at the end of this file.

  /** `secured`: it comes from the TLS socket, and not as ciphertext from the raw one. */
  received(octets: Buffer, secured: boolean): void {
    noteReceived(octets.length);
    if (secured !== (this.#stream !== this.#raw) || this.#phase !== "open") giveBack(octets);
    else this.#tell(() => this.#handler.octets(octets));
  }

  finReceived(secured: boolean): void {
    if (secured !== (this.#stream !== this.#raw) || this.#peerEnded) return;
    this.#peerEnded = true;
    if (this.#phase === "open") this.#tell(() => this.#handler.ended());
    else if (this.#phase === "closing" && this.#outlet === "shut") this.#stream.end();
  }

  writable(): void {
    if (this.#outlet !== "blocked") return;
    this.#outlet = "free";
    this.flush();
    if (!this.#congested || this.#queuedOctets > 0) return;
    this.#congested = false;
    if (this.#phase === "open") this.#tell(() => this.#handler.drained());
  }

  handshakeEnded(tls: ServerTls | ClientTls, success: boolean, error: Error | null): void {
    if (this.#phase !== "securing") return;
    const authorized = tls.role === "client" && success && !error;
    const code = codeOf(error);
    const dead = !success && (tls.role === "server" || code === "EPROTO" || code === "ECONNRESET");
    if (dead || (tls.role === "client" && tls.verify && !authorized)) {
      this.#failHandshake(handshakeFault(error));
      return;
    }
    const { name: cipher } = this.#stream.getCipher();
    const version = this.#stream.getTLSVersion();
    this.#phase = "open";
    if (this.#paused) this.#stream.pause();
    this.#tell(() => this.#handler.secured({ version, cipher, authorized }));
    this.flush();
  }

  nativeClosed(error: Error | undefined): void {
    const orderly = this.#isBroken ? explainCode("ECONNRESET", "talk") : "closed";
    const reason = error === undefined ? orderly : explainError(error, "talk");
    if (this.#phase === "securing") this.#tell(() => this.#handler.handshakeFailed(reason));
    this.#finish(reason);
  }

  /** A handler of Bun's own, or ours below, threw; or an established TLS session broke, and `close` follows. */
  nativeFailed(error: Error): void {
    if (codeOf(error) === undefined) this.#fault(error);
    else this.#lose();
  }

  // Private parts.

  /** Writes until the queue is empty or the kernel takes no more. */
  #pour(): void {
    assert(
      this.#queue.every(({ length }) => length > 0),
      "memory is given back when its octets are out",
    );
    for (let octets = this.#takeJoined(); octets !== undefined; octets = this.#takeJoined()) {
      const queue = this.#queue;
      const taken = this.#stream.write(octets);
      // Lost or closed within the write: all is dropped, and an empty queue is not ours alone.
      if (this.#queue !== queue) return;
      if (taken < 0) {
        this.#lose();
        return;
      }
      this.#queuedOctets -= taken;
      this.#takenOctets += taken;
      if (taken < octets.length) {
        queue.unshift(octets.subarray(taken));
        this.#outlet = "blocked";
        break;
      }
    }
    if (this.#queuedOctets === 0) this.#queue = none;
    this.#giveBackSpent();
    if (this.#phase === "closing" && this.#queuedOctets === 0) this.#shut();
  }

  #giveBackSpent(): void {
    for (
      let first = this.#spent[0];
      first !== undefined && first.at <= this.#takenOctets;
      first = this.#spent[0]
    ) {
      giveBack(first.octets);
      this.#spent.shift();
    }
    if (this.#spent.length === 0) this.#spent = none;
  }

  /** Takes the next write off the queue: a big Buffer as it is, or the small ones in front joined. */
  #takeJoined(): Buffer | undefined {
    if (this.#queue.length < 2) return this.#queue.pop();
    let count = 0;
    let size = 0;
    for (const { length } of this.#queue) {
      if (count > 0 && size + length > joinedOctetsMax) break;
      size += length;
      count += 1;
    }
    return count === 1 ? this.#queue.shift() : Buffer.concat(this.#queue.splice(0, count), size);
  }

  #upgradeOptions(tls: ServerTls | ClientTls): UpgradeOptions {
    if (tls.role === "server") return { secureContext: tls.context };
    const common = { secureContext: clientContext(tls.authorities), rejectUnauthorized: tls.verify };
    // With an empty name Bun verifies the dialled address and sends no SNI.
    const isDialledAddress = isIP(tls.serverName) !== 0 && tls.serverName === this.remote.address;
    return { ...common, serverName: isDialledAddress ? "" : tls.serverName.replace(/\.$/, "") };
  }

  /** Bun closes after a failed handshake, with an alert to the peer; the timer is for when it cannot. */
  #failHandshake(reason: string): void {
    if (this.#phase !== "securing") return;
    this.#phase = "closing";
    this.#limitClosing();
    this.#tell(() => this.#handler.handshakeFailed(reason));
    if (this.#phase === "closing") this.#stream.end();
  }

  /** Nothing can be written any more. `close` follows, perhaps after the last octets of the peer. */
  #lose(): void {
    this.#isBroken = true;
    this.#outlet = "shut";
    this.#dropQueue();
    this.#limitClosing();
  }

  #shut(): void {
    this.#outlet = "shut";
    this.#stream.shutdown();
    if (this.#peerEnded) this.#stream.end();
  }

  #limitClosing(): void {
    this.#closeTimer ??= this.#system.timer(this.#system.closeMs, () => this.terminate());
  }

  #finish(reason: string): void {
    if (this.#phase === "closed") return;
    this.#phase = "closed";
    this.#system.socketClosed();
    this.#closeTimer?.cancel();
    this.#dropQueue();
    queueMicrotask(() => this.#tell(() => this.#handler.closed(reason)));
  }

  #dropQueue(): void {
    this.#queue = none;
    this.#queuedOctets = 0;
    this.#spent = none;
  }

  /** Calls the handler. The one place where its throws are caught. */
  #tell(event: () => void): void {
    try {
      event();
    } catch (error) {
      this.#fault(error);
    }
  }

  #fault(error: unknown): void {
    this.#system.onFault(error, this);
    this.terminate();
  }
}

/** What a listener's or a dial's sockets share. `open` is added by network.ts. */
export const plainHandlers: Bun.SocketHandler<BunSocket | undefined> = {
  data: (native, octets) => native.data?.received(octets, false),
  end: (native) => native.data?.finReceived(false),
  drain: (native) => native.data?.writable(),
  close: (native, error) => native.data?.nativeClosed(error),
  error: (native, error) => native.data?.nativeFailed(error),
};

/** All TLS sockets share these; each keeps those that it was made with. */
const streamHandlers: Bun.SocketHandler<BunSocket | undefined> = {
  ...plainHandlers,
  data: (native, octets) => native.data?.received(octets, true),
  end: (native) => native.data?.finReceived(true),
};

function securedHandlers(tls: ServerTls | ClientTls): Bun.SocketHandler<BunSocket | undefined> {
  return {
    ...streamHandlers,
    handshake: (native, success, error) => native.data?.handshakeEnded(tls, success, error),
  };
}

/** Other errors are those of the certificate's verification, whose messages explain themselves. */
function handshakeFault(error: Error | null): string {
  if (!error) return "handshake failed";
  const code = codeOf(error);
  if (code === "EPROTO") return explainTlsFailure(error.message);
  return code === "ECONNRESET" ? "the connection was lost in the TLS handshake (ECONNRESET)" : oneLine(error);
}
