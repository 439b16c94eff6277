/**
 * What the DNSBL tests share: a client, the proxy, the resolver, a DNS server over UDP and TCP, and a relay, all with
 * real sockets. Clients differ by their addresses, 127.0.0.x; a zone answers by name.
 */
import { expect } from "bun:test";
import { dnsblZones } from "../../src/config/kinds/dnsbl-zone.ts";
import type { TurnLimits } from "../../src/dns/look-up-turns.ts";
import { DnsResolver } from "../../src/dns/resolver.ts";
import { AddressSet } from "../../src/screening/addresses.ts";
import { addresses, DnsServer } from "../dns/server.ts";
import { eventually, ScriptedClient, ScriptedRelay, TestProxy } from "./support.ts";

export const body = "Subject: x\r\n\r\nx\r\n";
/** DNSBL_TIMEOUT. */
export const timeoutMs = 400;
export const tarpitMs = 200;
/** What may pass on a slow machine before something that happens at once is seen. */
export const atOnceMs = 300;

export interface Bench {
  readonly proxy: TestProxy;
  readonly relay: ScriptedRelay;
  readonly dns: DnsServer;
  readonly resolver: DnsResolver;
}

export interface BenchSettings {
  /** DNSBL_DOMAINS. */
  readonly zones?: string;
  readonly threshold?: number;
  readonly greetingDelayMs?: number;
  readonly dnsblTimeoutMs?: number;
  readonly observe?: boolean;
  /** Asked before the bench's own. */
  readonly deadServers?: readonly { readonly address: string; readonly port: number }[];
  readonly tcp?: boolean;
  readonly limits?: TurnLimits;
}

export async function withBench(
  run: (bench: Bench) => Promise<void>,
  settings: BenchSettings = {},
): Promise<void> {
  const zones = dnsblZones.parse(settings.zones ?? "list.test", () => undefined);
  if (!zones.ok) throw new Error("no such zones");
  const relay = await ScriptedRelay.start();
  const dns = await DnsServer.start({ tcp: settings.tcp ?? true });
  const dnsblTimeoutMs = settings.dnsblTimeoutMs ?? timeoutMs;
  const servers = [...(settings.deadServers ?? []), dns.address];
  const { limits } = settings;
  const timing = { servers, timeoutMs: dnsblTimeoutMs };
  const resolver = new DnsResolver(limits === undefined ? timing : { ...timing, limits }, () =>
    performance.now(),
  );
  const proxy = new TestProxy([relay.port], {
    resolver,
    screening: {
      zones: zones.value,
      threshold: settings.threshold ?? 1,
      greetingDelayMs: settings.greetingDelayMs ?? 0,
      dnsblTimeoutMs,
      observe: settings.observe ?? false,
    },
    server: { trusted: new AddressSet([]), tarpitDurationMs: tarpitMs, maxConnections: 500 },
  });
  try {
    await run({ proxy, relay, dns, resolver });
    await eventually(() => proxy.server.tarpitted === 0, "the tarpit is empty");
    await proxy.stop();
    expect(proxy.stacks).toEqual([]);
    expect(resolver.counts.outstanding).toBe(0);
  } finally {
    relay.stop();
    dns.stop();
  }
}

export interface Visit {
  /** To RCPT. */
  readonly reply: string;
  /** From the greeting to that. */
  readonly rcptMs: number;
  /** To the dot. */
  readonly accepted: string | undefined;
}

/** A mail from 127.0.0.`last`, or from another address. */
export async function visit(port: number, last: number, host = "127.0.0.1"): Promise<Visit> {
  const client = await ScriptedClient.connect(port, host, host === "127.0.0.1" ? `127.0.0.${last}` : host);
  await client.reply();
  await client.ask("EHLO client.test");
  await client.ask("MAIL FROM:<sender@example.com>");
  const askedAt = performance.now();
  const reply = await client.ask("RCPT TO:<someone@example.org>");
  const rcptMs = performance.now() - askedAt;
  if (!reply.startsWith("250")) {
    await eventually(() => client.ended || client.closed, "who is refused is closed");
    client.fin();
    return { reply, rcptMs, accepted: undefined };
  }
  await client.ask("DATA");
  const accepted = await client.ask(`${body}.`);
  await client.quit();
  return { reply, rcptMs, accepted };
}

export const nameOf = (last: number, zone = "list.test"): string => `${last}.0.0.127.${zone}`;

/** What was said of zones. */
export function warnings({ proxy }: Bench) {
  return proxy.events.filter(({ event }) => event.startsWith("dnsbl-"));
}

export function screenings({ proxy }: Bench) {
  return proxy.events.filter((event) => event.event === "screening");
}

export const listed = addresses(["127.0.0.2"]);
