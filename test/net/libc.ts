/** Calls of the C library that tests need to make the descriptors which the program is then given. */
import { dlopen, ptr } from "bun:ffi";

const { symbols } = dlopen("libc.so.6", {
  socketpair: { args: ["i32", "i32", "i32", "ptr"], returns: "i32" },
});
const AF_UNIX = 1;
const SOCK_STREAM = 1;

/** Two ends of a unix stream socket, as systemd makes for a service's stderr. */
export function socketPair(): readonly [number, number] {
  const pair = new Int32Array(2);
  if (symbols.socketpair(AF_UNIX, SOCK_STREAM, 0, ptr(pair)) !== 0) throw new Error("socketpair failed");
  const [ours = -1, theirs = -1] = pair;
  return [ours, theirs];
}
