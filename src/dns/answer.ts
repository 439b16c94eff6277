/**
 * What a DNS message says of the name that was asked for: addresses, texts, that there are none, or trouble.
 *
 * Contract: `readAnswer` never throws, and leaves the message as it is; header and question were found to fit before
 * (transport.ts). A CNAME is followed within the answer, which a recursive server fills in.
 * Not here: who is asked, and when again (resolver.ts); how long an answer is believed (cache.ts).
 * RFC 1035 §4, RFC 2308 §5, RFC 2181 §8.
 */
import { isIPv4 } from "node:net";
import { type Answer, type DecodedPacket, decode } from "dns-packet";
import type { LookupAnswer } from "../client/messages.ts";
import { believedTtlMs, ttlMsMax, ttlMsMin } from "./cache.ts";
import { headerOctets } from "./transport.ts";

export type DnsType = "A" | "TXT";

const aliasesMax = 16;
/** An owner name's one octet, type, class, TTL and length. */
const recordOctetsMin = 11;
const noError = 0;
const noSuchName = 3;
const failures: Readonly<Record<number, string>> = { 1: "FORMERR", 2: "SERVFAIL", 4: "NOTIMP", 5: "REFUSED" };

/** What `message` says of `name` (in lower case), whose header and question were found to fit. Never throws. */
export function readAnswer(message: Buffer, name: string, type: DnsType): LookupAnswer {
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

export function trouble(reason: string, server?: string): LookupAnswer {
  return { kind: "trouble", reason, server };
}
