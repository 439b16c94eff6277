/**
 * What goes wrong around the proxy while mail flows: one trouble after the other, at random, each over before the next
 * begins. The relay is up whenever the loop rests.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Postfix } from "../peers/support/postfix.ts";
import { commandPath } from "../peers/support/suite.ts";
import type { Random } from "../simulation/random.ts";
import type { SoakProxy } from "./proxy.ts";
import { cutConnections, daemonsOf, signal } from "./relay.ts";

const names = [
  "relay stopped",
  "relay crashed",
  "daemons killed",
  "daemons hung",
  "connections cut",
  "proxy reloaded",
  "proxy restarted",
  "proxy killed",
] as const;
export type Trouble = (typeof names)[number];

const calmMsMin = 50;
const downMs = { from: 50, to: 1_200 };
/** Beyond the relay timeout and the one after the dot, which is twice that. */
const hungMs = { from: 200, to: 3_000 };

export interface TroubleWishes {
  /** How long nothing goes wrong between two troubles. */
  readonly calmMsMax: number;
  /** The proxy is stopped and killed, too. */
  readonly restarts: boolean;
}

export class Troubles {
  readonly counts = new Map<Trouble, number>(names.map((name) => [name, 0]));
  readonly #restarts: boolean;
  /** Each kind comes once before chance has its way. */
  readonly #due: Trouble[];
  readonly #calmMsMax: number;
  readonly #relay: Postfix;
  readonly #proxy: SoakProxy;
  readonly #random: Random;
  #running: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;
  #stopping = new AbortController();

  constructor(relay: Postfix, proxy: SoakProxy, random: Random, { calmMsMax, restarts }: TroubleWishes) {
    this.#calmMsMax = calmMsMax;
    this.#restarts = restarts;
    this.#relay = relay;
    this.#proxy = proxy;
    this.#random = random;
    this.#due = random.shuffle(this.#weights().flatMap(([name, weight]) => (weight > 0 ? name : [])));
  }

  /** Something did not come up again. */
  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** Every kind has been had. */
  get isThrough(): boolean {
    return this.#due.length === 0;
  }

  begin(): void {
    this.#stopping = new AbortController();
    this.#running = this.#loop(this.#stopping.signal).catch((error: unknown) => {
      this.#failure = { error };
    });
  }

  /** Resolves when the trouble in hand is over; throws if something did not come up again. */
  async end(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #loop(stopping: AbortSignal): Promise<void> {
    for (;;) {
      await sleep(this.#random.between(calmMsMin, this.#calmMsMax), undefined, { signal: stopping }).catch(
        () => {},
      );
      if (stopping.aborted) return;
      const trouble = this.#due[0] ?? this.#random.weighted(this.#weights());
      await this.#make(trouble);
      this.#due.shift();
      this.counts.set(trouble, (this.counts.get(trouble) ?? 0) + 1);
    }
  }

  #weights(): (readonly [Trouble, number])[] {
    const cutting = commandPath("ss") === undefined ? 0 : 3;
    const restarting = this.#restarts ? 1 : 0;
    return [
      ["relay stopped", 2],
      ["relay crashed", 2],
      ["daemons killed", 4],
      ["daemons hung", 2],
      ["connections cut", cutting],
      ["proxy reloaded", 1],
      ["proxy restarted", 4 * restarting],
      ["proxy killed", 2 * restarting],
    ];
  }

  async #make(trouble: Trouble): Promise<void> {
    const relay = this.#relay;
    const proxy = this.#proxy;
    switch (trouble) {
      case "relay stopped":
        await relay.stop();
        await this.#down();
        return relay.start();
      case "relay crashed":
        await relay.crash();
        await this.#down();
        return relay.start();
      case "daemons killed":
        for (const pid of this.#someDaemons()) signal(pid, "SIGKILL");
        return;
      case "daemons hung":
        return this.#hang(this.#someDaemons());
      case "connections cut":
        return cutConnections(relay);
      case "proxy reloaded":
        return proxy.reload();
      case "proxy restarted":
        await proxy.stop();
        return proxy.start();
      case "proxy killed":
        await proxy.kill();
        return proxy.start();
    }
  }

  async #hang(pids: readonly number[]): Promise<void> {
    for (const pid of pids) signal(pid, "SIGSTOP");
    await sleep(this.#random.between(hungMs.from, hungMs.to));
    for (const pid of pids) signal(pid, "SIGCONT");
  }

  /** smtpd speaks SMTP; cleanup writes the queue file, and the answer to the dot waits for it. */
  #someDaemons(): number[] {
    const share = this.#random.pick([0.3, 0.6, 1]);
    return daemonsOf(this.#relay, this.#random.pick(["smtpd", "cleanup"])).filter(() =>
      this.#random.chance(share),
    );
  }

  #down(): Promise<void> {
    return sleep(this.#random.between(downMs.from, downMs.to));
  }
}
