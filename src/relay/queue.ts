/**
 * Whose turn it is when relay connections are scarce: mails wait in the order in which they asked, and no client
 * network may hold what others need.
 *
 * While less than three quarters of RELAY_MAX_CONNECTIONS are held, whoever comes first is served first. In the last
 * quarter a client network gets a further connection only while it holds fewer than are free. So a network never
 * comes beyond three quarters by itself, three of them together leave a quarter, and whoever holds none is served as
 * long as there is one. Those that may not have one wait in the queue; those behind them may pass.
 *
 * Contract: `add` a request, then carry out each `step` until there is none, and again whenever a connection was
 * given back, was lost, or came free. A request that was served holds its connection until `letGo`.
 * The queue has no limit of its own: a session asks for one connection at a time, so MAX_CONNECTIONS limits it.
 * Not here: connections and dials (shell/relay-pool.ts); which relay is dialled (route.ts); how long a request
 * waits (shell/relay-pool.ts: RELAY_CONNECT_TIMEOUT); what is done about clients that hold one and say nothing
 * (client/waits.ts).
 * Rejected: a fixed share for each network at all times. With a single sender in front, which is common, most of the
 * connections could then never be used.
 */

/** Someone who asks for a relay connection. */
export interface RelayRequester {
  /** Where the client is, as `clientNetwork` has it; undefined: trusted, and without a share. */
  readonly network: string | undefined;
  /** No connection that was used before will do. */
  readonly fresh: boolean;
}

/** What there is at the moment. */
export interface RelaySupply {
  /** Open connections and dials under way. */
  readonly connections: number;
  /** Connections that nobody uses, and how many of them may serve a mail now. */
  readonly idle: number;
  readonly usableIdle: number;
}

export type QueueStep<Requester> =
  /** Give it an idle connection, or dial for it. */
  | { readonly step: "reuse"; readonly requester: Requester }
  | { readonly step: "dial"; readonly requester: Requester }
  /** End an idle connection that cannot serve now, for a dial to take its place. */
  | { readonly step: "make-room" };

/** The part of the connections from which on they are scarce; and the part that must come free to end that. */
const pressureShare = 3 / 4;
const reliefShare = 1 / 4;
/** Networks that the log names. */
const networksTold = 3;

/** What changed by an event: connections have become scarce, or are no more. */
export type PressureChange =
  | {
      readonly change: "begun";
      readonly held: number;
      readonly waiting: number;
      /** Those that hold most: "192.0.2.0/24=19 2001:db8:1::/48=7". */
      readonly networks: string;
    }
  | { readonly change: "over"; readonly lastedMs: number };

export class RelayQueue<Requester extends RelayRequester> {
  readonly #connectionsMax: number;
  readonly #pressureFrom: number;
  /** Oldest first. */
  readonly #waiting: Requester[] = [];
  readonly #holders = new Set<Requester>();
  readonly #heldBy = new Map<string, number>();
  #pressureSince: number | undefined;

  constructor(connectionsMax: number) {
    this.#connectionsMax = connectionsMax;
    this.#pressureFrom = Math.ceil(connectionsMax * pressureShare);
  }

  /** Connections are scarce, as of the last `pressureChange`. */
  get isUnderPressure(): boolean {
    return this.#pressureSince !== undefined;
  }

  /**
   * To be asked after each event. It begins when three quarters are held (of so few that this is all of them: when
   * somebody waits besides), and is over when a quarter more is free, so that it does not come and go with each mail.
   */
  pressureChange(now: number): PressureChange | undefined {
    const held = this.#holders.size;
    const waiting = this.#waiting.length;
    if (this.#pressureSince === undefined) {
      if (!this.#isShort || (this.#pressureFrom === this.#connectionsMax && waiting === 0)) return undefined;
      this.#pressureSince = now;
      return { change: "begun", held, waiting, networks: this.#largest() };
    }
    if (held > this.#pressureFrom - Math.ceil(this.#connectionsMax * reliefShare)) return undefined;
    const lastedMs = Math.round(now - this.#pressureSince);
    this.#pressureSince = undefined;
    return { change: "over", lastedMs };
  }

  /** Connections that mails have, dials for them included. */
  get held(): number {
    return this.#holders.size;
  }

  /** Those that wait, oldest first. */
  get requesters(): readonly Requester[] {
    return this.#waiting;
  }

  add(requester: Requester): void {
    this.#waiting.push(requester);
  }

  /** It waits. */
  has(requester: Requester): boolean {
    return this.#waiting.includes(requester);
  }

  /** It does not wait any more. */
  remove(requester: Requester): void {
    const index = this.#waiting.indexOf(requester);
    if (index !== -1) this.#waiting.splice(index, 1);
  }

  /** What is to be done for the first whose turn it is. Who is served is out of the queue by this. */
  step({ connections, idle, usableIdle }: RelaySupply): QueueStep<Requester> | undefined {
    const requester = this.#waiting.find(({ network }) => this.#mayHold(network));
    if (requester === undefined) return undefined;
    if (usableIdle > 0 && !requester.fresh) return { step: "reuse", requester: this.#serve(requester) };
    if (connections < this.#connectionsMax) return { step: "dial", requester: this.#serve(requester) };
    return idle > 0 ? { step: "make-room" } : undefined;
  }

  /** Its connection is given back or lost, or was never available. May be called more than once. */
  letGo(requester: Requester): void {
    if (this.#holders.delete(requester)) this.#count(requester.network, -1);
  }

  #largest(): string {
    const largestFirst = [...this.#heldBy].sort(([, one], [, other]) => other - one);
    return largestFirst
      .slice(0, networksTold)
      .map(([network, held]) => `${network}=${held}`)
      .join(" ");
  }

  get #isShort(): boolean {
    return this.#holders.size >= this.#pressureFrom;
  }

  #mayHold(network: string | undefined): boolean {
    const free = this.#connectionsMax - this.#holders.size;
    if (network === undefined || !this.#isShort) return free > 0;
    return (this.#heldBy.get(network) ?? 0) < free;
  }

  #serve(requester: Requester): Requester {
    this.remove(requester);
    this.#holders.add(requester);
    this.#count(requester.network, 1);
    return requester;
  }

  #count(network: string | undefined, change: 1 | -1): void {
    if (network === undefined) return;
    const held = (this.#heldBy.get(network) ?? 0) + change;
    if (held === 0) this.#heldBy.delete(network);
    else this.#heldBy.set(network, held);
  }
}
