/**
 * Draws a scenario from a seed: the operator's options, the zones, the faults of the world, and with draw-clients.ts
 * and draw-relays.ts who is in it. Each part has a stream of randomness of its own, so that one that is taken away
 * leaves the others as they were.
 */
import { perhapsBulky } from "./draw-bulk.ts";
import { drawClient } from "./draw-clients.ts";
import { drawConditions } from "./draw-conditions.ts";
import { drawRelayConnection } from "./draw-relays.ts";
import { Random } from "./random.ts";
import type { RelayScript, Scenario, WorldFault, ZoneScript } from "./scenario.ts";

/** Where clients come from: some are trusted by default, two share a /64. */
export const clientAddresses = [
  "192.0.2.1",
  "192.0.2.2",
  "198.51.100.7",
  "2001:db8::1",
  "2001:db8::2",
  "127.0.0.1",
] as const;

export const relayNames = ["relay1", "relay2"] as const;

export function scenarioOf(seed: number): Scenario {
  const random = new Random(seed);
  const relays = drawRelays(random.fork("relays"));
  const zones = drawZones(random.fork("zones"));
  const options = drawOptions(random.fork("options"), relays, zones);
  const others = random.fork("others");
  const count = others.weighted([
    [1, 2],
    [2, 3],
    [4, 3],
    [7, 2],
    [12, 1],
  ] as const);
  const clients = Array.from({ length: count }, (_, index) => {
    const name = `client${index + 1}`;
    return drawClient(random.fork(name), name, clientAddresses);
  });
  const faults = drawFaults(random.fork("faults"));
  return perhapsBulky({ seed, options, zones, relays, clients, faults }, random.fork("bulk"));
}

function drawOptions(
  random: Random,
  relays: readonly RelayScript[],
  zones: readonly ZoneScript[],
): Record<string, string> {
  const relayTls = random.weighted([
    ["off", 4],
    ["opportunistic", 4],
    ["required", 1],
    ["verify", 1],
    ["implicit", 1],
  ] as const);
  const options: Record<string, string> = {
    RELAY_HOST: relays.map(({ host, port }) => `${host}:${port}`).join(" "),
    RELAY_TLS: relayTls,
    LOG_LEVEL: random.chance(0.1) ? "debug" : "info",
    COMMAND_TIMEOUT: random.pick(["5m", "20s"]),
    DATA_TIMEOUT: random.pick(["3m", "10s"]),
    RELAY_TIMEOUT: random.pick(["5m", "15s"]),
    RELAY_CONNECT_TIMEOUT: random.pick(["30s", "5s"]),
    RELAY_IDLE_TIMEOUT: random.pick(["0", "30s", "1h"]),
    RELAY_MAX_CONNECTIONS: random.pick(["50", "50", "2", "1"]),
    BARE_NEWLINE: random.pick(["reject", "normalize"]),
    MAX_MESSAGE_SIZE: random.pick(["150M", "150M", "400K", "8K", "1"]),
    MAX_RECIPIENTS: random.pick(["100", "2"]),
    MAX_ERRORS: random.pick(["10", "10", "2"]),
    MAX_HOPS: random.pick(["50", "2"]),
    MAX_CONNECTIONS: random.pick(["1000", "1000", "3"]),
    MAX_CONNECTIONS_PER_CLIENT: random.pick(["20", "20", "1"]),
    GREETING_DELAY: random.pick(["0", "0", "5s", "300ms"]),
    SCREENING: random.pick(["enforce", "enforce", "observe"]),
    TARPIT_DURATION: random.pick(["0", "60s", "2s"]),
    MAX_TARPITTED: random.pick(["500", "1", "0"]),
    TRUSTED_CLIENTS: random.pick(["127.0.0.0/8 ::1", "", "192.0.2.0/24 2001:db8::/32"]),
    MIN_DATA_RATE: random.pick(["500", "0"]),
  };
  if (random.chance(0.5)) Object.assign(options, { SERVER_CERT: "/cert.pem", SERVER_KEY: "/key.pem" });
  if (relayTls !== "off" && random.chance(0.3)) {
    Object.assign(options, { RELAY_USERNAME: "proxy", RELAY_PASSWORD: "secret of the relay" });
  }
  if (random.chance(0.4)) Object.assign(options, { VALID_RECIPIENTS: "@(dest|other)\\.example$" });
  if (random.chance(0.2)) Object.assign(options, { OVERRIDE_RECIPIENT: "all@override.example" });
  if (zones.length > 0) {
    const entries = zones.map(({ entry }) => entry).join(" ");
    Object.assign(options, { DNSBL_DOMAINS: entries, DNSBL_TIMEOUT: random.pick(["5s", "500ms"]) });
  }
  return options;
}

function drawZones(random: Random): ZoneScript[] {
  if (random.chance(0.6)) return [];
  const kinds = random.shuffle(["bl.example", "bl2.example", "wl.example"]).slice(0, random.between(1, 3));
  return kinds.map((zone) => {
    const weight = zone === "wl.example" ? -2 : random.between(1, 2);
    return {
      zone,
      entry: `${zone}=127.0.0.[2..11]*${weight}`,
      weight,
      listed: clientAddresses.filter(() => random.chance(0.25)),
      answers: random.pick([
        "listing",
        "listing",
        "listing",
        "refusal",
        "public",
        "trouble",
        "never",
      ] as const),
      afterMs: random.pick([0, 20, 400, 4_900, 5_100, 30_000]),
    };
  });
}

function drawRelays(random: Random): RelayScript[] {
  const names = relayNames.slice(
    0,
    random.weighted([
      [1, 3],
      [2, 1],
    ] as const),
  );
  return names.map((name, index) => {
    const own = random.fork(name);
    const addresses = Array.from(
      {
        length: own.weighted([
          [1, 4],
          [2, 1],
        ] as const),
      },
      (_, which) => ({
        address: which === 0 ? `203.0.113.${index + 1}` : `2001:db8:f::${index + 1}`,
        listens: own.weighted([
          ["well", 17],
          ["refused", 1],
          ["silent", 1],
          ["resets", 1],
        ] as const),
        conditions: drawConditions(own.fork(`conditions${which}`)),
      }),
    );
    const count = own.between(1, 4);
    return {
      name,
      host: `${name}.example`,
      port: index === 0 ? 25 : 2525,
      resolves: own.chance(0.97),
      addresses,
      connections: Array.from({ length: count }, (_, n) => drawRelayConnection(own.fork(`connection${n}`))),
    };
  });
}

function drawFaults(random: Random): WorldFault[] {
  const faults: WorldFault[] = [];
  const atMs = (): number =>
    random.weighted([
      [random.below(300), 2],
      [random.below(8_000), 3],
      [random.below(90_000), 1],
    ] as const);
  if (random.chance(0.12)) {
    faults.push({ name: "jump", atMs: atMs(), fault: "jump", ms: random.pick([900, 20_000, 400_000]) });
  }
  if (random.chance(0.05)) {
    faults.push({ name: "clock-set", atMs: atMs(), fault: "clock-set", ms: random.between(-5e9, 5e9) });
  }
  if (random.chance(0.12)) {
    faults.push({
      name: "shutdown",
      atMs: atMs(),
      fault: "shutdown",
      graceMs: random.pick([0, 300, 30_000]),
      ...(random.chance(0.3) ? { hurryAfterMs: random.below(2_000) } : {}),
    });
  }
  if (random.chance(0.05)) faults.push({ name: "reload", atMs: atMs(), fault: "reload" });
  if (random.chance(0.12)) {
    faults.push({
      name: "relay-down",
      atMs: atMs(),
      fault: "relay-down",
      relay: random.pick(relayNames),
      how: random.pick(["refused", "silent", "resets"] as const),
      forMs: random.pick([500, 30_000]),
    });
  }
  return faults;
}
