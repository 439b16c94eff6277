/**
 * Our own certificate, for `smtpproxy check`: whether it can be used, from when to when, and for which names.
 * One that has expired, is not valid yet or is for another name still encrypts: clients that insist are few, so it is
 * a warning. One that cannot be used keeps the service from starting.
 * Not here: reading and matching the files (bun/tls.ts).
 */

import { type CertificateFacts, loadServerTls } from "../../bun/tls.ts";
import type { Config } from "../../config/options.ts";
import { shown } from "../print.ts";
import type { Finding } from "./finding.ts";

const dayMs = 86_400_000;
const expiryWarningMs = 14 * dayMs;
const about = "certificate";

export function checkCertificate(
  { serverCert, serverKey, serverName }: Config,
  unixMs: number,
): readonly Finding[] {
  if (serverCert === undefined || serverKey === undefined) {
    return [{ verdict: "ok", about, text: "none is set, clients are not offered STARTTLS" }];
  }
  const loaded = loadServerTls(serverCert, serverKey);
  if (!loaded.ok) return [{ verdict: "FAILED", about, text: loaded.fault }];
  const { certificate } = loaded;
  const files = `in ${serverCert}, its key in ${serverKey}`;
  const names = certificate.names.map(shown).join(", ") || "no name";
  const validity = describeValidity(certificate, unixMs);
  const findings: Finding[] = [{ ...validity, about, details: [`for ${names}`, files] }];
  if (!isFor(certificate.names, serverName)) {
    const text = `SERVER_NAME ${shown(serverName)} is none of its names: clients that verify it will not use it`;
    findings.push({ verdict: "warning", about, text, details: [`it is for ${names}`] });
  }
  return findings;
}

function describeValidity(
  { notBefore, notAfter }: CertificateFacts,
  unixMs: number,
): Pick<Finding, "verdict" | "text"> {
  const leftMs = notAfter.getTime() - unixMs;
  if (leftMs <= 0) return { verdict: "warning", text: `expired on ${notAfter.toISOString()}` };
  if (notBefore.getTime() > unixMs) {
    return { verdict: "warning", text: `is not valid before ${notBefore.toISOString()}` };
  }
  const verdict = leftMs < expiryWarningMs ? "warning" : "ok";
  return { verdict, text: `expires on ${notAfter.toISOString()}, in ${days(leftMs)}` };
}

function days(ms: number): string {
  const count = Math.floor(ms / dayMs);
  return count === 1 ? "1 day" : `${count} days`;
}

/** RFC 9525 §6.3: names have no case; `*` stands for one whole label, the first. */
export function isFor(names: readonly string[], host: string): boolean {
  const wanted = host.toLowerCase().replace(/\.$/, "");
  const behindFirstLabel = wanted.slice(wanted.indexOf(".") + 1);
  return names.some((name) => {
    const offered = name.toLowerCase();
    return offered === wanted || (offered.startsWith("*.") && offered.slice(2) === behindFirstLabel);
  });
}
