/**
 * Seeded randomness: the same seed gives the same run, on every machine.
 * `fork` makes an independent stream that depends on this one's seed and the label alone, not on what was drawn, so
 * that removing one actor does not change what the others do.
 * The generator is sfc32 of four 32-bit words. Not here: anything cryptographic.
 */
export class Random {
  readonly #seed: bigint;
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number | bigint) {
    this.#seed = BigInt.asUintN(64, BigInt(seed));
    this.#a = Number(this.#seed & 0xffff_ffffn) | 0;
    this.#b = Number(this.#seed >> 32n) | 0;
    this.#c = 0x9e37_79b9 | 0;
    for (let round = 0; round < 12; round += 1) this.#next();
  }

  /** An integer from 0 to n - 1. */
  below(n: number): number {
    return n <= 0x1_0000_0000 ? Math.floor(this.#fraction() * n) : Math.floor(this.#longFraction() * n);
  }

  /** An integer from a to b, both included. */
  between(a: number, b: number): number {
    return a + this.below(b - a + 1);
  }

  /** True with probability p. Draws nothing where the answer is certain. */
  chance(p: number): boolean {
    return p > 0 && (p >= 1 || this.#fraction() < p);
  }

  pick<T>(list: readonly T[]): T {
    const found = list[this.below(list.length)];
    if (found === undefined) throw new Error("nothing to pick from");
    return found;
  }

  /** One of the items, each as often as its weight says. */
  weighted<T>(list: readonly (readonly [T, number])[]): T {
    let sum = 0;
    for (const [, weight] of list) sum += weight;
    let rest = this.#fraction() * sum;
    for (const [item, weight] of list) {
      rest -= weight;
      if (rest < 0) return item;
    }
    throw new Error("nothing to pick from");
  }

  /** A copy in another order. */
  shuffle<T>(list: readonly T[]): T[] {
    const shuffled: T[] = [];
    for (const item of list) {
      const at = this.below(shuffled.length + 1);
      const moved = shuffled[at];
      if (moved === undefined) shuffled.push(item);
      else {
        shuffled.push(moved);
        shuffled[at] = item;
      }
    }
    return shuffled;
  }

  fork(label: string): Random {
    return new Random(this.#seed ^ (Bun.hash.wyhash(label, this.#seed) | 1n));
  }

  #fraction(): number {
    return this.#next() / 0x1_0000_0000;
  }

  #longFraction(): number {
    return ((this.#next() >>> 5) * 0x400_0000 + (this.#next() >>> 6)) / 0x20_0000_0000_0000;
  }

  #next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    return sum >>> 0;
  }
}
