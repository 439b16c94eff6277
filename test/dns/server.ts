/**
 * A DNS server of the tests' own, over UDP and TCP on the same loopback port. What it does is scripted by name; it
 * writes down every query. Names without a script get NXDOMAIN, so it can stand in for a list that lists nobody.
 *
 *     const server = await DnsServer.start();
 *     server.on("2.0.0.127.list.test", addresses(["127.0.0.2"]));
 *     server.on("slow.test", late(300, addresses(["127.0.0.2"])));
 *     server.on("big.test", truncated, texts([["a", "b"]]));   // over UDP, then over TCP
 *
 * A behaviour is a function from a query to what is sent for it: so they can be joined (`both(a, b)`), bent
 * (`forgedId(a)`), and read back by the code under test without a socket (`messageOf`).
 */
import {
  type Answer,
  AUTHORITATIVE_ANSWER,
  decode,
  encode,
  RECURSION_AVAILABLE,
  type SoaData,
} from "dns-packet";

export interface Query {
  readonly id: number;
  readonly name: string;
  readonly type: string;
  readonly transport: "udp" | "tcp";
  /** The port that asked. */
  readonly port: number;
}

/** One datagram, or one message over TCP, which gets its length in front unless it is `raw` there. */
export interface Step {
  readonly octets: Buffer;
  readonly afterMs?: number;
  /** UDP only. "elsewhere": another port of 127.0.0.1. "stranger": 127.0.0.2. */
  readonly from?: "elsewhere" | "stranger";
}

export type Behaviour = (query: Query) => readonly Step[];

export interface SayOptions {
  readonly rcode?: number;
  readonly answers?: readonly Answer[];
  readonly authorities?: readonly Answer[];
  /** Overrides of what the query said. */
  readonly name?: string;
  readonly type?: "A" | "TXT" | "MX";
  readonly class?: "IN" | "CH";
  /** Bits besides RCODE; default: the server is recursive. */
  readonly flags?: number;
}

const truncatedFlag = 1 << 9;

export function say(options: SayOptions | ((query: Query) => SayOptions)): Behaviour {
  return (query) => {
    const said = typeof options === "function" ? options(query) : options;
    const type = said.type ?? (query.type === "TXT" ? "TXT" : "A");
    const octets = encode({
      type: "response",
      id: query.id,
      flags: (said.flags ?? RECURSION_AVAILABLE) | (said.rcode ?? 0),
      questions: [{ name: said.name ?? query.name, type, class: said.class ?? "IN" }],
      answers: [...(said.answers ?? [])],
      authorities: [...(said.authorities ?? [])],
    });
    return [{ octets }];
  };
}

export function addresses(list: readonly string[], ttl = 300, owner?: string): Behaviour {
  return say(({ name }) => ({
    answers: list.map((data): Answer => ({ type: "A", name: owner ?? name, ttl, data })),
  }));
}

/** One record an element, of several strings each. */
export function texts(records: readonly (readonly (string | Buffer)[])[], ttl = 300): Behaviour {
  return say(({ name }) => ({
    answers: records.map((data): Answer => ({ type: "TXT", name, ttl, data: [...data] })),
  }));
}

/** A chain of CNAMEs from the name asked for through `names`; `addresses` belong to the last. */
export function aliased(names: readonly string[], list: readonly string[], ttl = 300): Behaviour {
  return say(({ name }) => ({
    answers: [
      ...names.map((data, at): Answer => ({ type: "CNAME", name: names[at - 1] ?? name, ttl, data })),
      ...list.map((data): Answer => ({ type: "A", name: names.at(-1) ?? name, ttl, data })),
    ],
  }));
}

export function soa(minimum: number, ttl = 86_400): Answer {
  const data: SoaData = { mname: "ns.list.test", rname: "root.list.test", minimum };
  return { type: "SOA", name: "list.test", ttl, data };
}

export const nxdomain = (...authorities: readonly Answer[]): Behaviour => say({ rcode: 3, authorities });
export const nodata = (...authorities: readonly Answer[]): Behaviour => say({ authorities });
export const servfail = say({ rcode: 2 });
export const notimp = say({ rcode: 4 });
export const refused = say({ rcode: 5 });
/** The header alone, without the question. */
export const headerAlone =
  (rcode: number): Behaviour =>
  (query) => {
    const octets = messageOf(say({ rcode }), query).subarray(0, 12);
    octets.writeUInt16BE(0, 4);
    return [{ octets }];
  };
export const truncated = say({ flags: RECURSION_AVAILABLE | truncatedFlag });
/** Empty, from a server that neither knows nor asks others. */
export const referral = say({
  flags: 0,
  authorities: [{ type: "NS", name: "test", ttl: 60, data: "ns.test" }],
});
export const authoritative: SayOptions = { flags: AUTHORITATIVE_ANSWER };
export const silence: Behaviour = () => [];

export const raw =
  (octets: Buffer): Behaviour =>
  (query) => [{ octets: withId(octets, query.id) }];
/** The right header and question, and then nonsense that the header says is a record. */
export const garbage: Behaviour = (query) => {
  const octets = Buffer.concat([messageOf(say({}), query), Buffer.from([0xc0, 0xff, 0xff, 0x01])]);
  octets.writeUInt16BE(1, 6);
  return [{ octets }];
};
export const late = (afterMs: number, then: Behaviour): Behaviour => {
  return (query) => then(query).map((step) => ({ ...step, afterMs }));
};
export const forgedId = (then: Behaviour): Behaviour => {
  return (query) => then({ ...query, id: query.id ^ 0x1001 });
};
export const sentFrom = (from: "elsewhere" | "stranger", then: Behaviour): Behaviour => {
  return (query) => then(query).map((step) => ({ ...step, from }));
};
export const both = (...all: readonly Behaviour[]): Behaviour => {
  return (query) => all.flatMap((one) => one(query));
};

export function messageOf(behaviour: Behaviour, query: Partial<Query> = {}): Buffer {
  const whole = { id: 4711, name: "name.test", type: "A", transport: "udp", port: 1, ...query } as const;
  return Buffer.concat(behaviour(whole).map(({ octets }) => octets));
}

function withId(octets: Buffer, id: number): Buffer {
  const copy = Buffer.from(octets);
  if (copy.length >= 2) copy.writeUInt16BE(id, 0);
  return copy;
}

/** Bun tells a server which of its answers came too late. */
const deaf = (): void => {};

export class DnsServer {
  readonly queries: Query[] = [];
  readonly #scripts = new Map<string, { readonly udp: Behaviour; readonly tcp: Behaviour }>();
  readonly #sockets: { close(): void }[];
  readonly #udp: Bun.udp.Socket<"buffer">;
  readonly #others: Readonly<Record<"elsewhere" | "stranger", Bun.udp.Socket<"buffer">>>;
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  /** What names without a script of their own get. */
  otherwise: Behaviour = nxdomain(soa(300));

  /** `tcp: false`: connections are refused. */
  static async start(
    options: { readonly tcp?: boolean; readonly address?: string } = {},
  ): Promise<DnsServer> {
    for (let tries = 1; ; tries += 1) {
      const server = await DnsServer.#bound(options.address ?? "127.0.0.1");
      try {
        if (options.tcp !== false) server.#listen();
        return server;
      } catch (error) {
        // The kernel chose a port that is free for UDP; somebody may have it for TCP.
        server.stop();
        if (tries === 20) throw error;
      }
    }
  }

  static async #bound(hostname: string): Promise<DnsServer> {
    const hear: ((message: Buffer, port: number) => void)[] = [];
    const data = (_socket: unknown, message: Buffer, port: number) => hear[0]?.(Buffer.from(message), port);
    const udp = await Bun.udpSocket({ hostname, socket: { data, error: deaf } });
    const elsewhere = await Bun.udpSocket({ hostname, socket: { error: deaf } });
    const stranger = await Bun.udpSocket({ hostname: "127.0.0.2", socket: { error: deaf } });
    const server = new DnsServer(udp, { elsewhere, stranger });
    hear.push((message, port) => server.#overUdp(message, port));
    return server;
  }

  private constructor(
    udp: Bun.udp.Socket<"buffer">,
    others: Readonly<Record<"elsewhere" | "stranger", Bun.udp.Socket<"buffer">>>,
  ) {
    this.#udp = udp;
    this.#others = others;
    this.#sockets = [udp, others.elsewhere, others.stranger];
  }

  get address(): { readonly address: string; readonly port: number } {
    return { address: this.#udp.address.address, port: this.#udp.port };
  }

  on(name: string, udp: Behaviour, tcp: Behaviour = udp): void {
    this.#scripts.set(name.toLowerCase(), { udp, tcp });
  }

  asked(name: string): Query[] {
    return this.queries.filter((query) => query.name === name);
  }

  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    for (const socket of this.#sockets.splice(0)) socket.close();
  }

  #listen(): void {
    const received = new WeakMap<object, Buffer>();
    const listener = Bun.listen({
      hostname: this.#udp.address.address,
      port: this.#udp.port,
      socket: {
        data: (socket, octets) => {
          const all = Buffer.concat([received.get(socket) ?? Buffer.alloc(0), octets]);
          received.set(socket, all);
          if (all.length < 2 || all.length < 2 + all.readUInt16BE(0)) return;
          this.#answer(all.subarray(2), "tcp", socket.remotePort, ({ octets: message }) => {
            const length = Buffer.from([message.length >> 8, message.length & 0xff]);
            // In two pieces, since nobody promises that a message arrives in one.
            socket.write(Buffer.concat([length, message.subarray(0, 3)]));
            this.#after(5, () => socket.write(message.subarray(3)));
          });
        },
      },
    });
    this.#sockets.push({ close: () => listener.stop(true) });
  }

  #overUdp(message: Buffer, port: number): void {
    this.#answer(message, "udp", port, ({ octets, from }) => {
      const { address } = this.#udp.address;
      try {
        (from === undefined ? this.#udp : this.#others[from]).send(octets, port, address);
      } catch {
        // Bun throws what ICMP said of the datagram before: that nobody hears it is what is being tested.
      }
    });
  }

  #answer(message: Buffer, transport: "udp" | "tcp", port: number, send: (step: Step) => void): void {
    const [question] = decode(message).questions ?? [];
    if (question === undefined) throw new Error("a query without a question");
    const query = { id: message.readUInt16BE(0), name: question.name, type: question.type, transport, port };
    this.queries.push(query);
    const behaviour = this.#scripts.get(question.name.toLowerCase())?.[transport] ?? this.otherwise;
    for (const step of behaviour(query)) {
      if (step.afterMs === undefined) send(step);
      else this.#after(step.afterMs, () => send(step));
    }
  }

  #after(delayMs: number, callback: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      callback();
    }, delayMs);
    this.#timers.add(timer);
  }
}
