/**
 * MAIL and RCPT as the relay is sent them. Parameters that it does not offer are left out: a declared size and the
 * wishes for notifications are hints, and 8-bit octets travel as they are (as Postfix and Exim send them).
 * SMTPUTF8 is no hint; the transaction has checked before that the relay offers it (mail/transaction.ts).
 * RFC 5321 §4.1.1.2, §4.1.1.3; RFC 1870; RFC 6152; RFC 6531; RFC 3461.
 */
import { assert } from "../lib/assert.ts";
import type { RelayOffer } from "./ehlo.ts";
import type { MailParameters, RcptParameters } from "./parameters.ts";
import { formatPath, type ReversePath } from "./paths.ts";

/** `traceOctets`: what is added in front of the message, so that a declared SIZE stays true. */
export function formatMail(
  path: ReversePath,
  parameters: MailParameters,
  traceOctets: number,
  offer: RelayOffer,
): string {
  let line = `MAIL FROM:${formatPath(path)}`;
  if (parameters.size !== undefined && offer.sizeOctetsMax !== undefined) {
    line += ` SIZE=${Math.min(parameters.size + traceOctets, Number.MAX_SAFE_INTEGER)}`;
  }
  if (parameters.body !== undefined && offer.eightBitMime) line += ` BODY=${parameters.body}`;
  if (parameters.smtputf8) {
    assert(offer.smtputf8, "SMTPUTF8 goes only to a relay that offers it");
    line += " SMTPUTF8";
  }
  if (offer.dsn) {
    if (parameters.ret !== undefined) line += ` RET=${parameters.ret}`;
    if (parameters.envid !== undefined) line += ` ENVID=${parameters.envid}`;
  }
  return line;
}

export function formatRcpt(address: string, parameters: RcptParameters, offer: RelayOffer): string {
  let line = `RCPT TO:<${address}>`;
  if (offer.dsn) {
    if (parameters.notify !== undefined) line += ` NOTIFY=${parameters.notify}`;
    if (parameters.orcpt !== undefined) line += ` ORCPT=${parameters.orcpt}`;
  }
  return line;
}
