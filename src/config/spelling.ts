/**
 * Finds the option that a name which is none was meant to be: misspelt (two typing errors in a long name, one in a
 * short one), cut short (RELAY_USER, MAX_CONN), or what other programs call it (TLS_CERT). Case and hyphens for
 * underscores do not count as errors.
 * An environment holds names that are not ours, and one of them may be near by chance; so there it is a hint only.
 * Rejected: matching by common beginnings ("RELAY_…"), which would catch what container hosts put there.
 */
import { OPTIONS, PROPERTIES } from "./options.ts";

const SHORT_NAME_CHARS_MAX = 8;
const CUT_WORD_CHARS_MIN = 3;
const NAMES: readonly string[] = PROPERTIES.map((property) => OPTIONS[property].name);

/** What the same is called elsewhere, where neither spelling nor shortening leads to ours. */
export const OTHER_NAMES: ReadonlyMap<string, string> = new Map(
  (
    [
      ["LISTEN_ADDRESS", "LISTEN LISTEN_PORT LISTEN_ON BIND_ADDRESS"],
      ["SERVER_NAME", "MYHOSTNAME SERVER_HOSTNAME HELO_NAME"],
      ["SERVER_CERT", "TLS_CERT TLS_CERT_FILE TLS_CERTIFICATE SERVER_CERTIFICATE SERVER_CERT_FILE SSL_CERT"],
      ["SERVER_KEY", "TLS_KEY TLS_KEY_FILE TLS_PRIVATE_KEY SERVER_PRIVATE_KEY SERVER_KEY_FILE SSL_KEY"],
      ["RELAY_HOST", "RELAY RELAY_SERVER RELAY_PORT RELAY_ADDRESS SMTP_RELAY SMARTHOST"],
      ["RELAY_USERNAME", "RELAY_LOGIN"],
      ["VALID_RECIPIENTS", "RECIPIENTS ALLOWED_RECIPIENTS RELAY_DOMAINS"],
      ["DNSBL_DOMAINS", "DNSBL DNSBLS DNSBL_ZONES DNSBL_SITES DNSBL_SERVERS RBL_DOMAINS"],
      ["DNS_SERVERS", "NAMESERVERS RESOLVERS DNS_RESOLVERS"],
      ["TRUSTED_CLIENTS", "MYNETWORKS TRUSTED_NETWORKS"],
      ["MAX_MESSAGE_SIZE", "MESSAGE_SIZE_LIMIT MAX_SIZE"],
    ] as const
  ).flatMap(([option, others]) => others.split(" ").map((other): [string, string] => [other, option])),
);

/** The name of the option that `name` is nearly, but not exactly, the name of. */
export function nearMiss(name: string): string | undefined {
  if (NAMES.includes(name)) return undefined;
  const plain = name.replaceAll("-", "_").toUpperCase();
  const other = OTHER_NAMES.get(plain);
  if (other !== undefined) return other;
  const candidates = NAMES.map((option) => ({ option, errors: editDistance(plain, option) }));
  candidates.sort((a, b) => a.errors - b.errors);
  const misspelt = candidates.find(
    ({ option, errors }) => errors <= (option.length > SHORT_NAME_CHARS_MAX ? 2 : 1),
  );
  return misspelt?.option ?? NAMES.find((option) => isCutShort(plain, option));
}

/** Word by word, each begins as the option's does. One word alone is too little to go by. */
function isCutShort(name: string, option: string): boolean {
  const words = name.split("_");
  const whole = option.split("_");
  return (
    words.length > 1 &&
    words.length === whole.length &&
    words.every(
      (word, n) => word === whole[n] || (word.length >= CUT_WORD_CHARS_MIN && whole[n]?.startsWith(word)),
    )
  );
}

/** Levenshtein's distance. Names that differ much in length are infinitely far apart, which bounds the work. */
export function editDistance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 2) return Number.POSITIVE_INFINITY;
  let above = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const replaced = (above[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1);
      const removed = (above[column] ?? 0) + 1;
      const added = (current[column - 1] ?? 0) + 1;
      current.push(Math.min(replaced, removed, added));
    }
    above = current;
  }
  return above[b.length] ?? 0;
}
