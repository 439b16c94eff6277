/**
 * Verifies DKIM signatures, so that the demo can show that they survive the proxy: the hash of the body always, and
 * the signature where the public key is known. Keys are not asked of the DNS: the demo leaves the machine alone.
 * In: a whole message with CRLF line ends. Out: a result for each DKIM-Signature field. Never throws.
 * Not here: any decision about mail. The proxy itself does not look at signatures.
 * RFC 6376 §3.4 (canonicalization), §3.5 (tags), §3.7 (hashes), §5.4 (which fields); RFC 8463 (Ed25519).
 */
import { createHash, createPublicKey, verify } from "node:crypto";

export interface DkimResult {
  readonly domain: string;
  readonly selector: string;
  readonly bodyHash: "matches" | "differs" | "unknown";
  /** "unknown": we do not have its key, or do not know its algorithm. */
  readonly signature: "verifies" | "fails" | "unknown";
}

/** Public keys in PEM by "selector._domainkey.domain". */
export type DkimKeys = ReadonlyMap<string, string>;

type Canonicalization = "simple" | "relaxed";

/** A field as it stands, its line end included. */
interface Field {
  readonly name: string;
  readonly raw: string;
}

/** Signatures that are looked at; more are an attack on somebody. */
const signaturesMax = 8;

export function verifyDkim(message: Buffer, keys: DkimKeys): readonly DkimResult[] {
  const text = message.toString("latin1");
  const end = text.startsWith("\r\n") ? 0 : text.indexOf("\r\n\r\n") + 2;
  const header = end < 2 ? (end === 0 ? "" : text) : text.slice(0, end);
  const body = end < 2 && end !== 0 ? "" : text.slice(end + 2);
  const fields = splitFields(header);
  return fields
    .filter(({ name }) => name === "dkim-signature")
    .slice(0, signaturesMax)
    .map((signature) => verifyOne(signature, fields, body, keys));
}

function verifyOne(signature: Field, fields: readonly Field[], body: string, keys: DkimKeys): DkimResult {
  const tags = readTags(signature.raw.slice(signature.raw.indexOf(":") + 1));
  const tag = (name: string): string => tags.get(name) ?? "";
  const [headerForm = "simple", bodyForm = "simple"] = (tags.get("c") ?? "simple").toLowerCase().split("/");
  const result = { domain: tag("d"), selector: tag("s") };
  const [algorithm, hash] = tag("a").toLowerCase().split("-");
  if (hash !== "sha256" || !isForm(headerForm) || !isForm(bodyForm)) {
    return { ...result, bodyHash: "unknown", signature: "unknown" };
  }
  const canonical = canonicalBody(body, bodyForm);
  const signed = tags.has("l") ? canonical.slice(0, Number(tag("l"))) : canonical;
  const bodyHash = createHash("sha256").update(signed, "latin1").digest("base64") === tag("bh");
  const key = keys.get(`${tag("s")}._domainkey.${tag("d")}`);
  if (key === undefined || (algorithm !== "rsa" && algorithm !== "ed25519")) {
    return { ...result, bodyHash: bodyHash ? "matches" : "differs", signature: "unknown" };
  }
  const input = Buffer.from(signedHeader(signature, fields, tag("h").split(":"), headerForm), "latin1");
  const good = bodyHash && verifySignature(algorithm, input, key, Buffer.from(tag("b"), "base64"));
  return {
    ...result,
    bodyHash: bodyHash ? "matches" : "differs",
    signature: good ? "verifies" : "fails",
  };
}

function verifySignature(
  algorithm: "rsa" | "ed25519",
  input: Buffer,
  key: string,
  signature: Buffer,
): boolean {
  const publicKey = createPublicKey(key);
  return algorithm === "rsa"
    ? verify("sha256", input, publicKey, signature)
    : verify(null, createHash("sha256").update(input).digest(), publicKey, signature);
}

function isForm(text: string): text is Canonicalization {
  return text === "simple" || text === "relaxed";
}

/** "v=1; a=rsa-sha256; …", white space taken out of the values. */
function readTags(text: string): ReadonlyMap<string, string> {
  const tags = new Map<string, string>();
  for (const part of text.split(";")) {
    const equals = part.indexOf("=");
    if (equals > 0) tags.set(part.slice(0, equals).trim(), part.slice(equals + 1).replace(/\s+/g, ""));
  }
  return tags;
}

function splitFields(header: string): readonly Field[] {
  const fields: Field[] = [];
  for (const raw of header.split(/(?<=\r\n)(?![ \t])/)) {
    const colon = raw.indexOf(":");
    if (colon > 0) fields.push({ name: raw.slice(0, colon).trim().toLowerCase(), raw });
  }
  return fields;
}

/** What was signed of the header section: the fields named, each name from the last one upwards, then our own. */
function signedHeader(
  signature: Field,
  fields: readonly Field[],
  names: readonly string[],
  form: Canonicalization,
): string {
  const left = fields.filter((field) => field !== signature);
  const chosen: string[] = [];
  for (const name of names) {
    const index = left.findLastIndex((field) => field.name === name.toLowerCase());
    const [field] = index === -1 ? [] : left.splice(index, 1);
    if (field !== undefined) chosen.push(canonicalField(field.raw, form));
  }
  // Its own "b=" counts as empty. "bh=" is another tag.
  const unsigned = signature.raw.replace(/([:;]\s*b\s*=)[^;]*/, "$1");
  const own = canonicalField(unsigned.endsWith("\r\n") ? unsigned : `${unsigned}\r\n`, form);
  return chosen.join("") + own.slice(0, -2);
}

function canonicalField(raw: string, form: Canonicalization): string {
  if (form === "simple") return raw;
  const colon = raw.indexOf(":");
  const name = raw.slice(0, colon).trim().toLowerCase();
  const value = raw
    .slice(colon + 1)
    .replaceAll("\r\n", "")
    .replace(/[ \t]+/g, " ")
    .trim();
  return `${name}:${value}\r\n`;
}

export function canonicalBody(body: string, form: Canonicalization): string {
  const lines = form === "simple" ? body : body.replace(/[ \t]+/g, " ").replaceAll(" \r\n", "\r\n");
  let end = lines.length;
  if (form === "relaxed" && lines.endsWith(" ")) end -= 1;
  while (lines.endsWith("\r\n", end)) end -= 2;
  const text = lines.slice(0, end);
  return text === "" && form === "relaxed" ? "" : `${text}\r\n`;
}
