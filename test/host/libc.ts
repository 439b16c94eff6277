/** Calls of the C library that tests need to make the descriptors which the program is then given. */
import { dlopen, ptr } from "bun:ffi";

const { symbols } = dlopen("libc.so.6", {
  socketpair: { args: ["i32", "i32", "i32", "ptr"], returns: "i32" },
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  listen: { args: ["i32", "i32"], returns: "i32" },
  getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
});
const AF_UNIX = 1;
const AF_INET = 2;
const SOCK_STREAM = 1;
const backlog = 64;

/** Two ends of a unix stream socket, as systemd makes for a service's stderr. */
export function socketPair(): readonly [number, number] {
  const pair = new Int32Array(2);
  if (symbols.socketpair(AF_UNIX, SOCK_STREAM, 0, ptr(pair)) !== 0) throw new Error("socketpair failed");
  const [ours = -1, theirs = -1] = pair;
  return [ours, theirs];
}

/** A socket that listens on a port of 127.0.0.1, and nobody accepts: systemd's, before the service has started. */
export function listeningSocket(): { readonly descriptor: number; readonly port: number } {
  const descriptor = symbols.socket(AF_INET, SOCK_STREAM, 0);
  const address = new Uint8Array([AF_INET, 0, 0, 0, 127, 0, 0, 1, ...new Array<number>(8).fill(0)]);
  const size = new Uint32Array([address.length]);
  const isListening =
    symbols.bind(descriptor, ptr(address), address.length) === 0 &&
    symbols.listen(descriptor, backlog) === 0 &&
    symbols.getsockname(descriptor, ptr(address), ptr(size)) === 0;
  if (!isListening) throw new Error("no socket to listen on");
  return { descriptor, port: (address[2] ?? 0) * 256 + (address[3] ?? 0) };
}
