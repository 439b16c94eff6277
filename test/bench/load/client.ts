/**
 * An SMTP client that is quick enough not to be what is measured. It waits for replies in order and takes one that it
 * did not expect, or the end of the connection, as a failure that it throws.
 */
import { clientOptions } from "./tls.ts";

type Native = Bun.Socket<SmtpClient | undefined>;

export class SmtpClient {
  #stream: Native | undefined;
  #secured = false;
  #text = "";
  /** The last lines of replies that nobody waited for yet. */
  #replies: string[] = [];
  #over: Error | undefined;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;

  /** Resolves when it is connected; the greeting is the first reply. */
  static async connect(port: number): Promise<SmtpClient> {
    const client = new SmtpClient();
    client.#stream = await Bun.connect<SmtpClient | undefined>({
      hostname: "127.0.0.1",
      port,
      data: client,
      socket: handlers(false),
    });
    client.#stream.setNoDelay(true);
    return client;
  }

  /** The next `count` replies must begin with `code`. */
  async expect(code: string, count = 1): Promise<void> {
    for (let heard = 0; heard < count; heard += 1) {
      while (this.#replies.length === 0) {
        if (this.#over !== undefined) throw this.#over;
        await new Promise<void>((resolve) => {
          this.#wakeReader = resolve;
        });
      }
      const reply = this.#replies.shift() ?? "";
      if (!reply.startsWith(code)) throw new Error(`${code} was expected: ${reply}`);
    }
  }

  /** Resolves when the kernel has taken all of it. */
  async send(octets: Buffer): Promise<void> {
    for (let rest = octets; ; ) {
      const taken = this.#stream?.write(rest) ?? -1;
      if (taken < 0 || this.#over !== undefined) throw this.#over ?? new Error("nothing can be written");
      if (taken === rest.length) return;
      rest = rest.subarray(taken);
      await new Promise<void>((resolve) => {
        this.#wakeWriter = resolve;
      });
    }
  }

  async ask(command: string, code: string): Promise<void> {
    await this.send(Buffer.from(`${command}\r\n`, "latin1"));
    await this.expect(code);
  }

  /** STARTTLS, up to the end of the handshake. */
  async secure(): Promise<void> {
    await this.ask("STARTTLS", "220");
    this.#secured = true;
    await new Promise<void>((resolve, reject) => {
      this.#wakeReader = () => reject(this.#over);
      const [, stream] = this.#stream?.upgradeTLS<SmtpClient | undefined>({
        data: this,
        tls: clientOptions,
        socket: { ...handlers(true), handshake: () => resolve() },
      }) ?? [undefined, undefined];
      this.#stream = stream;
    });
    this.#wakeReader = undefined;
  }

  async quit(): Promise<void> {
    await this.ask("QUIT", "221");
    this.#stream?.end();
  }

  terminate(): void {
    this.#stream?.terminate();
  }

  // What Bun tells.

  received(octets: Buffer, secured: boolean): void {
    if (secured !== this.#secured) return;
    const text = this.#text + octets.toString("latin1");
    let from = 0;
    for (let end = text.indexOf("\r\n"); end >= 0; end = text.indexOf("\r\n", from)) {
      if (text.charAt(from + 3) !== "-") this.#replies.push(text.slice(from, end));
      from = end + 2;
    }
    this.#text = text.slice(from);
    if (this.#replies.length > 0) this.#wake();
  }

  writable(): void {
    const wake = this.#wakeWriter;
    this.#wakeWriter = undefined;
    wake?.();
  }

  ended(reason: string): void {
    this.#over ??= new Error(reason);
    this.#wake();
    this.writable();
  }

  #wake(): void {
    const wake = this.#wakeReader;
    this.#wakeReader = undefined;
    wake?.();
  }
}

function handlers(secured: boolean): Bun.SocketHandler<SmtpClient | undefined> {
  return {
    data: (native, octets) => native.data?.received(octets, secured),
    drain: (native) => native.data?.writable(),
    end: (native) => native.data?.ended("the connection was ended"),
    close: (native, error) =>
      native.data?.ended(`the connection was closed: ${error?.message ?? "by the peer"}`),
    error: (native, error) => native.data?.ended(error.message),
  };
}
