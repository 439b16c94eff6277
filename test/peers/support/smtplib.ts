/**
 * A client with which a test decides each step: Python's smtplib, one session that stays open for several mails.
 * It sends octets as they are but for transparency, so it can send what other clients would tidy up.
 */
import { join } from "node:path";
import { inheritedEnvironment } from "./process.ts";
import { command, type Need } from "./suite.ts";
import type { Workplace } from "./workplace.ts";

export const needsPython: readonly Need[] = [command("python3")];

export interface Session {
  readonly port: number;
  /** Authority for STARTTLS; undefined: none is tried. */
  readonly authority?: string;
}

export interface Mail {
  readonly from: string;
  readonly to: readonly string[];
  readonly message: Buffer;
  /** Parameters of MAIL FROM. */
  readonly parameters?: readonly string[];
}

export interface Answers {
  readonly mail: string;
  readonly rcpt: readonly string[];
  /** To the end of mail data; "" if it did not come to that. */
  readonly data: string;
}

export class SmtplibClient {
  readonly #place: Workplace;
  readonly #process: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly #answers: AsyncIterator<string>;

  static async connect(place: Workplace, session: Session): Promise<SmtplibClient> {
    const client = new SmtplibClient(place, session);
    place.onClose(() => client.#end());
    await client.#answer();
    return client;
  }

  private constructor(place: Workplace, { port, authority }: Session) {
    this.#place = place;
    this.#process = Bun.spawn(
      ["python3", join(import.meta.dir, "smtplib-client.py"), `${port}`, authority ?? ""],
      {
        stdin: "pipe",
        stdout: "pipe",
        stderr: "inherit",
        env: inheritedEnvironment(),
      },
    );
    this.#answers = lines(this.#process.stdout);
  }

  async send({ from, to, message, parameters = [] }: Mail): Promise<Answers> {
    const file = this.#place.file("message", message);
    this.#process.stdin.write(`${JSON.stringify([from, to, file, parameters])}\n`);
    await this.#process.stdin.flush();
    const mail = await this.#answer();
    const rcpt: string[] = [];
    for (const _ of to) rcpt.push(await this.#answer());
    return { mail, rcpt, data: await this.#answer() };
  }

  async quit(): Promise<void> {
    await this.#end();
  }

  async #answer(): Promise<string> {
    const { done, value } = await this.#answers.next();
    if (done === true) throw new Error("the session is over");
    return value.replace(/^\+/, "");
  }

  async #end(): Promise<void> {
    await this.#process.stdin.end();
    await this.#process.exited;
  }
}

/** Sends one mail in a session of its own. */
export async function sendOne(place: Workplace, session: Session, mail: Mail): Promise<Answers> {
  const client = await SmtplibClient.connect(place, session);
  const answers = await client.send(mail);
  await client.quit();
  return answers;
}

async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, undefined> {
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
