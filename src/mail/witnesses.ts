/**
 * The checks that vote before the dot. Each one watches the mail data as it streams and may object at any time; the
 * dot is sent only when none of them does at the end of mail data.
 * A further check is one more class here and one more entry in `callWitnesses`.
 * Not here: what follows from an objection (transaction.ts).
 */
import { malformedMailData, tooManyHops } from "../smtp/catalogue.ts";
import { HeaderCounter } from "../smtp/header-counter.ts";
import type { MailDataScanner } from "../smtp/mail-data.ts";
import type { Reply } from "../smtp/replies.ts";
import { type SizeLimit, tooBig } from "./size-limit.ts";

export interface Witness {
  /**
   * The next octets that are meant for the relay, dot-stuffed. Copy what you keep: their memory is given back once the
   * relay has them, and a slice that was kept is empty from then on, without a word.
   */
  observe?(octets: Buffer): void;
  /** What the client is told if this witness objects; undefined while it does not. */
  objection(): Reply | undefined;
}

export interface WitnessLimits {
  readonly size: SizeLimit;
  readonly maxHops: number;
}

export function callWitnesses(scanner: MailDataScanner, limits: WitnessLimits): readonly Witness[] {
  return [new LineEndings(scanner), new MessageSize(scanner, limits.size), new HopCount(limits.maxHops)];
}

/** Shows them the next octets. The first objection that one of them has then. */
export function hearWitnesses(witnesses: readonly Witness[], octets: readonly Buffer[]): Reply | undefined {
  for (const witness of witnesses) {
    for (const slice of octets) witness.observe?.(slice);
  }
  for (const witness of witnesses) {
    const objection = witness.objection();
    if (objection !== undefined) return objection;
  }
  return undefined;
}

class LineEndings implements Witness {
  readonly #scanner: MailDataScanner;

  constructor(scanner: MailDataScanner) {
    this.#scanner = scanner;
  }

  objection(): Reply | undefined {
    const { defect } = this.#scanner;
    return defect === undefined ? undefined : malformedMailData(defect);
  }
}

class MessageSize implements Witness {
  readonly #scanner: MailDataScanner;
  readonly #limit: SizeLimit;

  constructor(scanner: MailDataScanner, limit: SizeLimit) {
    this.#scanner = scanner;
    this.#limit = limit;
  }

  objection(): Reply | undefined {
    return this.#scanner.messageOctets > this.#limit.octetsMax ? tooBig(this.#limit) : undefined;
  }
}

/** RFC 5321 §6.3: more than so many Received fields are a loop. */
class HopCount implements Witness {
  readonly #received = new HeaderCounter("received");
  readonly #maxHops: number;

  constructor(maxHops: number) {
    this.#maxHops = maxHops;
  }

  observe(octets: Buffer): void {
    this.#received.observe(octets);
  }

  objection(): Reply | undefined {
    return this.#received.count > this.#maxHops ? tooManyHops : undefined;
  }
}
