/**
 * The demo's relay: the smallest SMTP server that takes a message and keeps it, octet for octet.
 * It reads mail data in a way of its own, and not by smtp/mail-data.ts, so that it is a witness: what the proxy sent
 * wrong would show here.
 * Contract: `listen` once, then `messages` fill up; `stop` at the end.
 * Not here: TLS, AUTH, refusals, timeouts. It serves our own proxy on the loopback, in the demo and nowhere else.
 * RFC 5321 §4.1, §4.5.2.
 */
import type { Listener, Network, Socket, SocketHandler } from "../../shell/network.ts";
import type { Dialogue } from "./dialogue.ts";
import { unstuffDots } from "./message.ts";

export interface ArrivedMessage {
  readonly from: string;
  readonly to: readonly string[];
  /** Unstuffed. */
  readonly octets: Buffer;
}

const commandOctetsMax = 8192;
const CRLF = Buffer.from("\r\n");
const endOfData = Buffer.from("\r\n.\r\n");

export class DemoRelay {
  readonly messages: ArrivedMessage[] = [];
  readonly #network: Network;
  readonly #dialogue: Dialogue;
  readonly #open = new Set<Session>();
  #listener: Listener | undefined;
  #emptied: (() => void) | undefined;

  constructor(network: Network, dialogue: Dialogue) {
    this.#network = network;
    this.#dialogue = dialogue;
  }

  /** Returns the port. */
  listen(): number {
    const target = { host: "127.0.0.1", port: 0 };
    this.#listener = this.#network.listen(target, (socket) => {
      const session = new Session(socket, this.#dialogue, {
        arrived: (message) => this.messages.push(message),
        closed: () => this.#closed(session),
      });
      this.#open.add(session);
      session.greet();
      return session;
    });
    return this.#listener.port;
  }

  /** Resolves when the last connection is closed, or after `limitMs`. */
  async stop(limitMs: number): Promise<void> {
    this.#listener?.stop();
    if (this.#open.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#network.timer(limitMs, resolve);
      this.#emptied = resolve;
    });
  }

  #closed(session: Session): void {
    this.#open.delete(session);
    if (this.#open.size === 0) this.#emptied?.();
  }
}

interface Surroundings {
  arrived(message: ArrivedMessage): void;
  closed(): void;
}

class Session implements SocketHandler {
  readonly #socket: Socket;
  readonly #dialogue: Dialogue;
  readonly #around: Surroundings;
  #input: Buffer = Buffer.alloc(0);
  #from = "";
  #to: string[] = [];
  /** Mail data so far; undefined outside of it. */
  #data: Buffer[] | undefined;
  /** The last octets of mail data: an end may lie across two chunks. DATA's own CRLF counts. */
  #tail: Buffer = CRLF;

  constructor(socket: Socket, dialogue: Dialogue, around: Surroundings) {
    this.#socket = socket;
    this.#dialogue = dialogue;
    this.#around = around;
  }

  greet(): void {
    this.#reply("220 relay.demo.example ESMTP");
  }

  octets(octets: Buffer): void {
    let rest = octets;
    while (rest.length > 0) rest = this.#data === undefined ? this.#command(rest) : this.#mailData(rest);
  }

  ended(): void {
    this.#socket.close();
  }

  drained(): void {}
  secured(): void {}
  handshakeFailed(): void {}

  closed(): void {
    this.#around.closed();
  }

  /** Carries out one command, if it is whole. Returns what stands behind it. */
  #command(octets: Buffer): Buffer {
    this.#input = Buffer.concat([this.#input, octets]);
    const end = this.#input.indexOf(CRLF);
    if (end === -1) {
      if (this.#input.length > commandOctetsMax) this.#socket.terminate();
      return Buffer.alloc(0);
    }
    const line = this.#input.toString("latin1", 0, end);
    const rest = this.#input.subarray(end + 2);
    this.#input = Buffer.alloc(0);
    this.#dialogue.say("proxy", "relay", line);
    this.#obey(line);
    return rest;
  }

  #obey(line: string): void {
    const [, path = "<>"] = /^(?:MAIL FROM|RCPT TO):(<[^>]*>)/i.exec(line) ?? [];
    switch (line.slice(0, 4).toUpperCase()) {
      case "EHLO":
        this.#reply(
          "250-relay.demo.example\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n" +
            "250-DSN\r\n250 SMTPUTF8",
        );
        break;
      case "MAIL":
        this.#from = path;
        this.#to = [];
        this.#reply("250 2.1.0 sender ok");
        break;
      case "RCPT":
        this.#to.push(path);
        this.#reply("250 2.1.5 recipient ok");
        break;
      case "DATA":
        this.#data = [];
        this.#tail = CRLF;
        this.#reply("354 go ahead");
        break;
      case "RSET":
      case "NOOP":
        this.#reply("250 2.0.0 ok");
        break;
      case "QUIT":
        this.#reply("221 2.0.0 bye");
        this.#socket.close();
        break;
      default:
        this.#reply("500 5.5.2 command not recognized");
    }
  }

  /** Takes mail data up to its end. Returns what stands behind it. */
  #mailData(octets: Buffer): Buffer {
    const data = this.#data ?? [];
    data.push(octets);
    const searched = Buffer.concat([this.#tail, octets]);
    const end = searched.indexOf(endOfData);
    if (end === -1) {
      this.#tail = searched.subarray(-(endOfData.length - 1));
      return Buffer.alloc(0);
    }
    const behind = octets.subarray(end + endOfData.length - this.#tail.length);
    const whole = Buffer.concat(data);
    const wire = whole.subarray(0, whole.length - behind.length - ".\r\n".length);
    this.#data = undefined;
    const message = { from: this.#from, to: this.#to, octets: unstuffDots(wire) };
    this.#dialogue.data("proxy", "relay", wire);
    this.#around.arrived(message);
    this.#reply(`250 2.0.0 ${message.octets.length} octets taken`);
    return behind;
  }

  #reply(text: string): void {
    this.#dialogue.say("relay", "proxy", text);
    this.#socket.write(Buffer.from(`${text}\r\n`, "latin1"));
    this.#socket.flush();
  }
}
