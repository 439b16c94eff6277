/**
 * A listener that can leave clients in the kernel's queue for a while. Bun has no name for that: its listener is
 * stopped, while a descriptor of our own keeps the socket listening, and is listened on again later. No client in the
 * queue is lost by that. Bun's accept loop ends when its listener is stopped within it.
 * Bun removes the file of a unix socket when it stops: it gets a second name first, and that takes its place.
 * Not here: when to pause (descriptor-guard.ts), how to listen at first (network.ts).
 */
import { linkSync, renameSync, unlinkSync } from "node:fs";
import { closeDescriptor, duplicate } from "../host/libc.ts";
import type { Listener } from "../shell/network.ts";

/** Of Bun's listener what is needed; bun-types does not know `fd`. */
export interface NativeListener {
  readonly fd?: unknown;
  stop(): void;
}

export interface ListenerPlace {
  readonly name: string;
  readonly port: number;
  /** The file of a unix socket that is our own. */
  readonly unixPath?: string;
}

export class PausableListener implements Listener {
  readonly name: string;
  readonly port: number;
  readonly #unixPath: string | undefined;
  readonly #listenOn: (descriptor: number) => NativeListener;
  /** undefined while it is paused, and when it has stopped. */
  #native: NativeListener | undefined;
  /** Keeps the socket while it is paused. */
  #kept: number | undefined;
  /** Bun listens on a descriptor and knows of no file that is to be removed. */
  #isReopened = false;
  readonly #stopped: (listener: PausableListener) => void;

  constructor(
    { name, port, unixPath }: ListenerPlace,
    native: NativeListener,
    listenOn: (descriptor: number) => NativeListener,
    stopped: (listener: PausableListener) => void,
  ) {
    this.name = name;
    this.port = port;
    this.#unixPath = unixPath;
    this.#native = native;
    this.#listenOn = listenOn;
    this.#stopped = stopped;
  }

  /** False: it cannot be, and accepts as before. */
  pause(): boolean {
    const native = this.#native;
    if (native === undefined) return true;
    const kept = typeof native.fd === "number" ? duplicate(native.fd) : undefined;
    if (kept === undefined) return false;
    if (!this.#stopButKeepFile(native)) {
      closeDescriptor(kept);
      return false;
    }
    this.#kept = kept;
    this.#native = undefined;
    return true;
  }

  /** False: it is not possible at the moment, and the listener stays paused. */
  resume(): boolean {
    if (this.#kept === undefined) return true;
    try {
      this.#native = this.#listenOn(this.#kept);
    } catch {
      return false;
    }
    this.#kept = undefined;
    this.#isReopened = true;
    return true;
  }

  stop(): void {
    this.#native?.stop();
    if (this.#kept !== undefined) closeDescriptor(this.#kept);
    const hasFile = this.#isReopened || this.#kept !== undefined;
    if (hasFile && this.#unixPath !== undefined) removeFile(this.#unixPath);
    this.#native = undefined;
    this.#kept = undefined;
    this.#stopped(this);
  }

  #stopButKeepFile(native: NativeListener): boolean {
    const path = this.#unixPath;
    if (path === undefined || this.#isReopened) {
      native.stop();
      return true;
    }
    const spare = `${path}.paused`;
    try {
      linkSync(path, spare);
    } catch {
      return false; // A folder that we may not write into any more: without its file nobody would find the socket.
    }
    native.stop();
    renameSync(spare, path);
    return true;
  }
}

function removeFile(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // It is gone already, as it should be.
  }
}
