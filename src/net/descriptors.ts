/**
 * How many descriptors the program may need at once, and whether its limit allows it.
 * When descriptors run out, accepting a connection fails again and again with the processor at 100 %, and no event
 * tells of it (Bun, oven-sh/bun #32705); so the limits of the options must be reached first.
 * Pure. Not here: the limit itself (libc.ts); what is made of a warning (commands/serve.ts).
 * Rejected: lowering MAX_CONNECTIONS to what fits. The operator would read one number and get another.
 */
import { abandonedDialsMax } from "./bun-network.ts";
import { portsMax, tcpMax } from "./dns-transport.ts";
import { leavingMax } from "./server.ts";

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
  const { clientsMax, relaysMax, listeners, dnsServers } = users;
  // The kernel holds on for two minutes to dials that were given up.
  const relays = relaysMax + deafAddresses * abandonedDialsMax;
  const dns = dnsServers === 0 ? 0 : dnsServers * portsMax + tcpMax;
  return clientsMax + leavingMax + relays + listeners + dns + ownFiles;
}

/** A warning for the operator, or undefined if all is well. `limit`: undefined where it cannot be known. */
export function tooFewDescriptors(users: DescriptorUsers, limit: number | undefined): string | undefined {
  const needed = descriptorsNeeded(users);
  if (limit === undefined || limit >= needed) return undefined;
  return (
    `MAX_CONNECTIONS=${users.clientsMax} and RELAY_MAX_CONNECTIONS=${users.relaysMax} may need ${needed} open files, ` +
    `and the limit is ${limit}: when they run out, nobody is served; raise LimitNOFILE= or lower MAX_CONNECTIONS`
  );
}
