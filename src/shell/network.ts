/**
 * The contract between the program and a stream socket: what bun/socket.ts fulfils over Bun's TCP, and what a
 * simulator's fake has to imitate. No rule of SMTP lives here.
 *
 * Order of events for one socket: `octets`*, then at most one `ended` (the peer's FIN; writing still works), and
 * exactly one `closed`, after which nothing follows. `secured` or `handshakeFailed` follows `secure()` once.
 * No event is called from within a method of the socket: `closed` comes after `terminate()` has returned.
 * A handler may be called back with more `octets` after `pause()`: Bun delivers what it had read, and when the peer
 * resets the connection, all that the kernel held.
 */

/** A peer's address as the rest of the program sees it: ::ffff:1.2.3.4 is "1.2.3.4". */
export interface Endpoint {
  readonly family: "ipv4" | "ipv6" | "unix";
  /** IPv4 dotted quad, IPv6 in RFC 5952 form, or a path for family "unix" (may be empty). */
  readonly address: string;
}

/** What a finished TLS handshake was agreed on. */
export interface TlsFacts {
  /** As OpenSSL names it: "TLSv1.3". */
  readonly version: string;
  /** As OpenSSL names it: "TLS_AES_256_GCM_SHA384". */
  readonly cipher: string;
  /** Our side verified the peer's chain and name. Always false for the server role. */
  readonly authorized: boolean;
}

/** The server role's TLS context. Opaque here; made by bun/tls.ts, swapped on SIGHUP. */
export interface ServerTls {
  readonly role: "server";
  readonly context: object;
}

/** The client role's TLS settings. */
export interface ClientTls {
  readonly role: "client";
  /** Name to ask for (SNI) and to verify. An IP address is verified as such and not sent as SNI. */
  readonly serverName: string;
  /** true: a chain or name that does not verify makes `handshakeFailed`. */
  readonly verify: boolean;
  /** PEM authorities instead of the system's. */
  readonly authorities?: readonly string[];
}

export interface SocketHandler {
  octets(octets: Buffer): void;
  /** The peer sent FIN: it will send nothing more, but may still read. */
  ended(): void;
  /** The queue, once over `congestedOctets`, is empty again. */
  drained(): void;
  secured(facts: TlsFacts): void;
  /** The socket is of no use any more; `closed` follows. `reason` is one line for the log. */
  handshakeFailed(reason: string): void;
  /** Last event. "closed" after an orderly end, "terminated" by us, else what the error means, in one line. */
  closed(reason: string): void;
}

export interface Socket {
  readonly remote: Endpoint;
  /** Octets accepted by `write` and not yet by the kernel. */
  readonly queuedOctets: number;
  /** These and what the kernel holds that the peer has not acknowledged: shrinks as the peer reads. Costs a call. */
  readonly unreadOctets: number;
  /** Replaces the handler (an offender's socket goes to the tarpit). */
  handle(handler: SocketHandler): void;
  /**
   * Queues octets; nothing leaves before `flush`. The Buffer is kept, not copied. No-op once closed.
   * `spent`: the caller gives up this Buffer and all slices of it; once these octets are out its memory is freed.
   */
  write(octets: Buffer, spent?: Buffer): void;
  /** The caller gives up these received octets and all slices of them: their memory is freed. */
  spent(octets: Buffer): void;
  /** Hands the queue to the kernel in as few calls as it takes; the rest follows as the peer reads. */
  flush(): void;
  pause(): void;
  resume(): void;
  /** Starts a TLS handshake in place. Call with an empty queue. */
  secure(tls: ServerTls | ClientTls): void;
  /** Orderly end: flushes the queue, sends FIN, reads and drops to the peer's FIN, at most `closeMs`. */
  close(): void;
  /** At once, with a reset where the transport has one. What is queued is dropped. */
  terminate(): void;
}

/** Over this many queued octets a socket counts as congested, and `drained` will follow. */
export const congestedOctets = 64 * 1024;
/** How long an orderly end may take before the socket is terminated. */
export const closeMs = 5_000;

export type DialTarget = { readonly address: string; readonly port: number } | { readonly unix: string };

export interface DialHandler {
  /** Returns the handler for the open socket's events. */
  opened(socket: Socket): SocketHandler;
  /** One line for the log: "no answer within 30s". */
  failed(reason: string): void;
}

/** A dial under way. `cancel` makes sure that neither `opened` nor `failed` is called any more. */
export interface Dial {
  cancel(): void;
}

export type ListenTarget =
  /** `ipv6Only`: a socket for `::` leaves IPv4 to another one. */
  | { readonly host: string; readonly port: number; readonly ipv6Only?: true }
  | { readonly unix: string }
  | { readonly fd: number; readonly name: string };

export interface Listener {
  /** "0.0.0.0:25", "[::]:25", "unix:/path", or "fd 3 (name)": for the log. */
  readonly name: string;
  /** The bound port, 0 for unix sockets and inherited descriptors whose port is unknown. */
  readonly port: number;
  /** Accepts nothing more; open sockets live on. */
  stop(): void;
}

/** All I/O that connection logic needs, so that a simulator can stand in for it. */
export interface Network {
  dial(target: DialTarget, timeoutMs: number, handler: DialHandler): Dial;
  listen(target: ListenTarget, accept: (socket: Socket) => SocketHandler): Listener;
  /** Addresses of a host name in the resolver's order, or a failure's one-line reason. Never throws. */
  resolve(host: string): Promise<{ readonly addresses: readonly string[] } | { readonly failure: string }>;
  /** Monotonic time in milliseconds. */
  now(): number;
  /** Unix time in milliseconds at which `now()` was 0. To be looked at anew each time: the clock may be set. */
  readonly unixEpochMs: number;
  /** Calls back once after `delayMs`. Returns the way to cancel it. */
  timer(delayMs: number, callback: () => void): { cancel(): void };
}
