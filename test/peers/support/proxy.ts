/** The compiled proxy, with a configuration that the test gives, and its log as events. */
import { expect } from "bun:test";
import { Program } from "./process.ts";
import { eventually, freePort, type Workplace } from "./workplace.ts";

export const proxyName = "proxy.test";

/** One line of the log: keys to values, "event" among them. */
export type LogFields = ReadonlyMap<string, string>;

export class ProxyUnderTest {
  readonly port: number;
  readonly #program: Program;

  /** `options` by their environment names. */
  static async start(place: Workplace, options: Readonly<Record<string, string>>): Promise<ProxyUnderTest> {
    const port = await freePort();
    const folder = place.subfolder("proxy");
    const program = new Program({
      command: [place.binary(), "serve"],
      environment: { LISTEN_ADDRESS: `127.0.0.1:${port}`, SERVER_NAME: proxyName, ...options },
      logFile: `${folder}/log`,
    });
    const proxy = new ProxyUnderTest(port, program);
    place.onClose(() => proxy.stop());
    await program.until(() => proxy.events("listening").length > 0, "the proxy listens");
    return proxy;
  }

  private constructor(port: number, program: Program) {
    this.port = port;
    this.#program = program;
  }

  get log(): string {
    return this.#program.output;
  }

  /** All events of one name so far, oldest first. */
  events(name: string): LogFields[] {
    return this.log
      .split("\n")
      .map(
        (line) =>
          new Map([...line.matchAll(/(\w+)="([^"]*)"/g)].map(([, key = "", value = ""]) => [key, value])),
      )
      .filter((fields) => fields.get("event") === name);
  }

  /** Waits for `count` events of one name; fails if there are more. */
  async untilEvents(name: string, count: number): Promise<LogFields[]> {
    const events = await eventually(
      () => this.events(name).length >= count && this.events(name),
      () => `${count} events “${name}” are logged: ${this.log.slice(-4_000)}`,
    );
    expect(events.length).toBe(count);
    return events;
  }

  /** The outcome of each transaction so far. */
  transactions(): LogFields[] {
    return this.events("transaction");
  }

  /** The last word of the relay's reply to each transaction so far: its id for the message. */
  idsTold(): (string | undefined)[] {
    return this.transactions().map((transaction) => transaction.get("reply")?.split(/[ =]/).at(-1));
  }

  /** Fails if the proxy ended with anything but 0, or had faults of its own. */
  async stop(): Promise<void> {
    const status = await this.#program.stop();
    if (status !== 0) throw new Error(`the proxy ended with ${status}: ${this.log}`);
    const faults = this.events("fault");
    if (faults.length > 0)
      throw new Error(`the proxy had faults: ${faults.map((fault) => fault.get("stack")).join("\n")}`);
  }
}
