/**
 * A relay for tests: a small, polite SMTP server over node:net and node:tls that writes down every octet it got and,
 * at any step, does what a script says instead of the usual: another reply, half of one, a reset, a FIN, silence.
 * Independent of src: what it saw is evidence.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createSecureContext, TLSSocket } from "node:tls";
import type { Certificate } from "../bun/support.ts";

/** "body": octets of mail data came, and their end is not among them. "handshake": a ClientHello came. */
export type Step =
  | "connect"
  | "EHLO"
  | "STARTTLS"
  | "handshake"
  | "AUTH"
  | "MAIL"
  | "RCPT"
  | "DATA"
  | "body"
  | "dot"
  | "RSET"
  | "QUIT"
  | "other";

/** What happens instead of the usual. "silence": nothing is answered any more, whatever comes. */
export interface Act {
  /** Written as it is. Without it and with `after`, nothing is written. */
  readonly say?: string;
  readonly after?: "go on" | "rst" | "fin" | "silence";
}

/** `count`: how many times this connection has been at this step, this time included. */
export type Script = (step: Step, count: number, talk: RelayTalk) => Act | undefined;

export interface RelaySettings {
  readonly script?: Script;
  /** EHLO keywords besides STARTTLS and AUTH. */
  readonly keywords?: readonly string[];
  readonly certificate?: Certificate;
  /** TLS from the first octet. */
  readonly implicit?: boolean;
  /** AUTH mechanisms, offered over TLS. */
  readonly auth?: string;
  /** Offer AUTH in plain text too, as a trap. */
  readonly authInPlain?: boolean;
  /** Octets a second that are read; as fast as they come without it. */
  readonly octetsPerSecond?: number;
  /** false: mail data is hashed and counted, but not kept. */
  readonly keep?: boolean;
  readonly host?: string;
  readonly port?: number;
}

export interface TakenMail {
  readonly from: string;
  readonly to: readonly string[];
  /** Dot-stuffed, without the end-of-data line; empty unless kept. */
  readonly body: Buffer;
  readonly octets: number;
  /** Of everything behind the first header field, which is the proxy's trace. */
  readonly sha256: string;
  /** The connection's number, from 1. */
  readonly talk: number;
  readonly secured: boolean;
}

const endOfData = Buffer.from("\r\n.\r\n");

/** One connection to the relay. */
export class RelayTalk {
  readonly number: number;
  /** Every line but mail data, in order. */
  readonly lines: string[] = [];
  /** Everything that came before TLS, and everything in it, mail data included (if kept). */
  readonly received: Buffer[] = [];
  readonly #relay: ScriptedRelay;
  readonly #counts = new Map<Step, number>();
  #socket: Socket;
  #pending = Buffer.alloc(0);
  #inBody = false;
  #silent = false;
  #awaitsHello = false;
  #body: Buffer[] = [];
  #bodyOctets = 0;
  #tail = Buffer.from("\r\n");
  #hash = createHash("sha256");
  #inTrace = true;
  #head = Buffer.alloc(0);
  #from = "";
  #to: string[] = [];
  /** Ends of mail data that arrived. */
  dots = 0;
  open = true;
  secured = false;
  /** FIN came from the proxy. */
  ended = false;
  closedWith = "";

  constructor(relay: ScriptedRelay, socket: Socket, number: number) {
    this.#relay = relay;
    this.#socket = socket;
    this.number = number;
    this.#listen(socket);
    if (relay.settings.implicit === true) this.#startTls();
    else this.#at("connect", "220 relay.test ESMTP\r\n");
  }

  /** Octets of mail data of the mail under way. */
  get bodyOctets(): number {
    return this.#bodyOctets;
  }

  get bodyText(): string {
    return Buffer.concat(this.#body).toString("latin1");
  }

  get text(): string {
    return Buffer.concat(this.received).toString("latin1");
  }

  say(text: string): void {
    if (this.open) this.#socket.write(Buffer.from(text, "latin1"));
  }

  /** Says its whole 2yz to the mail data that came last. */
  accept(reply = "250 2.0.0 queued as 4711\r\n"): void {
    this.say(reply);
    this.#accept();
  }

  /** Says 354 to a DATA that the script left unanswered. */
  openBody(): void {
    this.#inBody = true;
    this.say("354 go ahead\r\n");
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  die(how: "rst" | "fin" | "silence"): void {
    this.#silent = true;
    if (how === "rst") this.#socket.resetAndDestroy();
    if (how === "fin") this.#socket.end();
  }

  #listen(socket: Socket): void {
    socket.on("data", (octets: Buffer) => {
      this.#throttle(octets.length);
      this.#take(octets);
    });
    socket.on("error", (error: Error) => {
      this.closedWith = error.message;
    });
    socket.on("end", () => {
      this.ended = true;
      if (socket === this.#socket) socket.end();
    });
    socket.on("close", () => {
      this.open = false;
    });
  }

  #throttle(octets: number): void {
    const { octetsPerSecond } = this.#relay.settings;
    if (octetsPerSecond === undefined || !this.#inBody) return;
    const socket = this.#socket;
    socket.pause();
    setTimeout(() => socket.resume(), (octets / octetsPerSecond) * 1000);
  }

  #take(octets: Buffer): void {
    if (this.#relay.settings.keep !== false) this.received.push(octets);
    if (this.#awaitsHello) {
      this.#awaitsHello = false;
      this.#at("handshake", "");
      return;
    }
    let rest = octets;
    while (rest.length > 0) {
      if (this.#inBody) {
        rest = this.#takeBody(rest);
        continue;
      }
      this.#pending = Buffer.concat([this.#pending, rest]);
      const end = this.#pending.indexOf("\r\n");
      if (end === -1) return;
      const line = this.#pending.toString("latin1", 0, end);
      rest = this.#pending.subarray(end + 2);
      this.#pending = Buffer.alloc(0);
      this.lines.push(line);
      if (!this.#silent) this.#command(line);
    }
  }

  #takeBody(octets: Buffer): Buffer {
    const joined = Buffer.concat([this.#tail, octets]);
    const found = joined.indexOf(endOfData);
    const fresh = found === -1 ? octets : octets.subarray(0, Math.max(0, found + 2 - this.#tail.length));
    this.#record(fresh);
    if (found === -1) {
      this.#tail = joined.subarray(Math.max(0, joined.length - 4));
      if (!this.#silent) this.#at("body", "");
      return Buffer.alloc(0);
    }
    const rest = joined.subarray(found + endOfData.length);
    this.#inBody = false;
    this.dots += 1;
    if (!this.#silent) this.#at("dot", "250 2.0.0 queued as 4711\r\n");
    return rest;
  }

  #record(octets: Buffer): void {
    this.#bodyOctets += octets.length;
    if (this.#relay.settings.keep !== false) this.#body.push(octets);
    if (!this.#inTrace) {
      this.#hash.update(octets);
      return;
    }
    // The trace line ends before the first line that does not begin with white space.
    this.#head = Buffer.concat([this.#head, octets]);
    const end = this.#head.toString("latin1").search(/\n(?![ \t])./s);
    if (end === -1) return;
    this.#inTrace = false;
    this.#hash.update(this.#head.subarray(end + 1));
    this.#head = Buffer.alloc(0);
  }

  #command(line: string): void {
    const verb = line.split(" ")[0]?.toUpperCase() ?? "";
    const { certificate, auth } = this.#relay.settings;
    if (verb === "EHLO" || verb === "HELO") {
      const keywords = [...(this.#relay.settings.keywords ?? ["PIPELINING", "8BITMIME"])];
      if (certificate !== undefined && !this.secured) keywords.push("STARTTLS");
      if (auth !== undefined && (this.secured || this.#relay.settings.authInPlain === true)) {
        keywords.push(`AUTH ${auth}`);
      }
      const lines = ["relay.test", ...keywords];
      this.#at("EHLO", lines.map((text, i) => `250${i + 1 < lines.length ? "-" : " "}${text}\r\n`).join(""));
    } else if (verb === "STARTTLS") {
      this.#at("STARTTLS", "220 2.0.0 go ahead\r\n");
    } else if (verb === "AUTH") {
      this.#at("AUTH", line === "AUTH LOGIN" ? "334 VXNlcm5hbWU6\r\n" : "235 2.7.0 welcome\r\n");
    } else if (verb === "MAIL") {
      this.#from = line;
      this.#to = [];
      this.#at("MAIL", "250 2.1.0 sender ok\r\n");
    } else if (verb === "RCPT") {
      this.#to.push(line);
      this.#at("RCPT", "250 2.1.5 recipient ok\r\n");
    } else if (verb === "DATA") {
      this.#body = [];
      this.#bodyOctets = 0;
      this.#tail = Buffer.from("\r\n");
      this.#hash = createHash("sha256");
      this.#inTrace = true;
      this.#head = Buffer.alloc(0);
      this.#inBody = true;
      this.#at("DATA", "354 go ahead\r\n");
    } else if (verb === "RSET") {
      this.#at("RSET", "250 2.0.0 reset\r\n");
    } else if (verb === "QUIT") {
      this.#at("QUIT", "221 2.0.0 bye\r\n");
    } else if (/^[A-Za-z0-9+/=]+$/.test(line)) {
      // The second and third line of AUTH LOGIN.
      this.#at(
        "other",
        this.lines.at(-2) === "AUTH LOGIN" ? "334 UGFzc3dvcmQ6\r\n" : "235 2.7.0 welcome\r\n",
      );
    } else {
      this.#at("other", "500 5.5.2 what?\r\n");
    }
  }

  #at(step: Step, usual: string): void {
    const count = (this.#counts.get(step) ?? 0) + 1;
    this.#counts.set(step, count);
    const act = this.#relay.script?.(step, count, this);
    const said = act === undefined ? usual : (act.say ?? "");
    if (step === "DATA" && !said.startsWith("354")) this.#inBody = false;
    if (said !== "") this.say(said);
    if (step === "dot" && /^2\d\d(?: [^\r\n]*)?\r\n/m.test(said)) this.#accept();
    if (act?.after === "rst" || act?.after === "fin" || act?.after === "silence") this.die(act.after);
    else if (step === "STARTTLS" && said.startsWith("220")) this.#startTls();
    else if (step === "QUIT") this.#socket.end();
  }

  #accept(): void {
    this.#relay.mails.push({
      from: this.#from,
      to: this.#to,
      body: Buffer.concat(this.#body),
      octets: this.#bodyOctets,
      sha256: this.#hash.digest("hex"),
      talk: this.number,
      secured: this.secured,
    });
  }

  #startTls(): void {
    if (this.#relay.script !== undefined && this.#relay.catchesHello) {
      this.#awaitsHello = true;
      return;
    }
    const { certificate } = this.#relay.settings;
    if (certificate === undefined) throw new Error("a relay that starts TLS has a certificate");
    const plain = this.#socket;
    plain.removeAllListeners("data");
    plain.removeAllListeners("end");
    const secureContext = createSecureContext({
      cert: readFileSync(certificate.cert),
      key: readFileSync(certificate.key),
    });
    const secured = new TLSSocket(plain, { isServer: true, secureContext });
    this.#socket = secured;
    this.#pending = Buffer.alloc(0);
    this.#listen(secured);
    secured.on("secure", () => {
      this.secured = true;
      if (this.#relay.settings.implicit === true) this.#at("connect", "220 relay.test ESMTPS\r\n");
    });
  }
}

export class ScriptedRelay {
  readonly settings: RelaySettings;
  readonly talks: RelayTalk[] = [];
  /** Mails to which the relay said its whole 2yz. */
  readonly mails: TakenMail[] = [];
  readonly #server: Server;
  /** May be changed at any time. */
  script: Script | undefined;
  /** A ClientHello is a step of its own, and no TLS follows. */
  catchesHello = false;

  private constructor(settings: RelaySettings) {
    this.settings = settings;
    this.script = settings.script;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      this.talks.push(new RelayTalk(this, socket, this.talks.length + 1));
    });
  }

  static async start(settings: RelaySettings = {}): Promise<ScriptedRelay> {
    const relay = new ScriptedRelay(settings);
    await new Promise<void>((resolve, reject) => {
      relay.#server.once("error", reject);
      relay.#server.listen(settings.port ?? 0, settings.host ?? "127.0.0.1", () => resolve());
    });
    return relay;
  }

  get port(): number {
    const address: AddressInfo | string | null = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("the relay does not listen");
    return address.port;
  }

  /** Connections that are open on the relay's side. */
  get open(): number {
    return this.talks.filter(({ open }) => open).length;
  }

  get dots(): number {
    return this.talks.reduce((sum, { dots }) => sum + dots, 0);
  }

  get last(): RelayTalk {
    const talk = this.talks.at(-1);
    if (talk === undefined) throw new Error("nobody called at the relay");
    return talk;
  }

  stop(): void {
    this.#server.close();
    for (const talk of this.talks) if (talk.open) talk.die("rst");
  }
}
