/**
 * What a simulated world is made of, as plain data: nothing in here is drawn by chance any more, but how the network
 * cuts and delays. So a scenario can be written to a file, shrunk by taking parts away, and played again.
 * Not here: how a scenario is drawn (draw-*.ts), how it is played (world.ts and the actors).
 */
import type { Conditions, TlsFate } from "./network.ts";

export interface Scenario {
  readonly seed: number;
  /** As an operator writes them. */
  readonly options: Readonly<Record<string, string>>;
  readonly zones: readonly ZoneScript[];
  readonly relays: readonly RelayScript[];
  readonly clients: readonly ClientScript[];
  readonly faults: readonly WorldFault[];
}

// --- Clients ---------------------------------------------------------------------------------------------------

export const clientKinds = [
  "correct",
  "pipelining",
  "few-packets",
  "slow",
  "hostile",
  "smuggling",
  "vanishing",
  "early-talker",
  "http",
  "starttls",
  "reading-slowly",
  "odd",
] as const;
export type ClientKind = (typeof clientKinds)[number];

export interface ClientScript {
  /** Also its name in EHLO, with ".example" behind. */
  readonly name: string;
  readonly kind: ClientKind;
  readonly address: string;
  readonly atMs: number;
  readonly conditions: Conditions;
  /** Writes leave in pieces of so many octets, so far apart; `wholeLines`: each goes on to the end of its line. */
  readonly pace?: { readonly octets: number; readonly pauseMs: number; readonly wholeLines?: true };
  /** How long it waits for replies before it hangs up. */
  readonly patienceMs: number;
  /** What is left of it after so many octets were written. */
  readonly vanishes?: { readonly afterOctets: number; readonly how: Leaving };
  /** Does not answer the program's FIN with its own. */
  readonly holdsOn?: true;
  readonly steps: readonly ClientStep[];
}

export type Leaving = "reset" | "fin" | "close" | "silence";

export type ClientStep =
  /** Waits for the greeting to be complete. */
  | { readonly step: "greeting" }
  /** `line` and CRLF. `await`: all replies before anything else is sent. */
  | { readonly step: "say"; readonly line: string; readonly await: boolean }
  /** Octets as a wire string; `replies`: how many commands there are in it. */
  | { readonly step: "octets"; readonly octets: string; readonly replies: number }
  | { readonly step: "mail"; readonly mail: MailScript }
  /** `behind`: octets in the clear right behind the command, and right behind the reply. */
  | { readonly step: "starttls"; readonly how: TlsFate; readonly behind: "command" | "reply" | "nothing" }
  | { readonly step: "wait"; readonly ms: number }
  /** Reads nothing for a while. */
  | { readonly step: "deaf"; readonly ms: number }
  | { readonly step: "leave"; readonly how: Leaving };

export interface MailScript {
  /** Unique in its world: its addresses and its text contain it. */
  readonly identity: string;
  /** What stands between "<" and ">". */
  readonly from: string;
  readonly to: readonly string[];
  /** Of MAIL, with a space in front; or empty. */
  readonly parameters: string;
  readonly rcptParameters: string;
  /**
   * "polite": each command waits. "pipelined": MAIL to DATA in one go, RFC 2920. "blind": the mail data behind DATA
   * without waiting for 354, which is a client's fault.
   */
  readonly style: "polite" | "pipelined" | "blind";
  readonly body: BodyScript;
  /** Wire string right behind the end of mail data, in the same write, and how many replies it asks for. */
  readonly behind?: { readonly octets: string; readonly replies: number };
  /** How the client leaves right behind the end of mail data. */
  readonly leaves?: Leaving;
  /** Does not wait for the reply to the end of mail data before it goes on. */
  readonly goesOn?: true;
}

export interface BodyScript {
  /** No header section, no line at all: the dot comes at once. */
  readonly empty?: true;
  readonly lines: number;
  readonly lineOctets: number;
  readonly flavour: "text" | "8bit" | "dots";
  /** One of so many lines ends in a bare LF; the last of all never does. */
  readonly bareLfEvery?: number;
  /** Received lines in the header section. */
  readonly hops: number;
  /** Wire string put into the middle of the text, as it is. */
  readonly vector?: string;
}

// --- Relays ----------------------------------------------------------------------------------------------------

export const relayKinds = [
  "correct",
  "slow",
  "full",
  "dying",
  "late",
  "early",
  "twice",
  "in-pieces",
  "garbage",
  "overlong",
  "busy-421",
  "552-within",
  "some-recipients",
  "no-recipients",
  "closing-after-each",
  "dying-idle",
  "speaking-idle",
  "weird",
  "multi-line",
  "tls-trouble",
  "setup-trouble",
  "reading-slowly",
] as const;
export type RelayKind = (typeof relayKinds)[number];

export interface RelayScript {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly resolves: boolean;
  readonly addresses: readonly {
    readonly address: string;
    readonly listens: "well" | "refused" | "silent" | "resets";
    readonly conditions: Conditions;
  }[];
  /** The n-th connection to any of its addresses is of the n-th script; behind the last one it begins anew. */
  readonly connections: readonly RelayConnectionScript[];
}

export interface RelayConnectionScript {
  readonly kind: RelayKind;
  /** EHLO keywords, with their arguments. */
  readonly offers: readonly string[];
  readonly replyMs: number;
  /** Replies leave in pieces of so many octets, so far apart. */
  readonly pieces?: { readonly octets: number; readonly pauseMs: number };
  readonly multiLine?: true;
  readonly tls: TlsFate;
  readonly deeds: readonly RelayDeed[];
}

export const relaySteps = [
  "greeting",
  "EHLO",
  "HELO",
  "STARTTLS",
  "AUTH",
  "MAIL",
  "RCPT",
  "DATA",
  "body",
  "dot",
  "RSET",
  "QUIT",
  "idle",
] as const;
export type RelayStep = (typeof relaySteps)[number];

/** What a relay does instead of its duty, at the `nth` time that it comes to `at`; 0: each time. */
export interface RelayDeed {
  readonly at: RelayStep;
  readonly nth: number;
  /** For "body": after how many octets; for "idle": after how many milliseconds. */
  readonly after: number;
  readonly deed: RelayDeedKind;
}

export type RelayDeedKind =
  | { readonly do: "say"; readonly code: number; readonly text: string; readonly leaving?: Leaving }
  /** Its duty, and later than usual. */
  | { readonly do: "late"; readonly ms: number }
  /** Its duty, twice. */
  | { readonly do: "twice" }
  /** Octets that are no reply, instead of its duty. */
  | { readonly do: "babble"; readonly octets: string; readonly leaving?: Leaving }
  /** The first octets of its duty, and then it leaves. */
  | { readonly do: "half"; readonly octets: number; readonly leaving: Leaving }
  | { readonly do: "leave"; readonly how: Leaving }
  /** Its duty, and then it leaves. */
  | { readonly do: "duty-and-leave"; readonly how: Leaving }
  /** Reads nothing for a while. */
  | { readonly do: "deaf"; readonly ms: number };

// --- DNS and the world -----------------------------------------------------------------------------------------

export interface ZoneScript {
  readonly zone: string;
  /** As an entry of DNSBL_DOMAINS. */
  readonly entry: string;
  readonly weight: number;
  /** Client addresses that it answers for; all others are not listed. */
  readonly listed: readonly string[];
  readonly answers: "listing" | "refusal" | "public" | "trouble" | "never";
  readonly afterMs: number;
}

export type WorldFault = { readonly name: string; readonly atMs: number } & (
  | { readonly fault: "jump"; readonly ms: number }
  | { readonly fault: "clock-set"; readonly ms: number }
  | { readonly fault: "shutdown"; readonly graceMs: number; readonly hurryAfterMs?: number }
  | { readonly fault: "reload" }
  | {
      readonly fault: "relay-down";
      readonly relay: string;
      readonly how: "refused" | "silent" | "resets";
      readonly forMs: number;
    }
);

/**
 * A message as the client sends it, without the end of mail data: whole lines, dot-stuffed where it is honest. A
 * vector may hold anything but an honest end of mail data.
 */
export function mailDataOf({ identity, body }: Pick<MailScript, "identity" | "body">): string {
  if (body.empty === true) return "";
  const trace = Array.from(
    { length: body.hops },
    (_, hop) => `Received: from h${hop}.example by ${identity}\r\n`,
  );
  const header = `${trace.join("")}Subject: ${identity}\r\nMessage-ID: <${identity}@sim.example>\r\n\r\n`;
  const lines = Array.from(
    { length: body.lines },
    (_, index) => `${bodyLine(identity, body, index)}${lineEnd(body, index)}`,
  );
  if (body.vector === undefined) return header + lines.join("");
  const middle = lines.length >> 1;
  const text = `${header}${lines.slice(0, middle).join("")}${body.vector}${lines.slice(middle).join("")}`;
  return (text.endsWith("\r\n") ? text : `${text}\r\n`).replace(/\r\n\.(?=\r\n)/g, "\r\n..");
}

function bodyLine(identity: string, { flavour, lineOctets }: BodyScript, index: number): string {
  const text = `${identity} ${index} `;
  const filling = flavour === "8bit" ? "\xc3\xa9\x80\xff" : "abcd.efg ";
  const line = text + filling.repeat(Math.ceil(lineOctets / filling.length));
  const cut = line.slice(0, Math.max(lineOctets, text.length));
  if (flavour !== "dots") return cut;
  const dots = ["..", `...${cut}`, "", `..${index}`, `${cut}.`, ".. "];
  return dots[index % dots.length] ?? "";
}

function lineEnd({ lines, bareLfEvery }: BodyScript, index: number): string {
  const isBare = bareLfEvery !== undefined && (index + 1) % bareLfEvery === 0 && index < lines - 1;
  return isBare ? "\n" : "\r\n";
}
