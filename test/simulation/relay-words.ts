/**
 * Judges what a client hears of the relay: that the relay said it, to that command, in those words; and to the dot, that
 * 250 is the relay's acceptance of this very message.
 * Not here: replies of our own (command-rules.ts); whose turn it is (session-judge.ts).
 */
import { addressOf, type ReadLine } from "./command-rules.ts";
import type { HeardReply, JudgedTransaction, JudgeSurroundings } from "./judged.ts";
import { hasDefect, hopsOf, messageOf } from "./mail-data-reference.ts";
import { type RelayWord, speaksOutOfTurn } from "./relay-ledger.ts";

const ownSizeRefusal = /5\.3\.4 message too big: (?:this server|the relay) takes \d+ octets/;

/** Of one session. */
export interface WordJudge {
  readonly around: JudgeSurroundings;
  told(word: RelayWord): void;
  violated(invariant: string, detail: string): void;
}

/** Neither a rule of ours nor a fault of the client: the reply to RCPT or DATA is the relay's, or trouble with it. */
export function judgeRelayed(
  judge: WordJudge,
  { verb, argument }: ReadLine,
  current: JudgedTransaction | undefined,
  reply: HeardReply,
): void {
  const { around } = judge;
  const head = headOf(reply);
  const word = around.ledger.traced(reply.lines.join("\n"));
  if (word === undefined) {
    if (!/^451 4\.(4\.1|4\.2|3\.2) /.test(head) && !isBabble(around.ledger.babbles, reply))
      judge.violated("neither the relay's word nor 4yz of ours", head);
    return;
  }
  judgeVerbatim(judge, word, reply);
  if (verb === "DATA") {
    if (reply.code === 354 && word.step !== "DATA")
      judge.violated("354 that the relay did not say to DATA", head);
    // What was babbled before may have swallowed the reply to MAIL: then the next one refuses the mail.
    if (reply.code >= 500 && word.step === "RCPT" && word.code >= 500 && !speaksOutOfTurn(word.kind)) {
      judge.violated("a RCPT's refusal answers DATA", head);
    }
    return;
  }
  const { overrideRecipient } = around.facts;
  const expected = overrideRecipient ?? addressOf(argument);
  const isOfRcpt = word.step === "RCPT" && word.address === expected;
  if (reply.code < 400) {
    if (!isOfRcpt && !speaksOutOfTurn(word.kind))
      judge.violated("a recipient is accepted that the relay did not accept", head);
    if (overrideRecipient === undefined && current?.toldMarks.has(word.mark) === true) {
      judge.violated("one word of the relay accepts two recipients", head);
    }
    current?.toldMarks.add(word.mark);
  } else if (reply.code >= 500 && !isOfRcpt && word.step !== "MAIL" && !speaksOutOfTurn(word.kind)) {
    judge.violated("5yz to RCPT that the relay said to something else", head);
  }
}

/** The relay's words are the client's, but for enhanced status codes and 421. */
function judgeVerbatim(judge: WordJudge, word: RelayWord, reply: HeardReply): void {
  judge.told(word);
  const code = word.code === 421 ? 451 : word.code;
  const said = JSON.stringify({ code: reply.code, lines: reply.lines });
  const due = JSON.stringify({ code, lines: wordsFor(word, code) });
  if (said !== due && !(speaksOutOfTurn(word.kind) && isEndOf(word, code, reply))) {
    judge.violated(
      "the relay's words are not passed on as they were",
      `${JSON.stringify(word.lines)} -> ${said}`,
    );
  }
  if (!word.isWhole)
    judge.violated("a reply that the relay has not finished is passed on", JSON.stringify(reply));
}

/** Behind what it has babbled, a relay's reply is the rest of that: it ends in its words, and has its code. */
function isEndOf({ lines }: RelayWord, code: number, reply: HeardReply): boolean {
  const tail = reply.lines.slice(-lines.length);
  const ends = (line: string, index: number): boolean => line.endsWith(lines[index]?.slice(0, 400) ?? "");
  return reply.code === code && reply.lines.length > lines.length && tail.every(ends);
}

/** A line with a code is a reply to anything but the dot, whatever control characters are in it. */
function isBabble(babbles: readonly string[], { code, lines }: HeardReply): boolean {
  return babbles.some((octets) => {
    const [, said = "", text = ""] = /^(\d{3}) ([^\n]*)\r\n$/.exec(octets) ?? [];
    const heard = `${said[0]}.0.0 ${text.replaceAll(/[\r\0]/g, "?")}`;
    return Number(said) === code && lines.at(-1) === heard;
  });
}

/** The reply to the end of mail data. */
export function judgeDot(judge: WordJudge, transaction: JudgedTransaction, reply: HeardReply): void {
  const { around } = judge;
  const head = headOf(reply);
  const objections = objectionsTo(around, transaction, transaction.data ?? "");
  const word = around.ledger.traced(reply.lines.join("\n"));
  if (word !== undefined) judgeVerbatim(judge, word, reply);
  if (reply.code < 300) {
    const { acceptance } = word?.message ?? {};
    if (word?.step === "body" && word.message === undefined) {
      judge.violated("250 that a relay said before the dot is taken for its answer", head);
    } else if (word === undefined || acceptance !== word) {
      judge.violated("250 to the dot without the relay's acceptance", head);
    } else if (word.message?.transaction !== transaction.id) {
      judge.violated("250 to the dot of another message", head);
    }
    if (objections.length > 0) judge.violated("a message is relayed against a rule", head);
  } else if (reply.code < 400) {
    judge.violated("3yz to the dot", head);
  } else if (word === undefined) {
    const own = [...objections, "451 4.4.2", "451 4.4.1"];
    if (!own.some((beginning) => head.startsWith(beginning)))
      judge.violated("a refusal that no rule gives", head);
  } else if (
    !["dot", "body", "idle"].includes(word.step) &&
    word.code !== 421 &&
    !speaksOutOfTurn(word.kind)
  ) {
    judge.violated("a word of the relay to something else answers the dot", head);
  }
}

/** The replies that rules of ours have for a message; none, if it is to be relayed. */
export function objectionsTo(
  { facts, sizeMaxOfRelays }: JudgeSurroundings,
  transaction: JudgedTransaction,
  data: string,
): readonly string[] {
  const objections: string[] = [];
  if (hasDefect(data, facts.bareNewline)) objections.push("550 5.5.2 bare");
  const message = messageOf(data);
  if (message.length > facts.maxMessageOctets) objections.push("552 5.3.4");
  // Which relay's limit holds is not known here: our own words tell that one was passed.
  else if (message.length > sizeMaxOfRelays && ownSizeRefusal.test(transaction.dotReply?.lines[0] ?? "")) {
    objections.push("552 5.3.4");
  }
  if (hopsOf(message) > facts.maxHops) objections.push("554 5.4.6");
  return objections;
}

/** What a client is to hear for a relay's word: the same, with an enhanced status code, and 4yz for 421. */
function wordsFor({ lines, code: saidCode }: RelayWord, code: number): readonly string[] {
  const enhanced = /^[245](?=\.\d{1,3}\.\d{1,3}(?: |$))/;
  const replyClass = Math.floor(code / 100);
  if (replyClass === 3) return lines.map(cut);
  const whole = enhanced.test(lines[0] ?? "") ? lines : lines.map((line) => `${replyClass}.0.0 ${line}`);
  return (saidCode === 421 ? whole.map((line) => line.replace(enhanced, "4")) : whole).map(cut);
}

/** A client hears at most 512 octets a line. */
function cut(text: string): string {
  return text.slice(0, 506);
}

function headOf({ code, lines }: HeardReply): string {
  return `${code} ${lines[0]}`;
}
