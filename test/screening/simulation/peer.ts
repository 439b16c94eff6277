/**
 * A client of the simulator: its end of a connection, whole replies, octets in pieces, and the faults that come over
 * it. What it wants is said by those that extend it (mail-server.ts, spammers.ts).
 */
import type { LogEvent } from "../../../src/ops/events.ts";
import type { Chance, Clock } from "./clock.ts";
import { type Connection, must, type Remote, type SimulatedServer } from "./server.ts";

export abstract class Peer implements Remote {
  readonly address: string;
  readonly kind: string;
  readonly latencyMs: number;
  readonly isDeaf: boolean = false;
  protected readonly server: SimulatedServer;
  protected readonly clock: Clock;
  protected readonly chance: Chance;
  protected connection: Connection | undefined;
  /** What it did to the connection itself: whatever follows is its own fault. */
  protected fault: "FIN" | "reset" | undefined;
  protected isClosed = false;
  /** All it heard. */
  protected text = "";
  #line = "";
  #lines: string[] = [];
  #arrivesAt = 0;

  constructor(server: SimulatedServer, kind: string, address: string, latencyMs: number) {
    this.server = server;
    this.clock = server.clock;
    this.chance = server.chance;
    this.kind = kind;
    this.address = address;
    this.latencyMs = latencyMs;
  }

  connect(): void {
    this.server.count(`client: ${this.kind}`);
    this.connection = this.server.connect(this);
    if (this.connection !== undefined) this.begin();
  }

  /** It is connected, and has heard nothing yet. */
  protected begin(): void {}

  /** A whole reply. */
  protected abstract replied(code: number, lines: readonly string[]): void;

  heard(octets: Buffer): void {
    const text = octets.toString("latin1");
    this.text += text;
    const lines = (this.#line + text).split("\r\n");
    this.#line = lines.pop() ?? "";
    for (const line of lines) {
      must(/^[2345]\d\d[ -][ -~]*$/.test(line), `a reply is a reply: ${JSON.stringify(line)}`);
      this.#lines.push(line);
      if (line[3] !== " ") continue;
      const reply = this.#lines;
      this.#lines = [];
      if (!this.isClosed && this.fault === undefined) this.replied(Number(line.slice(0, 3)), reply);
    }
  }

  secured(): void {}

  closed(): void {
    this.isClosed = true;
    this.clock.after(this.latencyMs, () => this.connection?.ended());
    this.over();
  }

  /** The server is through with it. */
  protected over(): void {}

  logged(_event: LogEvent): void {}

  // --- What it does --------------------------------------------------------------------------------------------

  /** Sends it, cut somewhere or not; the pieces arrive in order. */
  protected say(text: string, pieces = this.chance.happens(0.3) ? this.chance.between(2, 4) : 1): void {
    const octets = Buffer.from(text, "latin1");
    let from = 0;
    for (let left = pieces; left > 0 && from < octets.length; left -= 1) {
      const to = left === 1 ? octets.length : this.chance.between(from + 1, octets.length);
      const piece = octets.subarray(from, to);
      from = to;
      this.#arrive(left === pieces ? 0 : this.chance.between(0, 40), () => this.connection?.octets(piece));
    }
  }

  protected finish(): void {
    this.#arrive(0, () => this.connection?.ended());
  }

  #arrive(laterMs: number, run: () => void): void {
    this.#arrivesAt = Math.max(this.clock.now + this.latencyMs, this.#arrivesAt) + laterMs;
    this.clock.at(this.#arrivesAt, () => {
      if (this.fault !== "reset") run();
    });
  }

  /** At some time something happens to the connection. */
  protected failAfter(ms: number): void {
    const fault = this.chance.one("FIN", "reset");
    this.clock.after(ms, () => {
      if (this.isClosed) return;
      this.fault = fault;
      this.server.count(`fault: ${fault}`);
      if (fault === "FIN") this.connection?.ended();
      else this.connection?.reset();
    });
  }

  protected must(condition: boolean, what: string): asserts condition {
    must(
      condition,
      `${what} (${this.kind} at ${this.address}, ${this.connection?.name}, at ${this.clock.now} ms, heard ${JSON.stringify(this.text.slice(-300))})`,
    );
  }
}
