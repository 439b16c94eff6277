/**
 * A relay for the commands' tests: says what it is told to say, takes mail, and may keep its answer to the dot to
 * itself until the test lets it go.
 */
import { BunNetwork } from "../../src/bun/network.ts";
import type { Listener, ServerTls, Socket, SocketHandler } from "../../src/shell/network.ts";

export interface RelayManners {
  readonly greeting?: string;
  /** Silent after the connection is open. */
  readonly silent?: boolean;
  /** For STARTTLS, or from the first octet with `implicit`. */
  readonly tls?: ServerTls;
  readonly implicit?: boolean;
  /** Also without a certificate: the handshake then never comes. */
  readonly keywords?: readonly string[];
  readonly replies?: Readonly<Record<string, string>>;
  /** STARTTLS is offered, and then it speaks no TLS. */
  readonly falseStarttls?: boolean;
  /** The dot is answered when this is called. */
  readonly holdDot?: boolean;
}

export class FakeRelay {
  readonly network = new BunNetwork((error) => this.faults.push(error));
  readonly faults: unknown[] = [];
  readonly manners: RelayManners;
  /** Commands of all connections, in order. */
  readonly commands: string[] = [];
  /** Mail data as it was on the wire. */
  readonly mails: string[] = [];
  readonly #listener: Listener;
  readonly #held: (() => void)[] = [];

  constructor(manners: RelayManners = {}) {
    this.manners = manners;
    this.#listener = this.network.listen({ host: "127.0.0.1", port: 0 }, (socket) => {
      const session = new Session(this, socket);
      session.start();
      return session;
    });
  }

  get host(): string {
    return `127.0.0.1:${this.#listener.port}`;
  }

  hold(answer: () => void): void {
    if (this.manners.holdDot === true) this.#held.push(answer);
    else answer();
  }

  get holds(): boolean {
    return this.#held.length > 0;
  }

  letGo(): void {
    for (const answer of this.#held.splice(0)) answer();
  }

  [Symbol.dispose](): void {
    this.#listener.stop();
  }
}

class Session implements SocketHandler {
  readonly #relay: FakeRelay;
  readonly #socket: Socket;
  #input = "";
  #withinData = false;
  #speaksNoTls = false;
  #secured = false;
  #loginSteps = 0;

  constructor(relay: FakeRelay, socket: Socket) {
    this.#relay = relay;
    this.#socket = socket;
  }

  start(): void {
    const { silent, implicit, tls, greeting = "220 relay.test ESMTP" } = this.#relay.manners;
    if (implicit === true && tls !== undefined) this.#socket.secure(tls);
    else if (silent !== true) this.#say(greeting);
  }

  octets(octets: Buffer): void {
    if (this.#speaksNoTls) {
      this.#say("500 what is that?");
      this.#socket.close();
      return;
    }
    this.#input += octets.toString("latin1");
    for (;;) {
      const end = this.#input.indexOf(this.#withinData ? "\r\n.\r\n" : "\r\n");
      if (end === -1) return;
      const text = this.#input.slice(0, end);
      this.#input = this.#input.slice(end + (this.#withinData ? 5 : 2));
      if (this.#withinData) {
        this.#withinData = false;
        this.#relay.mails.push(`${text}\r\n`);
        this.#relay.hold(() => this.#say("250 2.0.0 taken"));
      } else {
        this.#relay.commands.push(text);
        this.#obey(text);
      }
    }
  }

  #obey(line: string): void {
    const { replies = {}, keywords = ["PIPELINING", "8BITMIME", "SIZE 1000000"], tls } = this.#relay.manners;
    const verb = line.split(/[ :]/)[0]?.toUpperCase() ?? "";
    const told = replies[verb];
    if (told !== undefined) {
      this.#say(told);
    } else if (this.#loginSteps > 0) {
      this.#loginSteps -= 1;
      this.#say(this.#loginSteps > 0 ? "334 UGFzc3dvcmQ6" : "235 2.7.0 welcome");
    } else if (verb === "EHLO") {
      const offers = (tls !== undefined && !this.#secured) || this.#relay.manners.falseStarttls === true;
      const starttls = offers ? ["STARTTLS"] : [];
      this.#say(
        ["relay.test", ...keywords, ...starttls]
          .map((word) => `250-${word}`)
          .join("\r\n")
          .replace(/250-([^\r\n]*)$/, "250 $1"),
      );
    } else if (verb === "STARTTLS" && tls !== undefined) {
      this.#say("220 2.0.0 go ahead");
      this.#socket.secure(tls);
    } else if (verb === "STARTTLS" && this.#relay.manners.falseStarttls === true) {
      this.#speaksNoTls = true;
      this.#say("220 2.0.0 go ahead");
    } else if (verb === "AUTH" && /^AUTH LOGIN/i.test(line)) {
      this.#loginSteps = 2;
      this.#say("334 VXNlcm5hbWU6");
    } else if (verb === "AUTH") {
      this.#say("235 2.7.0 welcome");
    } else if (verb === "DATA") {
      this.#withinData = true;
      this.#say("354 go ahead");
    } else if (verb === "QUIT") {
      this.#say("221 2.0.0 bye");
      this.#socket.close();
    } else {
      this.#say("250 2.0.0 ok");
    }
  }

  #say(text: string): void {
    this.#socket.write(Buffer.from(`${text}\r\n`, "latin1"));
    this.#socket.flush();
  }

  secured(): void {
    this.#secured = true;
    if (this.#relay.manners.implicit === true)
      this.#say(this.#relay.manners.greeting ?? "220 relay.test ESMTP");
  }

  ended(): void {
    this.#socket.close();
  }

  drained(): void {}
  handshakeFailed(): void {}
  closed(): void {}
}
