/**
 * The checks that vote before the dot. Each one watches the mail data as it streams and may object at any time; the
 * dot is sent only when none of them does at the end of mail data.
 * A further check is one more function here and one more entry in `callWitnesses`.
 * Not here: what follows from an objection (transaction.ts).
 */
import { malformedMailData, messageTooBig, tooManyHops } from "../smtp/catalogue.ts";
import { HeaderCounter } from "../smtp/header-counter.ts";
import type { MailDataScanner } from "../smtp/mail-data.ts";
import type { Reply } from "../smtp/replies.ts";

export interface Witness {
  /** The next octets that are meant for the relay, dot-stuffed. */
  observe?(octets: Buffer): void;
  /** What the client is told if this witness objects; undefined while it does not. */
  objection(): Reply | undefined;
}

export interface WitnessLimits {
  readonly messageOctetsMax: number;
  readonly maxHops: number;
}

export function callWitnesses(scanner: MailDataScanner, limits: WitnessLimits): readonly Witness[] {
  return [lineEndings(scanner), messageSize(scanner, limits.messageOctetsMax), hopCount(limits.maxHops)];
}

function lineEndings(scanner: MailDataScanner): Witness {
  return {
    objection: () => (scanner.defect === undefined ? undefined : malformedMailData(scanner.defect)),
  };
}

function messageSize(scanner: MailDataScanner, messageOctetsMax: number): Witness {
  return { objection: () => (scanner.messageOctets > messageOctetsMax ? messageTooBig : undefined) };
}

/** RFC 5321 §6.3: more than so many Received fields are a loop. */
function hopCount(maxHops: number): Witness {
  const received = new HeaderCounter("received");
  return {
    observe: (octets) => received.observe(octets),
    objection: () => (received.count > maxHops ? tooManyHops : undefined),
  };
}
