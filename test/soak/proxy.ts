/**
 * The built proxy through all its restarts: one port, one configuration, and one log for each run.
 * Its timeouts are short, so that a hung relay and an idle connection are over within a soak.
 */
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { Program } from "../peers/support/process.ts";
import { proxyName } from "../peers/support/proxy.ts";
import { type Certificate, freePort, type Workplace } from "../peers/support/workplace.ts";
import type { Finding } from "./ledger.ts";

export const relayIdleMs = 2_000;
const options = {
  SERVER_NAME: proxyName,
  RELAY_TIMEOUT: "1s",
  RELAY_CONNECT_TIMEOUT: "2s",
  RELAY_IDLE_TIMEOUT: `${relayIdleMs}ms`,
  SHUTDOWN_GRACE: "3s",
  LOG_FORMAT: "json",
};

export class SoakProxy {
  readonly port: number;
  /** The log of each run, oldest first. */
  readonly logs: string[] = [];
  /** When it was killed by SIGKILL, in milliseconds of performance.now. */
  readonly killedAt: number[] = [];
  readonly findings: Finding[] = [];
  reloads = 0;
  readonly #place: Workplace;
  readonly #logFolder: string;
  readonly #relayPort: number;
  readonly #certificate: Certificate;
  readonly #renewed: readonly Certificate[];
  #program: Program | undefined;

  static async start(place: Workplace, relayPort: number, logFolder: string): Promise<SoakProxy> {
    const proxy = new SoakProxy(place, relayPort, logFolder, await freePort());
    place.onClose(async () => {
      await proxy.#program?.stop("SIGKILL");
    });
    await proxy.start();
    return proxy;
  }

  private constructor(place: Workplace, relayPort: number, logFolder: string, port: number) {
    this.#place = place;
    this.#relayPort = relayPort;
    this.#logFolder = logFolder;
    this.port = port;
    this.#certificate = place.certificate(proxyName);
    this.#renewed = [place.certificate(proxyName), place.certificate(proxyName)];
  }

  /** undefined: between two runs. */
  get runningPid(): number | undefined {
    return this.#program?.pid;
  }

  /** Ended by itself, which it never should. */
  get hasDied(): boolean {
    return this.#program?.ended === true;
  }

  async start(): Promise<void> {
    const logFile = join(this.#logFolder, `proxy-${this.logs.length + 1}.log`);
    this.logs.push(logFile);
    const program = new Program({
      command: [this.#place.binary(), "serve"],
      environment: {
        ...options,
        LISTEN_ADDRESS: `127.0.0.1:${this.port}`,
        RELAY_HOST: `127.0.0.1:${this.#relayPort}`,
        // Every other run in the clear.
        RELAY_TLS: this.logs.length % 2 === 0 ? "off" : "opportunistic",
        SERVER_CERT: this.#certificate.cert,
        SERVER_KEY: this.#certificate.key,
      },
      logFile,
    });
    this.#program = program;
    await program.until(() => program.output.includes('"listening"'), "the proxy listens");
  }

  /** SIGTERM: transactions in progress have their grace. */
  async stop(): Promise<void> {
    const status = await this.#program?.stop();
    this.#program = undefined;
    if (status !== 0) {
      const why = `the proxy ended with ${status} after SIGTERM`;
      this.findings.push({ violation: "bad end", id: this.logs.at(-1) ?? "", why });
    }
  }

  async kill(): Promise<void> {
    this.killedAt.push(performance.now());
    await this.#program?.stop("SIGKILL");
    this.#program = undefined;
  }

  /** SIGHUP, with another certificate in place. */
  reload(): void {
    const renewed = this.#renewed[this.reloads % this.#renewed.length] ?? this.#certificate;
    copyFileSync(renewed.cert, this.#certificate.cert);
    copyFileSync(renewed.key, this.#certificate.key);
    this.reloads += 1;
    this.#program?.signal("SIGHUP");
  }
}
