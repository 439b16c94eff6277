/**
 * A stub resolver: asks the operator's name servers for addresses and texts, and says plainly whether a name is
 * there, is not there, or could not be asked for. What DNSBLs are looked up with.
 *
 * Servers are asked in their order; one that was silent lately comes last. A server that refuses, fails or talks
 * nonsense is left for the next one; a silent one is asked again while there is time. An answer that comes late
 * counts as long as the lookup waits. A CNAME is followed within its answer, which a recursive server fills in.
 * Never rejects, never throws: trouble is an answer. Every wait ends with `timeoutMs`; lookups, cached answers and
 * sockets are bounded. Equal lookups share one question.
 * Not here: sockets and forged answers (dns-transport.ts), what an address in an answer means (screening/).
 * Rejected: EDNS. A list's answer fits in 512 octets, TCP carries the rest, and there is no FORMERR to fall back from.
 * Rejected: node:dns. It splits a TXT record's strings and cannot tell "no such name" from "no such record".
 * Rejected: random letter case in names. Some servers do not echo it; the port and the id have to do.
 * RFC 1035 §4 and §7, RFC 2308 §5, RFC 2181 §8.
 */
import { isIPv4 } from "node:net";
import { type Answer, type DecodedPacket, decode, encode, RECURSION_DESIRED } from "dns-packet";
import { believedTtlMs, DnsCache, ttlMsMax, ttlMsMin } from "./dns-cache.ts";
import { type Asking, type DnsServer, DnsTransport, describeServer, headerOctets } from "./dns-transport.ts";

export type DnsType = "A" | "TXT";

export type DnsAnswer =
  /** Type A: IPv4 addresses, in the answer's order. */
  | ({ readonly kind: "found"; readonly addresses: readonly string[] } & AnswerAge)
  /** Type TXT: one wire string a record, its strings joined. */
  | ({ readonly kind: "texts"; readonly texts: readonly string[] } & AnswerAge)
  /** No such name, or nothing of this type there. */
  | ({ readonly kind: "none" } & AnswerAge)
  /** One line for the log; no octet of a peer's is in it. `server`: the one it is about, if it is about one. */
  | { readonly kind: "trouble"; readonly reason: string; readonly server: string | undefined };

interface AnswerAge {
  /** How long this still holds. */
  readonly ttlMs: number;
  /** It was known from before. */
  readonly cached?: true;
}

export interface DnsSettings {
  readonly servers: readonly DnsServer[];
  /** For a whole lookup. */
  readonly timeoutMs: number;
  /** Until the next server is asked too. 1.5 s, or less where there would be no time to ask them all and one again. */
  readonly attemptMs?: number;
}

const attemptMsDefault = 1_500;
const lookupsMax = 2_000;
const cacheEntriesMax = 10_000;
/** A longer answer is not kept, so that the cache has a limit in octets too. */
const cachedOctetsMax = 2_048;
const demotionMs = 30_000;
const aliasesMax = 16;
/** An owner name's one octet, type, class, TTL and length. */
const recordOctetsMin = 11;
const noError = 0;
const noSuchName = 3;
const failures: Readonly<Record<number, string>> = { 1: "FORMERR", 2: "SERVFAIL", 4: "NOTIMP", 5: "REFUSED" };

export class DnsResolver {
  readonly #servers: readonly DnsServer[];
  readonly #timeoutMs: number;
  readonly #attemptMs: number;
  readonly #now: () => number;
  readonly #transport: DnsTransport;
  readonly #cache = new DnsCache(cacheEntriesMax);
  readonly #lookups = new Map<string, Lookup>();
  readonly #demotedUntil = new Map<DnsServer, number>();
  #closed = false;

  /** `now`: milliseconds that only grow, for TTLs; waits are the system's timers. */
  constructor(settings: DnsSettings, now: () => number) {
    this.#servers = settings.servers.map(({ address, port }) => ({ address, port }));
    this.#timeoutMs = settings.timeoutMs;
    const share = settings.timeoutMs / (this.#servers.length + 1);
    this.#attemptMs = settings.attemptMs ?? Math.min(attemptMsDefault, share);
    this.#now = now;
    this.#transport = new DnsTransport(settings.attemptMs ?? attemptMsDefault);
  }

  /** For metrics. `strays` are datagrams that answered nothing that was asked. */
  get counts(): { readonly outstanding: number; readonly cached: number; readonly strays: number } {
    return { outstanding: this.#lookups.size, cached: this.#cache.size, strays: this.#transport.strays };
  }

  /** `name` is a full one, with or without its last dot, in ASCII. */
  async lookup(name: string, type: DnsType): Promise<DnsAnswer> {
    const asked = name.replace(/\.$/, "").toLowerCase();
    if (!isName(name)) return trouble("not a domain name");
    if (this.#closed) return trouble("resolver closed");
    const key = `${type} ${asked}`;
    const known = this.#cache.get(key, this.#now()) ?? this.#lookups.get(key)?.outcome;
    if (known !== undefined) return known;
    if (this.#lookups.size >= lookupsMax) return trouble("too many lookups at once");
    const plan = { name: asked, type, servers: this.#inOrder() };
    const times = { timeoutMs: this.#timeoutMs, attemptMs: this.#attemptMs };
    const lookup = new Lookup(
      this.#transport,
      { ...plan, ...times },
      {
        silent: (server) => void this.#demotedUntil.set(server, this.#now() + demotionMs),
        settled: (answer, octets) => {
          this.#lookups.delete(key);
          if (answer.kind === "trouble" || octets > cachedOctetsMax) return;
          this.#cache.put(key, answer, this.#now());
        },
      },
    );
    this.#lookups.set(key, lookup);
    return lookup.outcome;
  }

  /** Lookups under way end in trouble. */
  close(): void {
    this.#closed = true;
    for (const lookup of [...this.#lookups.values()]) lookup.settle(trouble("resolver closed"));
    this.#cache.clear();
    this.#transport.close();
  }

  #inOrder(): DnsServer[] {
    const now = this.#now();
    const isDemoted = (server: DnsServer) => (this.#demotedUntil.get(server) ?? now) > now;
    return [...this.#servers.filter((s) => !isDemoted(s)), ...this.#servers.filter(isDemoted)];
  }
}

interface LookupPlan {
  /** In lower case, without its last dot. */
  readonly name: string;
  readonly type: DnsType;
  readonly servers: readonly DnsServer[];
  readonly attemptMs: number;
  readonly timeoutMs: number;
}

interface LookupOwner {
  /** The server had its time for a try and said nothing. */
  silent(server: DnsServer): void;
  /** Once, before `outcome` resolves. `octets`: the length of the message that the answer was read from. */
  settled(answer: DnsAnswer, octets: number): void;
}

/** One name and type, asked of one server after the other. */
class Lookup {
  readonly outcome: Promise<DnsAnswer>;
  readonly #resolve: (answer: DnsAnswer) => void;
  readonly #transport: DnsTransport;
  readonly #plan: LookupPlan;
  readonly #query: Buffer;
  readonly #owner: LookupOwner;
  /** Whose turn it is comes first. A server that failed is out. */
  readonly #servers: DnsServer[];
  readonly #asked = new Map<DnsServer, Asking>();
  readonly #deadline: ReturnType<typeof setTimeout>;
  #attempt: ReturnType<typeof setTimeout> | undefined;
  #settled = false;

  constructor(transport: DnsTransport, plan: LookupPlan, owner: LookupOwner) {
    const { name, type, timeoutMs } = plan;
    const { promise, resolve } = Promise.withResolvers<DnsAnswer>();
    this.outcome = promise;
    this.#resolve = resolve;
    this.#transport = transport;
    this.#plan = plan;
    this.#servers = [...plan.servers];
    this.#query = encode({
      type: "query",
      flags: RECURSION_DESIRED,
      questions: [{ name, type, class: "IN" }],
    });
    this.#owner = owner;
    const silence = trouble(`no answer within ${timeoutMs / 1000}s`);
    this.#deadline = setTimeout(() => this.settle(silence), timeoutMs);
    queueMicrotask(() => this.#ask(trouble("no DNS server")));
  }

  settle(answer: DnsAnswer, octets = 0): void {
    if (this.#settled) return;
    this.#settled = true;
    clearTimeout(this.#deadline);
    clearTimeout(this.#attempt);
    for (const asking of this.#asked.values()) asking.cancel();
    this.#owner.settled(answer, octets);
    this.#resolve(answer);
  }

  /** Asks the server whose turn it is. `before`: what became of the last one; if there is none left, of all. */
  #ask(before: DnsAnswer): void {
    if (this.#settled) return;
    const [server] = this.#servers;
    if (server === undefined) {
      this.settle(before);
      return;
    }
    clearTimeout(this.#attempt);
    // Up to a quarter sooner, so that a crowd whose questions were lost together does not come back together.
    const attemptMs = this.#plan.attemptMs * (1 - Math.random() / 4);
    this.#attempt = setTimeout(() => this.#silent(server), attemptMs);
    const asking = this.#asked.get(server);
    if (asking !== undefined) {
      asking.again();
      return;
    }
    const handler = {
      answered: (message: Buffer) => this.#answered(server, message),
      failed: (why: string) => this.#failed(server, why),
    };
    this.#asked.set(server, this.#transport.ask(server, this.#query, handler));
  }

  #silent(server: DnsServer): void {
    this.#owner.silent(server);
    this.#servers.push(...this.#servers.splice(this.#servers.indexOf(server), 1));
    this.#ask(trouble("no answer"));
  }

  #answered(server: DnsServer, message: Buffer): void {
    const answer = readAnswer(message, this.#plan.name, this.#plan.type);
    if (answer.kind === "trouble") this.#failed(server, answer.reason);
    else this.settle(answer, message.length);
  }

  #failed(server: DnsServer, why: string): void {
    const hadItsTurn = this.#servers[0] === server;
    this.#servers.splice(this.#servers.indexOf(server), 1);
    // If another's turn has come meanwhile, that one keeps its time.
    if (hadItsTurn) this.#ask(trouble(why, describeServer(server)));
  }
}

/** What `message` says of `name` (in lower case), whose header and question were found to fit. Never throws. */
export function readAnswer(message: Buffer, name: string, type: DnsType): DnsAnswer {
  if (message.length < headerOctets) return trouble("malformed answer");
  const code = message.readUInt8(3) & 0x0f;
  if (code !== noError && code !== noSuchName) return trouble(failures[code] ?? `RCODE ${code}`);
  const packet = decoded(message);
  if (packet === undefined) return trouble("malformed answer");
  const { answers = [], authorities = [] } = packet;
  const aliases = new Map<string, { readonly target: string; readonly ttlMs: number }>();
  for (const record of answers) {
    if (record.type !== "CNAME" || record.class !== "IN") continue;
    aliases.set(record.name.toLowerCase(), { target: record.data.toLowerCase(), ttlMs: ttlMsOf(record.ttl) });
  }
  let owner = name;
  let ttlMs = ttlMsMax;
  for (let hops = 0, alias = aliases.get(owner); alias !== undefined; alias = aliases.get(owner)) {
    hops += 1;
    if (hops > aliasesMax) return trouble("endless CNAME");
    ttlMs = Math.min(ttlMs, alias.ttlMs);
    owner = alias.target;
  }
  const addresses: string[] = [];
  const texts: string[] = [];
  for (const record of answers) {
    if (record.type !== type || record.class !== "IN" || record.name.toLowerCase() !== owner) continue;
    ttlMs = Math.min(ttlMs, ttlMsOf(record.ttl));
    if (record.type === "A") addresses.push(record.data);
    else texts.push([record.data].flat().map(wireString).join(""));
  }
  if (code === noSuchName || addresses.length + texts.length === 0) {
    const soa = authorities.find((record) => record.type === "SOA");
    const isReferral = code === noError && soa === undefined && !packet.flag_ra && !packet.flag_aa;
    if (isReferral) return trouble("does not resolve for us");
    return { kind: "none", ttlMs: believedTtlMs(Math.min(ttlMs, negativeTtlMs(soa))) };
  }
  if (!addresses.every((address) => isIPv4(address))) return trouble("malformed answer");
  return type === "A"
    ? { kind: "found", addresses, ttlMs: believedTtlMs(ttlMs) }
    : { kind: "texts", texts, ttlMs: believedTtlMs(ttlMs) };
}

/**
 * dns-packet throws at most faults, but reads past the end of a record at others, and makes arrays as long as the
 * header says. Additional records are not read: nothing in them is ours, and a new type must not spoil an answer.
 */
function decoded(message: Buffer): DecodedPacket | undefined {
  const records = message.readUInt16BE(6) + message.readUInt16BE(8);
  if (message.readUInt16BE(4) !== 1 || records * recordOctetsMin > message.length) return undefined;
  const copy = Buffer.from(message);
  copy.writeUInt16BE(0, 10);
  try {
    const packet = decode(copy);
    return decode.bytes <= copy.length && lengthsHold(copy, records) ? packet : undefined;
  } catch {
    // Not a fault of ours: the caller says "malformed answer", which is all there is to say.
    return undefined;
  }
}

/** dns-packet takes an address for four octets, whatever the record's length says. Throws past the message's end. */
function lengthsHold(message: Buffer, records: number): boolean {
  let at = behindName(message, headerOctets) + 4;
  for (let n = 0; n < records; n += 1) {
    at = behindName(message, at);
    const length = message.readUInt16BE(at + 8);
    if (message.readUInt16BE(at) === 1 && length !== 4) return false;
    at += 10 + length;
  }
  return at === decode.bytes;
}

/** RFC 1035 §4.1.4: a name ends with an empty label or a pointer. */
function behindName(message: Buffer, from: number): number {
  let at = from;
  for (let length = message.readUInt8(at); length !== 0; length = message.readUInt8(at)) {
    if (length >= 0xc0) return at + 2;
    at += 1 + length;
  }
  return at + 1;
}

/** RFC 2308 §5: the lesser of the SOA record's TTL and its last field. */
function negativeTtlMs(soa: Answer | undefined): number {
  return soa?.type === "SOA" ? Math.min(ttlMsOf(soa.ttl), ttlMsOf(soa.data.minimum)) : ttlMsMin;
}

/** RFC 2181 §8: with the top bit set, it is 0. */
function ttlMsOf(seconds = 0): number {
  return seconds > 0x7fff_ffff ? 0 : seconds * 1_000;
}

function wireString(part: string | Buffer): string {
  return Buffer.isBuffer(part) ? part.toString("latin1") : Buffer.from(part).toString("latin1");
}

/** Labels of 1 to 63 visible ASCII characters, 253 in all. dns-packet would write anything. */
function isName(name: string): boolean {
  return /^[!-\-/-~]{1,63}(\.[!-\-/-~]{1,63})*\.?$/.test(name) && name.replace(/\.$/, "").length <= 253;
}

function trouble(reason: string, server?: string): DnsAnswer {
  return { kind: "trouble", reason, server };
}
