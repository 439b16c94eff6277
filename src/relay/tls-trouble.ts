/**
 * How TLS with a relay broke, as one line for the log: at which stage, by what, and what to do about it.
 * Not here: what the TLS library's errors mean (lib/errors.ts).
 */

/** "implicit": the handshake from the first octet. "within": before the first reply within TLS. */
export type TlsStage = "STARTTLS" | "handshake" | "implicit" | "within";

const stages: Record<TlsStage, string> = {
  STARTTLS: "TLS with the relay failed at STARTTLS",
  handshake: "TLS handshake with the relay failed",
  implicit: "TLS handshake with the relay failed",
  within: "TLS with the relay failed right behind the handshake, as if it wanted a client certificate",
};

/** What to do about it, where the reason alone does not tell an operator of a relay's client. */
const advice: readonly (readonly [pattern: RegExp, advice: string])[] = [
  [
    /key usage bit incorrect/,
    "it lacks digitalSignature, which our TLS library insists on even where nothing is verified",
  ],
  [
    /self.signed|local issuer|issuer cert|unable to verify/,
    "RELAY_CA names who may vouch for the relay; RELAY_TLS=required encrypts without verifying",
  ],
  [/certificate has expired/, "the relay's certificate is to be renewed"],
  [/altname|hostname/i, "the relay's certificate is for another name than the one in RELAY_HOST"],
];

export function describeTls(stage: TlsStage, detail: string): string {
  const isNoTls = stage === "implicit" && detail.includes("wrong version number");
  const clause = isNoTls
    ? "the relay does not speak TLS at this port; RELAY_TLS=opportunistic or required uses STARTTLS"
    : advice.find(([pattern]) => pattern.test(detail))?.[1];
  return `${stages[stage]}: ${detail}${clause === undefined ? "" : `: ${clause}`}`;
}
