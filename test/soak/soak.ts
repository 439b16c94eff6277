/**
 * One soak, from the first mail to the reckoning.
 *
 * First part: every trouble there is, restarts of the proxy among them, each at least once. Second part, the stretch: one run of the proxy
 * carries the greater part of the mails, while all else goes wrong around it. At its rests nobody is connected, and
 * descriptors must be those of a proxy that has seen no mail; memory must be that after a warm-up, since a heap needs
 * some mail to find its size.
 * The seed decides what is done, not when the programs do their part: no two runs are the same to the octet.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Postfix } from "../peers/support/postfix.ts";
import type { Workplace } from "../peers/support/workplace.ts";
import { Random } from "../simulation/random.ts";
import { planOf, session } from "./client.ts";
import { type Reading, read } from "./gauge.ts";
import { heldBy } from "./held.ts";
import { type Attempt, type Finding, type Reckoning, reckon } from "./ledger.ts";
import { MailSource } from "./mails.ts";
import { relayIdleMs, SoakProxy } from "./proxy.ts";
import { startRelay } from "./relay.ts";
import { readLogs } from "./transactions.ts";
import { type Trouble, Troubles } from "./troubles.ts";

export interface Wishes {
  /** To be told 250. */
  readonly mails: number;
  readonly minutes: number;
  readonly seed: number;
  /** The share of the mails that one run of the proxy carries. */
  readonly stretch: number;
  /** Between two troubles. */
  readonly calmMsMax: number;
}

/** Nobody connected, the relay's idle connections given up. `mails`: what this run of the proxy had carried. */
export interface Rest extends Reading {
  readonly mails: number;
}

export interface Result {
  readonly delivered: number;
  readonly attempts: number;
  readonly octets: number;
  readonly seconds: number;
  readonly reckoning: Reckoning;
  readonly findings: readonly Finding[];
  /** Of the stretch: before its first mail, after the warm-up, and so on. */
  readonly rests: readonly Rest[];
  readonly samples: readonly Reading[];
  readonly troubles: ReadonlyMap<Trouble, number>;
}

const clients = 16;
const warmUpMails = 5_000;
const restsAt = [10_000, 20_000, 50_000];
const sampleMs = 1_000;
const backOffMs = { from: 30, to: 300 };
/** What memory may gain from the warm-up to the last rest. */
const growthKiBMax = 24 * 1024;

export class Soak {
  readonly #wishes: Wishes;
  readonly #random: Random;
  readonly #relay: Postfix;
  readonly #proxy: SoakProxy;
  readonly #source: MailSource;
  readonly #attempts: Attempt[] = [];
  readonly #findings: Finding[] = [];
  readonly #samples: Reading[] = [];
  readonly #rests: Rest[] = [];
  readonly #troubles: Troubles[] = [];
  readonly #beganAt = performance.now();
  #delivered = 0;
  #deliveredOctets = 0;

  static async start(place: Workplace, logFolder: string, wishes: Wishes): Promise<Soak> {
    const relay = await startRelay(place);
    return new Soak(wishes, relay, await SoakProxy.start(place, relay.port, logFolder));
  }

  private constructor(wishes: Wishes, relay: Postfix, proxy: SoakProxy) {
    this.#wishes = wishes;
    this.#relay = relay;
    this.#proxy = proxy;
    this.#random = new Random(wishes.seed);
    this.#source = new MailSource(this.#random.fork("mails"));
  }

  get relayLog(): string {
    return this.#relay.log;
  }

  async run(say: (text: string) => void): Promise<Result> {
    const { mails, stretch } = this.#wishes;
    const sampling = setInterval(() => this.#sample(), sampleMs);
    try {
      const before = Math.round(mails * (1 - stretch));
      if (before > 0) {
        await this.#deliver(before, this.#withTroubles(true), true);
        await this.#proxy.stop();
        await this.#proxy.start();
      }
      const first = this.#delivered;
      say(this.#rest(0));
      const troubles = this.#withTroubles(false);
      const whole = before > 0 ? Math.round((first * stretch) / (1 - stretch)) : mails;
      for (const goal of stretchGoals(whole)) {
        await this.#deliver(first + goal, troubles, goal === whole);
        say(this.#rest(this.#delivered - first));
      }
    } finally {
      clearInterval(sampling);
    }
    await this.#proxy.stop();
    return this.#result();
  }

  #withTroubles(restarts: boolean): Troubles {
    const random = this.#random.fork(restarts ? "troubles with restarts" : "troubles");
    const troubles = new Troubles(this.#relay, this.#proxy, random, {
      calmMsMax: this.#wishes.calmMsMax,
      restarts,
    });
    this.#troubles.push(troubles);
    return troubles;
  }

  /**
   * Until so many mails are delivered in all, and with `toTheEnd` every kind of trouble was had; or the time is over.
   * Then until nobody is connected.
   */
  async #deliver(goal: number, troubles: Troubles, toTheEnd: boolean): Promise<void> {
    const isDone = (): boolean => this.#delivered >= goal && (troubles.isThrough || !toTheEnd);
    const isOver = (): boolean => this.#isBroken() || troubles.failed || isDone();
    troubles.begin();
    const random = this.#random.fork(`clients to ${goal}`);
    const run = Array.from({ length: clients }, (_, index) => this.#client(random.fork(`${index}`), isOver));
    await Promise.all(run);
    await troubles.end();
    // A relay that hung has its last words to say, and idle connections their time.
    await sleep(relayIdleMs + 1_500);
  }

  async #client(random: Random, isOver: () => boolean): Promise<void> {
    const world = {
      port: this.#proxy.port,
      nextMail: () => this.#source.next(),
      done: (attempt: Attempt) => this.#done(attempt),
      isPausing: isOver,
      now: () => performance.now(),
    };
    while (!isOver()) {
      const end = await session(world, planOf(random));
      if (end === "silent") this.#find("silence", "a client", "waited in vain for the proxy");
      if (end === "again") await sleep(random.between(backOffMs.from, backOffMs.to));
    }
  }

  #isBroken(): boolean {
    const isLate = performance.now() - this.#beganAt > this.#wishes.minutes * 60_000;
    return isLate || this.#proxy.hasDied;
  }

  #done(attempt: Attempt): void {
    this.#attempts.push(attempt);
    if (attempt.told !== "250") return;
    this.#delivered += 1;
    this.#deliveredOctets += attempt.octets;
  }

  #sample(): void {
    const pid = this.#proxy.runningPid;
    const reading = pid === undefined ? undefined : read(pid, performance.now() - this.#beganAt);
    if (reading !== undefined) this.#samples.push(reading);
  }

  #rest(mails: number): string {
    const pid = this.#proxy.runningPid;
    const reading = pid === undefined ? undefined : read(pid, performance.now() - this.#beganAt);
    if (reading === undefined) {
      this.#find("bad end", "the proxy", "it ended by itself");
      return "the proxy has ended";
    }
    this.#rests.push({ ...reading, mails });
    return `at rest after ${mails} mails: ${Math.round(reading.rssKiB / 1024)} MiB, ${reading.descriptors} descriptors`;
  }

  async #result(): Promise<Result> {
    // The relay must not change what is read.
    await this.#relay.stop();
    const { transactions, findings, reloads } = readLogs(this.#proxy.logs);
    const reckoning = reckon({
      attempts: this.#attempts,
      transactions,
      held: heldBy(this.#relay.folder),
      killedAt: this.#proxy.killedAt,
    });
    this.#checkRests();
    if (reloads !== this.#proxy.reloads)
      this.#find("fault", "SIGHUP", `${reloads} reloads for ${this.#proxy.reloads}`);
    return {
      delivered: this.#delivered,
      attempts: this.#attempts.length,
      octets: this.#deliveredOctets,
      seconds: (performance.now() - this.#beganAt) / 1_000,
      reckoning,
      findings: [...reckoning.findings, ...findings, ...this.#proxy.findings, ...this.#findings],
      rests: this.#rests,
      samples: this.#samples,
      troubles: sums(this.#troubles.map(({ counts }) => counts)),
    };
  }

  #checkRests(): void {
    const [fresh, warm] = this.#rests;
    const last = this.#rests.at(-1);
    if (fresh === undefined || warm === undefined || last === undefined) return;
    for (const { mails, descriptors } of this.#rests.slice(1)) {
      // Behind a start there may be a connection more: the relay was asked what it offers.
      if (descriptors !== warm.descriptors || descriptors > fresh.descriptors)
        this.#find("growth", "descriptors", `${warm.descriptors}, and ${descriptors} after ${mails} mails`);
    }
    const growth = last.rssKiB - warm.rssKiB;
    if (growth > growthKiBMax)
      this.#find("growth", "memory", `${growth} KiB from ${warm.mails} to ${last.mails} mails`);
  }

  #find(violation: Finding["violation"], id: string, why: string): void {
    this.#findings.push({ violation, id, why });
  }
}

/** After how many mails of the stretch there is a rest: warm-up first, end last. */
function stretchGoals(mails: number): number[] {
  const warmUp = Math.min(warmUpMails, Math.ceil(mails / 4));
  return [warmUp, ...restsAt.filter((at) => at > warmUp && at < mails), mails];
}

function sums(all: readonly ReadonlyMap<Trouble, number>[]): Map<Trouble, number> {
  const sum = new Map<Trouble, number>();
  for (const [name, number] of all.flatMap((counts) => [...counts]))
    sum.set(name, (sum.get(name) ?? 0) + number);
  return sum;
}
