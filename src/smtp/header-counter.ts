/**
 * Counts the header fields of one name in a message that streams by in chunks of any size.
 * Looks at the start of each line of the header section and at nothing behind it; keeps no octets.
 * A field name is followed by a colon, perhaps with white space before it (RFC 5322 §4.5); folded lines do not count.
 * The input has proper line ends (mail-data.ts sees to that).
 */
const LF = 0x0a;
const CR = 0x0d;
const COLON = 0x3a;
const shortLineOctets = 16;

/** Where the next octet stands in its line: within the name, behind the whole name, past interest, behind all. */
type Position = "name" | "colon" | "line" | "body";

export class HeaderCounter {
  readonly #name: string;
  #position: Position = "name";
  #matched = 0;
  #count = 0;

  /** `name`: the field's name in lower case. */
  constructor(name: string) {
    this.#name = name;
  }

  get count(): number {
    return this.#count;
  }

  observe(octets: Buffer): void {
    let position = this.#position;
    let at = 0;
    while (at < octets.length && position !== "body") {
      if (position === "line") {
        at = behindLine(octets, at);
        if (octets[at - 1] !== LF) break;
        position = "name";
        this.#matched = 0;
      } else if (position === "name") {
        const matched = this.#matchName(octets, at);
        at += matched - this.#matched;
        this.#matched = matched;
        if (matched === this.#name.length) position = "colon";
        else if (octets[at] === CR && matched === 0) position = "body";
        else if (at < octets.length) position = "line";
      } else {
        const octet = octets[at];
        if (octet === COLON) this.#count += 1;
        if (octet !== 0x20 && octet !== 0x09) position = "line";
        // The line's end may be this octet: it is looked at again.
        else at += 1;
      }
    }
    this.#position = position;
  }

  /** How much of the name is there with the octets from `from` on. */
  #matchName(octets: Buffer, from: number): number {
    const name = this.#name;
    let matched = this.#matched;
    for (let at = from; matched < name.length; at += 1, matched += 1) {
      if (lowerCase(octets[at] ?? 0) !== name.charCodeAt(matched)) break;
    }
    return matched;
  }
}

/** Behind the next LF from `from` on; the end without one. A call of indexOf costs as much as a short line. */
function behindLine(octets: Buffer, from: number): number {
  const shortEnd = Math.min(from + shortLineOctets, octets.length);
  for (let at = from; at < shortEnd; at += 1) {
    if (octets[at] === LF) return at + 1;
  }
  const lf = octets.indexOf(LF, shortEnd);
  return lf === -1 ? octets.length : lf + 1;
}

function lowerCase(octet: number): number {
  return octet >= 0x41 && octet <= 0x5a ? octet + 0x20 : octet;
}
