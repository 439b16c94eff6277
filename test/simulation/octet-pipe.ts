/** What was written on one side has to come out on the other, in order: checked without keeping what came out. */
export class OctetPipe {
  readonly #chunks: Buffer[] = [];

  put(octets: Buffer): void {
    if (octets.length > 0) this.#chunks.push(Buffer.from(octets));
  }

  /** False if these are not the next octets that were put in. */
  take(octets: Buffer): boolean {
    let rest = octets;
    while (rest.length > 0) {
      const chunk = this.#chunks.shift();
      if (chunk === undefined) return false;
      const length = Math.min(chunk.length, rest.length);
      if (!chunk.subarray(0, length).equals(rest.subarray(0, length))) return false;
      if (length < chunk.length) this.#chunks.unshift(chunk.subarray(length));
      rest = rest.subarray(length);
    }
    return true;
  }
}
