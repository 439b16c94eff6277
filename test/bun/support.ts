/**
 * What the tests of src/bun, src/dns and src/host share: a handler that writes down what it hears, waiting for a condition, a private
 * authority with its certificates, and a count of open descriptors.
 */

import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BunNetwork } from "../../src/bun/network.ts";
import type {
  DialTarget,
  Listener,
  Network,
  Socket,
  SocketHandler,
  TlsFacts,
} from "../../src/shell/network.ts";
import type { CertificateWish } from "./make-certificate.ts";

/** Waits until `condition` holds. Bounded: fails with `what` after `withinMs`. */
export async function eventually(condition: () => boolean, what: string, withinMs = 8_000): Promise<void> {
  const end = performance.now() + withinMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`did not happen within ${withinMs} ms: ${what}`);
    await Bun.sleep(1);
  }
}

/** Lets the event loop turn, for things that must not happen. */
export async function turns(count = 20): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await Bun.sleep(1);
}

/** Writes down what a socket tells. "octets" is in `events` once for each run of them. */
export class Recorder implements SocketHandler {
  readonly socket: Socket;
  readonly events: string[] = [];
  readonly chunks: Buffer[] = [];
  readonly hash = createHash("sha256");
  octetsReceived = 0;
  /** Octets are counted and hashed, but not kept. */
  keep = true;
  facts: TlsFacts | undefined;
  failure: string | undefined;
  /** Called after an event was written down. */
  on: Partial<SocketHandler> = {};

  constructor(socket: Socket) {
    this.socket = socket;
  }

  octets(octets: Buffer): void {
    if (this.events.at(-1) !== "octets") this.events.push("octets");
    this.octetsReceived += octets.length;
    this.hash.update(octets);
    if (this.keep) this.chunks.push(octets);
    this.on.octets?.(octets);
  }
  ended(): void {
    this.events.push("ended");
    this.on.ended?.();
  }
  drained(): void {
    this.events.push("drained");
    this.on.drained?.();
  }
  secured(facts: TlsFacts): void {
    this.events.push("secured");
    this.facts = facts;
    this.on.secured?.(facts);
  }
  handshakeFailed(reason: string): void {
    this.events.push("handshakeFailed");
    this.failure = reason;
    this.on.handshakeFailed?.(reason);
  }
  closed(reason: string): void {
    this.events.push(`closed ${reason}`);
    this.on.closed?.(reason);
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString("latin1");
  }
  get isClosed(): boolean {
    return this.closings > 0;
  }
  get closings(): number {
    return this.events.filter((event) => event.startsWith("closed")).length;
  }
  say(text: string): void {
    this.socket.write(Buffer.from(text, "latin1"));
    this.socket.flush();
  }
}

/** A connection over loopback, both ends of it ours. */
export interface Pair {
  readonly client: Recorder;
  readonly server: Recorder;
}

/** Dials until it is open; a failure is thrown. */
export function dialled(network: Network, target: DialTarget, timeoutMs = 5_000): Promise<Recorder> {
  return new Promise((resolve, reject) => {
    network.dial(target, timeoutMs, {
      opened(socket) {
        const recorder = new Recorder(socket);
        resolve(recorder);
        return recorder;
      },
      failed: (reason) => reject(new Error(reason)),
    });
  });
}

/** Listens on a free loopback port and connects to it. `accepted` may use the server's socket at once. */
export async function connect(network: Network, accepted?: (server: Recorder) => void): Promise<Pair> {
  const arrivals: Recorder[] = [];
  const listener = network.listen({ host: "127.0.0.1", port: 0 }, (socket) => {
    const recorder = new Recorder(socket);
    arrivals.push(recorder);
    accepted?.(recorder);
    return recorder;
  });
  const client = await dialled(network, { address: "127.0.0.1", port: listener.port });
  await eventually(() => arrivals.length > 0, "the connection is accepted");
  listener.stop();
  const [server] = arrivals;
  if (server === undefined) throw new Error("nobody arrived");
  return { client, server };
}

/** A network whose faults are collected. */
export function world(settings: { readonly closeMs?: number } = {}) {
  const faults: unknown[] = [];
  return { faults, network: new BunNetwork((error) => faults.push(error), settings) };
}

/** Where a listener that was bound to port 0 is to be found. */
export function at(listener: Listener, address = "127.0.0.1"): DialTarget {
  return { address, port: listener.port };
}

export function descriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

/** Octets that repeat only after 16 MiB: a lost or swapped piece changes the hash. */
export function patternOctets(length: number): Buffer {
  const octets = Buffer.alloc(length);
  for (let at = 0; at + 4 <= length; at += 4) octets.writeUInt32LE((at * 2_654_435_761) >>> 0, at);
  return octets;
}

export function sha256(octets: Buffer): string {
  return createHash("sha256").update(octets).digest("hex");
}

export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** A private authority in a temporary folder. */
export class Authority {
  readonly folder = mkdtempSync(join(tmpdir(), "smtpproxy-net-"));
  readonly pem = join(this.folder, "authority.pem");
  readonly #key = join(this.folder, "authority.key");

  constructor() {
    makeCertificate({ name: "Test CA", isAuthority: true, cert: this.pem, key: this.#key });
  }

  /** `names`: "DNS:relay.test,IP:127.0.0.1". Years are those of validity. */
  issue(label: string, names: string, from = 2020, to = 2045): Certificate {
    const [cert, key] = [join(this.folder, `${label}.pem`), join(this.folder, `${label}.key`)];
    const [notBefore, notAfter] = [`${from}-01-01T00:00:00Z`, `${to}-01-01T00:00:00Z`];
    const signedBy = { cert: this.pem, key: this.#key };
    makeCertificate({ name: `${label}.test`, names, notBefore, notAfter, signedBy, cert, key });
    return { cert, key };
  }
}

/** A self-signed authority-less certificate of an elliptic curve, valid from 2020 to 2045, unless wished otherwise. */
export function makeCertificate(
  wish: Partial<CertificateWish> & Pick<CertificateWish, "name" | "cert" | "key">,
): void {
  const whole: CertificateWish = {
    names: "",
    notBefore: "2020-01-01T00:00:00Z",
    notAfter: "2045-01-01T00:00:00Z",
    algorithm: "EC",
    isAuthority: false,
    ...wish,
  };
  const script = join(import.meta.dir, "make-certificate.ts");
  const { exitCode, stderr } = Bun.spawnSync([process.execPath, script, JSON.stringify(whole)]);
  if (exitCode !== 0) throw new Error(`no certificate: ${stderr}`);
}
