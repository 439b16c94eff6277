/**
 * An actor's side of a connection: what plays a client, a relay, or whoever speaks to the program. Its kernel takes
 * everything. It may make a pretended TLS well, or break it in each of the ways that a peer can.
 * Not here: what is said (the actors themselves).
 */
import type { Random } from "./random.ts";
import {
  endedInHandshake,
  handshakeFailureAlert,
  TlsSession,
  type Trust,
  unknownAuthorityAlert,
} from "./tls-records.ts";
import type { KernelSocket, KernelUser } from "./wire.ts";

/** What an actor hears. As with a program's socket, no event is called from within a method of End. */
export interface Peer {
  /** Plain text, also under TLS. */
  octets(octets: Buffer): void;
  /** The program sent its FIN, or its close_notify under TLS. */
  ended(): void;
  secured(): void;
  /** `closed` follows. */
  handshakeFailed(reason: string): void;
  /** Last event. "closed" in good order, "ECONNRESET" or "EPIPE" by the program, "reset" by ourselves. */
  closed(reason: string): void;
}

/**
 * How an actor's handshake goes. "untrusted": as the server its certificate has an unknown authority, as the client it
 * trusts nobody. "wrong-name": for a server; a client is "untrusted" then. "reset" and "alert" come at once or when the
 * program's first flight is here, "garbage" too; "silent" reads and says nothing.
 */
export type TlsFate = "well" | "untrusted" | "wrong-name" | "garbage" | "alert" | "silent" | "reset";

export interface End {
  /** The octets are copied. Under TLS they are encrypted; while a handshake is under way they wait for it. */
  write(octets: Buffer): void;
  /** FIN after all that was written, and close_notify before it. Reading goes on. */
  fin(): void;
  /** As when a process goes: FIN, no close_notify, a reset if something was unread or comes later. `closed` follows. */
  close(): void;
  reset(): void;
  /** The program's send buffer fills, once our kernel's receive buffer is full. */
  pause(): void;
  resume(): void;
  startTls(role: "client" | "server", how: TlsFate): void;
  readonly closed: boolean;
  readonly isSecure: boolean;
  /** Octets written here, as they are on the wire, that the program has not read. */
  readonly unreadOctets: number;
}

const readOctetsMax = 524_288;

export class ActorEnd implements End, KernelUser {
  readonly #kernel: KernelSocket;
  readonly #random: Random;
  #peer: Peer | undefined;
  #session: TlsSession | undefined;
  #tls: "none" | "handshake" | "established" | "failed" = "none";
  #fate: TlsFate = "well";
  /** Written while the handshake was under way. */
  #waiting: Buffer[] = [];
  #finWaits = false;
  #isPaused = false;
  #isPolling = false;
  #toldEnd = false;
  #isClosed = false;

  constructor(kernel: KernelSocket, random: Random) {
    this.#kernel = kernel;
    this.#random = random;
    kernel.user = this;
  }

  /** Call once, before anything can arrive. */
  adopt(peer: Peer): void {
    this.#peer = peer;
  }

  /** Nobody listens where it dialled. */
  refuse(peer: Peer): void {
    this.#peer = peer;
    this.#close("ECONNREFUSED");
  }

  get closed(): boolean {
    return this.#isClosed;
  }

  get isSecure(): boolean {
    return this.#tls === "established";
  }

  get unreadOctets(): number {
    return this.#kernel.unreadByPeer;
  }

  write(octets: Buffer): void {
    if (this.#isClosed || octets.length === 0) return;
    if (this.#tls === "handshake") this.#waiting.push(Buffer.from(octets));
    else if (this.#tls === "established") this.#session?.write(octets);
    else this.#kernel.send(Buffer.from(octets));
  }

  fin(): void {
    if (this.#tls === "handshake" && this.#waiting.length > 0) {
      this.#finWaits = true;
      return;
    }
    if (this.#tls === "established") this.#session?.end();
    this.#kernel.shutdown();
    if (this.#toldEnd && this.#kernel.atFin) this.#close("closed");
  }

  close(): void {
    this.#close("closed");
  }

  reset(): void {
    this.#kernel.reset();
    this.#close("reset");
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#pollSoon();
  }

  startTls(role: "client" | "server", how: TlsFate): void {
    if (this.#isClosed || this.#tls !== "none") return;
    this.#tls = "handshake";
    this.#fate = how;
    if (how === "well" || how === "untrusted" || how === "wrong-name") {
      const trust: Trust = how === "well" ? "trusted" : how === "wrong-name" ? how : "unknown-authority";
      this.#session = this.#newSession(role, trust);
      this.#session.start();
    } else if (role === "client" || this.#random.chance(0.3)) this.#misbehave();
  }

  readable(): void {
    if (this.#isClosed) return;
    if (this.#kernel.death !== undefined) {
      this.#read();
      this.#close(this.#kernel.death);
      return;
    }
    if (this.#isPaused) return;
    this.#read();
    if (!this.#isClosed && !this.#isPaused && this.#kernel.atFin) this.#finArrived();
  }

  writable(): void {}

  // Private parts.

  #pollSoon(): void {
    if (this.#isPolling) return;
    this.#isPolling = true;
    queueMicrotask(() => {
      this.#isPolling = false;
      this.readable();
    });
  }

  #read(): void {
    const octets = this.#kernel.read(readOctetsMax);
    if (octets === undefined) return;
    if (this.#tls === "none") this.#peer?.octets(octets);
    else if (this.#session !== undefined) this.#session.receive(octets);
    else if (this.#tls === "handshake") this.#misbehave();
    if (!this.#isClosed && !this.#isPaused && this.#kernel.unreadOctets > 0) this.#pollSoon();
  }

  #finArrived(): void {
    if (this.#tls === "handshake") {
      this.#handshakeFailed(endedInHandshake);
      return;
    }
    this.#tellEnd();
    if (this.#kernel.finSent) this.#close("closed");
  }

  #tellEnd(): void {
    if (this.#toldEnd || this.#isClosed) return;
    this.#toldEnd = true;
    this.#peer?.ended();
  }

  #newSession(role: "client" | "server", trust: Trust): TlsSession {
    return new TlsSession(role, trust, {
      send: (records) => this.#kernel.send(records),
      accepts: () => role === "server" || trust === "trusted",
      established: () => this.#established(),
      plain: (octets) => {
        if (!this.#isClosed) this.#peer?.octets(octets);
      },
      peerEnded: () => this.#tellEnd(),
      failed: (fault) => {
        const distrusts = fault === "trusted";
        if (distrusts) this.#kernel.send(unknownAuthorityAlert);
        this.#handshakeFailed(distrusts ? "untrusted" : fault);
      },
    });
  }

  #established(): void {
    this.#tls = "established";
    this.#peer?.secured();
    for (const octets of this.#waiting.splice(0)) this.#session?.write(octets);
    if (this.#finWaits) this.fin();
  }

  /** Breaks the handshake, once. */
  #misbehave(): void {
    switch (this.#fate) {
      case "garbage":
        this.#kernel.send(this.#garbage());
        this.#fate = "silent";
        break;
      case "alert":
        this.#kernel.send(handshakeFailureAlert);
        this.#fate = "silent";
        break;
      case "reset":
        this.reset();
        break;
      default:
        break;
    }
  }

  #garbage(): Buffer {
    return this.#random.pick([
      Buffer.from("MAIL FROM:<injected@client.example>\r\n"),
      Buffer.from("\x16\x03\x01\xff\xff".repeat(20), "latin1"),
      Buffer.from("\x16\x03\x03\x00\x04\x63\x00\x00\x00", "latin1"),
      Buffer.from("\x00"),
      Buffer.alloc(3_000, 0x80),
    ]);
  }

  /** Of an established session too: a broken record, or the program's alert. */
  #handshakeFailed(reason: string): void {
    if (this.#isClosed) return;
    if (this.#tls === "handshake") this.#peer?.handshakeFailed(reason);
    this.#tls = "failed";
    this.#close("closed");
  }

  #close(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#waiting = [];
    this.#kernel.close();
    queueMicrotask(() => this.#peer?.closed(reason));
  }
}
