/**
 * Programs that are broken on purpose, each in one way: the proof that the judges of the simulator can fail. Each is
 * what one fault in src would look like from outside. `reportedAs`: the invariants one of which has to be reported.
 */
import type { LogEvent } from "../../src/ops/events.ts";
import type { Saboteur, Write } from "./watch.ts";

export interface Sabotage {
  readonly fault: string;
  readonly saboteur: () => Saboteur;
  readonly reportedAs: readonly string[];
  /** In how many worlds it has to be found, where it shows in few. */
  readonly worldsMax?: number;
}

/** Changes what is written to one side, where `pattern` matches. */
function rewrites(side: "client" | "relay", pattern: RegExp, replacement: string): () => Saboteur {
  return () => ({
    write(octets, where) {
      if (where !== side) return octets;
      const text = octets.toString("latin1");
      return pattern.test(text) ? Buffer.from(text.replace(pattern, replacement), "latin1") : octets;
    },
  });
}

function logs(change: (event: LogEvent) => readonly LogEvent[]): () => Saboteur {
  return () => ({ log: change });
}

/** What is to be given back behind a write is given back behind the one before it. */
function givesBackEarly(writes: readonly Write[]): readonly Write[] {
  return writes.map(({ octets, spent }, index) => ({
    octets,
    spent: writes[index + 1]?.spent ?? (index === 0 ? spent : undefined),
  }));
}

export const sabotages: readonly Sabotage[] = [
  {
    fault: "the relay's refusal of a message is told as 250",
    saboteur: rewrites("client", /^[45]\d\d ([\s\S]*4\.2\.2 mailbox full)/, "250 $1"),
    reportedAs: ["the relay's words are not passed on as they were"],
  },
  {
    fault: "250 is said for a relay that was lost",
    saboteur: rewrites("client", /^451 4\.4\.2/, "250 2.0.0"),
    reportedAs: ["250 to the dot without the relay's acceptance", "neither the relay's word nor 4yz of ours"],
  },
  {
    fault: "trouble of ours is told as 5yz",
    saboteur: rewrites("client", /^451 4\.4\.1/, "551 5.4.1"),
    reportedAs: ["neither the relay's word nor 4yz of ours"],
  },
  {
    fault: "an octet of a message is lost",
    saboteur: rewrites("relay", /^(Received: [\s\S]*Subject: cli)e/, "$1"),
    reportedAs: ["the message is not the client's", "mail data is not the client's"],
  },
  {
    fault: "a stuffed dot is lost",
    saboteur: rewrites("relay", /\r\n\.\.(?=[^\r])/, "\r\n."),
    reportedAs: ["the message is not the client's", "mail data is not the client's"],
  },
  {
    fault: "a line end loses its CR",
    saboteur: rewrites("relay", /(Subject: \w+)\r\n/, "$1\n"),
    reportedAs: ["a bare CR or LF reaches a relay", "mail data is not the client's"],
  },
  {
    fault: "the dot is sent early",
    saboteur: rewrites("relay", /^(Received: [\s\S]*)$/, "$1.\r\n"),
    reportedAs: ["the dot is sent before the client sent its own", "the message is not the client's"],
  },
  {
    fault: "a chunk's memory is given back one write too early",
    saboteur: () => ({ turn: givesBackEarly }),
    reportedAs: ["nothing is thrown"],
    worldsMax: 200,
  },
  {
    fault: "a recipient is lost",
    saboteur: rewrites("relay", /RCPT TO:<r2\.[^>]*>/, "NOOP"),
    reportedAs: ["no command that the program may send"],
  },
  {
    fault: "a recipient becomes another",
    saboteur: rewrites("relay", /RCPT TO:<r1\./, "RCPT TO:<r9."),
    reportedAs: ["a command that no client sent"],
  },
  {
    fault: "the reverse-path is lost",
    saboteur: rewrites("relay", /MAIL FROM:<s\.[^>]*>/, "MAIL FROM:<>"),
    reportedAs: ["the reverse-path is not the client's"],
  },
  {
    fault: "a reply is said twice",
    saboteur: rewrites("client", /^(250 2\.0\.0 ok\r\n)/, "$1$1"),
    reportedAs: ["a reply to nothing", "a reply that the command cannot have"],
  },
  {
    fault: "a reply is never said",
    saboteur: rewrites("client", /^250 2\.1\.0 ok\r\n/, ""),
    reportedAs: [
      "a reply that the command cannot have",
      "a reply to nothing",
      "a session ends by its deadline",
      "a command without an answer at FIN",
    ],
  },
  {
    fault: "two replies are swapped",
    saboteur: rewrites("client", /^(250 2\.1\.0 ok\r\n)(\d[\s\S]*\r\n)$/, "$2$1"),
    reportedAs: ["a reply that the command cannot have"],
  },
  {
    fault: "relay connections are never closed",
    saboteur: () => ({ leaks: (side) => side === "relay" }),
    reportedAs: ["RELAY_MAX_CONNECTIONS", "nothing is left"],
  },
  {
    fault: "client connections are never closed",
    saboteur: () => ({ leaks: (side) => side === "client" }),
    reportedAs: ["a session ends by its deadline", "nothing is left"],
  },
  {
    fault: "an outcome is logged twice",
    saboteur: logs((event) => (event.event === "transaction" ? [event, event] : [event])),
    reportedAs: ["one outcome a transaction"],
  },
  {
    fault: "an outcome is not logged",
    saboteur: logs((event) => (event.event === "transaction" ? [] : [event])),
    reportedAs: ["one outcome a transaction"],
  },
  {
    fault: "what was relayed is logged as deferred",
    saboteur: logs((event) =>
      event.event === "transaction" && event.outcome === "relayed"
        ? [{ ...event, outcome: "deferred" }]
        : [event],
    ),
    reportedAs: ["a relay has it, and the log says otherwise"],
  },
  {
    fault: "what was deferred is logged as relayed",
    saboteur: logs((event) =>
      event.event === "transaction" && event.outcome === "deferred"
        ? [{ ...event, outcome: "relayed" }]
        : [event],
    ),
    reportedAs: ["relayed, and no relay accepted it"],
  },
  {
    fault: "a session has no line",
    saboteur: logs((event) => (event.event === "session" ? [] : [event])),
    reportedAs: ["one line a session"],
  },
];
