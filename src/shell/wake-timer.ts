/**
 * One timer for one machine's deadline. Deadlines mostly move away as events come in, so a running timer is left
 * alone and the deadline is looked at again when it fires; only one that comes nearer costs a new timer.
 * Not here: what happens at a deadline (the machines).
 */
import type { Network } from "./network.ts";

/** Who is to be woken. */
export interface Sleeper {
  /** When, in the milliseconds of the network's `now`. */
  deadline(): number;
  /** It may ask for `update` again. */
  wake(): void;
}

export class WakeTimer {
  readonly #network: Network;
  readonly #sleeper: Sleeper;
  #armedFor = Number.POSITIVE_INFINITY;
  #timer: { cancel(): void } | undefined;

  constructor(network: Network, sleeper: Sleeper) {
    this.#network = network;
    this.#sleeper = sleeper;
  }

  /** The deadline may have changed. */
  update(): void {
    const deadline = this.#sleeper.deadline();
    if (deadline >= this.#armedFor) return;
    this.#timer?.cancel();
    this.#armedFor = deadline;
    const delayMs = Math.max(0, Math.ceil(deadline - this.#network.now()));
    this.#timer = this.#network.timer(delayMs, () => this.#fired());
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#armedFor = Number.NEGATIVE_INFINITY;
  }

  #fired(): void {
    this.#timer = undefined;
    this.#armedFor = Number.POSITIVE_INFINITY;
    if (this.#sleeper.deadline() <= this.#network.now()) this.#sleeper.wake();
    this.update();
  }
}
