/**
 * The bench's own relay, for large bodies, TLS and held sessions: it takes every mail at once and forgets it.
 * `bun sink-process.ts JSON` with port, and with cert and key (paths) if STARTTLS is to be offered.
 * Not smtp-sink, which reads large bodies at 200 MB/s at most and knows no TLS.
 */
import { serverOptions } from "./tls.ts";

const { port, cert, key } = JSON.parse(process.argv[2] ?? "{}");
const tls = cert === undefined ? undefined : serverOptions(cert, key);
const endOfData = Buffer.from("\r\n.\r\n");
const atLineStart = Buffer.from("\r\n");
const keywords = ["PIPELINING", "SIZE 200000000", "8BITMIME", "ENHANCEDSTATUSCODES"];
if (tls !== undefined) keywords.push("STARTTLS");
const ehlo = `250-relay.test\r\n${keywords.map((keyword, n) => `250${n === keywords.length - 1 ? " " : "-"}${keyword}\r\n`).join("")}`;

const replies: Readonly<Record<string, string>> = {
  EHLO: ehlo,
  HELO: "250 relay.test\r\n",
  DATA: "354 go ahead\r\n",
  QUIT: "221 2.0.0 bye\r\n",
  STARTTLS: "220 2.0.0 go ahead\r\n",
};

class Session {
  secured = false;
  #inData = false;
  /** The end of what came before, as far as it may begin an end of mail data. */
  #tail: Buffer = atLineStart;
  #text = "";

  /** What is to be said to it; `verb` is the last command. */
  receive(octets: Buffer): { readonly reply: string; readonly verb: string } {
    let reply = "";
    let verb = "";
    for (let rest = octets; rest.length > 0; ) {
      if (this.#inData) {
        const end = this.#endOf(rest);
        if (end === undefined) break;
        this.#inData = false;
        reply += "250 2.0.0 taken\r\n";
        rest = rest.subarray(end);
      } else {
        const end = rest.indexOf("\n") + 1;
        this.#text += rest.toString("latin1", 0, end === 0 ? rest.length : end);
        if (end === 0) break;
        verb = this.#text.split(/[ \r]/, 1)[0]?.toUpperCase() ?? "";
        this.#text = "";
        reply += replies[verb] ?? "250 2.0.0 ok\r\n";
        this.#inData = verb === "DATA";
        this.#tail = atLineStart;
        rest = rest.subarray(end);
      }
    }
    return { reply, verb };
  }

  /** Where mail data ends in these octets. */
  #endOf(octets: Buffer): number | undefined {
    const edge = Buffer.concat([this.#tail, octets.subarray(0, endOfData.length - 1)]);
    const atEdge = edge.indexOf(endOfData);
    if (atEdge >= 0) return atEdge + endOfData.length - this.#tail.length;
    const found = octets.indexOf(endOfData);
    if (found >= 0) return found + endOfData.length;
    // A copy, lest four octets keep a large Buffer.
    this.#tail = Buffer.from((octets.length < 4 ? edge : octets).subarray(-4));
    return undefined;
  }
}

function handlers(secured: boolean): Bun.SocketHandler<Session> {
  return {
    data(socket, octets) {
      const session = socket.data;
      if (session.secured !== secured) return;
      const { reply, verb } = session.receive(octets);
      if (reply !== "") socket.write(reply);
      if (verb === "QUIT") socket.end();
      if (verb !== "STARTTLS" || tls === undefined) return;
      session.secured = true;
      socket.upgradeTLS<Session>({ data: session, tls, socket: handlers(true) });
    },
    end: (socket) => void socket.end(),
    error: () => {},
  };
}

Bun.listen<Session>({
  hostname: "127.0.0.1",
  port,
  socket: {
    ...handlers(false),
    open(socket) {
      socket.setNoDelay(true);
      socket.data = new Session();
      socket.write("220 relay.test ESMTP\r\n");
    },
  },
});
