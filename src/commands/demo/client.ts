/**
 * The demo's client: sends one message as a mail program does. EHLO, MAIL with what the server offers, RCPT, DATA,
 * the message with its dots doubled, QUIT; each command after the reply to the one before.
 * Contract: resolves to the last reply that mattered, or to what went wrong, and closes. Bounded in time by its caller.
 * Not here: TLS, PIPELINING: the dialogue is there to be read.
 * RFC 5321 §3.3, §4.5.2; RFC 1870; RFC 6152.
 */
import type { Network, Socket, SocketHandler } from "../../shell/network.ts";
import { formatReply, type Reply } from "../../smtp/replies.ts";
import { ReplyReader } from "../../smtp/reply-reader.ts";
import type { Dialogue } from "./dialogue.ts";
import { stuffDots } from "./message.ts";

export const demoSender = "sender@client.demo.example";
export const demoRecipient = "recipient@demo.example";

const dialMsMax = 10_000;
const endOfData = Buffer.from(".\r\n");

export type Sent = { readonly ok: true } | { readonly ok: false; readonly fault: string };

export function sendMessage(
  network: Network,
  port: number,
  message: Buffer,
  dialogue: Dialogue,
): Promise<Sent> {
  return new Promise((resolve) => {
    network.dial({ address: "127.0.0.1", port }, dialMsMax, {
      opened: (socket) => {
        const session = new Session(socket, dialogue);
        session.send(message).then(resolve, (error: unknown) => {
          socket.terminate();
          resolve({ ok: false, fault: error instanceof Error ? error.message : String(error) });
        });
        return session;
      },
      failed: (reason) => resolve({ ok: false, fault: `the proxy cannot be reached: ${reason}` }),
    });
  });
}

class Session implements SocketHandler {
  readonly #socket: Socket;
  readonly #dialogue: Dialogue;
  readonly #reader = new ReplyReader();
  readonly #replies: Reply[] = [];
  #waiting: { resolve(reply: Reply): void; reject(error: Error): void } | undefined;
  #over: string | undefined;

  constructor(socket: Socket, dialogue: Dialogue) {
    this.#socket = socket;
    this.#dialogue = dialogue;
  }

  async send(message: Buffer): Promise<Sent> {
    const greeting = await this.#reply();
    const offer = greeting.code === 220 ? await this.#ask("EHLO client.demo.example") : greeting;
    const keywords = new Set(offer.lines.map((line) => line.split(" ")[0]?.toUpperCase()));
    const eightBit = message.some((octet) => octet > 0x7f);
    const parameters = [
      ...(keywords.has("SIZE") ? [` SIZE=${message.length}`] : []),
      ...(keywords.has("8BITMIME") && eightBit ? [" BODY=8BITMIME"] : []),
    ].join("");
    let reply = offer;
    for (const command of [`MAIL FROM:<${demoSender}>${parameters}`, `RCPT TO:<${demoRecipient}>`, "DATA"]) {
      if (reply.code < 400) reply = await this.#ask(command);
    }
    if (reply.code === 354) {
      const octets = stuffDots(message);
      this.#dialogue.data("client", "proxy", octets);
      this.#socket.write(octets);
      this.#socket.write(endOfData);
      this.#socket.flush();
      reply = await this.#reply();
    }
    if (this.#over === undefined && reply.code !== 421) await this.#ask("QUIT");
    this.#socket.close();
    if (reply.code === 250) return { ok: true };
    return { ok: false, fault: `the message was refused: ${reply.code} ${reply.lines[0]}` };
  }

  #ask(command: string): Promise<Reply> {
    this.#dialogue.say("client", "proxy", command);
    this.#socket.write(Buffer.from(`${command}\r\n`, "latin1"));
    this.#socket.flush();
    return this.#reply();
  }

  #reply(): Promise<Reply> {
    const reply = this.#replies.shift();
    if (reply !== undefined) return Promise.resolve(reply);
    if (this.#over !== undefined) return Promise.reject(new Error(this.#over));
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  octets(octets: Buffer): void {
    const { replies, defect } = this.#reader.push(octets);
    for (const reply of replies) {
      this.#dialogue.say("proxy", "client", formatReply(reply).toString("latin1"));
      if (this.#waiting === undefined) this.#replies.push(reply);
      else this.#waiting.resolve(reply);
      this.#waiting = undefined;
    }
    if (defect !== undefined) this.#end(`the proxy's reply is no reply: ${defect}`);
  }

  ended(): void {
    this.#end("the proxy closed the connection");
  }

  closed(reason: string): void {
    this.#end(`the connection to the proxy was lost: ${reason}`);
  }

  drained(): void {}
  secured(): void {}
  handshakeFailed(): void {}

  #end(reason: string): void {
    this.#over ??= reason;
    this.#waiting?.reject(new Error(reason));
    this.#waiting = undefined;
  }
}
