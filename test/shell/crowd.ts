/** The process of crowd-process.ts, from the side of the test: orders go in one after the other, answers come back. */
import { join } from "node:path";

export type CrowdKind = "early" | "flood" | "trickle" | "slowloris" | "idle";

export class Crowd {
  readonly #port: number;
  readonly #process = Bun.spawn([process.execPath, join(import.meta.dir, "crowd-process.ts")], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  readonly #answers = linesOf(this.#process.stdout);

  /** They all go to this port of 127.0.0.1. */
  constructor(port: number) {
    this.#port = port;
  }

  /** Until each of them is greeted, or hears the beginning of a greeting that never ends. */
  async gather(kind: CrowdKind, count: number): Promise<void> {
    const answer = await this.#order(`join ${kind} ${count} ${this.#port}`);
    if (answer !== "ok") throw new Error(`the crowd says: ${answer}`);
  }

  async state(): Promise<{ readonly open: number; readonly heardOctets: number }> {
    const [open = Number.NaN, heardOctets = Number.NaN] = (await this.#order("tell")).split(" ").map(Number);
    return { open, heardOctets };
  }

  async leave(how: "fin" | "rst"): Promise<void> {
    await this.#order(`leave ${how}`);
  }

  /** CPU time of the crowd itself so far, for comparison. */
  get pid(): number {
    return this.#process.pid;
  }

  async stop(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
  }

  async #order(order: string): Promise<string> {
    this.#process.stdin.write(`${order}\n`);
    await this.#process.stdin.flush();
    const { done, value } = await this.#answers.next();
    if (done === true) throw new Error("the crowd is gone");
    return value;
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, undefined> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const octets of stream) {
    text += decoder.decode(octets, { stream: true });
    const complete = text.split("\n");
    text = complete.pop() ?? "";
    yield* complete;
  }
  return undefined;
}
