/**
 * One relay connection of a `World`: a relay session, wired as shell/relay-connection.ts wires it, without a socket.
 */
import type { Failure } from "../../src/relay/failures.ts";
import type { RelayAction, RelayEvent, RelayReport, RelaySettings } from "../../src/relay/messages.ts";
import { describePlace, type RelayPlace } from "../../src/relay/route.ts";
import { RelaySession } from "../../src/relay/session.ts";
import type { RelayOffer } from "../../src/smtp/ehlo.ts";
import { Outbox } from "./outbox.ts";
import type { World } from "./world.ts";

export interface RelayUser {
  report(report: RelayReport): void;
}

export const nobody: RelayUser = { report() {} };

export class RelayPeer {
  readonly outbox = new Outbox();
  readonly place: RelayPlace;
  readonly settings: RelaySettings;
  readonly #world: World;
  readonly #dialledAt: number;
  /** undefined while it is dialled. */
  #session: RelaySession | undefined;
  #failed: ((failure: Failure) => void) | undefined;
  user: RelayUser = nobody;
  offer: RelayOffer | undefined;
  secured = false;
  #congested = false;

  constructor(world: World, place: RelayPlace, settings: RelaySettings, failed: (failure: Failure) => void) {
    this.place = place;
    this.settings = settings;
    this.#world = world;
    this.#dialledAt = world.now;
    this.#failed = failed;
    this.outbox.see(`dials ${describePlace(place)}`);
  }

  get deadline(): number {
    if (this.outbox.closed) return Number.POSITIVE_INFINITY;
    return this.#session?.deadline() ?? this.#dialledAt + this.settings.connectTimeoutMs;
  }

  wake(): void {
    if (this.#session === undefined) this.#dialFailed(`no answer within ${this.settings.connectTimeoutMs}ms`);
    else this.run({ type: "time" });
  }

  act(event: string): boolean {
    const [word = "", detail = ""] = event.split(/ (.*)/);
    switch (word) {
      case "opens":
        this.#session = new RelaySession(this.settings, this.#dialledAt);
        this.run({ type: "opened" });
        return true;
      case "refuses":
        this.#dialFailed(detail === "" ? "ECONNREFUSED" : detail);
        return true;
      case "secured":
        this.secured = true;
        this.run({ type: "secured" });
        return true;
      case "handshake":
        this.run({ type: "handshake-failed", reason: "EPROTO: wrong version number" });
        return event === "handshake fails";
      case "ends":
        this.run({ type: "ended" });
        return true;
      case "resets":
        this.run({ type: "closed", reason: "ECONNRESET" });
        return true;
      case "congested":
      case "drained":
        this.#congested = word === "congested";
        this.run({ type: word });
        return true;
      case "progress":
        this.run({ type: word });
        return true;
      default:
        return false;
    }
  }

  /** The relay speaks. While it is congested, not all that we said has left us. */
  send(octets: Buffer): void {
    this.run({ type: "octets", octets, unsent: this.#congested });
  }

  run(event: RelayEvent): void {
    if (this.#session === undefined) throw new Error("the relay has not opened the connection");
    if (this.outbox.closed) return;
    this.#session.receive(event, this.#world.now);
    const reports: RelayReport[] = [];
    for (const action of this.#session.drain()) this.#perform(action, reports);
    // Last, for who hears one may give the next order at once.
    for (const report of reports) this.user.report(report);
  }

  /** Nobody wants it any more while it is dialled or set up. */
  abort(): void {
    this.user = nobody;
    this.outbox.close(this.#session === undefined ? "gives up" : "terminates");
    this.#failed = undefined;
  }

  #dialFailed(detail: string): void {
    const failed = this.#failed;
    this.#failed = undefined;
    this.outbox.close(undefined);
    failed?.({ kind: "unreachable", detail });
  }

  #perform(action: RelayAction, reports: RelayReport[]): void {
    switch (action.type) {
      case "write":
        this.outbox.write(action.octets);
        break;
      case "secure":
        this.outbox.see(action.verify ? "starts TLS, verified" : "starts TLS");
        break;
      case "close":
        this.outbox.close("closes");
        break;
      case "terminate":
        this.outbox.close("terminates");
        break;
      case "report":
        reports.push(action.report);
        break;
      case "dialogue": {
        const { direction, text } = action;
        this.#world.logs.push({ event: "dialogue", session: "", with: "relay", direction, text });
        break;
      }
    }
  }
}
