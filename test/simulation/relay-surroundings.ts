/** What a relay needs of its world, and the commands that the program may send to it. */
import type { Clock } from "./clock.ts";
import type { RelayLedger, RelayMessage } from "./relay-ledger.ts";
import type { RelayStep } from "./scenario.ts";

export interface RelaySurroundings {
  readonly clock: Clock;
  readonly ledger: RelayLedger;
  readonly serverName: string;
  readonly implicitTls: boolean;
  violated(invariant: string, detail: string): void;
  /** A command came, of a mail. */
  asked(command: "MAIL" | "RCPT", address: string): void;
  /** Mail data came to its end. */
  gotMessage(message: RelayMessage): void;
  /** Mail data ended otherwise. */
  gotPart(data: string): void;
  history(what: string, octets?: Buffer): void;
}

/** What is due at a step: a reply, and what follows from it. */
export interface Duty {
  readonly step: RelayStep;
  readonly code: number;
  readonly text: readonly string[];
  /** Of RCPT. */
  readonly address: string | undefined;
  readonly message: RelayMessage | undefined;
  /** Hears what was said, once it is. */
  readonly done: (code: number, text: readonly string[]) => void;
}

/** What would be said where nothing is due. */
export function unasked(step: RelayStep, code: number, text: string): Duty {
  return { step, code, text: [text], address: undefined, message: undefined, done: () => {} };
}

export const commandPatterns: readonly (readonly [RelayStep, RegExp])[] = [
  ["EHLO", /^EHLO (\S+)$/],
  ["HELO", /^HELO (\S+)$/],
  ["STARTTLS", /^STARTTLS$/],
  ["AUTH", /^AUTH (PLAIN \S+|LOGIN)$/],
  ["MAIL", /^MAIL FROM:<([^<>\r\n]*)>((?: [A-Z0-9]+(?:=[^ =]+)?)*)$/],
  ["RCPT", /^RCPT TO:<([^<>\r\n]+)>((?: [A-Z]+=[^ =]+)*)$/],
  ["DATA", /^DATA$/],
  ["RSET", /^RSET$/],
  ["QUIT", /^QUIT$/],
];
