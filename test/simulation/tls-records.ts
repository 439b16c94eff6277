/**
 * A pretended TLS: real record framing (RFC 8446 §5.1), the flights of a TLS 1.3 handshake, alerts, close_notify, and
 * no cryptography. Octets in the clear, lost or repeated records, and records cut off break it as they break the real one.
 *
 * Each record of application data carries its number as its tag: what was not sent by the peer's session does not pass.
 * A session is driven with what arrives, in any pieces; it calls back with what is to be sent and what came out.
 * Plain text of one `receive` comes as one chunk.
 * Not here: sockets, and what follows a failure (native.ts for the program, actor.ts for its peers).
 */

/** What the server's certificate is to a client that looks. */
export type Trust = "trusted" | "unknown-authority" | "wrong-name";

export interface SessionUser {
  /** Goes out as it is. */
  send(records: Buffer): void;
  /** Whether the client role goes on with such a certificate; if not, `failed` follows with `trust` for the fault. */
  accepts(trust: Trust): boolean;
  established(trust: Trust): void;
  plain(octets: Buffer): void;
  /** The peer's close_notify: it sends nothing more. */
  peerEnded(): void;
  /** Of no use any more. OpenSSL's name of the fault; an alert that goes with it has been sent. */
  failed(fault: string): void;
}

const handshake = 0x16;
const applicationData = 0x17;
const alert = 0x15;
const clientHello = 1;
const serverHello = 2;
const finished = 20;
const headerOctets = 5;
const tagOctets = 16;
const plainOctetsMax = 16_384;
const recordOctetsMax = plainOctetsMax + 256;
const trusts: readonly Trust[] = ["trusted", "unknown-authority", "wrong-name"];

const closeNotify = 0;
const unknownAuthority = 48;
const badRecordMac = 20;
const handshakeFailure = 40;
const protocolVersion = 70;
/** As OpenSSL names a peer's alert. */
const alertNames: Readonly<Record<number, string>> = {
  [badRecordMac]: "SSLV3_ALERT_BAD_RECORD_MAC",
  [handshakeFailure]: "SSLV3_ALERT_HANDSHAKE_FAILURE",
  [unknownAuthority]: "TLSV1_ALERT_UNKNOWN_CA",
  [protocolVersion]: "TLSV1_ALERT_PROTOCOL_VERSION",
};

/** The fault of a handshake that the peer's close_notify ended; Bun says ECONNRESET then. */
export const endedInHandshake = "PEER_ENDED";

function record(type: number, body: Buffer): Buffer {
  const framed = Buffer.allocUnsafe(headerOctets + body.length);
  writeHeader(framed, 0, type, body.length);
  body.copy(framed, headerOctets);
  return framed;
}

function writeHeader(into: Buffer, at: number, type: number, length: number): void {
  into[at] = type;
  into[at + 1] = 3;
  into[at + 2] = 3;
  into[at + 3] = length >> 8;
  into[at + 4] = length & 0xff;
}

export function alertRecord(description: number): Buffer {
  return record(alert, Buffer.from([description === closeNotify ? 1 : 2, description]));
}

export const closeNotifyRecord = alertRecord(closeNotify);
export const handshakeFailureAlert = alertRecord(handshakeFailure);
export const unknownAuthorityAlert = alertRecord(unknownAuthority);

/** A flight of the handshake, about as long as the real one. */
function flight(message: number, fact: number, length: number): Buffer {
  const body = Buffer.alloc(length, message);
  body[1] = fact;
  return record(handshake, body);
}

const helloFlight = flight(clientHello, 0, 512);
const serverFlights = trusts.map((_, fact) => flight(serverHello, fact, 1_400));
const finishedFlight = flight(finished, 0, 64);

export class TlsSession {
  readonly #role: "client" | "server";
  readonly #trust: Trust;
  readonly #user: SessionUser;
  #phase: "handshake" | "established" | "over" = "handshake";
  /** A record that has not come whole. */
  #rest: Buffer | undefined;
  #sent = 0;
  #received = 0;
  #hasEnded = false;
  #peerHasEnded = false;

  /** `trust`: what the server role's certificate is. */
  constructor(role: "client" | "server", trust: Trust, user: SessionUser) {
    this.#role = role;
    this.#trust = trust;
    this.#user = user;
  }

  /** The client role's first flight; the server role waits for it. */
  start(): void {
    if (this.#role === "client") this.#user.send(helloFlight);
  }

  get peerHasEnded(): boolean {
    return this.#peerHasEnded;
  }

  /** Encrypts and sends. */
  write(octets: Buffer): void {
    const count = Math.ceil(octets.length / plainOctetsMax);
    const framed = Buffer.allocUnsafe(octets.length + count * (headerOctets + tagOctets));
    let at = 0;
    for (let from = 0; from < octets.length; from += plainOctetsMax) {
      const size = Math.min(plainOctetsMax, octets.length - from);
      writeHeader(framed, at, applicationData, size + tagOctets);
      octets.copy(framed, at + headerOctets, from, from + size);
      at += headerOctets + size;
      framed.fill(0xa5, at, at + tagOctets);
      framed.writeUInt32BE(this.#sent, at);
      this.#sent += 1;
      at += tagOctets;
    }
    this.#user.send(framed);
  }

  /** close_notify, once. */
  end(): void {
    if (this.#hasEnded || this.#phase === "over") return;
    this.#hasEnded = true;
    this.#user.send(closeNotifyRecord);
  }

  receive(arrived: Buffer): void {
    if (this.#phase === "over" || this.#peerHasEnded) return;
    const octets = this.#rest === undefined ? arrived : Buffer.concat([this.#rest, arrived]);
    this.#rest = undefined;
    const plain: Buffer[] = [];
    let at = 0;
    while (at < octets.length && this.#goesOn) {
      const length = this.#recordLength(octets, at);
      if (length === "broken") {
        this.#tellPlain(plain);
        this.#fail("WRONG_VERSION_NUMBER", protocolVersion);
        return;
      }
      if (length === "incomplete") break;
      const body = octets.subarray(at + headerOctets, at + headerOctets + length);
      this.#take(octets[at] ?? 0, body, plain);
      at += headerOctets + length;
    }
    if (at < octets.length && this.#goesOn) this.#rest = octets.subarray(at);
    this.#tellPlain(plain);
  }

  // Private parts.

  get #goesOn(): boolean {
    return this.#phase !== "over" && !this.#peerHasEnded;
  }

  #recordLength(octets: Buffer, at: number): number | "incomplete" | "broken" {
    if (octets.length - at < headerOctets) return "incomplete";
    const type = octets[at] ?? 0;
    const length = octets.readUInt16BE(at + 3);
    if (type < 0x14 || type > 0x17 || octets[at + 1] !== 3 || length > recordOctetsMax) return "broken";
    return octets.length - at - headerOctets < length ? "incomplete" : length;
  }

  #take(type: number, body: Buffer, plain: Buffer[]): void {
    if (type === alert) {
      this.#tellPlain(plain);
      this.#alerted(body[1] ?? handshakeFailure);
    } else if (this.#phase === "handshake") {
      if (type === handshake) this.#handshaken(body);
      else this.#fail("UNEXPECTED_RECORD", handshakeFailure);
    } else if (type === applicationData && this.#isGenuine(body)) {
      this.#received += 1;
      plain.push(body.subarray(0, body.length - tagOctets));
    } else {
      this.#tellPlain(plain);
      this.#fail("DECRYPTION_FAILED_OR_BAD_RECORD_MAC", badRecordMac);
    }
  }

  #isGenuine(body: Buffer): boolean {
    const at = body.length - tagOctets;
    return at >= 0 && body.readUInt32BE(at) === this.#received && body[body.length - 1] === 0xa5;
  }

  #handshaken(body: Buffer): void {
    const [message, fact = 0] = body;
    if (this.#role === "client" && message === serverHello) {
      const trust = trusts[fact] ?? "unknown-authority";
      const accepted = this.#user.accepts(trust);
      this.#phase = accepted ? "established" : "over";
      if (!accepted) {
        this.#user.failed(trust);
        return;
      }
      this.#user.send(finishedFlight);
      this.#user.established(trust);
    } else if (this.#role === "server" && message === clientHello) {
      this.#user.send(serverFlights[trusts.indexOf(this.#trust)] ?? helloFlight);
    } else if (this.#role === "server" && message === finished) {
      this.#phase = "established";
      this.#user.established("trusted");
    } else {
      this.#fail("UNEXPECTED_MESSAGE", handshakeFailure);
    }
  }

  #alerted(description: number): void {
    if (description !== closeNotify) {
      this.#phase = "over";
      this.#user.failed(alertNames[description] ?? `TLSV1_ALERT_${description}`);
    } else if (this.#phase === "handshake") {
      this.#phase = "over";
      this.#user.failed(endedInHandshake);
    } else {
      this.#peerHasEnded = true;
      this.#user.peerEnded();
    }
  }

  #fail(fault: string, description: number): void {
    this.#phase = "over";
    this.#user.send(alertRecord(description));
    this.#user.failed(fault);
  }

  #tellPlain(plain: Buffer[]): void {
    const first = plain[0];
    if (first === undefined) return;
    const octets = plain.length === 1 ? first : Buffer.concat(plain);
    plain.length = 0;
    this.#user.plain(octets);
  }
}
