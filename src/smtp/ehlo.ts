/**
 * What a server's reply to EHLO offers. Unknown keywords and malformed parameters are passed over: a relay may
 * offer what it likes, and what we do not understand we do not use. A tab separates as a space does: some relays write
 * it, and nothing else can be meant.
 * Not here: what we offer to clients (client/offer.ts).
 * RFC 5321 §4.1.1.1; SIZE: RFC 1870; AUTH: RFC 4954 and the older "AUTH=" form.
 */
import type { Reply } from "./replies.ts";

export type AuthMechanism = "PLAIN" | "LOGIN";

export interface RelayOffer {
  readonly pipelining: boolean;
  /** Largest message in octets; 0: no fixed limit is declared. undefined: SIZE is not offered. */
  readonly sizeOctetsMax: number | undefined;
  readonly eightBitMime: boolean;
  readonly smtputf8: boolean;
  readonly dsn: boolean;
  readonly starttls: boolean;
  readonly auth: readonly AuthMechanism[];
}

/** The offer of a server that only knows HELO. */
export const noOffer: RelayOffer = {
  pipelining: false,
  sizeOctetsMax: undefined,
  eightBitMime: false,
  smtputf8: false,
  dsn: false,
  starttls: false,
  auth: [],
};

export function parseEhloReply(reply: Reply): RelayOffer {
  const keywords = new Map<string, string>();
  for (const line of reply.lines.slice(1)) {
    const [keyword = "", ...parameters] = line
      .trim()
      .toUpperCase()
      .replace(/^AUTH=/, "AUTH ")
      .split(/[ \t]+/);
    keywords.set(keyword, [keywords.get(keyword) ?? "", ...parameters].join(" ").trim());
  }
  const size = keywords.get("SIZE");
  const mechanisms = (keywords.get("AUTH") ?? "").split(" ");
  return {
    pipelining: keywords.has("PIPELINING"),
    sizeOctetsMax: size === undefined ? undefined : /^\d{1,15}$/.test(size) ? Number(size) : 0,
    eightBitMime: keywords.has("8BITMIME"),
    smtputf8: keywords.has("SMTPUTF8"),
    dsn: keywords.has("DSN"),
    starttls: keywords.has("STARTTLS"),
    auth: (["PLAIN", "LOGIN"] as const).filter((mechanism) => mechanisms.includes(mechanism)),
  };
}
