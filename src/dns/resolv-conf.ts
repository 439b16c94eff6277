/**
 * The name servers of resolv.conf(5), as glibc reads the file: `nameserver` at the start of a line, an address, and
 * whatever follows it is ignored. What is no address is skipped; the first three count; none at all means the
 * server on this host. Never throws.
 * Not here: reading the file (commands/); asking the servers (resolver.ts).
 * Not read: `search` and `domain`, since only full names are asked for; `options`, since the times are ours.
 */
import { isIP } from "node:net";
import type { DnsServer } from "./transport.ts";

/** MAXNS of resolv.conf(5). */
const serversMax = 3;
const dnsPort = 53;

/** `resolvConf` is the file's text; an empty one will do where there is no file. */
export function serversOf(resolvConf: string): readonly DnsServer[] {
  const addresses = resolvConf
    .split("\n")
    .map((line) => /^nameserver[ \t]+(\S+)/.exec(line)?.[1] ?? "")
    .filter((address) => isIP(address) !== 0)
    .slice(0, serversMax);
  if (addresses.length === 0) addresses.push("127.0.0.1");
  return addresses.map((address) => ({ address, port: dnsPort }));
}
