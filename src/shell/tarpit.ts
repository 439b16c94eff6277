/**
 * The tarpit over sockets: all that is left of an offender's session is its socket, a stay and this file's few fields.
 * It hears its reply an octet at a time; what it sends is counted, thrown away, and read no faster than the stay
 * allows. One loop looks at all of them, as spamd(8) does it, so that a stay costs no timer and no closure.
 * Not here: how fast, and how many may stay (screening/tarpit.ts); who offended (client/screening.ts).
 * Rejected: a timer a stay. It was half of what a stay weighed (test/shell/tarpit.test.ts prints the weight).
 */
import { TarpitSlots, type TarpitStay } from "../screening/tarpit.ts";
import type { Socket, SocketHandler } from "./network.ts";
import type { Shell } from "./shell.ts";

/** The loop runs so often within a stay, but neither more often than every 20 ms nor less than every second. */
const roundsPerStay = 100;
const roundMsMin = 20;
const roundMsMax = 1_000;

export class Tarpit {
  readonly #shell: Shell;
  readonly #slots: TarpitSlots;
  readonly #durationMs: number;
  readonly #left: (address: string) => void;
  readonly #held = new Set<HeldOffender>();
  /** Of the loop, while anybody is held. */
  #timer: { cancel(): void } | undefined;

  /** `left`: the socket of one that was held is gone. */
  constructor(shell: Shell, heldMax: number, durationMs: number, left: (address: string) => void) {
    this.#shell = shell;
    this.#slots = new TarpitSlots(heldMax);
    this.#durationMs = durationMs;
    this.#left = left;
  }

  /** How many are held. */
  get size(): number {
    return this.#slots.taken;
  }

  /** Takes the socket over; false: there is no slot. `octets`: what is said to it. */
  hold(socket: Socket, octets: Buffer, session: string): boolean {
    const stay = this.#slots.take(octets, this.#durationMs, this.#shell.network.now());
    if (stay === undefined) return false;
    const offender = new HeldOffender(this, socket, stay, session);
    this.#held.add(offender);
    socket.handle(offender);
    socket.resume();
    if (this.#timer === undefined) this.#loop();
    return true;
  }

  /** Lets everybody go, at once. */
  empty(): void {
    for (const offender of [...this.#held]) offender.letGo();
  }

  now(): number {
    return this.#shell.network.now();
  }

  /** The stay is over: its slot is free, and the loop passes it by. */
  released(offender: HeldOffender, end: string): void {
    this.#held.delete(offender);
    offender.stay.leave();
    if (this.#held.size === 0) {
      this.#timer?.cancel();
      this.#timer = undefined;
    }
    this.#shell.log({
      event: "tarpit",
      session: offender.session,
      client: offender.socket.remote.address,
      heldMs: Math.round(this.now() - offender.stay.startedAt),
      discardedOctets: offender.stay.octetsThrownAway,
      end,
    });
  }

  gone({ socket: { remote } }: HeldOffender): void {
    this.#left(remote.family === "unix" ? "" : remote.address);
  }

  #loop(): void {
    const roundMs = Math.min(Math.max(this.#durationMs / roundsPerStay, roundMsMin), roundMsMax);
    this.#timer = this.#shell.network.timer(roundMs, () => {
      this.#timer = undefined;
      const now = this.now();
      for (const offender of [...this.#held]) offender.dribble(now);
      if (this.#held.size > 0) this.#loop();
    });
  }
}

class HeldOffender implements SocketHandler {
  readonly #tarpit: Tarpit;
  readonly socket: Socket;
  readonly stay: TarpitStay;
  readonly session: string;
  #released = false;

  constructor(tarpit: Tarpit, socket: Socket, stay: TarpitStay, session: string) {
    this.#tarpit = tarpit;
    this.socket = socket;
    this.stay = stay;
    this.session = session;
  }

  dribble(now: number): void {
    if (now >= this.stay.deadline()) this.socket.write(this.stay.time(now));
    this.socket.flush();
    if (!this.stay.isReadingPaused) this.socket.resume();
    if (!this.stay.isOver) return;
    this.#release("complete");
    this.socket.close();
  }

  letGo(): void {
    this.#release("shutdown");
    this.socket.terminate();
  }

  octets(octets: Buffer): void {
    this.stay.discard(octets.length, this.#tarpit.now());
    this.socket.spent(octets);
    if (this.stay.isReadingPaused) this.socket.pause();
  }

  /** Whoever hangs up need not be held. */
  ended(): void {
    this.#release("closed by the client");
    this.socket.close();
  }

  drained(): void {}
  secured(): void {}
  handshakeFailed(): void {}

  closed(reason: string): void {
    this.#release(reason);
    this.#tarpit.gone(this);
  }

  #release(end: string): void {
    if (this.#released) return;
    this.#released = true;
    this.#tarpit.released(this, end);
  }
}
