/**
 * Postfix's smtp-sink as the relay: it takes or refuses mail at once, as its flags say, and writes down what it took.
 * It knows nothing of message format, so it keeps what a mail server would put in order.
 */
import { chmodSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Program } from "./process.ts";
import { command, commandPath, type Need } from "./suite.ts";
import { freePort, type Workplace } from "./workplace.ts";

export const needsSmtpSink: readonly Need[] = [command("smtp-sink")];

const crlf = Buffer.from("\r\n");

export class SmtpSink {
  readonly port: number;
  readonly #program: Program;
  readonly #dumps: string;

  /** `flags` as smtp-sink(1) has them. */
  static async start(place: Workplace, flags: readonly string[] = [], port?: number): Promise<SmtpSink> {
    const sink = new SmtpSink(place, port ?? (await freePort()), flags);
    place.onClose(() => sink.stop());
    await sink.#program.until(() => isListening(sink.port), "smtp-sink listens");
    return sink;
  }

  private constructor(place: Workplace, port: number, flags: readonly string[]) {
    this.port = port;
    this.#dumps = place.subfolder("dumps");
    chmodSync(this.#dumps, 0o777);
    const user = process.getuid?.() === 0 ? ["-u", "nobody"] : [];
    const dump = ["-d", join(this.#dumps, "%M.")];
    this.#program = new Program({
      command: [
        commandPath("smtp-sink") ?? "smtp-sink",
        ...user,
        ...dump,
        ...flags,
        `127.0.0.1:${port}`,
        "100",
      ],
      logFile: `${this.#dumps}.log`,
    });
  }

  /** The messages so far, in no order, less the trace that smtp-sink puts in front. It wrote CRLF as LF. */
  messages(): Buffer[] {
    return readdirSync(this.#dumps).map((name) => {
      const lines = readFileSync(join(this.#dumps, name), "latin1").split("\n").slice(0, -2);
      const trace = lines.findIndex((line) => line.startsWith("Received:"));
      const first = lines.findIndex((line, index) => index > trace && !/^[ \t]/.test(line));
      return Buffer.concat(lines.slice(first).flatMap((line) => [Buffer.from(line, "latin1"), crlf]));
    });
  }

  async stop(): Promise<void> {
    await this.#program.stop();
  }
}

/** Without a connection, which would be one more session. */
function isListening(port: number): boolean {
  const wanted = `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return readFileSync("/proc/net/tcp", "latin1")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .some(([, local, , state]) => local === wanted && state === "0A");
}
