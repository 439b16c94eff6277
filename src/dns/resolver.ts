/**
 * A stub resolver: asks the operator's name servers for addresses and texts, and says plainly whether a name is
 * there, is not there, or could not be asked for. What DNSBLs are looked up with.
 *
 * Servers are asked in their order; one that was silent lately comes last. A server that refuses, fails or talks
 * nonsense is left for the next one; a silent one is asked again while there is time. An answer that comes late
 * counts as long as the look-up waits.
 * Never rejects, never throws: trouble is an answer. Every wait ends with `timeoutMs`; look-ups, cached answers and
 * sockets are bounded. Equal look-ups share one question, for as long as one of those who asked wants to know. Beyond
 * the limits a look-up waits for its turn, and is said to be "busy" meanwhile, which is not the zone's silence.
 * Not here: sockets and forged answers (transport.ts), what a message says (answer.ts), whose turn it is
 * (look-up-turns.ts), what an address in an answer means (screening/).
 * Rejected: EDNS. A list's answer fits in 512 octets, TCP carries the rest, and there is no FORMERR to fall back from.
 * Rejected: node:dns. It splits a TXT record's strings and cannot tell "no such name" from "no such record".
 * Rejected: random letter case in names. Some servers do not echo it; the port and the id have to do.
 * RFC 1035 §4 and §7, RFC 2308 §5, RFC 2181 §8.
 */
import { encode, RECURSION_DESIRED } from "dns-packet";
import type { LookupAnswer } from "../client/messages.ts";
import { type DnsType, readAnswer, trouble } from "./answer.ts";
import { DnsCache } from "./cache.ts";
import { LookUpTurns, type Turn, type TurnLimits } from "./look-up-turns.ts";
import { type AskFailure, type Asking, type DnsServer, DnsTransport, describeServer } from "./transport.ts";

export interface DnsSettings {
  readonly servers: readonly DnsServer[];
  /** For a whole look-up, from its turn on. */
  readonly timeoutMs: number;
  /** Until the next server is asked too. 1.5 s, or less where there would be no time to ask them all and one again. */
  readonly attemptMs?: number;
  readonly limits?: TurnLimits;
}

export interface DnsQuestion {
  /** A full one, with or without its last dot, in ASCII. */
  readonly name: string;
  readonly type: DnsType;
  /** Whose share of the look-ups it takes: the network of the client that it is about. */
  readonly network: string;
}

/** A look-up that somebody waits for. */
export interface LookUp {
  /** Nothing follows. What nobody waits for any more is not asked any longer. */
  cancel(): void;
}

/** It is called later, and once; or twice, if it has to wait for its turn: then first with "busy". */
export type AnswerHandler = (answer: LookupAnswer) => void;

const attemptMsDefault = 1_500;
/** Beyond 2,000 at once the kernel's buffers lose questions. Those that wait cost 300 octets each. */
const limitsDefault: TurnLimits = { runningMax: 2_000, shareMax: 100, waitingMax: 8_000 };
const waitsForItsTurn: LookupAnswer = { kind: "busy", reason: "too many look-ups at once" };
/** The same, and nothing follows. */
const hadNoTurn: LookupAnswer = { ...waitsForItsTurn };
const cacheEntriesMax = 10_000;
/** A longer answer is not kept, so that the cache has a limit in octets too. */
const cachedOctetsMax = 2_048;
const demotionMs = 30_000;

export class DnsResolver {
  readonly #servers: readonly DnsServer[];
  readonly #timeoutMs: number;
  readonly #attemptMs: number;
  readonly #now: () => number;
  readonly #transport: DnsTransport;
  readonly #cache = new DnsCache(cacheEntriesMax);
  readonly #lookups = new Map<string, Lookup>();
  readonly #turns: LookUpTurns;
  readonly #demotedUntil = new Map<DnsServer, number>();
  #closed = false;

  /** `now`: milliseconds that only grow, for TTLs; waits are the system's timers. */
  constructor(settings: DnsSettings, now: () => number) {
    this.#servers = settings.servers.map(({ address, port }) => ({ address, port }));
    this.#timeoutMs = settings.timeoutMs;
    const share = settings.timeoutMs / (this.#servers.length + 1);
    this.#attemptMs = settings.attemptMs ?? Math.min(attemptMsDefault, share);
    this.#now = now;
    this.#turns = new LookUpTurns(settings.limits ?? limitsDefault);
    this.#transport = new DnsTransport(settings.attemptMs ?? attemptMsDefault);
  }

  /** For metrics. `strays` are datagrams that answered nothing that was asked. */
  get counts() {
    return {
      outstanding: this.#lookups.size,
      waiting: this.#turns.waiting,
      cached: this.#cache.size,
      strays: this.#transport.strays,
    };
  }

  lookUp({ name, type, network }: DnsQuestion, told: AnswerHandler): LookUp {
    const waiter = new Waiter(told);
    const asked = name.replace(/\.$/, "").toLowerCase();
    const key = `${type} ${asked}`;
    if (!isName(name)) return waiter.soon(trouble("not a domain name"));
    if (this.#closed) return waiter.soon(trouble("resolver closed"));
    const known = this.#cache.get(key, this.#now());
    if (known !== undefined) return waiter.soon(known);
    const lookup = this.#lookups.get(key) ?? this.#newLookup(key, asked, type, network);
    if (lookup === undefined) return waiter.soon(hadNoTurn);
    lookup.join(waiter, this.#now() + this.#timeoutMs);
    if (lookup.isWaiting) waiter.soon(waitsForItsTurn);
    return waiter;
  }

  /** The same as a promise, of the answer alone. */
  lookup(name: string, type: DnsType): Promise<LookupAnswer> {
    return new Promise((resolve) => {
      this.lookUp({ name, type, network: "" }, (answer) => {
        if (answer !== waitsForItsTurn) resolve(answer);
      });
    });
  }

  /** Undefined: there is no room for it, not even to wait. */
  #newLookup(key: string, name: string, type: DnsType, network: string): Lookup | undefined {
    const lookup = new Lookup(
      this.#transport,
      { name, type, timeoutMs: this.#timeoutMs, attemptMs: this.#attemptMs },
      {
        silent: (server) => void this.#demotedUntil.set(server, this.#now() + demotionMs),
        settled: (answer, octets) => {
          this.#lookups.delete(key);
          if (lookup.turn !== undefined) this.#turns.leave(lookup.turn);
          if (answer === undefined || answer.kind === "trouble" || answer.kind === "busy") return;
          if (octets <= cachedOctetsMax) this.#cache.put(key, answer, this.#now());
        },
      },
    );
    lookup.turn = this.#turns.enter(network, () => lookup.begin(this.#inOrder(), this.#now()));
    if (lookup.turn === undefined) return undefined;
    this.#lookups.set(key, lookup);
    return lookup;
  }

  /** Lookups under way end in trouble. */
  close(): void {
    this.#closed = true;
    for (const lookup of [...this.#lookups.values()]) lookup.settle(trouble("resolver closed"));
    this.#cache.clear();
    this.#transport.close();
  }

  #inOrder(): DnsServer[] {
    const now = this.#now();
    const isDemoted = (server: DnsServer) => (this.#demotedUntil.get(server) ?? now) > now;
    return [...this.#servers.filter((s) => !isDemoted(s)), ...this.#servers.filter(isDemoted)];
  }
}

/** Somebody who waits for a look-up. */
class Waiter implements LookUp {
  readonly #told: AnswerHandler;
  #lookup: Lookup | undefined;
  #isOver = false;

  constructor(told: AnswerHandler) {
    this.#told = told;
  }

  tell(answer: LookupAnswer): void {
    if (!this.#isOver) this.#told(answer);
  }

  soon(answer: LookupAnswer): LookUp {
    queueMicrotask(() => this.tell(answer));
    return this;
  }

  /** Undefined: that one is over. */
  waitsFor(lookup: Lookup | undefined): void {
    this.#lookup = lookup;
  }

  cancel(): void {
    this.#isOver = true;
    this.#lookup?.leave(this);
  }
}

interface LookupPlan {
  /** In lower case, without its last dot. */
  readonly name: string;
  readonly type: DnsType;
  readonly attemptMs: number;
  readonly timeoutMs: number;
}

interface LookupOwner {
  /** The server had its time for a try and said nothing. */
  silent(server: DnsServer): void;
  /**
   * Once, before anybody is told. `answer`: undefined if nobody wants it any more. `octets`: the length of the message
   * that it was read from.
   */
  settled(answer: LookupAnswer | undefined, octets: number): void;
}

/** One name and type, asked of one server after the other, for all who want to know it. */
class Lookup {
  turn: Turn | undefined;
  readonly #waiters = new Set<Waiter>();
  readonly #transport: DnsTransport;
  readonly #plan: LookupPlan;
  readonly #owner: LookupOwner;
  /** Whose turn it is comes first. A server that failed is out. */
  #servers: DnsServer[] = [];
  #query: Buffer | undefined;
  /** Until when somebody waits for its turn, in the milliseconds of the resolver's clock. */
  #wantedUntil = Number.NEGATIVE_INFINITY;
  /** A server was not asked for want of room. */
  #lack: string | undefined;
  readonly #asked = new Map<DnsServer, Asking>();
  #deadline: ReturnType<typeof setTimeout> | undefined;
  #attempt: ReturnType<typeof setTimeout> | undefined;
  #settled = false;

  constructor(transport: DnsTransport, plan: LookupPlan, owner: LookupOwner) {
    this.#transport = transport;
    this.#plan = plan;
    this.#owner = owner;
  }

  get isWaiting(): boolean {
    return this.#query === undefined;
  }

  join(waiter: Waiter, wantedUntil: number): void {
    this.#waiters.add(waiter);
    this.#wantedUntil = Math.max(this.#wantedUntil, wantedUntil);
    waiter.waitsFor(this);
  }

  /** The last one that leaves ends it. */
  leave(waiter: Waiter): void {
    this.#waiters.delete(waiter);
    if (this.#waiters.size === 0) this.settle(undefined);
  }

  /** Its turn has come. */
  begin(servers: readonly DnsServer[], now: number): void {
    const { name, type, timeoutMs } = this.#plan;
    const isWaitedFor = this.#waiters.size > 0;
    const questions = [{ name, type, class: "IN" as const }];
    this.#query = encode({ type: "query", flags: RECURSION_DESIRED, questions });
    this.#servers = [...servers];
    this.#deadline = setTimeout(() => this.#end(trouble(`no answer within ${timeoutMs / 1000}s`)), timeoutMs);
    // Those that waited for it were told that it is not asked, and their time is over.
    const isTooLate = isWaitedFor && now > this.#wantedUntil;
    queueMicrotask(() => (isTooLate ? this.settle(hadNoTurn) : this.#ask(trouble("no DNS server"))));
  }

  settle(answer: LookupAnswer | undefined, octets = 0): void {
    if (this.#settled) return;
    this.#settled = true;
    clearTimeout(this.#deadline);
    clearTimeout(this.#attempt);
    for (const asking of this.#asked.values()) asking.cancel();
    this.#owner.settled(answer, octets);
    for (const waiter of this.#waiters) {
      waiter.waitsFor(undefined);
      if (answer !== undefined) waiter.tell(answer);
    }
  }

  /** Without an answer. What was not asked for want of room here is not said to be the servers' fault. */
  #end(why: LookupAnswer): void {
    this.settle(this.#lack === undefined ? why : { kind: "busy", reason: this.#lack });
  }

  /** Asks the server whose turn it is. `before`: what became of the last one; if there is none left, of all. */
  #ask(before: LookupAnswer): void {
    if (this.#settled || this.#query === undefined) return;
    const [server] = this.#servers;
    if (server === undefined) {
      this.#end(before);
      return;
    }
    clearTimeout(this.#attempt);
    // Up to a quarter sooner, so that a crowd whose questions were lost together does not come back together.
    const attemptMs = this.#plan.attemptMs * (1 - Math.random() / 4);
    this.#attempt = setTimeout(() => this.#silent(server), attemptMs);
    const asking = this.#asked.get(server);
    if (asking !== undefined) {
      asking.again();
      return;
    }
    const handler = {
      answered: (message: Buffer) => this.#answered(server, message),
      failed: ({ reason, isOurs }: AskFailure) => {
        if (isOurs) this.#lack = reason;
        this.#failed(server, reason);
      },
    };
    this.#asked.set(server, this.#transport.ask(server, this.#query, handler));
  }

  #silent(server: DnsServer): void {
    this.#owner.silent(server);
    this.#servers.push(...this.#servers.splice(this.#servers.indexOf(server), 1));
    this.#ask(trouble("no answer"));
  }

  #answered(server: DnsServer, message: Buffer): void {
    const answer = readAnswer(message, this.#plan.name, this.#plan.type);
    if (answer.kind === "trouble") this.#failed(server, answer.reason);
    else this.settle(answer, message.length);
  }

  #failed(server: DnsServer, why: string): void {
    const hadItsTurn = this.#servers[0] === server;
    this.#servers.splice(this.#servers.indexOf(server), 1);
    // If another's turn has come meanwhile, that one keeps its time.
    if (hadItsTurn) this.#ask(trouble(why, describeServer(server)));
  }
}

/** Labels of 1 to 63 visible ASCII characters, 253 in all. dns-packet would write anything. */
function isName(name: string): boolean {
  return /^[!-\-/-~]{1,63}(\.[!-\-/-~]{1,63})*\.?$/.test(name) && name.replace(/\.$/, "").length <= 253;
}
