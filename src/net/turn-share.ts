/**
 * Shares the processor between clients. What one client sends at once may take milliseconds to look at (512 KiB of short
 * lines, thousands of commands), and the event loop gives each of them its next 512 KiB before it comes back to a client
 * that waits for one reply. So a client whose octets took long rests: its socket is not read, and it is let go on when
 * its turn has come again, behind those that rested before it, as many in one turn as took `turnMs` together.
 * Good mail never rests: 512 KiB of it take a fraction of `longMs`.
 *
 * Contract: `charge` with the time that was spent for a client; if it has to rest, `rested` of it is called later, once.
 * Not here: how a client is kept from being read (client-connection.ts).
 * Rejected: chunks cut into slices, for a slice's memory cannot be given back by hand; a queue of chunks, which would be
 * memory of ours for what waits as well in the kernel.
 */
import type { Shell } from "./shell.ts";

/** A client of which one event took so long has to rest. */
export const longMs = 1;
/** Clients that rested go on until they are good for so much of a turn. */
export const turnMs = 4;

export interface Resting {
  /** Its turn has come. */
  rested(): void;
}

export class TurnShare {
  readonly #shell: Shell;
  /** In order of their turns, with the time that each took when it was last looked at. */
  readonly #queue = new Map<Resting, number>();
  #isTurnDue = false;

  constructor(shell: Shell) {
    this.#shell = shell;
  }

  /** For `charge`: when the work began. */
  now(): number {
    return this.#shell.stopwatch?.() ?? this.#shell.network.now();
  }

  /** It was worked for since then. True if it has to rest. */
  charge(client: Resting, startedAt: number): boolean {
    const ms = this.now() - startedAt;
    const owed = this.#queue.get(client);
    if (owed === undefined && ms < longMs) return false;
    this.#queue.set(client, (owed ?? 0) + ms);
    this.#nextTurn();
    return true;
  }

  /** It needs no rest any more. */
  forget(client: Resting): void {
    this.#queue.delete(client);
  }

  #nextTurn(): void {
    if (this.#isTurnDue) return;
    this.#isTurnDue = true;
    this.#shell.network.timer(0, () => {
      this.#isTurnDue = false;
      let ms = 0;
      for (const [client, took] of this.#queue) {
        if (ms > 0 && ms + took > turnMs) break;
        ms += took;
        this.#queue.delete(client);
        client.rested();
      }
      if (this.#queue.size > 0) this.#nextTurn();
    });
  }
}
