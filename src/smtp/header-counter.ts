/**
 * Counts the header fields of one name in a message that streams by in chunks of any size.
 * Looks at the start of each line of the header section and at nothing behind it; keeps no octets.
 * A field name is followed by a colon, perhaps with white space before it (RFC 5322 §4.5); folded lines do not count.
 * The input has proper line ends (mail-data.ts sees to that).
 */
const LF = 0x0a;
const CR = 0x0d;
const COLON = 0x3a;

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
    let at = 0;
    while (at < octets.length && this.#position !== "body") {
      if (this.#position === "line") {
        const lf = octets.indexOf(LF, at);
        if (lf === -1) return;
        at = lf + 1;
        this.#position = "name";
        this.#matched = 0;
      } else {
        this.#step(octets.readUInt8(at));
        at += 1;
      }
    }
  }

  #step(octet: number): void {
    if (this.#position === "colon") {
      if (octet === 0x20 || octet === 0x09) return;
      if (octet === COLON) this.#count += 1;
      this.#position = "line";
    } else if (octet === CR && this.#matched === 0) {
      this.#position = "body";
    } else if (lowerCase(octet) !== this.#name.charCodeAt(this.#matched)) {
      this.#position = "line";
    } else {
      this.#matched += 1;
      if (this.#matched === this.#name.length) this.#position = "colon";
    }
  }
}

function lowerCase(octet: number): number {
  return octet >= 0x41 && octet <= 0x5a ? octet + 0x20 : octet;
}
