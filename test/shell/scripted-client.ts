/**
 * A client for tests, over node:net and node:tls: says anything, in any pieces, reads replies one by one, and leaves
 * in any way. Independent of src.
 */
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

/** What `reply` gives when the connection is gone and no whole reply is left. */
export const noReply = "(closed without a reply)";

export class ScriptedClient {
  #socket: Socket;
  #heard = "";
  #read = 0;
  /** FIN came. */
  ended = false;
  closed = false;
  secured = false;
  /** Of the last handshake: the server's certificate. */
  fingerprint = "";

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#listen(socket);
  }

  /** `from`: the client's own address, such as 127.0.0.7. */
  static async connect(port: number, host = "127.0.0.1", from?: string): Promise<ScriptedClient> {
    const own = from === undefined ? {} : { localAddress: from };
    const socket = connectTcp({ port, host, ...own, allowHalfOpen: true, noDelay: true });
    const client = new ScriptedClient(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", () => resolve());
      socket.once("error", reject);
    });
    return client;
  }

  /** Connects, hears the greeting, says EHLO. */
  static async greeted(port: number, from?: string): Promise<ScriptedClient> {
    const client = await ScriptedClient.connect(port, "127.0.0.1", from);
    await client.reply();
    await client.ask("EHLO client.test");
    return client;
  }

  #listen(socket: Socket): void {
    socket.on("data", (octets: Buffer) => {
      this.#heard += octets.toString("latin1");
    });
    socket.on("error", () => {});
    socket.on("end", () => {
      this.ended = true;
    });
    socket.on("close", () => {
      if (socket === this.#socket) this.closed = true;
    });
  }

  /** Everything that was heard. */
  get heard(): string {
    return this.#heard;
  }

  /** Octets that the kernel has not taken. */
  get unsent(): number {
    return this.#socket.writableLength;
  }

  say(text: string | Buffer): boolean {
    return this.#socket.write(typeof text === "string" ? Buffer.from(text, "latin1") : text);
  }

  /** Says it and waits until the kernel has it. */
  async pour(octets: Buffer): Promise<void> {
    if (this.say(octets) || this.closed) return;
    const socket = this.#socket;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        socket.off("drain", done);
        socket.off("close", done);
        resolve();
      };
      socket.on("drain", done);
      socket.on("close", done);
    });
  }

  /** The next whole reply, its lines joined by "\n". */
  async reply(withinMs = 8_000): Promise<string> {
    const end = performance.now() + withinMs;
    for (;;) {
      const match = /^(?:\d\d\d-[^\n]*\r\n)*\d\d\d(?: [^\n]*)?\r\n/.exec(this.#heard.slice(this.#read));
      if (match !== null) {
        this.#read += match[0].length;
        return match[0].trimEnd().replaceAll("\r\n", "\n");
      }
      if (this.closed || this.ended) return noReply;
      if (performance.now() > end) throw new Error(`no reply within ${withinMs} ms, heard: ${this.#heard}`);
      await Bun.sleep(1);
    }
  }

  ask(line: string): Promise<string> {
    this.say(`${line}\r\n`);
    return this.reply();
  }

  fin(): void {
    this.#socket.end();
  }

  rst(): void {
    this.#socket.resetAndDestroy();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** STARTTLS was answered by 220: makes the handshake, or throws. */
  async handshake(): Promise<void> {
    const plain = this.#socket;
    plain.removeAllListeners("data");
    plain.removeAllListeners("end");
    const secured = connectTls({ socket: plain, rejectUnauthorized: false, servername: "proxy.test" });
    this.#socket = secured;
    this.#listen(secured);
    await new Promise<void>((resolve, reject) => {
      secured.once("secureConnect", () => resolve());
      secured.once("error", reject);
      secured.once("close", () => reject(new Error("closed in the handshake")));
    });
    this.secured = true;
    this.fingerprint = secured.getPeerCertificate().fingerprint256;
  }

  async startTls(): Promise<void> {
    const reply = await this.ask("STARTTLS");
    if (!reply.startsWith("220")) throw new Error(`STARTTLS: ${reply}`);
    await this.handshake();
    await this.ask("EHLO client.test");
  }

  /** A whole small mail, step by step; returns the reply to the dot, or the first refusal. */
  async mail(body: string, to: readonly string[] = ["someone@example.org"]): Promise<string> {
    const from = await this.ask("MAIL FROM:<sender@example.com>");
    if (!from.startsWith("2")) return from;
    for (const address of to) {
      const rcpt = await this.ask(`RCPT TO:<${address}>`);
      if (!rcpt.startsWith("2")) return rcpt;
    }
    const data = await this.ask("DATA");
    if (!data.startsWith("354")) return data;
    return this.ask(`${body}.`);
  }

  async quit(): Promise<string> {
    const reply = await this.ask("QUIT");
    this.fin();
    return reply;
  }
}
