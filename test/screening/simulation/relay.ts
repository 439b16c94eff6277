/**
 * A relay as a client session sees it: orders in, reports out, after a while. Now and then it defers, is lost, or
 * cannot be had. It never refuses for good, so whoever hears 5yz heard it from us.
 */
import type { ClientEvent } from "../../../src/client/messages.ts";
import type { RelayCommand, RelayOrder, RelayReport } from "../../../src/relay/messages.ts";
import { noOffer, type RelayOffer } from "../../../src/smtp/ehlo.ts";
import { reply } from "../../../src/smtp/replies.ts";
import type { Chance, Clock } from "./clock.ts";

const offer: RelayOffer = { ...noOffer, pipelining: true, eightBitMime: true };
const accepted = reply(250, "2.0.0", "ok");
const goAhead = reply(354, undefined, "go ahead");
const deferred = reply(451, "4.7.1", "try again later");

export class RelayPool {
  readonly #clock: Clock;
  readonly #chance: Chance;
  readonly #connectionsMax: number;
  connections = 0;
  /** Mails that were acknowledged. */
  mails = 0;
  refusals = 0;
  losses = 0;

  constructor(clock: Clock, chance: Chance, connectionsMax: number) {
    this.#clock = clock;
    this.#chance = chance;
    this.#connectionsMax = connectionsMax;
  }

  /** The tie of one transaction. `tell` is called until it is released or dropped. */
  acquire(tell: (event: ClientEvent) => void): RelayTie {
    return new RelayTie(this, this.#clock, this.#chance, tell);
  }

  /** False: there are too many. */
  enter(): boolean {
    if (this.connections >= this.#connectionsMax) return false;
    this.connections += 1;
    return true;
  }
}

export class RelayTie {
  readonly #pool: RelayPool;
  readonly #clock: Clock;
  readonly #chance: Chance;
  readonly #tell: (event: ClientEvent) => void;
  #counted: boolean;
  #over = false;
  #lastAt = 0;
  #congested = false;
  #dotSent = false;

  constructor(pool: RelayPool, clock: Clock, chance: Chance, tell: (event: ClientEvent) => void) {
    this.#pool = pool;
    this.#clock = clock;
    this.#chance = chance;
    this.#tell = tell;
    this.#counted = pool.enter();
    if (!this.#counted) this.#later({ type: "unavailable", failure: { kind: "busy" } }, 0);
    else if (chance.happens(0.03)) {
      const failure = { kind: "unreachable", detail: "ECONNREFUSED" } as const;
      this.#later({ type: "unavailable", failure }, chance.between(0, 30_000));
    } else {
      const facts = { name: "relay.example:25", offer, tls: undefined, reused: chance.happens(0.5) };
      this.#later({ type: "attached", relay: facts }, chance.between(0, 300));
    }
  }

  /** The client session wants nothing more of it. */
  leave(): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#counted) this.#pool.connections -= 1;
    this.#counted = false;
  }

  order(order: RelayOrder): void {
    switch (order.order) {
      case "mail":
        this.#answer("MAIL");
        break;
      case "rcpt":
        this.#answer("RCPT");
        break;
      case "data":
        this.#answer("DATA");
        break;
      case "octets":
        if (!this.#congested && this.#chance.happens(0.05)) this.#stall();
        break;
      case "end-of-data":
        this.#dotSent = true;
        this.#answer("end of mail data");
        break;
      case "release":
      case "drop":
        this.leave();
        break;
    }
  }

  #answer(to: RelayCommand): void {
    const delayMs = this.#chance.between(0, this.#chance.happens(0.05) ? 20_000 : 200);
    if (this.#chance.happens(0.01)) {
      this.#pool.losses += 1;
      const failure = { kind: "lost", detail: "ECONNRESET" } as const;
      this.#later({ type: "relay", report: { type: "lost", failure, dotSent: this.#dotSent } }, delayMs);
      return;
    }
    const isGood = !this.#chance.happens(0.02);
    const good = to === "DATA" ? goAhead : accepted;
    if (!isGood) this.#pool.refusals += 1;
    else if (to === "end of mail data") this.#pool.mails += 1;
    this.#later({ type: "relay", report: { type: "reply", to, reply: isGood ? good : deferred } }, delayMs);
  }

  #stall(): void {
    this.#congested = true;
    this.#report({ type: "congested" }, 0);
    this.#clock.after(this.#chance.between(10, 30_000), () => {
      this.#congested = false;
      this.#report({ type: "drained" }, 0);
    });
  }

  #report(report: RelayReport, delayMs: number): void {
    this.#later({ type: "relay", report }, delayMs);
  }

  /** In order, whatever the delays. */
  #later(event: ClientEvent, delayMs: number): void {
    this.#lastAt = Math.max(this.#lastAt, this.#clock.now + delayMs);
    this.#clock.at(this.#lastAt, () => {
      if (this.#over) return;
      const isLast = event.type === "unavailable" || (event.type === "relay" && event.report.type === "lost");
      if (isLast) this.leave();
      this.#tell(event);
    });
  }
}
