/**
 * The `Network` of shell/network.ts over Bun.listen, Bun.connect, getaddrinfo and the system's clock.
 *
 * If it cannot listen it throws an Error of one line that names the address, for the operator.
 * Everything else never throws; what goes wrong on the way is reported by `failed` or as a `failure`.
 * The traps of Bun here, and what is done about them:
 * - Bun.connect has no timeout and cannot be called off: a timer races it, and a late `open` is terminated. The
 *   descriptor lives until the kernel gives up (about two minutes with Linux's defaults), so a target may leave
 *   `abandonedDialsMax` of them.
 * - Bun.connect says ECONNREFUSED for an unreachable host too. It is passed on; the errno is not available.
 * - A socket keeps the handlers it was dialled with, and so all that they close over, for as long as it lives: 1.5 KB
 *   each. Once it is open it gets those that all share.
 * - Bun.connect throws at once for an impossible port, and both rejects and calls `connectError` otherwise.
 * - A socket whose peer reset it before it was accepted has no address: it is dropped and `accept` is not called.
 * - `Bun.listen({ fd })` is not in bun-types, and its listener has no port.
 * - Bun fixes the backlog at 512, which a crowd of clients overruns: the others then wait a second and more for TCP to
 *   try again. listen(2) is called once more on the descriptor, which bun-types does not know. A socket from systemd
 *   brings its own backlog.
 * - `::` reports IPv4 peers as ::ffff:1.2.3.4: addresses are normalised.
 * - Each look at a socket's address or port is a system call; TCP_NODELAY is set by Bun at accept and connect.
 * Rejected: node:dns resolve4/resolve6 for `resolve`, since /etc/hosts and nsswitch.conf are the operator's say.
 */

import { lookup } from "node:dns/promises";
import { lstatSync, unlinkSync } from "node:fs";
import { isIP, isIPv4 } from "node:net";
import { isDeserted, isUnixSocket, kernelQueuedOctets, setBacklog } from "../host/libc.ts";
import { afterWait, explainCode, explainError } from "../lib/errors.ts";
import { formatHostPort } from "../lib/host-port.ts";
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
} from "../shell/network.ts";
import { AlarmClock } from "./alarm-clock.ts";
import { DescriptorGuard, type DescriptorLimit, openDescriptors, type Whose } from "./descriptor-guard.ts";
import { type ListenerPlace, type NativeListener, PausableListener } from "./pausable-listener.ts";
import {
  BunSocket,
  type FaultHandler,
  type NativeSocket,
  plainHandlers,
  type SocketSystem,
} from "./socket.ts";

type Native = BunSocket | undefined;

/** What bun-types lacks of Bun.listen: IPv6 alone. */
type TcpListen = (
  options: Bun.TCPSocketListenOptions<Native> & { readonly ipv6Only: boolean },
) => Bun.TCPSocketListener<Native>;
const listenOnTcp = Bun.listen as unknown as TcpListen;
/** And inherited descriptors, whose listener has no port. */
type FdListen = (options: Bun.SocketOptions<Native> & { readonly fd: number }) => Bun.SocketListener<Native>;
const listenFd = Bun.listen as unknown as FdListen;

/** How many connections may wait to be accepted; the kernel's somaxconn, 4096 by default, caps it. */
const backlogMax = 4096;
/** A target that leaves so many dials without an answer is not dialled until the kernel has given one of them up. */
export const abandonedDialsMax = 32;

export class BunNetwork implements Network {
  /** Of accepted and of dialled sockets. */
  readonly #systems: Readonly<Record<Whose, SocketSystem>>;
  readonly #clock: AlarmClock;
  readonly #descriptors: DescriptorGuard;
  /** How many of each target there are. */
  readonly #abandoned = new Map<string, number>();

  /** `settings.closeMs` is for tests: how long an orderly end may take. */
  constructor(onFault: FaultHandler, settings: { readonly closeMs?: number } = {}) {
    this.#clock = new AlarmClock((callback) => this.#guard(callback));
    this.#descriptors = new DescriptorGuard({
      now: () => this.now(),
      timer: (delayMs, callback) => this.timer(delayMs, callback),
      openDescriptors,
    });
    const system = (whose: Whose): SocketSystem => ({
      closeMs: settings.closeMs ?? closeMs,
      onFault,
      timer: (delayMs, callback) => this.timer(delayMs, callback),
      socketClosed: () => this.#descriptors.closed(whose),
      kernelQueuedOctets: kernelQueuedOctetsOf,
    });
    this.#systems = { client: system("client"), dial: system("dial") };
  }

  /** Listeners rest while fewer than the reserve are free. Once, before anything listens. */
  limitDescriptors(limit: DescriptorLimit): void {
    this.#descriptors.limit(limit);
  }

  /** Dials given up by us that still hold a descriptor. */
  get abandonedDials(): number {
    return [...this.#abandoned.values()].reduce((sum, count) => sum + count, 0);
  }

  dial(target: DialTarget, timeoutMs: number, handler: DialHandler): Dial {
    const key = "unix" in target ? target.unix : `${target.address} ${target.port}`;
    const begun = performance.now();
    let waiting = true;
    let connecting = true;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const settle = (): boolean => {
      clearTimeout(timer);
      const first = waiting;
      waiting = false;
      return first;
    };
    const giveUp = (): boolean => {
      const first = settle();
      if (first && connecting) this.#countAbandoned(key, 1);
      return first;
    };
    const arrived = (): boolean => {
      if (connecting && !waiting) this.#countAbandoned(key, -1);
      if (connecting) this.#descriptors.closed("dial");
      connecting = false;
      return settle();
    };
    const fail = (reason: string): void => this.#guard(() => handler.failed(reason));
    if ((this.#abandoned.get(key) ?? 0) >= abandonedDialsMax) {
      connecting = false;
      queueMicrotask(() => {
        if (settle()) fail(`no answer to the last ${abandonedDialsMax} dials`);
      });
      return { cancel: () => void settle() };
    }
    this.#descriptors.opened("dial");
    timer = setTimeout(() => {
      if (giveUp()) fail(`no answer within ${timeoutMs / 1000}s`);
    }, timeoutMs);
    const socket: Bun.SocketHandler<Native> = {
      ...plainHandlers,
      open: (native) => {
        if (!arrived()) return native.terminate();
        native.reload({ socket: plainHandlers });
        const adopted = this.#adopt(native, "dial", "unix" in target ? target.unix : undefined, (s) =>
          handler.opened(s),
        );
        if (!adopted) fail(explainCode("ECONNRESET", "dial"));
      },
      connectError: (_native, error) => {
        if (arrived()) fail(explainError(error, "dial") + afterWait(performance.now() - begun));
      },
    };
    const options = { allowHalfOpen: true, socket };
    const opening = async () =>
      "unix" in target
        ? Bun.connect<Native>({ ...options, unix: target.unix })
        : Bun.connect<Native>({ ...options, hostname: target.address, port: target.port });
    // `connectError` has told already, but for options that Bun refuses at once.
    opening().catch((error: unknown) => {
      if (arrived()) fail(explainError(error, "dial") + afterWait(performance.now() - begun));
    });
    return { cancel: () => void giveUp() };
  }

  #countAbandoned(key: string, change: 1 | -1): void {
    const count = (this.#abandoned.get(key) ?? 0) + change;
    if (count === 0) this.#abandoned.delete(key);
    else this.#abandoned.set(key, count);
  }

  listen(target: ListenTarget, accept: (socket: Socket) => SocketHandler): Listener {
    const unixPath =
      "unix" in target ? target.unix : "fd" in target && isUnixSocket(target.fd) ? "" : undefined;
    const options: Bun.SocketOptions<Native> = {
      allowHalfOpen: true,
      socket: {
        ...plainHandlers,
        open: (native) => {
          this.#adopt(native, "client", unixPath, accept);
        },
      },
    };
    const reopen = (fd: number): NativeListener => listenFd({ ...options, fd });
    const { native, ...place } = open(target, options, reopen);
    const listener = new PausableListener(place, native, reopen, (stopped) => {
      this.#descriptors.remove(stopped);
    });
    this.#descriptors.add(listener);
    return listener;
  }

  async resolve(
    host: string,
  ): Promise<{ readonly addresses: readonly string[] } | { readonly failure: string }> {
    if (isIP(host) !== 0) return { addresses: [host] };
    if (host === "") return { failure: "no host name" };
    const begun = performance.now();
    try {
      const found = await lookup(host, { all: true, order: "verbatim" });
      const addresses = [...new Set(found.map(({ address }) => address))];
      return addresses.length > 0 ? { addresses } : { failure: "no addresses" };
    } catch (error) {
      return { failure: explainError(error, "resolve") + afterWait(performance.now() - begun) };
    }
  }

  now(): number {
    return performance.now();
  }

  get unixEpochMs(): number {
    return Date.now() - performance.now();
  }

  timer(delayMs: number, callback: () => void): { cancel(): void } {
    return this.#clock.set(delayMs, callback);
  }

  /** Makes our socket of Bun's. False, and terminated, if the peer is gone already. */
  #adopt(
    native: NativeSocket,
    whose: Whose,
    unixPath: string | undefined,
    accept: (socket: Socket) => SocketHandler,
  ): boolean {
    const remote = remoteOf(native, unixPath);
    if (remote === undefined) {
      native.terminate();
      return false;
    }
    this.#descriptors.opened(whose);
    new BunSocket(native, remote, this.#systems[whose], accept);
    return true;
  }

  #guard(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.#systems.client.onFault(error);
    }
  }
}

/** Bun's listener, and what is told of it. */
type OpenListener = ListenerPlace & { readonly native: NativeListener };

function open(
  target: ListenTarget,
  options: Bun.SocketOptions<Native>,
  listenOn: (fd: number) => NativeListener,
): OpenListener {
  if ("fd" in target) {
    const name = `fd ${target.fd} (${target.name})`;
    return { name, port: 0, native: orOneLine(name, () => listenOn(target.fd)) };
  }
  if ("unix" in target) {
    const name = `unix:${target.unix}`;
    unlinkDeserted(target.unix);
    const native = orOneLine(name, () => Bun.listen<Native>({ ...options, unix: target.unix }));
    raiseBacklog(native);
    return { name, port: 0, native, unixPath: target.unix };
  }
  return listenTcp(target, options);
}

function listenTcp(
  target: Extract<ListenTarget, { readonly host: string }>,
  options: Bun.SocketOptions<Native>,
): OpenListener {
  const bind = (hostname: string): OpenListener => {
    const native = orOneLine(formatHostPort(hostname, target.port), () =>
      listenOnTcp({ ...options, hostname, port: target.port, ipv6Only: target.ipv6Only === true }),
    );
    raiseBacklog(native);
    const { port } = native;
    return { name: formatHostPort(hostname, port), port, native };
  };
  if (target.host !== "") return bind(target.host);
  try {
    return bind("::");
  } catch (error) {
    // A kernel without IPv6 refuses the family; a port that is taken or forbidden is so for IPv4 too.
    if (!(error instanceof Error) || /EADDRINUSE|EACCES/.test(error.message)) throw error;
    return bind("0.0.0.0");
  }
}

function raiseBacklog(listener: Bun.SocketListener<Native>): void {
  if ("fd" in listener && typeof listener.fd === "number") setBacklog(listener.fd, backlogMax);
}

function orOneLine<T>(name: string, listen: () => T): T {
  try {
    return listen();
  } catch (error) {
    throw new Error(`cannot listen on ${name}: ${explainError(error, "listen")}`, { cause: error });
  }
}

/** A socket file whose process died would make the address "in use" for ever. Any other file is left alone. */
function unlinkDeserted(path: string): void {
  const isSocket = lstatSync(path, { throwIfNoEntry: false })?.isSocket() ?? false;
  if (isSocket && isDeserted(path)) unlinkSync(path);
}

/** What the kernel holds that the peer has not acknowledged. */
function kernelQueuedOctetsOf(native: NativeSocket): number {
  const fd = "fd" in native && typeof native.fd === "number" ? native.fd : -1;
  return fd < 0 ? 0 : kernelQueuedOctets(fd);
}

/** Undefined: the peer is gone already. */
function remoteOf(native: NativeSocket, unixPath: string | undefined): Endpoint | undefined {
  // Without an address it is a unix socket, or a TCP peer that is gone already: only the listener knows.
  const { remoteAddress } = native as Partial<NativeSocket>;
  if (remoteAddress === undefined) {
    return unixPath === undefined ? undefined : { family: "unix", address: unixPath };
  }
  const address = /^::ffff:(?=\d+\.)/i.test(remoteAddress)
    ? remoteAddress.slice("::ffff:".length)
    : remoteAddress;
  return { family: isIPv4(address) ? "ipv4" : "ipv6", address };
}
