/**
 * A relay of octets over Bun's sockets, as small as it can be while no octet is lost and no queue grows:
 * `bun bare-process.ts JSON`. With TLS it knows just enough of SMTP for STARTTLS on either side; what it does not do
 * (check, count, log, time out, reuse connections) is what the proxy is measured against.
 */
import { clientOptions, serverOptions } from "../load/tls.ts";

const { port, relayPort, tls, cert, key } = JSON.parse(process.argv[2] ?? "{}");
const isServer = tls === "in" || tls === "both";
const isClient = tls === "out" || tls === "both";
const server = isServer ? serverOptions(cert, key) : undefined;
const words = ["EHLO bare.test\r\n", "STARTTLS\r\n"];

type Native = Bun.Socket<End>;

/** One of the two sockets, and what waits to be written to it. */
class End {
  /** What it said, as it is to be heard; a relay that is to be secured is talked to by us first. */
  hear: (octets: Buffer) => void = (octets) => this.other.write(octets);
  other: End = this;
  waiting: Buffer = Buffer.alloc(0);
  secured = false;
  ended = false;
  socket: Native | undefined;
  constructor(socket?: Native) {
    this.socket = socket;
  }

  write(octets: Buffer): void {
    this.waiting = this.waiting.length === 0 ? octets : Buffer.concat([this.waiting, octets]);
    this.flush();
  }
  flush(): void {
    if (this.socket === undefined) return;
    const taken = this.waiting.length === 0 ? 0 : this.socket.write(this.waiting);
    this.waiting = taken < 0 ? Buffer.alloc(0) : this.waiting.subarray(taken);
    if (this.waiting.length > 0) this.other.socket?.pause();
    else if (this.ended) this.socket.end();
    else this.other.socket?.resume();
  }
  end(): void {
    this.ended = true;
    if (this.waiting.length === 0) this.socket?.end();
  }
  secure(options: Bun.TLSOptions, handshake: () => void): void {
    this.secured = true;
    const [, stream] =
      this.socket?.upgradeTLS<End>({ data: this, tls: options, socket: handlers(true, handshake) }) ?? [];
    this.socket = stream;
  }
}

function handlers(secured: boolean, handshake = () => {}): Bun.SocketHandler<End> {
  return {
    data: ({ data }, octets) => void (data.secured === secured && data.hear(octets)),
    drain: ({ data }) => data.flush(),
    end: ({ data }) => data.other.end(),
    close: ({ data }) => data.other.end(),
    error: ({ data }) => data.other.end(),
    handshake,
  };
}

function accept(client: End): void {
  const relay = new End();
  [client.other, relay.other] = [relay, client];
  if (server !== undefined) {
    client.hear = (octets) => {
      if (!octets.includes("STARTTLS")) return relay.write(octets);
      client.hear = (later) => relay.write(later);
      client.write(Buffer.from("220 go ahead\r\n"));
      client.secure(server, () => {});
    };
  }
  if (isClient) {
    const left = [...words];
    relay.hear = () => {
      const word = left.shift();
      if (word !== undefined) return relay.write(Buffer.from(word));
      relay.hear = (later) => client.write(later);
      relay.secure(clientOptions, () => client.write(Buffer.from("220 bare.test\r\n")));
    };
  }
  const open = (native: Native): void => {
    native.setNoDelay(true);
    relay.socket = native;
    relay.flush();
  };
  Bun.connect<End>({
    hostname: "127.0.0.1",
    port: relayPort,
    data: relay,
    socket: { ...handlers(false), open },
  }).catch(() => client.end());
}

Bun.listen<End>({
  hostname: "127.0.0.1",
  port,
  socket: {
    ...handlers(false),
    open(native) {
      native.setNoDelay(true);
      native.data = new End(native);
      accept(native.data);
    },
  },
});
