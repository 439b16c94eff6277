/**
 * What has a limit, at every step: sessions, relay connections, tarpit slots, queues, timers, and how long anything may
 * take. And that nothing is left when everybody has gone.
 */

import { inputOctetsMax, turnOctetsMax } from "../../src/client/session.ts";
import { acquireMsMax } from "../../src/mail/transaction.ts";
import { closeMs, congestedOctets, type Socket } from "../../src/shell/network.ts";
import type { Server, ServerSettings } from "../../src/shell/server.ts";
import type { Clock } from "./clock.ts";
import type { FakeNetwork } from "./network.ts";
import type { RelayWatch } from "./relay-watch.ts";
import type { SessionJudge } from "./session-judge.ts";

const slackMs = 1_500;
/** Between two looks at deadlines. */
const lookEveryMs = 1_000;
const handshakeMs = 60_000;
/** What Bun reads at once, at most. */
const readOctetsMax = 512 * 1024;
/** Of each socket: its session's, its closing, and one of a dial or a wait. */
const timersPerSocket = 3;
const timersBeside = 4;

export class Limits {
  readonly #clock: Clock;
  readonly #server: Server;
  readonly #network: FakeNetwork;
  readonly #settings: ServerSettings;
  readonly #violated: (invariant: string, detail: string) => void;
  #lookedAt = 0;
  #jumpedAt = Number.NEGATIVE_INFINITY;

  constructor(
    clock: Clock,
    server: Server,
    network: FakeNetwork,
    settings: ServerSettings,
    violated: (invariant: string, detail: string) => void,
  ) {
    this.#clock = clock;
    this.#server = server;
    this.#network = network;
    this.#settings = settings;
    this.#violated = violated;
  }

  /** Time has leapt: what is due by now is late, and no fault. */
  jumped(): void {
    this.#jumpedAt = this.#clock.now;
  }

  checkStep(judges: Iterable<SessionJudge>, relays: readonly RelayWatch[], relayEventAt: number): void {
    const { maxConnections, maxTarpitted, pool } = this.#settings;
    // A session whose client left behind the dot lives on until the relay answered; each has a relay connection.
    if (this.#server.sessions > maxConnections + pool.connectionsMax) {
      this.#violated("MAX_CONNECTIONS", `${this.#server.sessions}`);
    }
    if (this.#server.tarpitted > maxTarpitted) this.#violated("MAX_TARPITTED", `${this.#server.tarpitted}`);
    let held = this.#network.openDials;
    for (const relay of relays) if (!relay.isLeft) held += 1;
    if (held > pool.connectionsMax) this.#violated("RELAY_MAX_CONNECTIONS", `${held}`);
    const { now } = this.#clock;
    if (now < this.#lookedAt + lookEveryMs || now < this.#jumpedAt + slackMs) return;
    this.#lookedAt = now;
    this.#checkTimers();
    for (const judge of judges) {
      if (judge.isGone) continue;
      const deadline = this.#deadlineOf(judge, relayEventAt) + slackMs;
      if (now > Math.max(deadline, this.#jumpedAt + slackMs)) {
        this.#violated(
          "a session ends by its deadline",
          `${judge.session} is in ${judge.state} since ${judge.lastEventAt}`,
        );
      }
    }
  }

  /** `octets` are about to be written. */
  checkQueue(socket: Socket, octets: Buffer): void {
    // What was read ahead of 354, and came late behind a pause, is let go in one turn.
    const max = congestedOctets + turnOctetsMax + inputOctetsMax + 2 * readOctetsMax + octets.length;
    if (socket.queuedOctets > max) this.#violated("a queue has a limit", `${socket.queuedOctets} octets`);
  }

  checkEnd(when: string): void {
    const left = {
      sessions: this.#server.sessions,
      tarpitted: this.#server.tarpitted,
      sockets: this.#network.openSockets,
      timers: this.#network.openTimers,
      dials: this.#network.openDials,
    };
    if (Object.values(left).some((count) => count !== 0)) {
      this.#violated("nothing is left", `${JSON.stringify(left)} ${when}`);
    }
  }

  #checkTimers(): void {
    const { openTimers, openSockets, openDials } = this.#network;
    const max = timersPerSocket * (openSockets + openDials + this.#server.sessions) + timersBeside;
    if (openTimers > max) this.#violated("timers have a limit", `${openTimers} for ${openSockets} sockets`);
  }

  #deadlineOf(judge: SessionJudge, relayEventAt: number): number {
    const { policy, pool, screening, tarpitDurationMs } = this.#settings;
    const lately = Math.max(judge.lastEventAt, relayEventAt, this.#jumpedAt);
    switch (judge.state) {
      case "greeting":
        return judge.startedAt + screening.greetingDelayMs;
      case "commands":
        return judge.lastWrittenAt + 2 * policy.commandTimeoutMs;
      case "handshake":
        return judge.lastWrittenAt + Math.min(handshakeMs, policy.commandTimeoutMs) + closeMs;
      case "pending":
        return (
          lately + acquireMsMax + 2 * pool.replyTimeoutMs + policy.commandTimeoutMs + screening.dnsblTimeoutMs
        );
      case "data":
        return lately + policy.dataTimeoutMs + 2 * pool.replyTimeoutMs;
      case "tarpit":
        return judge.lastEventAt + tarpitDurationMs + closeMs;
      case "over":
      case "leaving":
        return judge.lastEventAt + closeMs;
    }
  }
}
