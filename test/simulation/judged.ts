/** What judges know of the world, and what a transaction is to them. Data only. */
import type { RelayLedger, RelayWord } from "./relay-ledger.ts";

export interface JudgeSurroundings {
  readonly ledger: RelayLedger;
  readonly facts: WorldFacts;
  now(): number;
  isShuttingDown(): boolean;
  /** A zone has something against this client. */
  mayBeListed(address: string): boolean;
  /** The smallest SIZE that a relay may have offered. */
  readonly sizeMaxOfRelays: number;
  violated(invariant: string, detail: string): void;
  /** A client was told a word of a relay. */
  told(session: object, word: RelayWord): void;
}

/** What the options say, as far as judges have to know. */
export interface WorldFacts {
  readonly bareNewline: string;
  readonly maxErrors: number;
  readonly maxHops: number;
  readonly maxMessageOctets: number;
  readonly maxRecipients: number;
  readonly starttlsOffered: boolean;
  readonly validRecipients: RegExp | undefined;
  readonly overrideRecipient: string | undefined;
  readonly isTrusted: (address: string) => boolean;
}

export interface HeardReply {
  readonly code: number;
  readonly lines: readonly string[];
}

/** A transaction as the client meant it: from MAIL on that was accepted, or refused for its size alone. */
export interface JudgedTransaction {
  readonly id: string;
  readonly from: string;
  /** At its MAIL: the client may say EHLO again before the relay has read the dot of a mail that it refused. */
  readonly isExtended: boolean;
  readonly isSecure: boolean;
  readonly declaredSize: number | undefined;
  readonly body: string | undefined;
  /** As the client wrote them. */
  readonly accepted: string[];
  refused: number;
  ours: number;
  /** Marks of RCPT replies that were told. */
  readonly toldMarks: Set<number>;
  /** Set once the end of mail data was answered, or the session ended before it (`isCutShort`). */
  data: string | undefined;
  isCutShort: boolean;
  dotReply: HeardReply | undefined;
  /** MAIL was refused for its size, or DATA was, and that was the end. */
  dataReply: HeardReply | undefined;
  isOver: boolean;
}
