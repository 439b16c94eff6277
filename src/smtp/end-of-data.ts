/**
 * Finds the end of mail data that nobody wants any more: the first CRLF "." CRLF, and nothing else is looked at.
 * Any split into chunks finds the same end, which is the one that mail-data.ts would have found
 * (test/smtp/mail-data.test.ts compares). Each octet is looked at once by Buffer.indexOf, whose time is linear also
 * where the octets are made to almost match.
 * RFC 5321 §4.1.1.4.
 */

const endOfData = Buffer.from("\r\n.\r\n");
/** Of the first octets of a chunk so many can belong to an end that began in the chunk before. */
const edgeOctets = endOfData.length - 1;
const CR = 0x0d;

export class EndOfDataSearch {
  /** So many octets of an end came last. */
  #matched: number;

  /** `matched`: so many octets of an end came last, before the search began. */
  constructor(matched: number) {
    this.#matched = matched;
  }

  /** Takes the next chunk. The offset behind the end of mail data; undefined if it is not among these octets. */
  search(octets: Buffer, from = 0): number | undefined {
    const edgeEnd = Math.min(from + edgeOctets, octets.length);
    for (let at = from; at < edgeEnd; at += 1) {
      this.#step(octets.readUInt8(at));
      if (this.#matched === endOfData.length) return at + 1;
    }
    const found = octets.indexOf(endOfData, from);
    if (found !== -1) return found + endOfData.length;
    if (edgeEnd === octets.length) return undefined;
    this.#matched = 0;
    for (let at = octets.length - edgeOctets; at < octets.length; at += 1) this.#step(octets.readUInt8(at));
    return undefined;
  }

  #step(octet: number): void {
    if (octet === endOfData[this.#matched]) this.#matched += 1;
    else this.#matched = octet === CR ? 1 : 0;
  }
}
