/** The proxy's log, as far as the ledger needs it: the transactions, and everything that must not be there. */
import { readFileSync } from "node:fs";
import type { Finding, Transaction } from "./ledger.ts";
import { idOf } from "./mails.ts";

/** What may happen in a soak besides. A reload that failed is none of them. */
const harmless: ReadonlySet<string> = new Set([
  "start",
  "listening",
  "configuration",
  "certificate",
  "session",
  "relay-failed",
  "relay-plaintext",
  "relay-recovered",
  "relay-pressure",
  "relay-pressure-over",
  "log-lines-left-out",
  "recipient-refused",
  "shutdown",
  "stopped",
]);

export interface LogStory {
  readonly transactions: readonly Transaction[];
  readonly findings: readonly Finding[];
  /** How often certificate and key were read again. */
  readonly reloads: number;
}

/** `files`: logs in JSON, one of each run of the proxy. A line that was not finished was cut off by SIGKILL. */
export function readLogs(files: readonly string[]): LogStory {
  const transactions: Transaction[] = [];
  const findings: Finding[] = [];
  let reloads = 0;
  for (const file of files) {
    for (const line of readFileSync(file, "utf8").split("\n").slice(0, -1)) {
      const fields = parsed(line);
      const event = fields.get("event");
      if (event === "transaction") transactions.push(transactionOf(fields, line));
      else if (event === "reload" && fields.get("outcome") === "done") reloads += 1;
      else if (!harmless.has(String(event)))
        findings.push({ violation: "fault", id: String(event ?? "no event"), why: `${file}: ${line}` });
    }
  }
  return { transactions, findings, reloads };
}

function transactionOf(fields: ReadonlyMap<string, unknown>, line: string): Transaction {
  const from = String(fields.get("from")).slice(1, -1);
  const unheard = fields.get("unheard") === true;
  return { id: idOf(from) ?? from, outcome: String(fields.get("outcome")), unheard, line };
}

/** Empty for what is no JSON, such as the words of a crash. */
function parsed(line: string): ReadonlyMap<string, unknown> {
  try {
    return new Map(Object.entries(JSON.parse(line)));
  } catch {
    return new Map();
  }
}
