/** The process of generator-process.ts, from the side of the bench: one job at a time. */
import { join } from "node:path";
import type { Answer, Job } from "./jobs.ts";

const jobMs = 180_000;

export class Generator {
  readonly #process = Bun.spawn([process.execPath, join(import.meta.dir, "generator-process.ts")], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  readonly #answers = linesOf(this.#process.stdout);

  /** Throws what went wrong. */
  async do(job: Job): Promise<Answer> {
    this.#process.stdin.write(`${JSON.stringify(job)}\n`);
    await this.#process.stdin.flush();
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), jobMs);
    const { done, value } = await this.#answers.next();
    clearTimeout(timer);
    if (done === true) throw new Error(`the generator ended: ${this.#process.signalCode ?? "of itself"}`);
    const answer: Answer = JSON.parse(value);
    if (answer.failure !== undefined) throw new Error(answer.failure);
    return answer;
  }

  async stop(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
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
