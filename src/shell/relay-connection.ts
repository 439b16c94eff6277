/**
 * One connection to a relay: a socket, a relay session that decides, and whoever uses it at the moment.
 * Feeds events to the session, performs its actions, and passes its reports on. What is written in one turn leaves
 * in one write.
 * Not here: any rule (relay/session.ts); keeping and choosing connections (relay-pool.ts).
 */
import type { RelayEvent, RelayOrder, RelayReport, RelaySettings } from "../relay/messages.ts";
import type { RelayPlace } from "../relay/route.ts";
import { RelaySession } from "../relay/session.ts";
import { congestedOctets, type Socket, type SocketHandler, type TlsFacts } from "./network.ts";
import { type Shell, stackOf } from "./shell.ts";
import { type Sleeper, WakeTimer } from "./wake-timer.ts";

/** Receives the reports: first the pool's acquisition, then a client connection, then the pool. */
export interface RelayUser {
  /** For the log. */
  readonly session: string;
  report(report: RelayReport, connection: RelayConnection): void;
}

export class RelayConnection implements SocketHandler, Sleeper {
  readonly place: RelayPlace;
  readonly #shell: Shell;
  readonly #socket: Socket;
  readonly #authorities: readonly string[] | undefined;
  readonly #session: RelaySession;
  readonly #timer: WakeTimer;
  /** Those that came while another was carried out. */
  #events: RelayEvent[] | undefined;
  #user: RelayUser;
  #running = false;
  #flushing = false;
  #congested = false;
  /** What the relay had not read when that was last looked at. */
  #unreadOctets = 0;
  #tls: TlsFacts | undefined;

  constructor(
    shell: Shell,
    socket: Socket,
    place: RelayPlace,
    settings: RelaySettings,
    authorities: readonly string[] | undefined,
    user: RelayUser,
    dialledAt: number,
  ) {
    this.place = place;
    this.#shell = shell;
    this.#socket = socket;
    this.#authorities = authorities;
    this.#user = user;
    this.#session = new RelaySession(settings, dialledAt);
    this.#timer = new WakeTimer(shell.network, this);
  }

  get tls(): TlsFacts | undefined {
    return this.#tls;
  }

  /** Hands the connection on: reports go to `user` from now on. */
  use(user: RelayUser): void {
    this.#user = user;
  }

  /** Call once, when the socket's handler is in place. */
  start(): void {
    this.#run({ type: "opened" });
  }

  order(order: RelayOrder): void {
    this.#run({ type: "order", order });
  }

  /** Ends an idle connection in good order; the report `lost` follows. */
  dismiss(): void {
    this.#run({ type: "dismissed" });
  }

  /** Ends a connection that nobody wants any more while it is set up. No report follows. */
  abort(): void {
    this.#timer.stop();
    this.#socket.terminate();
    this.#user = { session: this.#user.session, report: () => {} };
  }

  octets(octets: Buffer): void {
    // A peer's TCP acknowledges what its program has read at the latest with the segment that answers it.
    this.#run({ type: "octets", octets, unsent: this.#socket.unreadOctets > 0 });
  }

  ended(): void {
    this.#run({ type: "ended" });
  }

  drained(): void {
    this.#congested = false;
    this.#run({ type: "drained" });
  }

  secured(facts: TlsFacts): void {
    this.#tls = facts;
    this.#run({ type: "secured" });
  }

  handshakeFailed(reason: string): void {
    this.#run({ type: "handshake-failed", reason });
  }

  closed(reason: string): void {
    this.#run({ type: "closed", reason });
    this.#timer.stop();
  }

  deadline(): number {
    return this.#session.deadline();
  }

  /** A relay that reads slowly, but reads, is no silent one. */
  wake(): void {
    const { unreadOctets } = this.#socket;
    const reads = unreadOctets > 0 && unreadOctets < this.#unreadOctets;
    this.#unreadOctets = unreadOctets;
    this.#run({ type: reads ? "progress" : "time" });
  }

  /**
   * An event that comes while another is carried out waits for its turn. Reports go out last, when the connection
   * takes orders again, because a report handler may release this connection and acquire it again at once.
   */
  #run(event: RelayEvent): void {
    if (this.#running) {
      if (this.#events === undefined) this.#events = [event];
      else this.#events.push(event);
      return;
    }
    const reports: RelayReport[] = [];
    this.#running = true;
    try {
      for (let next: RelayEvent | undefined = event; next !== undefined; next = this.#events?.shift()) {
        this.#session.receive(next, this.#shell.network.now());
        this.#perform(reports);
      }
    } catch (error) {
      this.#fault(error);
    } finally {
      this.#running = false;
    }
    this.#timer.update();
    for (const report of reports) this.#user.report(report, this);
  }

  #perform(reports: RelayReport[]): void {
    for (const action of this.#session.drain()) {
      switch (action.type) {
        case "write":
          this.#socket.write(action.octets, action.spent);
          this.#flushSoon();
          break;
        case "secure":
          this.#socket.flush();
          this.#socket.secure({
            role: "client",
            serverName: this.place.relay.host,
            verify: action.verify,
            ...(this.#authorities === undefined ? {} : { authorities: this.#authorities }),
          });
          break;
        case "close":
          this.#socket.close();
          break;
        case "terminate":
          this.#socket.terminate();
          break;
        case "report":
          reports.push(action.report);
          break;
        case "dialogue":
          this.#shell.log({
            event: "dialogue",
            session: this.#user.session,
            with: "relay",
            direction: action.direction,
            text: action.text,
          });
          break;
      }
    }
  }

  /** Our own code failed in here: it is reported to the user of the connection as lost. */
  #fault(error: unknown): void {
    const user = this.#user;
    this.#shell.log({ event: "fault", session: user.session, stack: stackOf(error) });
    this.#events = undefined;
    this.abort();
    // The dot may be out: nobody can tell any more.
    user.report({ type: "lost", failure: { kind: "fault" }, dotSent: true }, this);
  }

  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.#socket.flush();
      if (this.#congested || this.#socket.queuedOctets <= congestedOctets) return;
      this.#congested = true;
      this.#unreadOctets = this.#socket.unreadOctets;
      this.#run({ type: "congested" });
    });
  }
}
