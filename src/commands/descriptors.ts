/**
 * How many descriptors the program may need at once, and whether its limit allows it.
 * Where it does not, clients are left waiting (bun/descriptor-guard.ts) before the options' own limits are reached.
 * Pure. Not here: the limit itself (host/libc.ts); what is made of a warning (commands/serve.ts).
 * Rejected: lowering MAX_CONNECTIONS to what fits. The operator would read one number and get another.
 */
import { abandonedDialsMax } from "../bun/network.ts";
import { portsMax, tcpMax } from "../dns/transport.ts";
import { leavingMax } from "../shell/server.ts";

export interface DescriptorUsers {
  /** MAX_CONNECTIONS: who is held in the tarpit counts, until its socket is gone. */
  readonly clientsMax: number;
  /** RELAY_MAX_CONNECTIONS. */
  readonly relaysMax: number;
  readonly listeners: number;
  /** That are asked; 0 without DNSBL. */
  readonly dnsServers: number;
}

/** Relay addresses that may be silent at the same time. */
const deafAddresses = 4;
/** Log, event loop, certificates read again, names of relays looked up: about 10 are open all the time. */
const ownFiles = 64;

export function descriptorsNeeded(users: DescriptorUsers): number {
  return users.clientsMax + leavingMax + neededBesideClients(users);
}

function neededBesideClients({ relaysMax, listeners, dnsServers }: DescriptorUsers): number {
  // The kernel holds on for two minutes to dials that were given up.
  const relays = relaysMax + deafAddresses * abandonedDialsMax;
  const dns = dnsServers === 0 ? 0 : dnsServers * portsMax + tcpMax;
  return relays + listeners + dns + ownFiles;
}

/** How many descriptors clients may not take: what else is needed, but no more than a quarter. */
export function descriptorReserve(users: DescriptorUsers, limit: number): number {
  return Math.min(neededBesideClients(users), Math.floor(limit / 4));
}

/** A warning for the operator, or undefined if all is well. `limit`: undefined where it cannot be known. */
export function tooFewDescriptors(users: DescriptorUsers, limit: number | undefined): string | undefined {
  const needed = descriptorsNeeded(users);
  if (limit === undefined || limit >= needed) return undefined;
  return (
    `MAX_CONNECTIONS=${users.clientsMax} and RELAY_MAX_CONNECTIONS=${users.relaysMax} may need ${needed} open files, ` +
    `and the limit is ${limit}: before they run out, further clients are left waiting; raise LimitNOFILE= or lower MAX_CONNECTIONS`
  );
}
