/**
 * Socket activation: which descriptors the service manager handed us, as sd_listen_fds(3) has it, but strict. What
 * libsystemd ignores in silence (another process's LISTEN_PID, a number it cannot read) is a fault here, because a
 * server that quietly binds other ports than the operator's .socket unit says is the worse surprise.
 * Every descriptor is verified to be a listening stream socket.
 *
 * Verified by getsockopt over bun:ffi. Rejected: /proc/net/tcp and /proc/net/unix, which show the sockets of our own
 * network namespace only, while under PrivateNetwork=yes the inherited ones come from the host's.
 * FD_CLOEXEC is not set: Bun closes what it was not told to pass on in Bun.spawn, and workers inherit on purpose.
 * Not here: accepting (bun/network.ts), sd_notify (a later issue).
 */

import { visible } from "../config/kinds/values.ts";
import type { ListenTarget } from "../shell/network.ts";
import { describeSocket } from "./libc.ts";

export type Environment = Record<string, string | undefined>;
export type InheritedTarget = Extract<ListenTarget, { readonly fd: number }>;

/** No sockets and no fault: we were not activated, and listen for ourselves. */
export type InheritedSockets =
  | { readonly ok: true; readonly sockets: readonly InheritedTarget[] }
  | { readonly ok: false; readonly fault: string };

/** SD_LISTEN_FDS_START. */
const firstFd = 3;
/** More is a mistake and not a server; it also bounds what is asked of the kernel. */
const socketsMax = 256;

export function inheritedSockets(environment: Environment, pid: number): InheritedSockets {
  const { LISTEN_PID: ownerText, LISTEN_FDS: countText, LISTEN_FDNAMES: namesText } = environment;
  if (ownerText === undefined && countText === undefined) return { ok: true, sockets: [] };
  if (ownerText === undefined || countText === undefined) {
    return fault(
      `${ownerText === undefined ? "LISTEN_FDS" : "LISTEN_PID"} is set alone: both or none belong there`,
    );
  }
  const owner = decimal(ownerText);
  if (owner === undefined) return fault(`LISTEN_PID=${quoted(ownerText)} is not a process id`);
  if (owner !== pid)
    return fault(`LISTEN_PID=${owner} names another process, ours is ${pid}: the sockets are not for us`);
  const count = decimal(countText);
  if (count === undefined || count < 1 || count > socketsMax) {
    return fault(`LISTEN_FDS=${quoted(countText)} is not a number from 1 to ${socketsMax}`);
  }
  const names = namesText === undefined || namesText === "" ? undefined : namesText.split(":");
  if (names !== undefined && names.length !== count) {
    return fault(`LISTEN_FDNAMES has ${names.length} names for ${count} descriptors`);
  }
  const sockets = Array.from({ length: count }, (_, index) => {
    // sd_listen_fds_with_names(3): without a name it is "unknown".
    return { fd: firstFd + index, name: names?.[index] || "unknown" };
  });
  for (const { fd, name } of sockets) {
    const kind = describeSocket(fd);
    if (kind === undefined)
      return fault("inherited sockets cannot be verified: the C library could not be loaded");
    if (kind !== "listening stream socket") return fault(`descriptor ${fd} (${quoted(name)}) is ${kind}`);
  }
  return { ok: true, sockets };
}

/** Takes the variables away, so that no process we start believes that it was activated. */
export function forgetInheritedSockets(environment: Environment): void {
  for (const name of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"])
    delete environment[name];
}

function decimal(text: string): number | undefined {
  return /^[0-9]{1,10}$/.test(text) ? Number(text) : undefined;
}

function quoted(text: string): string {
  return visible(JSON.stringify(text.slice(0, 64)));
}

function fault(text: string): InheritedSockets {
  return { ok: false, fault: text };
}
