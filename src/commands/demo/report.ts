/**
 * What the demo tells of the message that arrived: its parts as mailparser reads them, whether its octets are those
 * that were sent, and whether its DKIM signatures still hold.
 * mailparser is somebody else's reader: that it finds the parts shows that the message is whole, not only the same.
 * Not here: how the message got there (demo.ts).
 */
import { createHash } from "node:crypto";
import { type AddressObject, type Attachment, type ParsedMail, simpleParser } from "mailparser";
import { visible } from "../../config/kinds/values.ts";
import { shown } from "../print.ts";
import { fold } from "../terminal.ts";
import { type DkimKeys, type DkimResult, verifyDkim } from "./dkim.ts";
import { splitReceived } from "./message.ts";

export interface Report {
  readonly text: string;
  /** The same octets, but for one Received field in front. */
  readonly same: boolean;
}

const labelColumns = 13;
const partsMax = 20;

export async function reportArrival(sent: Buffer, arrived: Buffer, keys: DkimKeys): Promise<Report> {
  const split = splitReceived(arrived);
  const rest = split?.rest ?? arrived;
  const same = split !== undefined && rest.equals(sent);
  const lines = [
    "What arrived at the relay, as mailparser reads it",
    "",
    ...(await describeParts(arrived)),
    "",
    "The Received field that the proxy put in front",
    "",
    ...(split === undefined ? ["  none"] : receivedLines(split.received)),
    "",
    "Octets",
    "",
    row("sent", describeOctets(sent)),
    row("arrived", describeOctets(rest, split === undefined ? "" : ", less the Received field")),
    row("the same", same ? "yes" : `NO, ${describeDifference(sent, rest)}`),
    ...describeDkim(verifyDkim(sent, keys), verifyDkim(arrived, keys)),
  ];
  return { text: `${fold(lines.join("\n"), " ".repeat(2 + labelColumns))}\n`, same };
}

function row(label: string, value: string): string {
  return `  ${label.padEnd(labelColumns)}${value}`;
}

function receivedLines(received: Buffer): readonly string[] {
  const lines = received.toString("latin1").trimEnd().split("\r\n");
  return lines.map((line) => `  ${shown(line.replace(/^\t/, "    "))}`);
}

// --- The parts -------------------------------------------------------------------------------------------------

async function describeParts(octets: Buffer): Promise<readonly string[]> {
  const mail = await parse(octets);
  if (typeof mail === "string") return [row("unreadable", visible(mail))];
  const characters = (mail.text ?? "").length;
  return [
    row("From", visible(mail.from?.text ?? "none")),
    row("To", visible(addresses(mail.to))),
    row("Subject", visible(mail.subject ?? "none")),
    row("Date", mail.date?.toISOString() ?? "none"),
    row("Text", characters === 0 ? "none" : `${characters} characters`),
    ...mail.attachments.slice(0, partsMax).map(describeAttachment),
    ...(mail.attachments.length > partsMax
      ? [row("", `and ${mail.attachments.length - partsMax} more`)]
      : []),
  ];
}

/** A string is why mailparser could not read it: the octets are compared all the same. */
async function parse(octets: Buffer): Promise<ParsedMail | string> {
  try {
    return await simpleParser(octets, { checksumAlgo: "sha256", skipHtmlToText: true, skipTextToHtml: true });
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function addresses(to: AddressObject | AddressObject[] | undefined): string {
  if (to === undefined) return "none";
  return Array.isArray(to) ? to.map(({ text }) => text).join(", ") : to.text;
}

function describeAttachment({ filename, contentType, size, checksum }: Attachment): string {
  const name = filename === undefined ? "without a name" : visible(filename);
  return row("Attachment", `${name}, ${visible(contentType)}, ${size} octets, SHA-256\n${row("", checksum)}`);
}

// --- The octets ------------------------------------------------------------------------------------------------

function describeOctets(octets: Buffer, note = ""): string {
  const digest = createHash("sha256").update(octets).digest("hex");
  return `${octets.length} octets${note}, SHA-256\n${row("", digest)}`;
}

function describeDifference(sent: Buffer, arrived: Buffer): string {
  const end = Math.min(sent.length, arrived.length);
  let at = 0;
  while (at < end && sent[at] === arrived[at]) at += 1;
  return `they differ from octet ${at + 1} on`;
}

// --- DKIM ------------------------------------------------------------------------------------------------------

function describeDkim(before: readonly DkimResult[], after: readonly DkimResult[]): readonly string[] {
  return before.flatMap((signature, index) => {
    const now = after[index];
    const by = `${visible(signature.domain)}, selector ${visible(signature.selector)}`;
    const bodyHash = `the body's hash ${signature.bodyHash} before, ${now?.bodyHash ?? "unknown"} after`;
    const still =
      signature.signature === "unknown"
        ? "not looked at: its key is in the DNS, which the demo does not ask"
        : now?.signature !== "verifies"
          ? "NO"
          : signature.signature === "verifies"
            ? "yes"
            : "it did not before";
    return [
      "",
      `DKIM signature of ${by}`,
      "",
      row("body", bodyHash),
      row("signature", `still verifies: ${still}`),
    ];
  });
}
