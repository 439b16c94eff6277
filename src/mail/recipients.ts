/**
 * The recipient rules: who is ours, and to which address the relay is asked to deliver.
 * VALID_RECIPIENTS is searched in the address as the client wrote it, and with its domain in lower case; <postmaster>
 * without a domain is always ours (RFC 5321 §4.5.1). OVERRIDE_RECIPIENT takes the place of every recipient that is ours,
 * and in the relay's replies it is replaced by the address that the client wrote.
 * Not here: how many there may be (envelope.ts), the relay's own rules.
 */
import { recipientNotOurs, routedRecipient } from "../smtp/catalogue.ts";
import type { Mailbox } from "../smtp/paths.ts";
import { mapText, presentable, type Reply } from "../smtp/replies.ts";

/** A compiled VALID_RECIPIENTS: whether it matches anywhere in `address`, a wire string, in linear time. */
export interface RecipientPattern {
  test(address: string): boolean;
}

export interface RecipientRules {
  /** undefined: everyone is ours. */
  readonly validRecipients: RecipientPattern | undefined;
  /** One mailbox for all that are ours, as a wire string. */
  readonly overrideRecipient: string | undefined;
}

/**
 * A local part that routes: `victim%elsewhere.test`, `elsewhere.test!victim`, `"victim@elsewhere.test"`. Postfix
 * (allow_percent_hack, swap_bangpath), Sendmail and others may deliver such an address elsewhere, and where the relay
 * trusts this host that is an open relay, whatever VALID_RECIPIENTS thinks of the address. RFC 5321 §3.6.1.
 */
function isRouted({ localPart }: Mailbox): boolean {
  return /[%!@]/.test(localPart);
}

/** Domains have no case (RFC 5321 §2.4), and patterns are mostly written in lower case. */
function isValid({ localPart, domain, address }: Mailbox, pattern: RecipientPattern): boolean {
  const lower = domain.toLowerCase();
  return pattern.test(address) || (lower !== domain && pattern.test(`${localPart}@${lower}`));
}

export type RecipientVerdict =
  | { readonly verdict: "ours"; readonly relayAddress: string }
  | { readonly verdict: "refused"; readonly reply: Reply };

export function judgeRecipient(path: Mailbox, rules: RecipientRules): RecipientVerdict {
  const { validRecipients, overrideRecipient } = rules;
  if (isRouted(path)) return { verdict: "refused", reply: routedRecipient(path) };
  const ours = path.domain === "" || validRecipients === undefined || isValid(path, validRecipients);
  if (!ours) return { verdict: "refused", reply: recipientNotOurs(path) };
  return { verdict: "ours", relayAddress: overrideRecipient ?? path.address };
}

/** What may stand in a local part, and in a domain. */
const besideLocal = "[\\w.!#$%&'*+/=?^`{|}~\\x80-\\xff-]";
const besideDomain = "[\\w\\x80-\\xff-]|\\.[\\w\\x80-\\xff]";

/** `reply` with `address` wherever it names `relayAddress`, in any case. */
export function withAddress(reply: Reply, relayAddress: string, address: string): Reply {
  const literal = relayAddress.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&");
  const named = new RegExp(`(?<!${besideLocal})${literal}(?!${besideDomain})`, "gi");
  return presentable(mapText(reply, (text) => text.replace(named, () => address)));
}
