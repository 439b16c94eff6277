/** An SMTP client for the tests of the running service: a line, then the reply to it, one after the other. */
import { BunNetwork } from "../../src/bun/network.ts";
import type { DialTarget, Socket, SocketHandler, TlsFacts } from "../../src/shell/network.ts";
import { describeReply } from "../../src/smtp/replies.ts";
import { ReplyReader } from "../../src/smtp/reply-reader.ts";
import { found } from "./support.ts";

export class Client implements SocketHandler {
  readonly #socket: Socket;
  readonly #reader = new ReplyReader();
  readonly #replies: string[] = [];
  #read = 0;
  tls: TlsFacts | undefined;
  #handshakeFailure: string | undefined;
  isOver = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Dials, and reads the greeting. */
  static async dial(target: number | DialTarget, greetedWithinMs = 8_000): Promise<Client> {
    const network = new BunNetwork((error) => {
      throw error;
    });
    const place = typeof target === "number" ? { address: "127.0.0.1", port: target } : target;
    const client = await new Promise<Client>((resolve, reject) => {
      network.dial(place, 5_000, {
        opened(socket) {
          const opened = new Client(socket);
          resolve(opened);
          return opened;
        },
        failed: (reason) => reject(new Error(reason)),
      });
    });
    await client.reply(greetedWithinMs);
    return client;
  }

  /** Dials again and again until somebody answers. */
  static async dialWhenReady(target: number | DialTarget): Promise<Client> {
    const end = performance.now() + 8_000;
    for (;;) {
      try {
        return await Client.dial(target);
      } catch (error) {
        if (performance.now() > end) throw error;
        await Bun.sleep(10);
      }
    }
  }

  say(text: string): void {
    this.#socket.write(Buffer.from(text, "latin1"));
    this.#socket.flush();
  }

  /** One reply: "250 2.1.0 ok", several lines joined by " / ". */
  reply(withinMs = 8_000): Promise<string> {
    const index = this.#read;
    this.#read += 1;
    const told = () => `reply number ${index + 1}; heard were ${this.#replies.join(" | ")}`;
    return found(() => this.#replies[index], told, withinMs);
  }

  ask(line: string): Promise<string> {
    this.say(`${line}\r\n`);
    return this.reply();
  }

  async starttls(serverName: string, authorities: readonly string[]): Promise<TlsFacts> {
    await this.ask("STARTTLS");
    this.#socket.secure({ role: "client", serverName, verify: true, authorities });
    await found(
      () => this.tls ?? this.#handshakeFailure,
      () => "a TLS handshake",
    );
    if (this.tls === undefined) throw new Error(this.#handshakeFailure);
    return this.tls;
  }

  /** A whole mail; resolves to the answer to the dot. */
  async send(text: string): Promise<string> {
    for (const line of ["EHLO client.test", "MAIL FROM:<a@client.test>", "RCPT TO:<b@there.test>", "DATA"]) {
      const reply = await this.ask(line);
      if (!/^[23]/.test(reply)) return reply;
    }
    return this.ask(`${text}\r\n.`);
  }

  async quit(): Promise<void> {
    await this.ask("QUIT");
    this.#socket.close();
    await found(
      () => (this.isOver ? true : undefined),
      () => "the end of the connection",
    );
  }

  octets(octets: Buffer): void {
    for (const reply of this.#reader.push(octets).replies) this.#replies.push(describeReply(reply));
  }
  ended(): void {
    this.isOver = true;
    this.#socket.close();
  }
  secured(facts: TlsFacts): void {
    this.tls = facts;
  }
  handshakeFailed(reason: string): void {
    this.#handshakeFailure = reason;
  }
  closed(): void {
    this.isOver = true;
  }
  drained(): void {}
}
