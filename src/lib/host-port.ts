/**
 * How a host and a port are written together, everywhere: options, log lines, messages.
 * RFC 3986 §3.2.2: an IPv6 address stands in brackets, or nobody could tell where its port begins.
 * Not here: reading one (config/kinds/hosts.ts).
 */

/** `host`: a name, an address without brackets, or "" for all addresses. */
export function formatHostPort(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
