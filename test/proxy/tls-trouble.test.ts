/** How broken TLS reads in the log: stage, reason, and what to do where that is known. */
import { expect, test } from "bun:test";
import { describeTls, type TlsStage } from "../../src/proxy/tls-trouble.ts";

const cases: readonly (readonly [TlsStage, string, RegExp])[] = [
  ["STARTTLS", "closed by the relay", /^TLS with the relay failed at STARTTLS: closed by the relay$/],
  ["handshake", "EPROTO: wrong version number", /: what the relay says behind STARTTLS is no TLS$/],
  [
    "implicit",
    "EPROTO: wrong version number",
    /: the relay does not speak TLS at this port; RELAY_TLS=opportunistic or required uses STARTTLS$/,
  ],
  [
    "handshake",
    "EPROTO: key usage bit incorrect",
    /^TLS handshake with the relay failed: EPROTO: key usage bit incorrect: .*digitalSignature.*another certificate$/,
  ],
  ["handshake", "EPROTO: tlsv1 alert protocol version", /TLS 1\.2 is the least$/],
  ["handshake", "EPROTO: unsupported protocol", /TLS 1\.2 is the least$/],
  ["handshake", "EPROTO: sslv3 alert handshake failure", /client certificate or knew none of our ciphers$/],
  [
    "within",
    "EPROTO: tlsv13 alert certificate required",
    /right behind the handshake.*there is none to show$/,
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
    "ECONNRESET",
    /^TLS with the relay failed right behind the handshake, as if it wanted a client certificate: ECONNRESET$/,
  ],
];

test.each(cases)("%s: %s", (stage, detail, expected) => {
  expect(describeTls(stage, detail)).toMatch(expected);
});
