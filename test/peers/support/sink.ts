/**
 * Where mail ends behind a real relay: an SMTP server, as small as can be, that keeps each message octet for octet.
 * The relays' own mailboxes would not do: they turn CRLF into LF and put lines of their own in front.
 */
import { eventually, freePort, type Workplace } from "./workplace.ts";

export interface Arrival {
  /** As written: "<address>" or "<>", with the parameters behind. */
  readonly from: string;
  /** Addresses without angle brackets. */
  readonly to: readonly string[];
  /** The message, transparency removed. */
  readonly octets: Buffer;
}

const crlf = Buffer.from("\r\n");
const endOfData = Buffer.from("\r\n.\r\n");
const lineStartDot = Buffer.from("\r\n.");

export class Sink {
  readonly port: number;
  readonly arrivals: Arrival[] = [];
  readonly #listener: Bun.TCPSocketListener<Conversation>;

  static async start(place: Workplace): Promise<Sink> {
    const sink = new Sink(await freePort());
    place.onClose(async () => sink.stop());
    return sink;
  }

  private constructor(port: number) {
    this.port = port;
    const { arrivals } = this;
    this.#listener = Bun.listen<Conversation>({
      hostname: "127.0.0.1",
      port,
      socket: {
        open(socket) {
          socket.data = new Conversation(
            (text) => socket.write(text),
            (arrival) => arrivals.push(arrival),
          );
        },
        data: (socket, octets) => socket.data.receive(octets),
        end: (socket) => void socket.end(),
        error: () => {},
      },
    });
  }

  /** All messages for `recipient` so far. */
  for(recipient: string): readonly Arrival[] {
    return this.arrivals.filter(({ to }) => to.includes(recipient));
  }

  /** Waits for the one message for `recipient`. */
  async one(recipient: string, state: () => string, withinMs = 30_000): Promise<Arrival> {
    return eventually(
      () => this.for(recipient)[0],
      () => `mail for ${recipient} arrives: ${state()}`,
      withinMs,
    );
  }

  stop(): void {
    this.#listener.stop(true);
  }
}

class Conversation {
  readonly #reply: (text: string) => void;
  readonly #arrived: (arrival: Arrival) => void;
  #line: Buffer = Buffer.alloc(0);
  /** What came of mail data, a CRLF in front of it; undefined: a command is awaited. */
  #data: Buffer[] | undefined;
  #tail: Buffer = Buffer.alloc(0);
  #from = "";
  #to: string[] = [];

  constructor(reply: (text: string) => void, arrived: (arrival: Arrival) => void) {
    this.#reply = reply;
    this.#arrived = arrived;
    reply("220 sink.test ESMTP\r\n");
  }

  receive(octets: Buffer): void {
    let rest: Buffer | undefined = octets;
    while (rest !== undefined && rest.length > 0) {
      rest = this.#data === undefined ? this.#readCommand(rest) : this.#readData(rest, this.#data);
    }
  }

  #readCommand(octets: Buffer): Buffer | undefined {
    this.#line = Buffer.concat([this.#line, octets]);
    const end = this.#line.indexOf(crlf);
    if (end === -1) return undefined;
    const line = this.#line.toString("latin1", 0, end);
    const rest = Buffer.from(this.#line.subarray(end + crlf.length));
    this.#line = Buffer.alloc(0);
    this.#command(line);
    return rest;
  }

  #command(line: string): void {
    const verb = line.slice(0, 4).toUpperCase();
    if (verb === "EHLO")
      this.#reply("250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-DSN\r\n250 SMTPUTF8\r\n");
    else if (verb === "MAIL") {
      this.#from = line.slice("MAIL FROM:".length);
      this.#to = [];
      this.#reply("250 2.1.0 ok\r\n");
    } else if (verb === "RCPT") {
      this.#to.push(line.slice("RCPT TO:<".length, line.lastIndexOf(">")));
      this.#reply("250 2.1.5 ok\r\n");
    } else if (verb === "DATA") {
      this.#data = [crlf];
      this.#tail = crlf;
      this.#reply("354 go on\r\n");
    } else this.#reply(verb === "QUIT" ? "221 2.0.0 bye\r\n" : "250 2.0.0 ok\r\n");
  }

  #readData(octets: Buffer, data: Buffer[]): Buffer | undefined {
    const searched = Buffer.concat([this.#tail, octets]);
    const end = searched.indexOf(endOfData);
    if (end === -1) {
      data.push(octets);
      this.#tail = searched.subarray(-(endOfData.length - 1));
      return undefined;
    }
    const used = end + endOfData.length - this.#tail.length;
    data.push(octets.subarray(0, used));
    this.#data = undefined;
    const whole = Buffer.concat(data);
    this.#arrived({ from: this.#from, to: this.#to, octets: unstuffed(whole) });
    this.#reply("250 2.0.0 kept\r\n");
    return octets.subarray(used);
  }
}

/** In: CRLF, the mail data, "." and CRLF. Out: the message. */
function unstuffed(whole: Buffer): Buffer {
  const pieces: Buffer[] = [];
  const end = whole.length - (endOfData.length - crlf.length);
  let from = 0;
  for (;;) {
    const at = whole.indexOf(lineStartDot, from);
    if (at === -1 || at + crlf.length >= end) break;
    pieces.push(whole.subarray(from, at + crlf.length));
    from = at + lineStartDot.length;
  }
  pieces.push(whole.subarray(from, end));
  return Buffer.concat(pieces).subarray(crlf.length);
}
