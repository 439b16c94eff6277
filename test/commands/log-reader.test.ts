/**
 * The running program with a reader of its log that stands still, on a pipe and on a stream socket as the journal's:
 * mail goes on, the program ends when it is told to, and when the reader recovers, the line of every mail is there.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { closeSync, constants, openSync, readSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { socketPair } from "../host/libc.ts";
import { Client } from "./client.ts";
import { FakeRelay } from "./fake-relay.ts";
import { bareEnvironment, binary, cleanUp, found, temporaryFolder } from "./support.ts";

beforeAll(() => {
  binary();
}, 60_000);
afterAll(cleanUp);

let pipes = 0;

/** Our end, which nobody reads as long as `read` is not called, and the program's. */
function pipe(): readonly [number, number] {
  const path = join(temporaryFolder(), `pipe${pipes++}`);
  Bun.spawnSync(["mkfifo", path]);
  return [openSync(path, constants.O_RDONLY | constants.O_NONBLOCK), openSync(path, constants.O_WRONLY)];
}

/** Enough to fill what waits for the reader of a debug log, and more than what a pipe holds at info. */
const mails = 300;
const mailsAtInfo = 150;

class Watched {
  readonly #child: Bun.Subprocess<"ignore", "ignore", number>;
  readonly #reader: number;
  #log = "";

  constructor([reader, writer]: readonly [number, number], environment: Readonly<Record<string, string>>) {
    this.#reader = reader;
    this.#child = Bun.spawn([binary(), "serve"], {
      env: { ...bareEnvironment, ...environment },
      cwd: tmpdir(),
      stdio: ["ignore", "ignore", writer],
    });
    closeSync(writer);
  }

  /** Reads what is there. A stream socket waits for the first octet, so it is asked for only when something is. */
  read(): string {
    const piece = Buffer.alloc(1024 * 1024);
    try {
      const count = readSync(this.#reader, piece);
      this.#log += piece.toString("utf8", 0, count);
    } catch {
      // EAGAIN: nothing is there.
    }
    return this.#log;
  }

  async port(): Promise<number> {
    const listening = /event="listening" address="127\.0\.0\.1:(\d+)"/;
    const port = () => listening.exec(this.read())?.[1];
    return Number(
      await found(
        () => port(),
        () => `listening: ${this.#log}`,
      ),
    );
  }

  lines(event: string): readonly string[] {
    return this.#log.split("\n").filter((line) => line.includes(` event="${event}" `));
  }

  end(signal: "SIGTERM" | "SIGKILL"): Promise<number> {
    this.#child.kill(signal);
    return this.#child.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end("SIGKILL");
    closeSync(this.#reader);
  }
}

describe.each([
  ["a pipe", pipe],
  ["the journal's stream socket", socketPair],
] as const)("%s that nobody reads", (_, make) => {
  function watched(relay: FakeRelay, more: Readonly<Record<string, string>> = {}) {
    return new Watched(make(), {
      LISTEN_ADDRESS: "127.0.0.1:0",
      RELAY_HOST: relay.host,
      RELAY_TLS: "off",
      SERVER_NAME: "proxy.test",
      ...more,
    });
  }

  async function send(port: number, count: number): Promise<void> {
    const client = await Client.dial(port);
    for (let n = 0; n < count; n++) expect(await client.send("Subject: x\r\n\r\nhello")).toStartWith("250 ");
    await client.quit();
  }

  test("mail goes on; then each has its line, and the count of the others is told", async () => {
    using relay = new FakeRelay();
    await using program = watched(relay, { LOG_LEVEL: "debug" });
    const port = await program.port();
    await send(port, mails);
    expect(relay.mails).toHaveLength(mails);

    await found(
      () => {
        program.read();
        const told = program.lines("log-lines-dropped").length > 0;
        return told && program.lines("transaction").length >= mails ? true : undefined;
      },
      () => `the line of each mail, and the count: ${program.lines("transaction").length}`,
    );
    const outcomes = program.lines("transaction").map((line) => / outcome="(\w+)"/.exec(line)?.[1]);
    expect(outcomes).toEqual(Array.from({ length: mails }, () => "relayed"));
    const [dropped = ""] = program.lines("log-lines-dropped");
    expect(Number(/ lines="(\d+)"/.exec(dropped)?.[1])).toBeGreaterThan(0);
    expect(dropped).toContain('important_lines="0"');
  }, 30_000);

  test("it ends when it is told to", async () => {
    using relay = new FakeRelay();
    await using program = watched(relay);
    const port = await program.port();
    await send(port, mailsAtInfo);
    const started = performance.now();
    expect(await program.end("SIGTERM")).toBe(0);
    expect(performance.now() - started).toBeLessThan(3_000);
  }, 30_000);
});
