/**
 * Clients that send as much as they can of what is dear to look at, as a process of their own: what they cost must not
 * be measured along with what they cost others. Started by flood.ts; independent of src.
 *
 * `bun flood-process.ts JSON`, the JSON being a FloodOrder. Writes “pouring” when each of them may send its octets, and
 * one line at the end: the seconds that it took, and how many clients received which last reply code.
 */
import { connect } from "node:net";

export interface FloodOrder {
  readonly port: number;
  readonly clients: number;
  /** What each sends of `unit`, repeated, and then CRLF and `last`. */
  readonly octets: number;
  readonly unit: string;
  readonly last: string;
  /** Commands before that, each behind the reply to the one before it. */
  readonly opening: readonly string[];
}

const { port, clients, octets, unit, last, opening }: FloodOrder = JSON.parse(process.argv[2] ?? "{}");
/** A whole number of units: the flood is the same at its seams. */
const piece = Buffer.from(unit.repeat(Math.max(1, Math.floor((256 * 1024) / unit.length))), "latin1");

class Flooder {
  readonly ready = Promise.withResolvers<void>();
  readonly gone = Promise.withResolvers<string>();
  readonly #socket = connect({ port, host: "127.0.0.1", noDelay: true });
  #heard = "";
  #replies = 0;
  #code = "none";
  #left = octets;

  constructor() {
    this.#socket.on("data", (chunk: Buffer) => this.#hear(chunk.toString("latin1")));
    this.#socket.on("drain", () => this.#pour());
    this.#socket.on("error", () => {});
    this.#socket.on("close", () => {
      this.ready.resolve();
      this.gone.resolve(this.#code);
    });
  }

  start(): void {
    this.#pour();
  }

  #hear(text: string): void {
    this.#heard = `${this.#heard}${text}`.slice(-4096);
    for (const [, code] of text.matchAll(/^(\d\d\d) /gm)) {
      this.#code = code ?? "";
      this.#replies += 1;
      if (this.#replies <= opening.length) this.#socket.write(`${opening[this.#replies - 1]}\r\n`);
      else if (this.#replies === opening.length + 1) this.ready.resolve();
    }
    if (this.#left <= 0 && last === ".") this.#finishSoon();
  }

  #pour(): void {
    if (this.#left <= 0) return;
    for (;;) {
      this.#left -= piece.length;
      const taken = this.#socket.write(piece);
      if (this.#left <= 0) break;
      if (!taken) return;
    }
    this.#socket.write(`\r\n${last}\r\n`);
  }

  /** The reply to the dot has come. */
  #finishSoon(): void {
    if (this.#replies > opening.length + 1) this.#socket.destroy();
  }
}

const flooders = Array.from({ length: clients }, () => new Flooder());
await Promise.all(flooders.map(({ ready }) => ready.promise));
process.stdout.write("pouring\n");
const startedAt = performance.now();
for (const flooder of flooders) flooder.start();
const codes = await Promise.all(flooders.map(({ gone }) => gone.promise));
const counts = new Map<string, number>();
for (const code of codes) counts.set(code, (counts.get(code) ?? 0) + 1);
const told = [...counts].map(([code, count]) => `${count} × ${code}`).join(", ");
process.stdout.write(`${((performance.now() - startedAt) / 1000).toFixed(1)} s, ${told}\n`);
process.exit(0);
