/** The simulator's time and chance: events in the order of their times, and numbers that a seed repeats. */

/** mulberry32: small, fast, and good enough to deal out cases. */
export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 up to 1, 1 excluded. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  happens(probability: number): boolean {
    return this.next() < probability;
  }

  one<T>(first: T, ...others: T[]): T {
    return [first, ...others][this.between(0, others.length)] ?? first;
  }
}

interface Entry {
  readonly at: number;
  /** Of entries at the same time the older one comes first. */
  readonly order: number;
  readonly run: () => void;
}

export class Clock {
  now = 0;
  /** A heap. */
  readonly #entries: Entry[] = [];
  #order = 0;

  after(ms: number, run: () => void): void {
    this.at(this.now + ms, run);
  }

  at(at: number, run: () => void): void {
    this.#order += 1;
    const entry = { at: Math.max(at, this.now), order: this.#order, run };
    let index = this.#entries.push(entry) - 1;
    while (index > 0) {
      const parent = (index - 1) >>> 1;
      const other = this.#entries[parent];
      if (other === undefined || isBefore(other, entry)) break;
      this.#entries[index] = other;
      index = parent;
    }
    this.#entries[index] = entry;
  }

  /** Runs all there is, and what comes of it. `check` is called behind each event. */
  run(check: () => void): void {
    for (let entry = this.#take(); entry !== undefined; entry = this.#take()) {
      this.now = entry.at;
      entry.run();
      check();
    }
  }

  #take(): Entry | undefined {
    const [first] = this.#entries;
    const last = this.#entries.pop();
    if (first === undefined || last === undefined || this.#entries.length === 0) return first;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      let smaller = this.#entries[child];
      const right = this.#entries[child + 1];
      if (smaller !== undefined && right !== undefined && isBefore(right, smaller)) {
        smaller = right;
        child += 1;
      }
      if (smaller === undefined || isBefore(last, smaller)) break;
      this.#entries[index] = smaller;
      index = child;
    }
    this.#entries[index] = last;
    return first;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
