/**
 * What a peer of a `World` hears and sees. What the machines write is on its way to the peer until the turn is over;
 * `(terminates)` loses it, as a real socket does.
 */

/** What a peer has heard and seen and a transcript has not yet told, in order. */
export type Output = Buffer | string;

export class Outbox {
  readonly heard: Output[] = [];
  #unsent: Buffer[] = [];
  #closed = false;

  get closed(): boolean {
    return this.#closed;
  }

  write(octets: Buffer): void {
    if (!this.#closed) this.#unsent.push(octets);
  }

  flush(): void {
    if (this.#unsent.length === 0) return;
    const last = this.heard.at(-1);
    const before = typeof last === "object" ? [last] : [];
    this.heard.splice(this.heard.length - before.length, before.length);
    this.heard.push(Buffer.concat([...before, ...this.#unsent.splice(0)]));
  }

  see(event: string): void {
    this.flush();
    this.heard.push(event);
  }

  /** Returns false if that was done before. */
  close(how: "closes" | "terminates" | "gives up" | undefined): boolean {
    if (how === "terminates") this.#unsent = [];
    this.flush();
    if (this.#closed) return false;
    this.#closed = true;
    if (how !== undefined) this.see(how);
    return true;
  }
}
