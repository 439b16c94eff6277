/**
 * Replies by which a relay wants something of us before it takes anybody's mail: TLS, or a login.
 * They say nothing about the mail: a sender that got them as an error would have to bounce mail that no change can
 * help. So the client is told 451 (failures.ts), and the operator what to set.
 *
 * Not here: replies to STARTTLS and AUTH themselves, which end the set-up (setup.ts).
 * RFC 3207 §4 (530), RFC 4954 §4, §6 (530, 534, 535, 538).
 */
import { type RelayTls, tlsModes } from "../lib/tls-modes.ts";
import type { Reply } from "../smtp/replies.ts";
import type { RelaySettings } from "./messages.ts";

const demandCodes: ReadonlySet<number> = new Set([530, 534, 535, 538]);

export function isDemand({ code }: Reply): boolean {
  return demandCodes.has(code);
}

/** What an operator has set, and what the connection was like. */
export interface DemandFacts {
  readonly settings: Pick<RelaySettings, "tls" | "credentials">;
  /** This connection was encrypted. */
  readonly secured: boolean;
  /** Why it was not, where TLS had been tried before. */
  readonly brokenTls: string | undefined;
}

/** What to set, for the log and for `check`. */
export function adviceOn(reply: Reply, { settings, secured, brokenTls }: DemandFacts): string {
  const { tls, credentials } = settings;
  if (secured && credentials !== undefined)
    return "see whether the account RELAY_USERNAME may send mail at this relay";
  if (secured) {
    return "set RELAY_USERNAME and RELAY_PASSWORD, or let the relay accept mail from this host's address";
  }
  if (brokenTls !== undefined) return `mend TLS with this relay, which it insists on: ${brokenTls}`;
  const text = reply.lines.join(" ");
  const login = "RELAY_USERNAME and RELAY_PASSWORD";
  if (reply.code === 538 || /TLS|encrypt/i.test(text)) return `set RELAY_TLS=required${instead(tls)}`;
  if (reply.code !== 530 || /auth|log ?in|credential/i.test(text)) {
    return `set ${login}, and RELAY_TLS=required or verify, for a password goes over TLS only`;
  }
  return `set RELAY_TLS=required${instead(tls)}, and ${login} if it wants a login`;
}

function instead(tls: RelayTls): string {
  return tlsModes[tls].isWanted ? "" : " instead of off";
}
