/**
 * The recipient rules: who is ours, and to which address the relay is asked to deliver.
 * VALID_RECIPIENTS is searched in the address as the client wrote it; <postmaster> without a domain is always ours
 * (RFC 5321 §4.5.1). OVERRIDE_RECIPIENT takes the place of every recipient that is ours.
 * Not here: how many there may be (transaction.ts), what the relay thinks of one.
 */
import { recipientNotOurs } from "../smtp/catalogue.ts";
import type { Mailbox } from "../smtp/paths.ts";
import type { Reply } from "../smtp/replies.ts";

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

export type RecipientVerdict =
  | { readonly verdict: "ours"; readonly relayAddress: string }
  | { readonly verdict: "refused"; readonly reply: Reply };

export function judgeRecipient(path: Mailbox, rules: RecipientRules): RecipientVerdict {
  const { validRecipients, overrideRecipient } = rules;
  const ours = path.domain === "" || (validRecipients?.test(path.address) ?? true);
  if (!ours) return { verdict: "refused", reply: recipientNotOurs(path) };
  return { verdict: "ours", relayAddress: overrideRecipient ?? path.address };
}
