/** Messages that relays and clients stumble over. Each ends in CRLF; none has a bare CR or LF. */

export interface Message {
  readonly name: string;
  readonly octets: Buffer;
}

const latin1 = (text: string): Buffer => Buffer.from(text, "latin1");

/** Complete, so that no peer has a reason to add a field of its own. */
export function headed(subject: string, body: string | Buffer): Buffer {
  const header = [
    "From: Author <author@client.test>",
    "To: Reader <reader@sink.test>",
    `Subject: ${subject}`,
    "Date: Mon, 23 Nov 2026 12:00:00 +0000",
    `Message-ID: <${subject.replaceAll(/\W+/g, "-")}@client.test>`,
    "",
    "",
  ].join("\r\n");
  return Buffer.concat([latin1(header), typeof body === "string" ? latin1(body) : body]);
}

/** The message of one octet, and the CRLF that SMTP cannot do without. */
export const oneOctet = latin1("x\r\n");

const octetsOf = (from: number, to: number): string =>
  Array.from({ length: to - from + 1 }, (_, index) => String.fromCharCode(from + index)).join("");

const eightBit = octetsOf(0x80, 0xff);
const control = octetsOf(0x01, 0x09) + octetsOf(0x0b, 0x0c) + octetsOf(0x0e, 0x1f);

const longLine = (length: number, letter: string): string => `${letter.repeat(length)}\r\n`;

/** What every way of mail must carry. The first is the smallest. */
export const corpus: readonly [Message, ...Message[]] = [
  { name: "one octet of body", octets: headed("one octet", "x\r\n") },
  { name: "an empty body", octets: headed("empty body", "\r\n") },
  { name: "empty lines at the end", octets: headed("empty lines", "text\r\n\r\n\r\n \r\n\t\r\n\r\n") },
  { name: "8-bit", octets: headed("8-bit \xe4\xf6\xfc", `${`${eightBit}\r\n`.repeat(30)}`) },
  { name: "control characters", octets: headed("control", `a${control}\x7fz\r\n`) },
  {
    name: "lines over 998 octets",
    octets: headed(
      "long lines",
      [998, 999, 1_000, 1_001, 2_047, 2_048, 2_049, 4_096, 8_192].map((n) => longLine(n, "l")).join(""),
    ),
  },
  {
    name: "lines over 100 KB, 8-bit, a dot within and in front",
    octets: headed(
      "very long lines",
      `${longLine(102_401, "k")}.${longLine(150_000, ".")}${longLine(300_000, "\xe9")}tail\r\n`,
    ),
  },
  {
    name: "dots at line starts",
    octets: headed(
      "dots",
      ".\r\n..\r\n...\r\n.x\r\n..x\r\n. \r\nx.\r\n\r\n.\r\n\r\n.MAIL FROM:<a@b>\r\n.\r\n",
    ),
  },
  {
    name: "a header that relays like to touch",
    octets: latin1(
      [
        "DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; d=client.test; s=k;",
        "\th=from:to:subject; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;",
        "  b=AAAA",
        "from:author@client.test (no brackets),",
        "   second@client.test",
        "TO:   reader",
        "Bcc: blind@client.test",
        "Return-Path: <other@client.test>",
        "Content-Length: 17",
        "Subject:   spaces  \t ",
        "X-Empty:",
        `X-Long: ${"w".repeat(3_000)}`,
        'Content-Type: multipart/mixed; boundary="b"',
        "Content-Transfer-Encoding: 8bit",
        "",
        "--b",
        "Content-Type: message/rfc822",
        "",
        "Received: within",
        "",
        "\xe4",
        "--b--",
        "",
      ].join("\r\n"),
    ),
  },
];

const lineOctets = 76;
const blockLines = 512;

/** `size` octets: numbered blocks of pseudo-random 8-bit lines, so that a lost or swapped piece shows. */
export function big(subject: string, size: number): Buffer {
  const block = randomLines(blockLines);
  const pieces = [headed(subject, "")];
  let octets = pieces[0]?.length ?? 0;
  for (let number = 0; octets < size; number += 1) {
    const piece = Buffer.concat([latin1(`.${number}\r\n`), block]);
    pieces.push(piece);
    octets += piece.length;
  }
  const message = Buffer.concat(pieces).subarray(0, size);
  // No CR may stand alone where it was cut.
  message.write("..\r\n", size - 4, "latin1");
  if (message[size - 5] === 0x0d) message[size - 5] = 0x2e;
  return message;
}

function randomLines(count: number): Buffer {
  const lines = Buffer.alloc(count * (lineOctets + 2));
  let state = 0x9e3779b9;
  for (let at = 0; at < lines.length; at += 1) {
    const column = at % (lineOctets + 2);
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const octet = 0x20 + ((state >>> 8) % 0xe0);
    lines[at] = column === lineOctets ? 0x0d : column === lineOctets + 1 ? 0x0a : octet;
  }
  return lines;
}
