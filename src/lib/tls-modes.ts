/**
 * What each value of RELAY_TLS means, in one table. Options, the relay's session, the route and `check` read it.
 * Not here: the order in which a relay session is set up (relay/setup.ts).
 */

export interface TlsMode {
  /** TLS begins with the first octet, without STARTTLS. */
  readonly isFromStart: boolean;
  /** STARTTLS is used where the relay offers it. */
  readonly isWanted: boolean;
  /** No mail goes without TLS. */
  readonly isRequired: boolean;
  /** The relay's certificate has to verify. */
  readonly isVerified: boolean;
}

const mode = (...is: readonly (keyof TlsMode)[]): TlsMode => ({
  isFromStart: is.includes("isFromStart"),
  isWanted: is.includes("isWanted"),
  isRequired: is.includes("isRequired"),
  isVerified: is.includes("isVerified"),
});

export const tlsModes = {
  off: mode(),
  opportunistic: mode("isWanted"),
  required: mode("isWanted", "isRequired"),
  verify: mode("isWanted", "isRequired", "isVerified"),
  implicit: mode("isWanted", "isRequired", "isVerified", "isFromStart"),
} as const satisfies Readonly<Record<string, TlsMode>>;

export type RelayTls = keyof typeof tlsModes;

/** TLS is wished for, and mail goes without where it cannot be had; never with credentials (RFC 4954 §4). */
export function plaintextWillDo(tls: RelayTls, hasCredentials: boolean): boolean {
  const { isWanted, isRequired } = tlsModes[tls];
  return isWanted && !isRequired && !hasCredentials;
}
