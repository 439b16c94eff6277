/**
 * A simulated world: the real server over a fake network and a fake clock, clients, relays, zones and faults of a
 * scenario, and judges that watch every socket. `run` plays it to its end, or to the first violation.
 * Deterministic: the same scenario gives the same history, always.
 * Not here: what is right (session-judge.ts, relay-actor.ts, outcome.ts, limits.ts); drawing (draw-*.ts).
 */
import { drainMicrotasks } from "bun:jsc";
import { serverSettings } from "../../src/commands/settings.ts";
import type { LogEvent, TransactionEvent } from "../../src/ops/events.ts";
import { isTrusted } from "../../src/screening/addresses.ts";
import type { ServerTls, Socket } from "../../src/shell/network.ts";
import { Server, type ServerSettings } from "../../src/shell/server.ts";
import { configOf } from "../transcripts/world-settings.ts";
import { ClientActor } from "./client-actor.ts";
import { Clock } from "./clock.ts";
import type { JudgeSurroundings, WorldFacts } from "./judged.ts";
import { Limits } from "./limits.ts";
import { FakeNetwork, type Stoppable } from "./network.ts";
import { OctetPipe } from "./octet-pipe.ts";
import { type Books, checkLogged, checkMessage, checkOutcome, checkPart } from "./outcome.ts";
import { Random } from "./random.ts";
import { RelayActor } from "./relay-actor.ts";
import { RelayLedger } from "./relay-ledger.ts";
import { RelayWatch } from "./relay-watch.ts";
import type { ClientKind, ClientScript, RelayScript, Scenario, WorldFault } from "./scenario.ts";
import { SessionJudge } from "./session-judge.ts";
import { type Saboteur, WatchedNetwork } from "./watch.ts";
import { ZoneResolver } from "./zone-resolver.ts";

export interface Violation {
  readonly invariant: string;
  readonly detail: string;
  readonly atMs: number;
}

export interface WorldOptions {
  readonly saboteur?: Saboteur;
  /** Keeps a history. */
  readonly history?: boolean;
  /** Invariants that are known to be violated, and only counted. */
  readonly known?: ReadonlySet<string>;
}

export interface Report {
  readonly violation: Violation | undefined;
  readonly counts: ReadonlyMap<string, number>;
  /** Clients that dialled. */
  readonly sessions: number;
  /** "time who what", oldest first; empty unless it was asked for. */
  readonly history: readonly string[];
}

/** One client's connection. */
interface Visit {
  readonly pipe: OctetPipe;
  readonly kind: ClientKind;
  judge: SessionJudge | undefined;
}

const unixEpochMs = Date.UTC(2026, 10, 23);
const smtpPort = 25;
const firstClientPort = 20_000;
/** More would be a world that runs in circles. */
const stepsMax = 3_000_000;

export class World {
  readonly #scenario: Scenario;
  readonly #clock = new Clock();
  readonly #network: FakeNetwork;
  readonly #server: Server;
  readonly #settings: ServerSettings;
  readonly #ledger = new RelayLedger();
  readonly #books: Books;
  readonly #around: JudgeSurroundings;
  readonly #limits: Limits;
  readonly #judges = new Map<string, SessionJudge>();
  readonly #visitors: SessionJudge[] = [];
  readonly #relays: RelayWatch[] = [];
  /** To the client whose connection is being accepted. */
  #arriving: Visit = { pipe: new OctetPipe(), kind: "correct", judge: undefined };
  readonly #kinds = new Map<object, ClientKind>();
  readonly #events = new Map<string, TransactionEvent[]>();
  readonly #sessionLines = new Map<string, LogEvent & { event: "session" }>();
  readonly #counts = new Map<string, number>();
  readonly #history: string[] | undefined;
  readonly #listening = new Map<string, Stoppable[]>();
  readonly #dialsOf = new Map<string, number>();
  readonly #saboteur: Saboteur;
  readonly #known: ReadonlySet<string>;
  /** All that clients may say. */
  readonly #saidSomewhere: string;
  readonly #work: Random;
  #workedMs = 0;
  #accepting: SessionJudge | undefined;
  #violation: Violation | undefined;
  #shutdown: "none" | "begun" | "done" = "none";

  constructor(scenario: Scenario, options: WorldOptions = {}) {
    this.#scenario = scenario;
    this.#known = options.known ?? new Set();
    this.#saboteur = options.saboteur ?? {};
    this.#history = options.history === true ? [] : undefined;
    this.#saidSomewhere = JSON.stringify(scenario.clients.map(({ steps }) => steps));
    const config = configOf(scenario.options);
    const loaded = serverSettings(config);
    if (!loaded.ok) throw new Error(loaded.fault);
    this.#settings = loaded.settings;
    const random = new Random(scenario.seed).fork("network");
    this.#work = new Random(scenario.seed).fork("work");
    this.#network = new FakeNetwork(this.#clock, random, (error) => this.#fault(error), unixEpochMs);
    const { policy, trusted } = this.#settings;
    const { VALID_RECIPIENTS } = scenario.options;
    const facts: WorldFacts = {
      ...policy,
      validRecipients: VALID_RECIPIENTS === undefined ? undefined : new RegExp(VALID_RECIPIENTS),
      isTrusted: (address) => isTrusted(trusted, address),
    };
    const violated = (invariant: string, detail: string): void => this.#violated(invariant, detail);
    this.#around = {
      ledger: this.#ledger,
      facts,
      now: () => this.#clock.now,
      isShuttingDown: () => this.#shutdown !== "none",
      mayBeListed: (address) =>
        scenario.zones.some(
          (zone) => zone.weight > 0 && zone.answers === "listing" && zone.listed.includes(address),
        ),
      sizeMaxOfRelays: smallestSize(scenario.relays),
      violated,
      told: (judge, { kind, code }) => {
        this.#count(`told by ${kind} relay: ${Math.floor(code / 100)}yz`);
        this.#count(`met ${this.#kinds.get(judge)} x ${kind}`);
      },
    };
    this.#books = {
      ledger: this.#ledger,
      facts,
      judgeOf: (id) => this.#judgeOf(id),
      isDotWritten: (id) => this.#relays.some((relay) => relay.endedTransactions().includes(id)),
      isDelivered: (mark) => this.#relays.some((relay) => relay.hasDelivered(mark)),
      violated,
      count: (what) => this.#count(what),
    };
    const watched = new WatchedNetwork(
      this.#network,
      { accepted: (socket) => this.#accepted(socket), dialled: (socket) => this.#dialled(socket) },
      this.#saboteur,
    );
    const shell = {
      network: watched,
      log: (event: LogEvent) => this.#log(event),
      newSessionId: () => this.#newSessionId(),
      stopwatch: () => this.#workMs(),
    };
    const tls: ServerTls | undefined = policy.starttlsOffered ? newTls() : undefined;
    this.#server = new Server(shell, this.#settings, new ZoneResolver(this.#clock, scenario.zones), tls);
    this.#limits = new Limits(this.#clock, this.#server, this.#network, this.#settings, violated);
  }

  run(): Report {
    this.#server.listen({ host: "0.0.0.0", port: smtpPort });
    for (const relay of this.#scenario.relays) this.#serve(relay);
    for (const [index, client] of this.#scenario.clients.entries()) this.#enter(client, index);
    for (const fault of this.#scenario.faults) this.#clock.timer(fault.atMs, () => this.#befall(fault));
    this.#play();
    if (this.#violation === undefined) this.#limits.checkEnd("when everybody has left");
    if (this.#violation === undefined) this.#settle();
    if (this.#violation === undefined && this.#shutdown === "none") {
      this.#shutDown(0, false);
      this.#play();
      if (!this.#isShutDown()) this.#violated("a shutdown ends", "");
      if (this.#violation === undefined) this.#limits.checkEnd("after the shutdown");
    }
    return {
      violation: this.#violation,
      counts: this.#counts,
      sessions: this.#scenario.clients.length,
      history: this.#history ?? [],
    };
  }

  #play(): void {
    let steps = 0;
    drainMicrotasks();
    while (this.#violation === undefined && this.#clock.step()) {
      steps += 1;
      if (steps > stepsMax) this.#violated("a world comes to its end", `${steps} steps`);
      this.#limits.checkStep(this.#judges.values(), this.#relays, this.#ledger.lastEventAt);
    }
  }

  // --- Who takes part --------------------------------------------------------------------------------------------

  #serve(relay: RelayScript): void {
    const { resolves, addresses, host } = relay;
    this.#network.names.set(
      host,
      resolves ? { addresses: addresses.map(({ address }) => address) } : { failure: "ENOTFOUND" },
    );
    const stoppables = addresses.map(({ address, listens, conditions }) =>
      this.#network.serve(
        address,
        relay.port,
        listens === "well" ? { accept: (end) => this.#newRelay(relay, end) } : listens,
        conditions,
      ),
    );
    this.#listening.set(relay.name, stoppables);
  }

  #newRelay(relay: RelayScript, end: ConstructorParameters<typeof RelayActor>[2]): RelayActor {
    const number = this.#dialsOf.get(relay.name) ?? 0;
    this.#dialsOf.set(relay.name, number + 1);
    const script = relay.connections[number % relay.connections.length];
    if (script === undefined) throw new Error("a relay has a script for a connection");
    this.#count(`relay kind ${script.kind}`);
    return new RelayActor(
      {
        clock: this.#clock,
        ledger: this.#ledger,
        serverName: "mx.example",
        implicitTls: this.#settings.pool.tls === "implicit",
        violated: (invariant, detail) => this.#violated(invariant, detail),
        asked: (command, address) => this.#asked(command, address),
        gotMessage: (message) => checkMessage(this.#books, message),
        gotPart: (data) => checkPart(this.#books, data),
        history: (what, octets) => this.#note(what, octets),
      },
      script,
      end,
    );
  }

  #enter(client: ClientScript, index: number): void {
    const port = firstClientPort + index;
    const visit: Visit = { pipe: new OctetPipe(), kind: client.kind, judge: undefined };
    this.#count(`client kind ${client.kind}`);
    this.#clock.timer(client.atMs, () => {
      this.#network.connect({ address: client.address, port }, smtpPort, client.conditions, (end) => {
        this.#arriving = visit;
        return new ClientActor(this.#clock, client, end, {
          said: (octets) => this.#note(`${client.name} says`, octets),
          heard: (octets) => {
            this.#note(`${client.name} hears`, octets);
            // Octets of TLS, for which the client is not ready, are none of the program's.
            const mayBeTls = visit.judge?.hasStartedTls === true && !end.isSecure;
            if (!visit.pipe.take(octets) && !mayBeTls) {
              this.#violated("a client hears what was not written", client.name);
            }
          },
          note: (what) => this.#note(`${client.name} ${what}`),
        });
      });
    });
  }

  /** An address in a command to the relay is one that a client said, in a command. */
  #asked(command: "MAIL" | "RCPT", address: string): void {
    const isKnown =
      (command === "MAIL" && address === "") ||
      (command === "RCPT" && address === this.#settings.policy.overrideRecipient) ||
      this.#saidSomewhere.includes(latin1Json(address));
    if (!isKnown) this.#violated("a command that no client sent", `${command} ${address}`);
  }

  // --- What the program does -------------------------------------------------------------------------------------

  /** Now and then a client's events take so long that it has to rest. */
  #workMs(): number {
    if (this.#work.chance(0.05)) this.#workedMs += this.#work.between(1, 6);
    return this.#workedMs;
  }

  #newSessionId(): string {
    const judge = this.#accepting;
    if (judge === undefined) throw new Error("a session begins with a connection");
    const id = `S${this.#judges.size + 1}`;
    judge.session = id;
    this.#judges.set(id, judge);
    return id;
  }

  #accepted(socket: Socket): SessionJudge {
    const visit = this.#arriving;
    const judge = new SessionJudge(this.#around, socket.remote.address, (octets) => {
      visit.pipe.put(octets);
      this.#limits.checkQueue(socket, octets);
    });
    visit.judge = judge;
    this.#kinds.set(judge, visit.kind);
    this.#accepting = judge;
    this.#visitors.push(judge);
    return judge;
  }

  #dialled(socket: Socket): RelayWatch {
    const watch = new RelayWatch((octets) => this.#limits.checkQueue(socket, octets));
    this.#relays.push(watch);
    return watch;
  }

  #log(original: LogEvent): void {
    for (const event of this.#saboteur.log?.(original) ?? [original]) {
      if (event.event !== "dialogue") this.#note(`log ${JSON.stringify(event)}`);
      this.#count(`log ${event.event}`);
      if (event.event === "fault") this.#violated("no fault of our own", event.stack);
      else if (event.event === "transaction") {
        const known = this.#events.get(event.transaction) ?? [];
        this.#events.set(event.transaction, [...known, event]);
        checkLogged(this.#books, event);
      } else if (event.event === "session") {
        if (this.#sessionLines.has(event.session)) this.#violated("one line a session", event.session);
        this.#sessionLines.set(event.session, event);
      }
    }
  }

  #judgeOf(id: string): ReturnType<Books["judgeOf"]> {
    const [session = "", number = ""] = id.split("-");
    const judge = this.#judges.get(session);
    const transaction = judge?.transactions[Number(number) - 1];
    return judge === undefined || transaction === undefined ? undefined : { judge, transaction };
  }

  // --- Faults of the world ---------------------------------------------------------------------------------------

  #befall(fault: WorldFault): void {
    this.#note(`the world: ${JSON.stringify(fault)}`);
    this.#count(`fault ${fault.fault}`);
    switch (fault.fault) {
      case "jump":
        this.#clock.jump(fault.ms);
        this.#limits.jumped();
        break;
      case "clock-set":
        this.#network.unixEpochMs += fault.ms;
        break;
      case "reload":
        this.#server.replaceTls(newTls());
        break;
      case "shutdown":
        this.#shutDown(fault.graceMs, fault.hurryAfterMs !== undefined);
        if (fault.hurryAfterMs !== undefined)
          this.#clock.timer(fault.hurryAfterMs, () => this.#server.hurry());
        break;
      case "relay-down":
        this.#relayDown(fault);
        break;
    }
  }

  /** `isHurried`: a second signal may cut short what is still being closed. */
  #shutDown(graceMs: number, isHurried: boolean): void {
    this.#shutdown = "begun";
    void this.#server.shutdown(graceMs).then(() => {
      this.#shutdown = "done";
      this.#note("the shutdown is over");
      if (!isHurried && this.#server.sessions > 0)
        this.#violated("no session outlives the shutdown", `${this.#server.sessions}`);
    });
    drainMicrotasks();
  }

  // A method, for the compiler does not see that steps in between may have changed it.
  #isShutDown(): boolean {
    return this.#shutdown === "done";
  }

  #relayDown({ relay: name, how, forMs }: WorldFault & { fault: "relay-down" }): void {
    const relay = this.#scenario.relays.find((one) => one.name === name);
    if (relay === undefined) return;
    for (const one of this.#listening.get(name) ?? []) one.stop();
    const down = relay.addresses.map(({ address, conditions }) =>
      this.#network.serve(address, relay.port, how, conditions),
    );
    this.#clock.timer(forMs, () => {
      for (const one of down) one.stop();
      this.#serve(relay);
    });
  }

  // --- The end ---------------------------------------------------------------------------------------------------

  #settle(): void {
    for (const judge of this.#visitors) {
      if (judge.session === "") this.#count("turned away at the door");
      else this.#settleSession(judge);
    }
    for (const [id, [event]] of this.#events) {
      if (this.#judgeOf(id) === undefined)
        this.#violated("an outcome of no transaction", JSON.stringify(event));
    }
  }

  #settleSession(judge: SessionJudge): void {
    const line = this.#sessionLines.get(judge.session);
    if (line === undefined) {
      this.#violated("one line a session", `${judge.session} has none`);
      return;
    }
    const isTrue =
      line.client === judge.address &&
      line.transactions === judge.transactions.length &&
      (line.tls !== undefined) === judge.isSecure &&
      line.helo === judge.heloName &&
      line.end !== "";
    if (!isTrue) this.#violated("the line of a session is not true", JSON.stringify(line));
    for (const transaction of judge.transactions) {
      checkOutcome(this.#books, judge, transaction, this.#events.get(transaction.id) ?? []);
    }
  }

  #fault(error: unknown): void {
    this.#violated(
      "nothing is thrown",
      error instanceof Error ? (error.stack ?? error.message) : String(error),
    );
  }

  #violated(invariant: string, detail: string): void {
    if (this.#known.has(invariant)) {
      this.#count(`known limit: ${invariant}`);
      return;
    }
    this.#violation ??= { invariant, detail, atMs: this.#clock.now };
    this.#note(`VIOLATION ${invariant}: ${detail}`);
  }

  #count(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }

  #note(what: string, octets?: Buffer): void {
    if (this.#history === undefined) return;
    const shown =
      octets === undefined
        ? ""
        : ` ${JSON.stringify(octets.toString("latin1", 0, 200))}${octets.length > 200 ? ` and ${octets.length - 200} more` : ""}`;
    this.#history.push(`${this.#clock.now.toFixed(0).padStart(8)} ${what}${shown}`);
  }
}

function newTls(): ServerTls {
  return { role: "server", context: {} };
}

function smallestSize(relays: readonly RelayScript[]): number {
  const sizes = relays.flatMap(({ connections }) =>
    connections.flatMap(({ offers }) => offers.map((offer) => Number(/^SIZE (\d+)$/.exec(offer)?.[1] ?? 0))),
  );
  return Math.min(Number.POSITIVE_INFINITY, ...sizes.filter((size) => size > 0));
}

/** A wire string as it stands within JSON. */
function latin1Json(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}
