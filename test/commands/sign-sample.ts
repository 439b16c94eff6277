/**
 * Writes the demo's sample message, src/commands/demo/sample-message.ts, and the same as a file, test/messages/signed.eml.
 * It was run once: `bun test/commands/sign-sample.ts`. The private key is made, used and thrown away, so a second run
 * gives another signature and another public key.
 * Signs with node:crypto in a few lines of its own, so that commands/demo/dkim.ts is not its own witness.
 * RFC 6376: rsa-sha256, relaxed/relaxed.
 */
import { createHash, generateKeyPairSync, sign } from "node:crypto";
import { join } from "node:path";
import { deflateSync } from "node:zlib";

const domain = "demo.example";
const selector = "throwaway";

/** A chunk of a PNG file: length, type, content, CRC. */
function pngChunk(type: string, content: Buffer): Buffer {
  const named = Buffer.concat([Buffer.from(type), content]);
  const frame = Buffer.alloc(4);
  frame.writeUInt32BE(content.length);
  const crc = Buffer.alloc(4);
  crc.writeUInt32BE(Bun.hash.crc32(named));
  return Buffer.concat([frame, named, crc]);
}

/** A square of 48 by 48 grey pixels, from dark to light. */
function picture(): Buffer {
  const side = 48;
  const head = Buffer.alloc(13);
  head.writeUInt32BE(side, 0);
  head.writeUInt32BE(side, 4);
  head.set([8, 0, 0, 0, 0], 8);
  const rows = Array.from({ length: side }, (_, y) =>
    Buffer.from([0, ...Array.from({ length: side }, (_, x) => (x + y) * 2)]),
  );
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    pngChunk("IHDR", head),
    pngChunk("IDAT", deflateSync(Buffer.concat(rows), { level: 9 })),
    pngChunk("IEND", Buffer.alloc(0)),
  ]);
}

const fields = [
  `From: =?utf-8?Q?Zo=C3=AB_Ackermann?= <zoe@${domain}>`,
  "To: Postmaster <postmaster@recipient.example>",
  "Subject: The picture you asked for,\r\n and a line that begins with a dot",
  "Date: Mon, 23 Nov 2026 09:30:00 +0100",
  `Message-ID: <sample-1@${domain}>`,
  "MIME-Version: 1.0",
  'Content-Type: multipart/mixed; boundary="=_sample_1"',
];

const body = [
  "This is a message in several parts, as MIME has it.",
  "--=_sample_1",
  "Content-Type: text/plain; charset=utf-8",
  "Content-Transfer-Encoding: 8bit",
  "",
  "Guten Tag,",
  "",
  "the picture is attached. This text has octets beyond ASCII: äöü, 漢字, €.",
  "The next two lines begin with a dot, which SMTP has to double on its way:",
  ".",
  "..hidden",
  "",
  "White space at a line's end is kept too:  \t ",
  "Zoë",
  "--=_sample_1",
  'Content-Type: image/png; name="picture.png"',
  'Content-Disposition: attachment; filename="picture.png"',
  "Content-Transfer-Encoding: base64",
  "",
  ...(picture()
    .toString("base64")
    .match(/.{1,76}/g) ?? []),
  "--=_sample_1--",
  "",
].join("\r\n");

const utf8 = (text: string): Buffer => Buffer.from(text, "utf8");
const relaxedBody = `${body
  .split("\r\n")
  .map((line) => line.replace(/[ \t]+/g, " ").replace(/ $/, ""))
  .join("\r\n")
  .replace(/(\r\n)*$/, "")}\r\n`;
const relaxedField = (field: string): string => {
  const [, name = "", value = ""] = /^([^:]+):([\s\S]*)$/.exec(field) ?? [];
  return `${name.toLowerCase()}:${value
    .replace(/\r\n/g, "")
    .replace(/[ \t]+/g, " ")
    .trim()}`;
};

const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const bodyHash = createHash("sha256").update(utf8(relaxedBody)).digest("base64");
const names = fields.map((field) => field.slice(0, field.indexOf(":")).toLowerCase()).join(":");
const unsigned =
  `DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=${domain}; s=${selector};\r\n` +
  `\th=${names};\r\n\tbh=${bodyHash};\r\n\tb=`;
const input = [...fields, unsigned].map(relaxedField).join("\r\n");
const signature = sign("sha256", utf8(input), privateKey).toString("base64");
const folded = signature.match(/.{1,70}/g)?.join("\r\n\t ") ?? "";
const message = utf8(`${[unsigned + folded, ...fields].join("\r\n")}\r\n\r\n${body}`);

const lines = message.toString("utf8").split("\r\n");
const pem = publicKey.export({ type: "spki", format: "pem" }).toString().trim().split("\n");
const source = `/**
 * The message that the demo sends when it is given none, and the key that its DKIM signature verifies with.
 * Written by test/commands/sign-sample.ts; the private key is gone. test/messages/signed.eml is the same message.
 */
import type { DkimKeys } from "./demo-dkim.ts";

const lines: readonly string[] = ${JSON.stringify(lines, null, 2)};

export const sampleMessage: Buffer = Buffer.from(lines.join("\\r\\n"), "utf8");

const publicKey: readonly string[] = ${JSON.stringify(pem, null, 2)};

export const sampleKeys: DkimKeys = new Map([
  ["${selector}._domainkey.${domain}", publicKey.join("\\n")],
]);
`;
const root = join(import.meta.dir, "../..");
await Bun.write(join(root, "src/commands/demo/sample-message.ts"), source);
await Bun.write(join(root, "test/messages/signed.eml"), message);
