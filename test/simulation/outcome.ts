/**
 * Compares the log with the ledger: one outcome a transaction, and the true one; one line a session. And what relays
 * received with what clients sent, octet by octet.
 * Not here: replies (session-judge.ts).
 */
import type { TransactionEvent } from "../../src/ops/events.ts";
import type { JudgedTransaction, WorldFacts } from "./judged.ts";
import { hasDefect, messageOf, sizesOf } from "./mail-data-reference.ts";
import {
  type RelayLedger,
  type RelayMessage,
  speaksOutOfTurn,
  splitTrace,
  transactionOf,
} from "./relay-ledger.ts";
import type { SessionJudge } from "./session-judge.ts";

export interface Books {
  readonly ledger: RelayLedger;
  readonly facts: WorldFacts;
  judgeOf(
    transaction: string,
  ): { readonly judge: SessionJudge; readonly transaction: JudgedTransaction } | undefined;
  /** The end of mail data of this transaction was written to a relay. */
  isDotWritten(transaction: string): boolean;
  /** The program was given this word as a whole. */
  isDelivered(mark: number): boolean;
  violated(invariant: string, detail: string): void;
  count(what: string): void;
}

/** A relay got a message up to its end: it has to be the one that the client sent, and due. */
export function checkMessage(books: Books, message: RelayMessage): void {
  const { data } = message;
  const show = JSON.stringify(data.slice(0, 600));
  const parts = splitTrace(data);
  const found = books.judgeOf(message.transaction);
  if (/\r(?!\n)|(?<!\r)\n/.test(data)) books.violated("a bare CR or LF reaches a relay", show);
  if (/(?:^|\n)\.\r\n/.test(data)) books.violated("a line of a dot alone reaches a relay", show);
  if (parts === undefined || found === undefined) {
    books.violated("a message that no client sent", show);
    return;
  }
  const { judge, transaction } = found;
  if (books.ledger.messagesOf(message.transaction).length > 1)
    books.violated("a message is sent twice", message.transaction);
  const sent = judge.mailDataOf(transaction);
  if (!sent.isWhole) books.violated("the dot is sent before the client sent its own", show);
  if (messageOf(parts.rest) !== messageOf(sent.data)) {
    books.violated(
      "the message is not the client's",
      `${JSON.stringify(sent.data.slice(0, 400))} became ${show}`,
    );
  }
  if (judge.objectionsTo(transaction).length > 0) books.violated("the dot is sent against a rule", show);
  checkTrace(books, parts.trace, judge, transaction);
  checkEnvelope(books, message, transaction, parts.trace.length);
}

function checkTrace(
  books: Books,
  trace: string,
  judge: SessionJudge,
  { isExtended, isSecure }: JudgedTransaction,
): void {
  const line = trace.replaceAll(/\r\n[ \t]/g, " ");
  const address = judge.address.includes(":") ? `[IPv6:${judge.address}]` : `[${judge.address}]`;
  const isTrue =
    line.includes(address) &&
    / by mx\.example with /.test(line) &&
    line.includes(` with ${isExtended ? "E" : ""}SMTP${isExtended && isSecure ? "S" : ""} id `) &&
    /; (?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000\r\n$/.test(line);
  if (!isTrue) books.violated("the trace is not true", trace);
}

function checkEnvelope(
  books: Books,
  message: RelayMessage,
  transaction: JudgedTransaction,
  traceOctets: number,
): void {
  const { overrideRecipient } = books.facts;
  const accepted = overrideRecipient === undefined ? transaction.accepted : [overrideRecipient];
  if (message.from !== transaction.from) {
    books.violated("the reverse-path is not the client's", `${transaction.from} became ${message.from}`);
  }
  if (message.recipients.join() !== accepted.join()) {
    books.violated(
      "the recipients are not those that were accepted",
      `${accepted.join()} became ${message.recipients.join()}`,
    );
  }
  const offersSize = message.offers.some((offer) => offer.startsWith("SIZE"));
  const size = / SIZE=(\d+)/.exec(message.mailParameters)?.[1];
  const { declaredSize } = transaction;
  const expected = declaredSize !== undefined && offersSize ? String(declaredSize + traceOctets) : undefined;
  if (size !== expected) books.violated("SIZE to the relay", `${size} instead of ${expected}`);
  const body = / BODY=(\w+)/.exec(message.mailParameters)?.[1];
  const expectedBody = message.offers.includes("8BITMIME") ? transaction.body : undefined;
  if (body !== expectedBody) books.violated("BODY to the relay", `${body} instead of ${expectedBody}`);
}

/** Mail data that a relay got without its end: the beginning of what the client sent. */
export function checkPart(books: Books, data: string): void {
  const parts = splitTrace(data);
  // The trace may still be on its way.
  if (!/^Received: [\s\S]*?\+0000\r\n/.test(data) || parts === undefined || parts.rest === "") return;
  const found = books.judgeOf(transactionOf(parts.trace));
  if (found === undefined) {
    books.violated("mail data that no client sent", JSON.stringify(data.slice(0, 400)));
    return;
  }
  const sent = found.judge.mailDataOf(found.transaction).data;
  const expected = books.facts.bareNewline === "normalize" ? sent.replaceAll(/\r?\n/g, "\r\n") : sent;
  const hasStuffedMore = expected.includes("\r\n.\r\n") || expected.startsWith(".\r\n");
  // The end of mail data may have come in part.
  if (!hasStuffedMore && !`${expected}.\r`.startsWith(parts.rest)) {
    books.violated(
      "mail data is not the client's",
      `${JSON.stringify(expected.slice(0, 400))} became ${JSON.stringify(data.slice(0, 600))}`,
    );
  }
}

/** When a transaction is logged. */
export function checkLogged(books: Books, event: TransactionEvent): void {
  if (event.outcome !== "unknown") return;
  for (const { acceptance } of books.ledger.messagesOf(event.transaction)) {
    if (acceptance === undefined || !books.isDelivered(acceptance.mark)) continue;
    // No reader can take these for the answer.
    if (acceptance.kind === "overlong" || speaksOutOfTurn(acceptance.kind)) continue;
    books.violated("the relay's acceptance was heard, and the outcome is unknown", `mark ${acceptance.mark}`);
  }
}

/** At the end of the world. */
export function checkOutcome(
  books: Books,
  judge: SessionJudge,
  transaction: JudgedTransaction,
  events: readonly TransactionEvent[],
): void {
  const [event] = events;
  if (event === undefined || events.length > 1) {
    books.violated("one outcome a transaction", `${transaction.id} has ${events.length}`);
    return;
  }
  const wrong = (invariant: string): void =>
    books.violated(
      invariant,
      `${JSON.stringify(event)} for ${JSON.stringify({ ...transaction, data: undefined })}`,
    );
  const { outcome, reply } = event;
  const { dotReply, dataReply } = transaction;
  const word = books.ledger.traced(reply);
  const messages = books.ledger.messagesOf(transaction.id);
  const accepted = messages.some(({ acceptance }) => acceptance !== undefined);
  const isDotWritten = books.isDotWritten(transaction.id);
  const said = dotReply ?? dataReply;

  if (
    outcome === "relayed" &&
    (word?.message?.transaction !== transaction.id || word.message.acceptance !== word)
  ) {
    const isEarly = word?.step === "body" && word.message === undefined;
    wrong(
      isEarly
        ? "250 that a relay said before the dot is taken for its answer"
        : "relayed, and no relay accepted it",
    );
  }
  if (outcome === "relayed" && (dotReply !== undefined) === (event.unheard === true))
    wrong("unheard is not true");
  const isOutOfTurn = event.reason?.endsWith("in answer to nothing") === true;
  if (outcome !== "relayed" && outcome !== "unknown" && accepted) {
    wrong(isOutOfTurn ? "unknown behind a reply out of turn" : "a relay has it, and the log says otherwise");
  }
  if (outcome === "unknown" && !isDotWritten) wrong("unknown, and no dot was sent");
  const isAnswered = word !== undefined && word.code >= 400;
  if (["refused", "deferred", "abandoned"].includes(outcome) && messages.length > 0 && !isAnswered) {
    wrong(
      isOutOfTurn ? "unknown behind a reply out of turn" : "the dot was there, unanswered, and not unknown",
    );
  }
  if (outcome === "refused" && !reply.startsWith("5")) wrong("refused without 5yz");
  if (outcome === "deferred" && !reply.startsWith("4")) wrong("deferred without 4yz");
  if (outcome === "abandoned" && dotReply !== undefined) wrong("abandoned, and the dot was answered");
  if (said !== undefined) {
    if (reply !== `${said.code} ${said.lines.join(" / ")}`) wrong("the log's reply is not what was said");
    const due = said.code < 300 ? ["relayed"] : said.code >= 500 ? ["refused"] : ["deferred", "unknown"];
    if (!due.includes(outcome)) wrong("the outcome is not what was said");
  }
  if (dotReply !== undefined && dotReply.code < 300 !== (outcome === "relayed"))
    wrong("250 and relayed are one");
  if (dotReply !== undefined && event.unheard === true) wrong("unheard, and it was said");
  checkFields(books, judge, transaction, event, wrong);
  countOutcome(books, transaction, event, accepted, messages);
}

function checkFields(
  books: Books,
  judge: SessionJudge,
  transaction: JudgedTransaction,
  event: TransactionEvent,
  wrong: (invariant: string) => void,
): void {
  const { data, isWhole } = judge.mailDataOf(transaction);
  if (event.from !== `<${transaction.from}>`) wrong("the log's reverse-path");
  if (isWhole) {
    if (event.to !== transaction.accepted.join(",")) wrong("the log's recipients");
    if (event.recipients !== transaction.accepted.length) wrong("the log's count of recipients");
    const isDefective = hasDefect(data, books.facts.bareNewline);
    const size = messageOf(data).length;
    // Behind an objection octets count as they come.
    const { least, most } = event.outcome === "relayed" ? { least: size, most: size } : sizesOf(data);
    if (!isDefective && (event.octets < least || event.octets > most)) wrong("the log's octets");
  }
  if (event.session !== judge.session || event.client !== judge.address) wrong("the log's session");
}

function countOutcome(
  books: Books,
  transaction: JudgedTransaction,
  event: TransactionEvent,
  accepted: boolean,
  messages: readonly RelayMessage[],
): void {
  books.count(`outcome ${event.outcome}`);
  if (event.unheard === true) books.count(`outcome ${event.outcome} unheard`);
  const isTaken = accepted || messages.some((message) => message.isTaken);
  const told = transaction.dotReply !== undefined && transaction.dotReply.code < 300;
  if (isTaken && !told)
    books.count(event.outcome === "unknown" ? "window: answer lost" : "window: client gone");
}
