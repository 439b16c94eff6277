/** Names for sessions: 60 random bits as 12 characters of Crockford's base32, fit for a log and an atom. */
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const length = 12;

export function newSessionId(): string {
  const octets = crypto.getRandomValues(new Uint8Array(length));
  return Array.from(octets, (octet) => alphabet.charAt(octet % alphabet.length)).join("");
}
