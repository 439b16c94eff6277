/** What the program wrote to one relay connection, and what it was given, in whole strings. */
import type { SocketWatch } from "./watch.ts";

export class RelayWatch implements SocketWatch {
  #written: string[] = [];
  #delivered: string[] = [];
  /** The program keeps it no longer. */
  isLeft = false;
  isGone = false;
  readonly #onWrite: (octets: Buffer) => void;

  constructor(onWrite: (octets: Buffer) => void) {
    this.#onWrite = onWrite;
  }

  received(octets: Buffer): void {
    if (!this.isLeft) this.#delivered.push(octets.toString("latin1"));
  }

  wrote(octets: Buffer): void {
    this.#onWrite(octets);
    this.#written.push(octets.toString("latin1"));
  }

  left(): void {
    this.isLeft = true;
  }

  closed(): void {
    this.isLeft = true;
    this.isGone = true;
  }

  ended(): void {}
  securing(): void {}
  secured(): void {}
  handedOn(): void {}

  hasDelivered(mark: number): boolean {
    return this.#delivered.join("").includes(`(mark ${mark})\r\n`);
  }

  /** The ids of the transactions whose end of mail data was written here. */
  endedTransactions(): readonly string[] {
    const ids: string[] = [];
    const text = this.#written.join("");
    for (let at = text.indexOf("DATA\r\nReceived:"); at !== -1; at = text.indexOf("DATA\r\nReceived:", at)) {
      const end = text.indexOf("\r\n.\r\n", at);
      if (end === -1) break;
      const id = / id (\S+);\r\n/.exec(text.slice(at, at + 2_000))?.[1];
      if (id !== undefined) ids.push(id);
      at = end;
    }
    return ids;
  }
}
