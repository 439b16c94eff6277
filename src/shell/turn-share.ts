/**
 * Shares the processor between clients. What one client sends at once may take milliseconds to look at (512 KiB of short
 * lines, thousands of commands), and the event loop gives each of them its next 512 KiB before it comes back to a client
 * that waits for one reply. So a client whose octets took long has to wait: its socket is not read until its turn
 * comes again, behind those that waited before it, as many in one turn as took `turnMs` together.
 * Good mail never waits: 512 KiB of it take a fraction of `longMs`.
 *
 * Contract: `charge` with the time that was spent for a client; if the client has to wait, its `rested` is called
 * later, once.
 * Not here: how a client is kept from being read (client-connection.ts).
 * Rejected: chunks cut into slices, for a slice's memory cannot be given back by hand; a queue of chunks, which would be
 * memory of ours for what waits as well in the kernel.
 */
import type { Shell } from "./shell.ts";

/** A client has to wait if one event of it took so long. */
export const longMs = 1;
/** Clients that waited go on in one turn until they add up to so much time. */
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

  /** Work for this client began then and is done. True: it has to wait. */
  charge(client: Resting, startedAt: number): boolean {
    const ms = this.now() - startedAt;
    const owed = this.#queue.get(client);
    if (owed === undefined && ms < longMs) return false;
    this.#queue.set(client, (owed ?? 0) + ms);
    this.#nextTurn();
    return true;
  }

  /** It does not wait any more. */
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
