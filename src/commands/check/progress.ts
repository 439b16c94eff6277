/**
 * Says on stderr what `smtpproxy check` still waits for: a terminal shows it with the seconds that have passed, on one
 * line that is gone afterwards; elsewhere it is one line for each thing that takes longer than `patienceMs`.
 * Contract: `during` resolves to what its promise does. Not here: how long is waited (relay.ts, dnsbl.ts).
 */
import { columnsMax } from "../terminal.ts";

const patienceMs = 2_000;
const tickMs = 1_000;

export class Progress {
  readonly #write: (text: string) => void;
  readonly #isTerminal: boolean;
  readonly #pending = new Set<string>();
  #isShown = false;

  constructor(isTerminal: boolean, write: (text: string) => void) {
    this.#isTerminal = isTerminal;
    this.#write = write;
  }

  /** Waits for `work`, which `what` names: "relay mx.example:25". */
  async during<T>(what: string, work: Promise<T>): Promise<T> {
    this.#pending.add(what);
    let seconds = 0;
    const late = setTimeout(() => {
      if (!this.#isTerminal) this.#write(`waiting for ${what}\n`);
    }, patienceMs);
    const ticks = setInterval(() => {
      seconds += 1;
      if (this.#isTerminal && seconds * tickMs >= patienceMs) this.#show(what, seconds);
    }, tickMs);
    try {
      return await work;
    } finally {
      clearTimeout(late);
      clearInterval(ticks);
      this.#pending.delete(what);
      this.#clear();
    }
  }

  /** What has been waited for longest speaks for all, and counts the others. */
  #show(what: string, seconds: number): void {
    const [first] = this.#pending;
    if (first !== what) return;
    const others = this.#pending.size > 1 ? ` and ${this.#pending.size - 1} more` : "";
    this.#clear();
    this.#write(`waiting for ${what}${others}: ${seconds} s`.slice(0, columnsMax - 1));
    this.#isShown = true;
  }

  #clear(): void {
    if (!this.#isShown) return;
    this.#isShown = false;
    this.#write(`\r${" ".repeat(columnsMax - 1)}\r`);
  }
}
