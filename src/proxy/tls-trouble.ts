/**
 * How TLS with a relay broke, as one line for the log: at which stage, by what, and one clause of what that means and
 * what to do about it.
 * Not here: the reasons themselves, which are the TLS library's (net/bun-socket.ts).
 */

/** "implicit": the handshake from the first octet. "within": before the first reply within TLS. */
export type TlsStage = "STARTTLS" | "handshake" | "implicit" | "within";

const stages: Record<TlsStage, string> = {
  STARTTLS: "TLS with the relay failed at STARTTLS",
  handshake: "TLS handshake with the relay failed",
  implicit: "TLS handshake with the relay failed",
  within: "TLS with the relay failed right behind the handshake, as if it wanted a client certificate",
};

const meanings: readonly (readonly [pattern: RegExp, meaning: string])[] = [
  [
    /key usage bit incorrect/,
    "the relay's certificate lacks the key usage that TLS needs (digitalSignature); our TLS library insists on it, even where nothing is verified, so the relay needs another certificate",
  ],
  [
    /unsupported protocol|protocol version/,
    "the relay speaks no TLS that is newer than 1.1; TLS 1.2 is the least",
  ],
  [
    /handshake failure|insufficient security/,
    "the relay ended the handshake, as if it wanted a client certificate or knew none of our ciphers",
  ],
  [/certificate required/, "the relay wants a client certificate, and there is none to show"],
  [
    /self.signed|local issuer|issuer cert|unable to verify/,
    "RELAY_CA names who may vouch for the relay; RELAY_TLS=required encrypts without verifying",
  ],
  [/certificate has expired/, "the relay's certificate is to be renewed"],
  [/altname|hostname/i, "the relay's certificate is for another name than the one in RELAY_HOST"],
];

export function describeTls(stage: TlsStage, detail: string): string {
  const meaning = /wrong version number/.test(detail)
    ? wrongVersion(stage)
    : meanings.find(([pattern]) => pattern.test(detail))?.[1];
  return `${stages[stage]}: ${detail}${meaning === undefined ? "" : `: ${meaning}`}`;
}

function wrongVersion(stage: TlsStage): string {
  return stage === "implicit"
    ? "the relay does not speak TLS at this port; RELAY_TLS=opportunistic or required uses STARTTLS"
    : "what the relay says behind STARTTLS is no TLS";
}
