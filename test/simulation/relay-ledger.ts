/**
 * What relays truly said and took: the one side of the ledger. Each reply that a relay says carries a mark, so that
 * whatever a client hears can be traced to the words that it repeats, and to what they answered.
 * Not here: whether all that fits together (session-judge.ts, outcome.ts).
 */
import type { RelayKind, RelayStep } from "./scenario.ts";

/** One reply of a relay. */
export interface RelayWord {
  readonly mark: number;
  readonly connection: number;
  readonly kind: RelayKind;
  readonly step: RelayStep;
  readonly code: number;
  /** Texts of its lines, marks included. */
  readonly lines: readonly string[];
  /** Of the RCPT that it answers. */
  readonly address: string | undefined;
  /** The message that it answers, for "dot". */
  message: RelayMessage | undefined;
  /** All of it was said. */
  isWhole: boolean;
}

/** Mail data that a relay has received up to its end, whatever it thought of it. */
export interface RelayMessage {
  readonly connection: number;
  readonly kind: RelayKind;
  readonly from: string;
  readonly mailParameters: string;
  readonly offers: readonly string[];
  readonly recipients: readonly string[];
  /** As received, without the end of mail data. */
  readonly data: string;
  readonly transaction: string;
  /** The relay had answered already, when it was not asked. */
  readonly isAnsweredBefore: boolean;
  /** Its 2yz to it, once it is said as a whole. */
  acceptance: RelayWord | undefined;
  /** A 2yz to it was begun: the relay has it, whoever hears of it. */
  isTaken: boolean;
}

const outOfTurn: ReadonlySet<RelayKind> = new Set([
  "twice",
  "early",
  "garbage",
  "weird",
  "speaking-idle",
  "overlong",
]);

/** It says more than it was asked for, so that its replies seem to answer commands that follow. */
export function speaksOutOfTurn(kind: RelayKind): boolean {
  return outOfTurn.has(kind);
}

export class RelayLedger {
  readonly words = new Map<number, RelayWord>();
  readonly messages: RelayMessage[] = [];
  /** Octets that were said in place of a reply, and carry no mark. */
  readonly babbles: string[] = [];
  /** When a relay last said or heard anything. */
  lastEventAt = 0;
  #marks = 0;
  #connections = 0;

  newConnection(): number {
    this.#connections += 1;
    return this.#connections;
  }

  get connections(): number {
    return this.#connections;
  }

  /** Adds the mark to each line, but to the keywords of EHLO, which would be others with it. */
  word(
    word: Omit<RelayWord, "mark" | "lines" | "isWhole"> & { readonly text: readonly string[] },
  ): RelayWord {
    this.#marks += 1;
    const { text, ...others } = word;
    const mark = this.#marks;
    const isMarked = (index: number): boolean => index === 0 || word.step !== "EHLO";
    // Clients hear no more than the beginning of a long line.
    const marked = (line: string): string =>
      line.length > 400 ? `(mark ${mark}) ${line}` : `${line} (mark ${mark})`;
    const lines = text.map((line, index) => (isMarked(index) ? marked(line) : line));
    const made = { ...others, mark, lines, isWhole: false };
    this.words.set(mark, made);
    return made;
  }

  /** The word that a text repeats: what was babbled before it may have swallowed another. */
  traced(text: string): RelayWord | undefined {
    const mark = [...text.matchAll(/\(mark (\d+)\)/g)].at(-1)?.[1];
    return mark === undefined ? undefined : this.words.get(Number(mark));
  }

  messagesOf(transaction: string): readonly RelayMessage[] {
    return this.messages.filter((message) => message.transaction === transaction);
  }
}

const receivedField = /^Received:[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*/;

/** The one field that the program puts in front of a message, and what follows it. */
export function splitTrace(data: string): { readonly trace: string; readonly rest: string } | undefined {
  const [trace] = receivedField.exec(data) ?? [];
  return trace === undefined ? undefined : { trace, rest: data.slice(trace.length) };
}

/** The id of the transaction that a trace names. */
export function transactionOf(trace: string): string {
  return (
    / with E?SMTPS? id (\S+);/.exec(trace.replace(/UTF8SMTP/, "ESMTP").replaceAll(/\r\n[ \t]/g, " "))?.[1] ??
    ""
  );
}
