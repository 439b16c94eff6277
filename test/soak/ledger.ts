/**
 * The reckoning: what clients were told, what the proxy logged and what the relay holds must be one story.
 *
 * For each attempt (one id, sent once):
 * - told 250: the relay holds it exactly once, with its octets and its recipients, under the queue id that the client
 *   heard; the log says "relayed".
 * - held though not told 250: only if the dot was sent and its answer was lost (RFC 1047's window): between proxy and
 *   client (the client knows nothing, the log says "relayed"), or between relay and proxy (the log says "unknown").
 *   These are counted apart: a client that tries again makes a second copy of them.
 * - everything else is not held, and the log does not say "relayed".
 * - the log has one transaction for it. None only where a SIGKILL of the proxy took the line along.
 * What is held or logged without an attempt was invented.
 *
 * Pure: no files, no clock. Not here: who collects the three stories (client.ts, transactions.ts, held.ts).
 */

/** "not sent": the connection was over before the dot was sent. "unknown": after it, before its answer. */
export type Told = "250" | "4yz" | "5yz" | "unknown" | "not sent";

export interface Attempt {
  readonly id: string;
  readonly from: string;
  /** Those that were accepted. */
  readonly to: readonly string[];
  readonly octets: number;
  /** Of the message. */
  readonly sha256: string;
  /** MAIL was answered by 2yz. */
  readonly begun: boolean;
  readonly dotSent: boolean;
  readonly told: Told;
  /** The last word. */
  readonly reply: string | undefined;
  /** Milliseconds, on the same clock as `Stories.killedAt`. */
  readonly beganAt: number;
  readonly endedAt: number;
}

export interface Transaction {
  readonly id: string;
  readonly outcome: string;
  /** The client was gone before it could hear the reply. */
  readonly unheard: boolean;
  /** The line as it was written. */
  readonly line: string;
}

export interface Held {
  /** undefined: its reverse-path is none of the soak's. */
  readonly id: string | undefined;
  readonly queueId: string;
  readonly to: readonly string[];
  /** Of the message without its trace; undefined: the trace is not what it should be. */
  readonly sha256: string | undefined;
}

export interface Stories {
  readonly attempts: readonly Attempt[];
  readonly transactions: readonly Transaction[];
  readonly held: readonly Held[];
  /** When the proxy was killed by SIGKILL. */
  readonly killedAt: readonly number[];
}

export const violations = [
  "lost",
  "corrupted",
  "doubled",
  "invented",
  "wrong recipients",
  "wrong queue id",
  "refused for good",
  "told otherwise",
  "logged otherwise",
  "not logged",
  "logged twice",
  "fault",
  "silence",
  "bad end",
  "growth",
] as const;
export type Violation = (typeof violations)[number];

export interface Finding {
  readonly violation: Violation;
  /** The attempt's id, or whatever names the thing. */
  readonly id: string;
  readonly why: string;
}

/**
 * Where the answer to the dot was lost. "unheard": the proxy had it, and knew that the client was gone. "on its way":
 * the proxy had said it. "killed": the proxy was killed, and its line with it. "relay cut off": it never came.
 */
export type Missed = "unheard" | "on its way" | "killed" | "relay cut off";

export interface Reckoning {
  readonly told: Readonly<Record<Told, number>>;
  readonly held: number;
  /** Held though not told 250, as is allowed, by what the log says. */
  readonly window: Readonly<Record<Missed, number>>;
  /** Transactions whose line was lost with the proxy that was killed. */
  readonly linesKilled: number;
  readonly findings: readonly Finding[];
}

/** A line is written within the same turn of the proxy as the reply; this is generous for a busy host. */
const lineWrittenMs = 250;

export function reckon(stories: Stories): Reckoning {
  return new Ledger(stories).reckon();
}

class Ledger {
  readonly #stories: Stories;
  readonly #held: ReadonlyMap<string, readonly Held[]>;
  readonly #logged: ReadonlyMap<string, readonly Transaction[]>;
  readonly #findings: Finding[] = [];
  readonly #told: Record<Told, number> = { "250": 0, "4yz": 0, "5yz": 0, unknown: 0, "not sent": 0 };
  readonly #window: Record<Missed, number> = { unheard: 0, "on its way": 0, killed: 0, "relay cut off": 0 };
  #linesKilled = 0;

  constructor(stories: Stories) {
    this.#stories = stories;
    this.#held = Map.groupBy(stories.held, ({ id }) => id ?? "");
    this.#logged = Map.groupBy(stories.transactions, ({ id }) => id);
  }

  reckon(): Reckoning {
    const { attempts, held } = this.#stories;
    for (const attempt of attempts) this.#attempt(attempt);
    this.#strangers(new Set(attempts.map(({ id }) => id)));
    const window = this.#window;
    const linesKilled = this.#linesKilled;
    return { told: this.#told, held: held.length, window, linesKilled, findings: this.#findings };
  }

  #attempt(attempt: Attempt): void {
    const { id, told, reply } = attempt;
    const copies = this.#held.get(id) ?? [];
    const copy = copies.find(({ queueId }) => reply?.endsWith(queueId)) ?? copies[0];
    this.#told[told] += 1;
    this.#lines(attempt);
    if (told === "5yz") this.#find("refused for good", id, `all that was wrong is trouble: ${reply}`);
    if (copies.length > 1) this.#find("doubled", id, `${copies.length} copies, told ${told}`);
    if (copy === undefined) this.#absent(attempt);
    else this.#present(attempt, copy);
  }

  #absent({ id, told, reply }: Attempt): void {
    if (told === "250") this.#find("lost", id, `told ${reply}`);
    else if (this.#outcome(id) === "relayed")
      this.#find("logged otherwise", id, `relayed, and the relay does not hold it; told ${told}`);
  }

  #present(attempt: Attempt, copy: Held): void {
    const { id, told, reply } = attempt;
    if (copy.sha256 !== attempt.sha256) this.#find("corrupted", id, `${copy.queueId} has other octets`);
    if (told === "250") {
      if (copy.to.join() !== attempt.to.join()) this.#find("wrong recipients", id, copy.to.join());
      if (reply?.split(" ").at(-1) !== copy.queueId)
        this.#find("wrong queue id", id, `told ${reply}, held as ${copy.queueId}`);
    } else this.#untold(attempt);
  }

  /** Held, and the client was not told so. */
  #untold({ id, told, dotSent, reply }: Attempt): void {
    const missed = missedAt(told, this.#logged.get(id)?.[0]);
    if (!dotSent) this.#find("invented", id, "held, and its dot was never sent");
    else if (missed === undefined) this.#find("told otherwise", id, `held, and told ${reply ?? told}`);
    else this.#window[missed] += 1;
  }

  #lines(attempt: Attempt): void {
    const { id, told } = attempt;
    const [line, second] = this.#logged.get(id) ?? [];
    if (second !== undefined) this.#find("logged twice", id, "more than one transaction");
    if (line === undefined) {
      if (!attempt.begun) return;
      if (this.#wasKilled(attempt)) this.#linesKilled += 1;
      else this.#find("not logged", id, `no transaction; told ${told}`);
    } else if ((told === "250") !== (line.outcome === "relayed") && told !== "unknown") {
      this.#find("logged otherwise", id, `told ${told}`);
    }
  }

  #wasKilled({ beganAt, endedAt }: Attempt): boolean {
    return this.#stories.killedAt.some((at) => beganAt <= at && at <= endedAt + lineWrittenMs);
  }

  #strangers(ids: ReadonlySet<string>): void {
    for (const { id, queueId } of this.#stories.held) {
      if (id === undefined || !ids.has(id)) this.#find("invented", id ?? queueId, "held, and nobody sent it");
    }
    for (const { id } of this.#stories.transactions) {
      if (!ids.has(id)) this.#find("invented", id, "logged, and nobody sent it");
    }
  }

  #outcome(id: string): string | undefined {
    return this.#logged.get(id)?.[0]?.outcome;
  }

  #find(violation: Violation, id: string, why: string): void {
    const lines = (this.#logged.get(id) ?? []).map(({ line }) => line);
    this.#findings.push({ violation, id, why: [why, ...lines].join("\n    ") });
  }
}

/** undefined: this is none of the ways in which an answer may be lost. */
function missedAt(told: Told, line: Transaction | undefined): Missed | undefined {
  if (line?.outcome === "unknown") return "relay cut off";
  if (told !== "unknown") return undefined;
  if (line === undefined) return "killed";
  if (line.outcome !== "relayed") return undefined;
  return line.unheard ? "unheard" : "on its way";
}
