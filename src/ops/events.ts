/**
 * Every event that the program logs, as a closed union, and the table that says at which level and with which keys, in
 * which order, each is written. The core emits events, so tests assert them and not text.
 * Not here: how often each is written (line-bounds.ts); escaping, cutting, text or JSON (log.ts). Values from peers are wire strings (one char an octet).
 */
import type { LogLine, LogValue } from "./log.ts";

/** What became of a mail transaction. */
export type Outcome =
  /** The relay said 2yz to the end of mail data. */
  | "relayed"
  /** A 5yz was the last word: by the relay or by a rule of ours. */
  | "refused"
  /** A 4yz was the last word. */
  | "deferred"
  /** The end of mail data was sent and its answer never came: the relay may have the message (RFC 1047). */
  | "unknown"
  /** The client left, or began anew, before the end of mail data. */
  | "abandoned";

export type TransactionEvent = {
  readonly event: "transaction";
  readonly session: string;
  readonly transaction: string;
  readonly outcome: Outcome;
  readonly client: string;
  readonly helo: string;
  readonly protocol: string;
  /** "<address>" or "<>". */
  readonly from: string;
  /** Accepted recipients, joined by commas; cut where the log cuts. */
  readonly to: string;
  /** OVERRIDE_RECIPIENT, where the relay was given that in the place of all these. */
  readonly relayTo: string | undefined;
  readonly recipients: number;
  readonly refusedRecipients: number;
  /** Size of the mail data as far as it came, RFC 1870. */
  readonly octets: number;
  /** "host:port" and the address dialled; undefined when the relay was never needed. */
  readonly relay: string | undefined;
  /** "TLSv1.3 TLS_AES_256_GCM_SHA384", or "none" where mail goes in plaintext. */
  readonly relayTls: string | undefined;
  /** The last reply to the client, or what it would have been. */
  readonly reply: string;
  /** Why, where the reply alone does not tell: failure, or who left. */
  readonly reason: string | undefined;
  /** The client was gone before the reply could reach it. */
  readonly unheard: true | undefined;
  /** Waiting for a relay connection; from DATA to the end of mail data; from there to the relay's answer. */
  readonly connectMs: number | undefined;
  readonly dataMs: number | undefined;
  readonly answerMs: number | undefined;
  readonly totalMs: number;
};

export type LogEvent =
  | TransactionEvent
  | { readonly event: "start"; readonly version: string; readonly relay: string }
  /** As JSON only: people read the reason alone. */
  | { readonly event: "start-failed"; readonly reason: string }
  | { readonly event: "listening"; readonly address: string }
  | { readonly event: "configuration"; readonly warning: string }
  | { readonly event: "certificate"; readonly file: string; readonly names: string; readonly expires: string }
  | {
      readonly event: "reload";
      readonly outcome: "done" | "failed";
      /** Files and options, as the next two. */
      readonly readAgain: string | undefined;
      /** They have changed, and hold as they were at the start. */
      readonly restartNeeded: string | undefined;
      /** Whatever has changed there is not known. */
      readonly notReadAgain: string | undefined;
      readonly reason: string | undefined;
    }
  | { readonly event: "shutdown"; readonly signal: string; readonly sessions: number }
  | { readonly event: "stopped"; readonly cut: number }
  | {
      readonly event: "connection-refused";
      readonly client: string;
      readonly reply: string;
      readonly connections: number;
    }
  | {
      readonly event: "session";
      readonly session: string;
      readonly client: string;
      readonly helo: string;
      readonly tls: string | undefined;
      readonly transactions: number;
      readonly commands: number;
      readonly errors: number;
      /** Refusals of recipients and commands that have no line of their own, for there were too many. */
      readonly unlogged: number | undefined;
      readonly end: string;
      readonly totalMs: number;
    }
  | {
      readonly event: "recipient-refused";
      readonly session: string;
      readonly transaction: string;
      readonly client: string;
      readonly helo: string;
      readonly from: string;
      readonly to: string;
      /** "rules", "screening", "relay", or "relay trouble": it is out of reach, or broke the session. */
      readonly by: string;
      /** OVERRIDE_RECIPIENT, where the relay was asked for that. */
      readonly relayTo: string | undefined;
      readonly reply: string;
    }
  | {
      readonly event: "command-refused";
      readonly session: string;
      readonly client: string;
      readonly command: string;
      readonly reply: string;
    }
  | {
      readonly event: "relay-failed";
      readonly session: string | undefined;
      readonly relay: string;
      readonly reason: string;
    }
  /** Encryption was a wish, and mail goes to this relay without. */
  | { readonly event: "relay-plaintext"; readonly relay: string; readonly reason: string }
  /** The relay wants TLS or a login of us before it takes mail. `advice`: what to set. */
  | {
      readonly event: "relay-demands";
      readonly relay: string;
      readonly reply: string;
      readonly advice: string;
    }
  /** RELAY_HOST leads back to this program. */
  | { readonly event: "relay-loop"; readonly relay: string; readonly advice: string }
  /** It works again, after so many failures in a row. */
  | {
      readonly event: "relay-recovered";
      readonly relay: string;
      readonly failures: number;
      /** Since the first failure. */
      readonly outMs: number;
    }
  /** Three quarters of RELAY_MAX_CONNECTIONS are in use by mails. */
  | {
      readonly event: "relay-pressure";
      readonly connectionsMax: number;
      readonly held: number;
      readonly waiting: number;
      /** Client networks that hold most: "192.0.2.0/24=19 198.51.100.0/24=7". */
      readonly networks: string;
    }
  | { readonly event: "relay-pressure-over"; readonly connectionsMax: number; readonly lastedMs: number }
  | {
      readonly event: "screening";
      readonly session: string;
      readonly client: string;
      readonly verdict: "early-talker" | "non-smtp" | "listed" | "pipelining";
      /** false: SCREENING=observe let it through. */
      readonly enforced: boolean;
      readonly score: number;
      /** "zone=answer*weight", the names as they may be shown. */
      readonly zones: string;
      /** Its first words, cut. */
      readonly said: string | undefined;
      /** From the connection to its first octet. */
      readonly silentMs: number | undefined;
    }
  | {
      readonly event: "tarpit";
      readonly session: string;
      readonly client: string;
      readonly heldMs: number;
      readonly discardedOctets: number;
      readonly end: string;
    }
  /** Its answer is no listing: it does not serve this resolver, or is a list no more. It is left out for an hour. */
  | { readonly event: "dnsbl-unusable"; readonly zone: string; readonly answer: string }
  /** It gives no answer: not listed. `server`: the name server that said why; undefined: none did. */
  | {
      readonly event: "dnsbl-silent";
      readonly zone: string;
      readonly server: string | undefined;
      readonly reason: string;
    }
  /** We were too busy to ask these zones, so the client's mail is deferred. `reason`: what there is too little of. */
  | {
      readonly event: "dnsbl-overload";
      readonly session: string;
      readonly client: string;
      readonly zones: string;
      /** false: SCREENING=observe let it through. */
      readonly enforced: boolean;
      readonly reason: string;
    }
  /** It answers again. `awayMs`: since it gave the first bad answer, or none. */
  | { readonly event: "dnsbl-back"; readonly zone: string; readonly awayMs: number }
  | {
      readonly event: "look-up";
      readonly session: string;
      readonly zone: string;
      readonly record: "A" | "TXT";
      readonly answer: string;
      readonly cached: true | undefined;
      readonly server: string | undefined;
      readonly reason: string | undefined;
    }
  | { readonly event: "fault"; readonly session: string | undefined; readonly stack: string }
  /** Listeners are paused while descriptors are scarce: clients wait in the kernel's queue. */
  | {
      readonly event: "descriptors";
      readonly state: "scarce" | "enough again";
      readonly open: number;
      readonly limit: number;
    }
  /** Nobody read the log fast enough. */
  | {
      readonly event: "log-lines-dropped";
      readonly lines: number;
      /** Of these, lines of transactions, warnings and errors: dropped only when all the others are. */
      readonly importantLines: number;
      readonly since: string;
    }
  /** What the bounds of lines left out, where no further line of its kind tells it. */
  | {
      readonly event: "log-lines-left-out";
      /** Which event. */
      readonly of: string;
      /** The client, relay or zone. */
      readonly about: string;
      readonly lines: number;
    }
  | {
      readonly event: "dialogue";
      readonly session: string;
      readonly with: "client" | "relay";
      readonly direction: "<" | ">";
      readonly text: string;
    };

type Level = LogLine["level"];
export type KeysOf<E> = E extends { event: string } ? readonly Exclude<keyof E, "event">[] : never;

/** An intersection would do as well, but is too much for the compiler with so many events. */
export type LogEventsWithTheName<Name> = Extract<LogEvent, { event: Name }>;

/** Level and keys, in the order in which they are written. */
const layout: { readonly [N in LogEvent["event"]]: { level: Level; keys: KeysOf<LogEventsWithTheName<N>> } } =
  {
    transaction: {
      level: "info",
      keys: [
        "session",
        "transaction",
        "outcome",
        "client",
        "helo",
        "protocol",
        "from",
        "to",
        "relayTo",
        "recipients",
        "refusedRecipients",
        "octets",
        "relay",
        "relayTls",
        "reply",
        "reason",
        "unheard",
        "connectMs",
        "dataMs",
        "answerMs",
        "totalMs",
      ],
    },
    start: { level: "info", keys: ["version", "relay"] },
    "start-failed": { level: "error", keys: ["reason"] },
    listening: { level: "info", keys: ["address"] },
    configuration: { level: "warn", keys: ["warning"] },
    certificate: { level: "info", keys: ["file", "names", "expires"] },
    reload: { level: "info", keys: ["outcome", "readAgain", "restartNeeded", "notReadAgain", "reason"] },
    shutdown: { level: "info", keys: ["signal", "sessions"] },
    stopped: { level: "info", keys: ["cut"] },
    "connection-refused": { level: "warn", keys: ["client", "reply", "connections"] },
    session: {
      level: "info",
      keys: [
        "session",
        "client",
        "helo",
        "tls",
        "transactions",
        "commands",
        "errors",
        "unlogged",
        "end",
        "totalMs",
      ],
    },
    "recipient-refused": {
      level: "info",
      keys: ["session", "transaction", "client", "helo", "from", "to", "by", "relayTo", "reply"],
    },
    "command-refused": { level: "info", keys: ["session", "client", "command", "reply"] },
    "relay-failed": { level: "warn", keys: ["session", "relay", "reason"] },
    "relay-plaintext": { level: "warn", keys: ["relay", "reason"] },
    "relay-demands": { level: "warn", keys: ["relay", "reply", "advice"] },
    "relay-loop": { level: "error", keys: ["relay", "advice"] },
    "relay-recovered": { level: "warn", keys: ["relay", "failures", "outMs"] },
    "relay-pressure": { level: "warn", keys: ["connectionsMax", "held", "waiting", "networks"] },
    "relay-pressure-over": { level: "warn", keys: ["connectionsMax", "lastedMs"] },
    screening: {
      level: "info",
      keys: ["session", "client", "verdict", "enforced", "score", "zones", "said", "silentMs"],
    },
    tarpit: { level: "info", keys: ["session", "client", "heldMs", "discardedOctets", "end"] },
    "dnsbl-unusable": { level: "warn", keys: ["zone", "answer"] },
    "dnsbl-silent": { level: "warn", keys: ["zone", "server", "reason"] },
    "dnsbl-back": { level: "info", keys: ["zone", "awayMs"] },
    "dnsbl-overload": { level: "warn", keys: ["session", "client", "zones", "enforced", "reason"] },
    "look-up": {
      level: "debug",
      keys: ["session", "zone", "record", "answer", "cached", "server", "reason"],
    },
    fault: { level: "error", keys: ["session", "stack"] },
    descriptors: { level: "warn", keys: ["state", "open", "limit"] },
    "log-lines-dropped": { level: "warn", keys: ["lines", "importantLines", "since"] },
    "log-lines-left-out": { level: "warn", keys: ["of", "about", "lines"] },
    dialogue: { level: "debug", keys: ["session", "with", "direction", "text"] },
  };

/** The level of an event; a mail that may be there twice deserves a look. */
function levelOf(event: LogEvent): Level {
  if (event.event === "transaction" && event.outcome === "unknown") return "warn";
  if (event.event === "reload" && event.outcome === "failed") return "error";
  return layout[event.event].level;
}

/** Each event's keys, with what they are called in a log line: snake_case, units last. */
const fieldsOf = new Map(
  Object.entries<{ readonly keys: readonly string[] }>(layout).map(([event, { keys }]) => [
    event,
    keys.map((key) => [key, key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)] as const),
  ]),
);

/** A transaction that was about a mail, and not an empty envelope. */
export function isMail(event: LogEvent): boolean {
  // One that was deferred is a mail that comes again, whoever refused its recipients.
  return event.event === "transaction" && (event.recipients > 0 || event.outcome === "deferred");
}

const leftOutField = ["leftOut", "left_out"] as const;

/** An event as the log writes it. `leftOut`: lines of its kind that were not written before it. */
export function logLine(event: LogEvent, leftOut = 0): LogLine {
  const fields = fieldsOf.get(event.event) ?? [];
  const values: Readonly<Record<string, LogValue>> = event;
  const level = levelOf(event);
  return {
    level,
    isImportant: level === "error" || level === "warn" || isMail(event),
    event: event.event,
    fields: leftOut === 0 ? fields : [...fields, leftOutField],
    values: leftOut === 0 ? values : { ...values, leftOut },
  };
}
