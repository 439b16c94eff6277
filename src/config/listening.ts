/**
 * Listen addresses beside each other: which of them the kernel would take for the same, and where IPv6 has to leave
 * IPv4 alone. Pure.
 * `[::]:25` takes IPv4 as well, as the system has it, unless something else in the list has that port for IPv4: who
 * writes `0.0.0.0:25 [::]:25` wants a socket for each family (IPV6_V6ONLY, ipv6(7)).
 * Not here: how one address is written (config/kinds/hosts.ts), listening (net/).
 */

import { addressOctets } from "../lib/ip.ts";
import type { ListenAddress } from "./kinds/hosts.ts";

export type ListenPlace = ListenAddress & { readonly ipv6Only?: true };

type Tcp = Extract<ListenAddress, { readonly port: number }>;

/** The addresses as sockets that do not get in each other's way. */
export function apart(addresses: readonly ListenAddress[]): readonly ListenPlace[] {
  return addresses.map((address) => {
    if ("unix" in address || coverage(address) !== "ipv6") return address;
    const others = addresses.filter((other) => other !== address);
    const sharesPort = others.some(
      (other) => !("unix" in other) && samePort(other, address) && !isIpv6(other),
    );
    return sharesPort ? { ...address, ipv6Only: true } : address;
  });
}

/** An address, and another of the list that has it already; undefined: there is none. */
export function doubled(
  addresses: readonly ListenAddress[],
): { readonly inner: ListenAddress; readonly outer: ListenAddress } | undefined {
  const tcp = addresses.flatMap((address) => ("unix" in address ? [] : address));
  for (const outer of tcp) {
    const inner = tcp.find((other) => other !== outer && samePort(other, outer) && covers(outer, other));
    if (inner !== undefined) return { inner, outer };
  }
  return undefined;
}

/** Port 0 is another one each time. */
function samePort(one: Tcp, other: Tcp): boolean {
  return one.port === other.port && one.port !== 0;
}

/** What an address means besides itself. */
function coverage({ host }: Tcp): "all" | "ipv4" | "ipv6" | "itself" {
  if (host === "") return "all";
  const octets = addressOctets(host);
  if (octets === undefined || octets.some((octet) => octet !== 0)) return "itself";
  return octets.length === 4 ? "ipv4" : "ipv6";
}

function isIpv6({ host }: Tcp): boolean {
  return addressOctets(host)?.length === 16;
}

function covers(outer: Tcp, inner: Tcp): boolean {
  const all = coverage(outer);
  if (all === "all") return true;
  const octets = addressOctets(inner.host);
  return octets !== undefined && octets.length === (all === "ipv4" ? 4 : all === "ipv6" ? 16 : 0);
}
