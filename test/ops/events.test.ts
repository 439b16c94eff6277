/** At which level events are written, and under which keys. How a line looks: log.test.ts. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type LogEvent, logLine, type Outcome, type TransactionEvent } from "../../src/ops/events.ts";
import type { LogLevel } from "../../src/ops/log.ts";

function transaction(outcome: Outcome): TransactionEvent {
  return {
    event: "transaction",
    session: "s1",
    transaction: "s1-1",
    outcome,
    client: "192.0.2.1",
    helo: "client.example",
    protocol: "ESMTP",
    from: "<a@client.example>",
    to: "x@example.org",
    relayTo: undefined,
    recipients: 1,
    refusedRecipients: 2,
    octets: 3,
    relay: undefined,
    relayTls: undefined,
    reply: "250 2.0.0 ok",
    reason: undefined,
    unheard: undefined,
    connectMs: 4,
    dataMs: 5,
    answerMs: 6,
    totalMs: 7,
  };
}

const reloaded = {
  readAgain: undefined,
  restartNeeded: undefined,
  notReadAgain: undefined,
};

const levels: readonly (readonly [what: string, level: LogLevel, event: LogEvent])[] = [
  ["a relayed mail", "info", transaction("relayed")],
  ["a refused mail", "info", transaction("refused")],
  ["a deferred mail", "info", transaction("deferred")],
  ["an abandoned mail", "info", transaction("abandoned")],
  ["a mail that may be there twice", "warn", transaction("unknown")],
  ["a certificate read again", "info", { event: "reload", outcome: "done", ...reloaded, reason: undefined }],
  [
    "one that could not be",
    "error",
    { event: "reload", outcome: "failed", ...reloaded, reason: "no such file" },
  ],
  ["our own fault", "error", { event: "fault", session: undefined, stack: "Error: x" }],
  [
    "a line of a dialogue",
    "debug",
    {
      event: "dialogue",
      session: "s1",
      with: "client",
      direction: "<",
      text: "NOOP",
    },
  ],
];

test.each(levels)("%s: %s", (_what, level, event) => {
  expect(logLine(event).level).toBe(level);
});

test("keys are in snake_case, in their own order, with the event's values", () => {
  const { event, fields, values } = logLine(transaction("relayed"));
  expect(event).toBe("transaction");
  expect(fields.map(([key, name]) => `${name}=${values[key]}`).join(" ")).toBe(
    "session=s1 transaction=s1-1 outcome=relayed client=192.0.2.1 helo=client.example protocol=ESMTP " +
      "from=<a@client.example> to=x@example.org relay_to=undefined recipients=1 refused_recipients=2 octets=3 relay=undefined " +
      "relay_tls=undefined reply=250 2.0.0 ok reason=undefined unheard=undefined connect_ms=4 data_ms=5 " +
      "answer_ms=6 total_ms=7",
  );
});

test("the README has every event, and none that is not there", () => {
  const root = join(import.meta.dir, "../..");
  const source = readFileSync(join(root, "src/ops/events.ts"), "utf8");
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const events = [...source.matchAll(/readonly event: "([a-z-]+)"/g)].map(([, event]) => event);
  expect(events.length).toBeGreaterThan(25);
  expect(
    events.filter((event) => !readme.includes(`\`${event}\``) && !readme.includes(`event="${event}"`)),
  ).toEqual([]);
  const named = [...readme.matchAll(/event="([a-z-]+)"/g)].map(([, event]) => event);
  expect(named.filter((event) => !events.includes(event))).toEqual([]);
});
