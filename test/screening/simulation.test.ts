/**
 * Ten thousand clients, mail servers and spammers, over the real machines and a clock of our own (simulation/).
 * No mail server is refused, no early talker and no listed client causes as much as a dial, every limit is kept at
 * every instant, and every session ends. SIMULATION_SEED and SIMULATION_CLIENTS choose another run.
 */

import { expect, test } from "bun:test";
import { sessionPolicy } from "../../src/commands/settings.ts";
import { PassedClients } from "../../src/screening/passed-clients.ts";
import { configOf, screeningOf } from "../transcripts/world-settings.ts";
import { Chance, Clock } from "./simulation/clock.ts";
import { ScriptedZones, zoneOptions } from "./simulation/dns.ts";
import { MailServer, type Manners } from "./simulation/mail-server.ts";
import type { Peer } from "./simulation/peer.ts";
import { RelayPool } from "./simulation/relay.ts";
import { SimulatedServer } from "./simulation/server.ts";
import * as spammers from "./simulation/spammers.ts";

const { SIMULATION_SEED, SIMULATION_CLIENTS = "10000" } = process.env;
const clients = Number(SIMULATION_CLIENTS);
/** One that is always the same, and one that is always another. */
const seeds = SIMULATION_SEED?.split(",").map(Number) ?? [1, Date.now() % 1_000_000];

/** How many of each there are among a thousand. */
const mixture: readonly (readonly [string, number])[] = [
  ["good", 450],
  ["early talker", 120],
  ["listed", 120],
  ["browser", 50],
  ["pipeliner", 60],
  ["late pipeliner", 20],
  ["slowloris", 30],
  ["slow mail data", 20],
  ["junk", 40],
  ["deaf", 5],
  ["mute", 30],
  ["flood", 55],
];

const greetingDelayMs = 5_000;
const perSecond = 7;
const floodSize = 30;
/** So many come within as many milliseconds, once. */
const rushSize = 400;

class Simulation {
  readonly clock = new Clock();
  readonly chance: Chance;
  readonly server: SimulatedServer;
  readonly timing: spammers.Timing;
  #floods = 0;
  #spammers = 0;

  constructor(seed: number) {
    this.chance = new Chance(seed);
    const config = configOf({
      ...zoneOptions,
      LOG_LEVEL: "info",
      SERVER_CERT: "/cert.pem",
      SERVER_KEY: "/key.pem",
      TRUSTED_CLIENTS: "10.9.0.0/16",
      COMMAND_TIMEOUT: "60s",
      DATA_TIMEOUT: "50s",
      DNSBL_TIMEOUT: "7s",
      GREETING_DELAY: "5s",
    });
    const limits = {
      maxConnections: 330,
      maxConnectionsPerClient: 20,
      maxTarpitted: 60,
      tarpitDurationMs: 30_000,
      rememberedMax: 150,
    };
    const { commandTimeoutMs, dnsblTimeoutMs } = config;
    this.timing = { greetingDelayMs, commandTimeoutMs, dnsblTimeoutMs, ...limits };
    const memory = new PassedClients(limits.rememberedMax, 300_000);
    const zones = new ScriptedZones(
      this.clock,
      this.chance,
      dnsblTimeoutMs,
      {
        listed: (address) => /^198\.51\.100\.|^2001:db8:bad:/.test(address),
        // Some are on both lists.
        allowlisted: (address) => /^203\.0\.113\.|^198\.51\.100\.1\d$/.test(address),
      },
      (what) => this.server.count(what),
    );
    this.server = new SimulatedServer(
      this.clock,
      this.chance,
      sessionPolicy(config),
      { ...screeningOf(config), memory },
      zones,
      new RelayPool(this.clock, this.chance, 70),
      limits,
    );
    // Not before half of them were there: who comes while a zone is left out is remembered for its patience alone.
    for (let at = 700_000, refuses = true; at < 1_500_000; at += 100_000, refuses = !refuses) {
      this.clock.at(at, () => zones.turn(refuses));
    }
  }

  run(count: number): void {
    for (let index = 0, at = 0; index < count; ) {
      const isRush = index >= count / 2 && index < count / 2 + rushSize;
      at += isRush ? 1 : this.chance.between(0, 2000 / perSecond);
      const kind = this.#kind();
      const size = kind === "flood" ? Math.min(floodSize, count - index) : 1;
      const network = this.#floods;
      if (kind === "flood") this.#floods += 1;
      for (let of = 0; of < size; of += 1) {
        this.clock.at(at, () => this.#client(kind, network, of).connect());
      }
      index += size;
    }
    this.clock.run(() => this.server.check());
  }

  #kind(): string {
    let at = this.chance.between(
      0,
      mixture.reduce((sum, [kind, share]) => sum + this.#share(kind, share), 0) - 1,
    );
    for (const [kind, share] of mixture) {
      at -= this.#share(kind, share);
      if (at < 0) return kind;
    }
    return "good";
  }

  /** Floods come at once, so there are fewer of them. */
  #share(kind: string, share: number): number {
    return kind === "flood" ? Math.max(1, Math.round(share / floodSize)) : share;
  }

  #client(kind: string, network: number, index: number): Peer {
    const { server, timing } = this;
    switch (kind) {
      case "good":
        return new MailServer(server, this.#manners());
      case "early talker":
        return new spammers.EarlyTalker(server, this.#spammer(), timing);
      case "listed":
        return new spammers.Listed(server, this.#listed(), timing);
      case "browser":
        return new spammers.Browser(server, this.#spammer(), timing);
      case "pipeliner":
        return new spammers.Pipeliner(server, this.#spammer(), timing);
      case "late pipeliner":
        return new spammers.LatePipeliner(server, this.#spammer(), timing);
      case "slowloris":
        return new spammers.SlowCommands(server, this.#spammer(), timing);
      case "slow mail data":
        return new spammers.SlowData(server, this.#spammer(), timing);
      case "junk":
        return new spammers.Junk(server, this.#spammer(), timing);
      case "deaf":
        return new spammers.Deaf(server, this.#spammer(), timing);
      case "flood":
        return new spammers.Mute(
          server,
          kind,
          `2001:db8:f:${network.toString(16)}::${index.toString(16)}`,
          timing,
        );
      default:
        return new spammers.Mute(server, kind, this.#spammer(), timing);
    }
  }

  /** An address of its own, so that nobody is remembered for another. */
  #spammer(): string {
    this.#spammers += 1;
    const number = this.#spammers;
    return number % 3 === 0
      ? `2001:db8:1:${number.toString(16)}::1`
      : `172.${16 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`;
  }

  #listed(): string {
    const number = this.chance.between(0, 255);
    return this.chance.happens(0.3) ? `2001:db8:bad:${number.toString(16)}::1` : `198.51.100.${number}`;
  }

  #manners(): Manners {
    const { chance } = this;
    const kind = chance.one(
      "instant",
      "patient",
      "slow",
      "old",
      "TLS",
      "allowlisted",
      "trusted",
      "slow data",
      "faulty",
    );
    const number = chance.between(0, 255);
    const v4 = `192.0.2.${number}`;
    const addresses: Readonly<Record<string, string>> = {
      allowlisted: `203.0.113.${number}`,
      trusted: `10.9.8.${number}`,
    };
    const v6 = `2001:db8:600d:${chance.between(0, 200).toString(16)}::${number.toString(16)}`;
    return {
      kind,
      address: addresses[kind] ?? (chance.happens(0.4) ? v6 : v4),
      latencyMs: kind === "instant" ? 0 : chance.between(0, 150),
      thinkMs: kind === "instant" ? 0 : kind === "slow" ? 45_000 : 200,
      mails: chance.happens(0.3) ? chance.between(2, 4) : 1,
      pipelines: kind !== "old" && chance.happens(0.6),
      isOld: kind === "old",
      wantsTls: kind === "TLS" || chance.happens(0.2),
      rate: kind === "slow data" ? 650 : 0,
      faultAfterMs: kind === "faulty" ? chance.between(0, 15_000) : undefined,
    };
  }
}

/** At least so many of ten thousand, so that no run tests nothing. */
const minimums: Readonly<Record<string, number>> = {
  "client: instant": 200,
  "client: patient": 200,
  "client: slow": 200,
  "client: old": 200,
  "client: TLS": 200,
  "client: allowlisted": 200,
  "client: trusted": 200,
  "client: slow data": 200,
  "client: faulty": 200,
  "client: early talker": 500,
  "client: listed": 500,
  "client: browser": 200,
  "client: pipeliner": 200,
  "client: late pipeliner": 50,
  "client: slowloris": 100,
  "client: slow mail data": 80,
  "client: junk": 150,
  "client: deaf": 10,
  "client: mute": 100,
  "client: flood": 100,
  "mails of good clients": 2000,
  "mails deferred": 50,
  "greeted in two lines": 1000,
  "greeted early for an allowlist": 20,
  remembered: 200,
  "remembered for the delay alone": 20,
  trusted: 200,
  "sent away: total": 1,
  "sent away: per-client": 20,
  tarpitted: 300,
  "told at once": 100,
  "tarpit: complete": 200,
  "tarpit: closed by the client": 1,
  "tarpit: ECONNRESET": 1,
  "early talker told 554": 400,
  "listed told 554": 300,
  "listed in time": 300,
  "pipeliner told 554": 200,
  "junk told 421": 100,
  "too slow": 20,
  "verdict: early-talker": 500,
  "verdict: listed": 300,
  "verdict: non-smtp": 200,
  "verdict: pipelining": 200,
  "zone refuses": 1,
  "DNS: trouble": 100,
  "DNS: late": 100,
  "DNS: silence": 100,
  "DNS: bad.example": 300,
  "DNS: flaky.example": 5,
  "DNS: good.example": 20,
  "fault: FIN": 50,
  "fault: reset": 50,
  "end: timeout": 100,
  "end: mail data too slow": 20,
  "end: client does not read its replies": 5,
  "end: too many errors": 100,
  paused: 20,
};

test.each(seeds)(
  "ten thousand clients, seed %i",
  (seed) => {
    const simulation = new Simulation(seed);
    const { server, clock } = simulation;
    const fault = `SIMULATION_SEED=${seed} SIMULATION_CLIENTS=${clients}`;
    try {
      simulation.run(clients);
    } catch (error) {
      const stack = error instanceof Error ? error.stack : String(error);
      throw new Error(`${fault}: after ${clock.now} ms: ${stack}`, { cause: error });
    }
    const counts = Object.fromEntries([...server.counts].sort());
    process.stdout.write(`${fault}: ${Math.round(clock.now / 1000)} s\n${JSON.stringify(counts)}\n`);
    expect([
      server.connections.size,
      server.admission.connections,
      server.slots.taken,
      server.relays.connections,
    ]).toEqual([0, 0, 0, 0]);
    const missing = Object.entries(minimums).filter(
      ([what, minimum]) => (counts[what] ?? 0) < Math.floor((minimum * clients) / 10_000),
    );
    expect([fault, ...missing]).toEqual([fault]);
    const good = [...server.counts].filter(([what]) => what.startsWith("through: "));
    expect(good.length).toBeGreaterThanOrEqual(8);
  },
  60_000,
);
