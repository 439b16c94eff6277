/**
 * The few calls of the C library that Bun has no name for, over bun:ffi, which works in a compiled binary too.
 * Linux only, glibc or musl. `undefined` where the library cannot be loaded: the caller says what that means.
 * Not here: what the answers mean (systemd.ts, bun/network.ts, log-sink.ts, commands/descriptors.ts).
 */

import { dlopen, type Pointer, ptr, read } from "bun:ffi";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_TYPE = 3;
const SO_ACCEPTCONN = 30;
const SO_DOMAIN = 39;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const POLLOUT = 4;
const POLLERR = 8;
const POLLHUP = 16;
const EINTR = 4;
const EAGAIN = 11;
const ECONNREFUSED = 111;
const SIOCOUTQ = 0x5411;
const RLIMIT_NOFILE = 7;
/** sizeof(sun_path), with its final NUL. */
const unixPathOctetsMax = 108;

const symbols = {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  connect: { args: ["i32", "ptr", "u32"], returns: "i32" },
  listen: { args: ["i32", "i32"], returns: "i32" },
  send: { args: ["i32", "ptr", "u64", "i32"], returns: "i64" },
  poll: { args: ["ptr", "u64", "i32"], returns: "i32" },
  dup: { args: ["i32"], returns: "i32" },
  close: { args: ["i32"], returns: "i32" },
  ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
  getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
  getrlimit: { args: ["i32", "ptr"], returns: "i32" },
  setrlimit: { args: ["i32", "ptr"], returns: "i32" },
  __errno_location: { args: [], returns: "ptr" },
} as const;

let loaded: ReturnType<typeof dlopen<typeof symbols>> | undefined;

function libc() {
  const musl = `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`;
  for (const name of ["libc.so.6", musl]) {
    try {
      loaded ??= dlopen(name, symbols);
    } catch {
      // The other library's system; if neither loads, the result is undefined.
    }
  }
  return loaded?.symbols;
}

/** What a descriptor is, asked of the kernel itself: "listening stream socket", or what it is instead. */
export function describeSocket(fd: number): string | undefined {
  if (libc() === undefined) return undefined;
  const type = socketOption(fd, SO_TYPE);
  if (type === undefined) return "no socket";
  if (type !== SOCK_STREAM) return "a socket, but not a stream socket";
  return socketOption(fd, SO_ACCEPTCONN) === 1
    ? "listening stream socket"
    : "a stream socket that does not listen";
}

export function isUnixSocket(fd: number): boolean {
  return socketOption(fd, SO_DOMAIN) === AF_UNIX;
}

function socketOption(fd: number, name: number): number | undefined {
  const value = new Int32Array(1);
  const size = new Uint32Array([value.byteLength]);
  return libc()?.getsockopt(fd, SOL_SOCKET, name, ptr(value), ptr(size)) === 0 ? value[0] : undefined;
}

/**
 * Octets that the kernel took for this socket and that its peer has not acknowledged; 0 where nobody can tell.
 * The place for the answer is made anew each time: the garbage collector may move one that is kept.
 */
export function kernelQueuedOctets(fd: number): number {
  const value = new Int32Array(1);
  return libc()?.ioctl(fd, SIOCOUTQ, ptr(value)) === 0 ? (value[0] ?? 0) : 0;
}

/** Octets that a socket took at once, without waiting: 0 when it is full; undefined: it cannot be written to. */
export function sendNow(fd: number, octets: Uint8Array): number | undefined {
  const c = libc();
  if (c === undefined) return undefined;
  const sent = Number(c.send(fd, ptr(octets), octets.length, MSG_DONTWAIT | MSG_NOSIGNAL));
  if (sent >= 0) return sent;
  const code = errno(c.__errno_location());
  return code === EAGAIN || code === EINTR ? 0 : undefined;
}

/** Whether a write would not wait: there is room for PIPE_BUF octets, or it would fail at once. */
export function isWritable(fd: number): boolean {
  const c = libc();
  // struct pollfd: the descriptor, then what is asked for and what holds, 16 bits each.
  const pollfd = new DataView(new ArrayBuffer(8));
  pollfd.setInt32(0, fd, true);
  pollfd.setInt16(4, POLLOUT, true);
  if (c === undefined || c.poll(ptr(pollfd), 1, 0) <= 0) return c === undefined;
  return (pollfd.getInt16(6, true) & (POLLOUT | POLLERR | POLLHUP)) !== 0;
}

/** Another descriptor of the same; undefined: there is none left. */
export function duplicate(fd: number): number | undefined {
  const copy = libc()?.dup(fd) ?? -1;
  return copy < 0 ? undefined : copy;
}

export function closeDescriptor(fd: number): void {
  libc()?.close(fd);
}

/** Lets so many connections wait to be accepted on a socket that listens already; the kernel's somaxconn caps it. */
export function setBacklog(fd: number, connections: number): boolean {
  return libc()?.listen(fd, connections) === 0;
}

/** Whether a unix socket's file has nobody behind it any more (ECONNREFUSED, and nothing else). Never waits. */
export function isDeserted(path: string): boolean {
  const c = libc();
  const name = Buffer.from(path);
  if (c === undefined || name.length >= unixPathOctetsMax) return false;
  const address = Buffer.alloc(2 + unixPathOctetsMax);
  address.writeUInt16LE(AF_UNIX, 0);
  name.copy(address, 2);
  const fd = c.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const refused =
    c.connect(fd, ptr(address), address.length) !== 0 && errno(c.__errno_location()) === ECONNREFUSED;
  c.close(fd);
  return refused;
}

/**
 * Raises the soft limit of open descriptors to the hard one; returns what then holds. Bun 1.4.5 does the same when it
 * starts, in a compiled binary too, but promises it nowhere.
 */
export function raiseDescriptorLimit(): number | undefined {
  const c = libc();
  const limits = new BigUint64Array(2);
  if (c === undefined || c.getrlimit(RLIMIT_NOFILE, ptr(limits)) !== 0) return undefined;
  const [soft = 0n, hard = 0n] = limits;
  const raised = new BigUint64Array([hard, hard]);
  const isRaised = soft === hard || c.setrlimit(RLIMIT_NOFILE, ptr(raised)) === 0;
  return Number(isRaised ? hard : soft);
}

function errno(location: Pointer | bigint | null): number | undefined {
  return typeof location === "number" ? read.i32(location) : undefined;
}
