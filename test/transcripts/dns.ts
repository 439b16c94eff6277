/**
 * What a `World` knows of names: each answer as the transcript told it, after its time. A name that nobody told of
 * is a fault, so a transcript also shows which names are asked for.
 */
import type { LookupAnswer } from "../../src/client/messages.ts";

/** Undefined: no answer ever comes. */
export interface ToldAnswer {
  /** There is no room to ask at first, which is said at once. */
  readonly waits: boolean;
  readonly afterMs: number;
  readonly answer: LookupAnswer | undefined;
}

export interface Question {
  readonly record: "A" | "TXT";
  readonly zone: string;
  readonly name: string;
}

/** Who asked. */
export interface Asker {
  lookedUp(record: "A" | "TXT", zone: string, answer: LookupAnswer): void;
}

interface OnItsWay {
  readonly at: number;
  readonly asker: Asker;
  readonly question: Question;
  readonly answer: LookupAnswer;
}

export class ScriptedDns {
  readonly #now: () => number;
  readonly #told = new Map<string, ToldAnswer>();
  /** In the order in which they arrive. */
  readonly #onTheirWay: OnItsWay[] = [];

  constructor(now: () => number) {
    this.#now = now;
  }

  tell(name: string, record: "A" | "TXT", told: ToldAnswer): void {
    this.#told.set(`${name} ${record}`, told);
  }

  ask(asker: Asker, question: Question): void {
    const told = this.#told.get(`${question.name} ${question.record}`);
    if (told === undefined) throw new Error(`nobody told of ${question.name} ${question.record}`);
    const { waits, afterMs, answer } = told;
    if (waits) this.#send(0, asker, question, { kind: "busy", reason: "too many look-ups at once" });
    if (answer === undefined) return;
    this.#send(afterMs, asker, question, answer);
  }

  #send(afterMs: number, asker: Asker, question: Question, answer: LookupAnswer): void {
    this.#onTheirWay.push({ at: this.#now() + afterMs, asker, question, answer });
    this.#onTheirWay.sort((one, other) => one.at - other.at);
  }

  get deadline(): number {
    return this.#onTheirWay[0]?.at ?? Number.POSITIVE_INFINITY;
  }

  wake(): void {
    const next = this.#onTheirWay.shift();
    next?.asker.lookedUp(next.question.record, next.question.zone, next.answer);
  }
}
