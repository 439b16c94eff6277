/**
 * Whether RELAY_HOST is this program itself: an address of this host with a port that we listen on. Mail would come
 * back until all relay connections are used up.
 * Only what is certain at the start is reported. A loop through a translation of addresses, or over a socket of
 * systemd's whose address we do not know, is found at the dial (client/offer.ts).
 * Not here: what follows from it (serve.ts, commands/check/check.ts).
 */
import { networkInterfaces } from "node:os";
import { addressOctets, formatAddress, isIpv4Address } from "../lib/ip.ts";
import type { RelayHost } from "../relay/route.ts";
import type { ListenTarget, Network } from "../shell/network.ts";

/** A name server that is silent holds the start up no longer. */
const resolveMsMax = 2_000;

export interface OwnRelays {
  /** All addresses of the relay are ours. */
  readonly faults: readonly string[];
  /** Some are. */
  readonly warnings: readonly string[];
}

/** `ownAddresses`: of this host's interfaces, loopback included. */
export async function findOwnRelays(
  network: Network,
  relays: readonly RelayHost[],
  targets: readonly ListenTarget[],
  ownAddresses: readonly string[],
): Promise<OwnRelays> {
  const faults: string[] = [];
  const warnings: string[] = [];
  for (const relay of relays.filter(({ port }) => targets.some((target) => portOf(target) === port))) {
    const addresses = await resolve(network, relay.host);
    const own = addresses.filter((address) => isOurs(address, relay.port, targets, ownAddresses));
    if (own.length === 0) continue;
    const isAll = own.length === addresses.length;
    const what = `${relay.host} port ${relay.port} is this program itself (${own.join(", ")})`;
    if (isAll) faults.push(`RELAY_HOST: ${what}: set it to the mail server behind`);
    else warnings.push(`RELAY_HOST: ${what}; its other addresses are not`);
  }
  return { faults, warnings };
}

/** Of this host's interfaces. */
export function addressesOfThisHost(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((all) => all?.map(({ address }) => address) ?? []);
}

async function resolve(network: Network, host: string): Promise<readonly string[]> {
  let timer: { cancel(): void } | undefined;
  const late = new Promise<{ readonly failure: string }>((done) => {
    timer = network.timer(resolveMsMax, () => done({ failure: "no answer" }));
  });
  const found = await Promise.race([network.resolve(host), late]);
  timer?.cancel();
  return "addresses" in found ? found.addresses : [];
}

function portOf(target: ListenTarget): number | undefined {
  return "port" in target ? target.port : undefined;
}

function isOurs(
  address: string,
  port: number,
  targets: readonly ListenTarget[],
  ownAddresses: readonly string[],
): boolean {
  const dialled = whereItLeads(address);
  const anyOfFamily = isIpv4Address(dialled) ? "0.0.0.0" : "::";
  const isOfThisHost = dialled.startsWith("127.") || ownAddresses.some((own) => plain(own) === dialled);
  return targets.some((target) => {
    if (!("port" in target) || target.port !== port) return false;
    if (isOfThisHost && (target.host === "" || target.host === anyOfFamily)) return true;
    return plain(target.host) === dialled;
  });
}

/** One way to write each address: 127.0.0.1 for ::ffff:127.0.0.1, and without a scope. */
function plain(address: string): string {
  const octets = addressOctets(address);
  return octets === undefined ? address : formatAddress(octets);
}

/** connect(2) takes the address of no host for this host's loopback. */
function whereItLeads(address: string): string {
  const dialled = plain(address);
  if (dialled === "0.0.0.0") return "127.0.0.1";
  return dialled === "::" ? "::1" : dialled;
}
