/** Names for sessions: 60 random bits as 12 characters of Crockford's base32, fit for a log and an atom. */
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const length = 12;

export function newSessionId(): string {
  let id = "";
  for (const octet of crypto.getRandomValues(new Uint8Array(length))) {
    id += alphabet.charAt(octet % alphabet.length);
  }
  return id;
}
