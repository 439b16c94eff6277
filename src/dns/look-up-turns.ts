/**
 * Whose look-up is carried out when: so many together, a share for each client network, and a queue for the others.
 *
 * Contract: `enter` once for each look-up; `begin` is called when its turn has come, from within `enter` or the `leave`
 * of another; `leave` once when it is over, whether it had its turn or not.
 * While less than half of the places are taken, whoever comes has one. Beyond that a network has no more than its
 * share, and those that wait take turns by network, not by arrival: so a flood from few networks makes itself wait,
 * and one from many gives everybody an equal part.
 * Bounded: `runningMax` places and `waitingMax` in the queue; one entry for each network that has either.
 * Not here: questions and their time (resolver.ts), what follows for a client that waited in vain (screening/).
 * Rejected: giving the oldest look-up of the queue the next place. Whoever sends the most would have the most.
 */
import { assert } from "../lib/assert.ts";

export interface TurnLimits {
  readonly runningMax: number;
  /** Of one network, while more than half of the places are taken. */
  readonly shareMax: number;
  readonly waitingMax: number;
}

interface Network {
  readonly name: string;
  running: number;
  readonly waiting: Set<Turn>;
}

export interface Turn {
  readonly network: Network;
  readonly begin: () => void;
  state: "waiting" | "running" | "over";
}

export class LookUpTurns {
  readonly #limits: TurnLimits;
  readonly #networks = new Map<string, Network>();
  /** Those that have somebody waiting, the next one first. */
  readonly #line = new Set<Network>();
  #isGiving = false;
  #running = 0;
  #waiting = 0;

  constructor(limits: TurnLimits) {
    this.#limits = limits;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** Networks that have a look-up here. */
  get networks(): number {
    return this.#networks.size;
  }

  /** Undefined: there is no room, not even to wait. */
  enter(name: string, begin: () => void): Turn | undefined {
    const network = this.#networks.get(name) ?? { name, running: 0, waiting: new Set() };
    const turn: Turn = { network, begin, state: "waiting" };
    if (this.#mayRun(network)) {
      this.#networks.set(name, network);
      this.#begin(turn);
      return turn;
    }
    if (this.#waiting >= this.#limits.waitingMax) return undefined;
    this.#networks.set(name, network);
    network.waiting.add(turn);
    this.#waiting += 1;
    this.#line.add(network);
    return turn;
  }

  /** A second call does nothing. */
  leave(turn: Turn): void {
    const { state, network } = turn;
    if (state === "over") return;
    turn.state = "over";
    if (state === "waiting") {
      assert(network.waiting.delete(turn), "who waits is in the queue");
      this.#waiting -= 1;
      if (network.waiting.size === 0) this.#line.delete(network);
    } else {
      this.#running -= 1;
      network.running -= 1;
    }
    if (network.running === 0 && network.waiting.size === 0) this.#networks.delete(network.name);
    if (state === "running") this.#giveTurns();
  }

  #mayRun({ running }: Network): boolean {
    const { runningMax, shareMax } = this.#limits;
    return this.#running < runningMax / 2 || (this.#running < runningMax && running < shareMax);
  }

  #begin(turn: Turn): void {
    turn.state = "running";
    turn.network.running += 1;
    this.#running += 1;
    turn.begin();
  }

  /** Each network in the line is looked at once for each turn that is given: no more than a few are at their share. */
  #giveTurns(): void {
    // A look-up may be over as soon as it has its turn: the loop that gave it goes on.
    if (this.#isGiving) return;
    this.#isGiving = true;
    for (
      let untried = this.#line.size;
      untried > 0 && this.#running < this.#limits.runningMax;
      untried -= 1
    ) {
      const [network] = this.#line;
      const [turn] = network?.waiting ?? [];
      assert(network !== undefined && turn !== undefined, "who stands in the line has somebody waiting");
      this.#line.delete(network);
      if (!this.#mayRun(network)) {
        this.#line.add(network);
        continue;
      }
      network.waiting.delete(turn);
      this.#waiting -= 1;
      if (network.waiting.size > 0) this.#line.add(network);
      this.#begin(turn);
      untried = this.#line.size + 1;
    }
    this.#isGiving = false;
  }
}
