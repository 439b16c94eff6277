/**
 * The relay of the soak: a private Postfix that holds every mail (its hold queue), so that what it took can be read
 * from its files; and the ways to hurt it.
 */
import { readFileSync } from "node:fs";
import { Postfix } from "../peers/support/postfix.ts";
import { commandPath } from "../peers/support/suite.ts";
import type { Workplace } from "../peers/support/workplace.ts";

export const relayName = "relay.test";
/** Held mail goes nowhere. */
const nowhere = 9;

export async function startRelay(place: Workplace): Promise<Postfix> {
  const relay = await Postfix.start(place, {
    name: relayName,
    nextPort: nowhere,
    certificate: place.certificate(relayName),
    main: {
      in_flow_delay: "0",
      // No mail of its own to the postmaster about daemons that died.
      notify_classes: "",
      smtpd_data_restrictions: "check_client_access static:HOLD",
    },
  });
  // Daemons that hang hear nothing milder.
  place.onClose(() => relay.crash());
  return relay;
}

/** Process ids of the relay's daemons of one name. */
export function daemonsOf({ pid }: Postfix, name: string): number[] {
  if (pid === undefined) return [];
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim();
  return children
    .split(" ")
    .map(Number)
    .filter((child) => child > 0 && nameOf(child) === name);
}

/** A process that has ended meanwhile needs no signal. */
export function signal(pid: number, name: NodeJS.Signals): void {
  if (nameOf(pid) !== undefined) process.kill(pid, name);
}

/** Resets all connections to the relay, on the side of whoever dialled. Needs root and a kernel that can. */
export function cutConnections({ port }: Postfix): void {
  Bun.spawnSync([commandPath("ss") ?? "ss", "-K", "-n", "-t", "dst", "127.0.0.1", "dport", "=", `:${port}`]);
}

/** undefined: it has ended. */
function nameOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/comm`, "latin1").trim();
  } catch {
    return undefined; // There is no such process: this is how /proc says so.
  }
}
