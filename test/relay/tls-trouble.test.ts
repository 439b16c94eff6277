/** How broken TLS reads in the log: stage, reason, and what to do where that is known. */
import { expect, test } from "bun:test";
import { describeTls, type TlsStage } from "../../src/relay/tls-trouble.ts";

const noTls = "the peer does not speak TLS here (EPROTO: wrong version number)";
const cases: readonly (readonly [TlsStage, string, RegExp])[] = [
  ["STARTTLS", "closed by the relay", /^TLS with the relay failed at STARTTLS: closed by the relay$/],
  [
    "handshake",
    noTls,
    /^TLS handshake with the relay failed: the peer does not speak TLS here \(EPROTO: wrong version number\)$/,
  ],
  [
    "implicit",
    noTls,
    /\): the relay does not speak TLS at this port; RELAY_TLS=opportunistic or required uses STARTTLS$/,
  ],
  [
    "handshake",
    "the key usage (EPROTO: key usage bit incorrect)",
    /^TLS handshake with the relay failed: the key usage .*: it lacks digitalSignature/,
  ],
  ["handshake", "self signed certificate", /RELAY_CA names who may vouch/],
  ["handshake", "unable to get local issuer certificate", /RELAY_CA names who may vouch/],
  ["handshake", "certificate has expired", /to be renewed$/],
  [
    "implicit",
    "Hostname/IP does not match certificate's altnames",
    /another name than the one in RELAY_HOST$/,
  ],
  [
    "within",
    "closed by the relay",
    /^TLS with the relay failed right behind the handshake, as if it wanted a client certificate: closed by the relay$/,
  ],
];

test.each(cases)("%s: %s", (stage, detail, expected) => {
  expect(describeTls(stage, detail)).toMatch(expected);
});
