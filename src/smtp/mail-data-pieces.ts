/**
 * What one chunk of mail data gives, in order: slices of the chunk, or copies in Buffers of `copyOctets`, once there
 * would be a slice for every line. So a chunk of bare LF, each of which becomes CRLF, costs a few Buffers and not half a
 * million, and what is free again when it was taken by the relay's socket is soon free.
 * Not here: which octets (mail-data.ts).
 */

/** What a socket takes at once. */
export const copyOctets = 64 * 1024;

export class MailDataPieces {
  #pieces: Buffer[] = [];
  #copy: Buffer | undefined;
  /** How much of the last copy is in use. */
  filled = 0;

  /** Each piece is alone in its memory, which is not the chunk's. */
  get areCopies(): boolean {
    return this.#copy !== undefined;
  }

  /** Adds `octets` from `from` up to `to`. */
  add(octets: Buffer, from: number, to: number): void {
    if (this.#copy === undefined) {
      this.#pieces.push(octets.subarray(from, to));
      return;
    }
    for (let at = from, copy = this.#copy; at < to; ) {
      if (this.filled === copyOctets) copy = this.nextCopy(copyOctets);
      const upTo = Math.min(to, at + copyOctets - this.filled);
      octets.copy(copy, this.filled, at, upTo);
      this.filled += upTo - at;
      at = upTo;
    }
  }

  /** From here on pieces are copies, and so are those that there are. Returns what is to be filled from `filled` on. */
  startCopying(): Buffer {
    if (this.#copy !== undefined) return this.#copy;
    const slices = this.#pieces;
    this.#pieces = [];
    this.#copy = Buffer.allocUnsafeSlow(copyOctets);
    for (const slice of slices) this.add(slice, 0, slice.length);
    return this.#copy;
  }

  /** The copy under way has `filled` octets and takes no more; returns the next, empty. */
  nextCopy(filled: number): Buffer {
    this.#endCopy(filled);
    this.#copy = Buffer.allocUnsafeSlow(copyOctets);
    this.filled = 0;
    return this.#copy;
  }

  /** All pieces. Call once, at the end of the chunk. */
  take(): readonly Buffer[] {
    this.#endCopy(this.filled);
    return this.#pieces;
  }

  /** A piece has memory of its own size, or others would not see that it is alone in there. */
  #endCopy(filled: number): void {
    if (this.#copy === undefined || filled === 0) return;
    if (filled === copyOctets) {
      this.#pieces.push(this.#copy);
      return;
    }
    const piece = Buffer.allocUnsafeSlow(filled);
    this.#copy.copy(piece, 0, 0, filled);
    this.#pieces.push(piece);
  }
}
