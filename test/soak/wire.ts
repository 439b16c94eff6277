/**
 * One connection of a client: says octets, hears replies whole, changes to TLS, and leaves in any way.
 * Over node:net and node:tls; it shares no code with src. Nothing here throws for what the peer does: a connection
 * that is over answers every question by undefined. A peer that is silent for `silenceMs` is hung up on, and
 * `silent` tells so.
 */
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

/** More than any wait that the proxy was told of. */
const silenceMs = 40_000;
const replyForm = /^(?:\d{3}-[^\n]*\n)*\d{3}(?: [^\n]*)?\n/;

export class Wire {
  readonly #plain: Socket;
  /** The plain one, or TLS over it. */
  #socket: Socket;
  #heard = "";
  #awaited: ((reply: string | undefined) => void) | undefined;
  closed = false;
  silent = false;

  /** undefined: refused. */
  static connect(port: number): Promise<Wire | undefined> {
    const socket = connectTcp({ port, host: "127.0.0.1", noDelay: true });
    return new Promise((resolve) => {
      const refused = (): void => resolve(undefined);
      socket.once("error", refused);
      socket.once("connect", () => {
        socket.off("error", refused);
        resolve(new Wire(socket));
      });
    });
  }

  private constructor(socket: Socket) {
    this.#plain = socket;
    this.#socket = socket;
    this.#listen(socket);
  }

  say(octets: Buffer | string): void {
    if (!this.closed) this.#socket.write(typeof octets === "string" ? Buffer.from(octets, "latin1") : octets);
  }

  /** Says it, and waits until the kernel has it or the connection is over. */
  async pour(octets: Buffer): Promise<void> {
    const socket = this.#socket;
    if (this.closed || socket.write(octets)) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => this.#hangUp(), silenceMs);
      const done = (): void => {
        clearTimeout(timer);
        socket.off("drain", done);
        socket.off("close", done);
        resolve();
      };
      socket.on("drain", done);
      socket.on("close", done);
    });
  }

  /** The next reply, all its lines; undefined: the connection is over. */
  async reply(): Promise<string | undefined> {
    const known = this.#take();
    if (known !== undefined || this.closed) return known;
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#hangUp(), silenceMs);
      this.#awaited = (reply) => {
        clearTimeout(timer);
        this.#awaited = undefined;
        resolve(reply);
      };
    });
  }

  ask(line: string): Promise<string | undefined> {
    this.say(`${line}\r\n`);
    return this.reply();
  }

  /** STARTTLS was answered by 220. */
  async handshake(): Promise<boolean> {
    const plain = this.#plain;
    plain.removeAllListeners("data");
    plain.removeAllListeners("end");
    const secured = connectTls({ socket: plain, rejectUnauthorized: false, servername: "proxy.test" });
    this.#socket = secured;
    this.#listen(secured);
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#hangUp(), silenceMs);
      const done = (): void => {
        clearTimeout(timer);
        resolve(!this.closed);
      };
      secured.once("secureConnect", done);
      secured.once("close", done);
    });
  }

  /** "close": FIN behind what was said. "reset": RST, and what was said may never arrive. */
  leave(how: "close" | "reset"): void {
    if (how === "reset") this.#plain.resetAndDestroy();
    else this.#socket.destroySoon();
    this.#over();
  }

  #listen(socket: Socket): void {
    socket.on("data", (octets: Buffer) => {
      this.#heard += octets.toString("latin1");
      if (this.#awaited === undefined) return;
      const reply = this.#take();
      if (reply !== undefined) this.#awaited(reply);
    });
    socket.on("error", () => {});
    socket.on("end", () => socket.end());
    socket.on("close", () => {
      if (socket === this.#socket) this.#over();
    });
  }

  #take(): string | undefined {
    const reply = replyForm.exec(this.#heard)?.[0];
    if (reply !== undefined) this.#heard = this.#heard.slice(reply.length);
    return reply?.trimEnd();
  }

  #hangUp(): void {
    this.silent = true;
    this.#socket.destroy();
    this.#over();
  }

  #over(): void {
    this.closed = true;
    this.#awaited?.(undefined);
  }
}
