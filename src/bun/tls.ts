/**
 * Certificates, keys and authorities: read from files, checked, and made into what the sockets take.
 * Every fault is one line in the operator's terms that names the file. An expired certificate is no fault but a fact:
 * the caller warns, and mail goes on being encrypted. TLS 1.2 is the least on both sides.
 * Not here: the handshake (socket.ts), when to read the files again (commands/certificate-watch.ts).
 * Rejected: paths given to Bun's own options, which tell of a wrong key at the first handshake only.
 */

import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import {
  createSecureContext,
  getCACertificates,
  rootCertificates,
  type SecureContextOptions,
} from "node:tls";
import { explainError, oneLine } from "../lib/errors.ts";
import type { ServerTls } from "../shell/network.ts";

/** What `check` and the start tell about our certificate. */
export interface CertificateFacts {
  /** Its DNS names and IP addresses, or the common name if it has none: ["mx.example.org"]. */
  readonly names: readonly string[];
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export type LoadedServerTls =
  | { readonly ok: true; readonly tls: ServerTls; readonly certificate: CertificateFacts }
  | { readonly ok: false; readonly fault: string };

export type LoadedAuthorities =
  | { readonly ok: true; readonly authorities: readonly string[] }
  | { readonly ok: false; readonly fault: string };

const minVersion = "TLSv1.2";
const pemCertificates = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** A fault of the operator's files, on its way to the `fault` of a result. Never leaves this file. */
class FileFault extends Error {}

/** Reads and matches SERVER_CERT (the certificate first, then its chain) and SERVER_KEY. */
export function loadServerTls(certPath: string, keyPath: string): LoadedServerTls {
  return orFault(() => {
    const certPem = readPem(certPath);
    const keyPem = readPem(keyPath);
    const chain = readCertificates(certPath, certPem);
    const key = readKey(keyPath, keyPem);
    const [certificate] = chain;
    if (!certificate?.checkPrivateKey(key)) throw new FileFault(mismatch(certPath, keyPath, chain, key));
    const context = contextOf(certPath, { cert: certPem, key: keyPem });
    return { ok: true, tls: { role: "server", context }, certificate: factsOf(certificate) };
  });
}

/** Reads RELAY_CA: one or more certificates in PEM. */
export function loadAuthorities(path: string): LoadedAuthorities {
  return orFault(() => {
    const pem = readPem(path);
    readCertificates(path, pem);
    const authorities = pem.match(pemCertificates) ?? [];
    contextOf(path, { ca: authorities });
    return { ok: true, authorities };
  });
}

let system: readonly string[] | undefined;

/** The system's authorities, or Mozilla's as they come with Bun where the system has none. Read once: 5 ms. */
export function systemAuthorities(): readonly string[] {
  if (system === undefined) {
    const found = getCACertificates("system");
    system = found.length > 0 ? found : rootCertificates;
  }
  return system;
}

const clientContexts = new WeakMap<readonly string[], object>();

/** The client role's context, made once for each list of authorities: parsing the system's takes 5 ms. */
export function clientContext(authorities: readonly string[] = systemAuthorities()): object {
  const known = clientContexts.get(authorities);
  if (known !== undefined) return known;
  const { context } = createSecureContext({ ca: [...authorities], minVersion });
  clientContexts.set(authorities, context);
  return context;
}

function orFault<T>(load: () => T): T | { readonly ok: false; readonly fault: string } {
  try {
    return load();
  } catch (error) {
    if (error instanceof FileFault) return { ok: false, fault: error.message };
    throw error;
  }
}

function readPem(path: string): string {
  try {
    // A byte order mark in front is no part of the first line.
    return readFileSync(path, "latin1").replace(/^\xef\xbb\xbf/, "");
  } catch (error) {
    throw new FileFault(`cannot read ${path}: ${explainError(error, "read")}`);
  }
}

function readCertificates(path: string, pem: string): X509Certificate[] {
  const blocks = pem.match(pemCertificates) ?? [];
  if (blocks.length === 0) {
    const found = pem.includes("PRIVATE KEY-----") ? "it holds a private key" : "it is not PEM";
    throw new FileFault(`no certificate in ${path}: ${found}`);
  }
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block);
    } catch {
      throw new FileFault(`certificate ${index + 1} in ${path} is damaged`);
    }
  });
}

function readKey(path: string, pem: string): KeyObject {
  if (!pem.includes("PRIVATE KEY-----")) {
    const found = pem.includes("-----BEGIN CERTIFICATE-----") ? "it holds a certificate" : "it is not PEM";
    throw new FileFault(`no private key in ${path}: ${found}`);
  }
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(pem)) {
    throw new FileFault(
      `the private key in ${path} is encrypted: decrypt it first (openssl pkey -in … -out …)`,
    );
  }
  try {
    return createPrivateKey(pem);
  } catch {
    throw new FileFault(`the private key in ${path} is damaged`);
  }
}

function mismatch(
  certPath: string,
  keyPath: string,
  chain: readonly X509Certificate[],
  key: KeyObject,
): string {
  const fits = chain.findIndex((certificate) => certificate.checkPrivateKey(key));
  return fits > 0
    ? `the certificate for ${keyPath} is number ${fits + 1} in ${certPath}: put it first, its chain after it`
    : `the key in ${keyPath} does not belong to the certificate in ${certPath}`;
}

function contextOf(path: string, options: SecureContextOptions): object {
  try {
    return createSecureContext({ ...options, minVersion }).context;
  } catch (error) {
    throw new FileFault(`${path} is refused by the TLS library: ${oneLine(error)}`);
  }
}

function factsOf(certificate: X509Certificate): CertificateFacts {
  const alternatives = certificate.subjectAltName?.matchAll(/(?:DNS|IP Address):([^,\s]+)/g) ?? [];
  const names = [...alternatives].flatMap(([, name]) => name ?? []);
  const commonName = /^CN=(.+)$/m.exec(certificate.subject)?.[1];
  return {
    names: names.length > 0 || commonName === undefined ? names : [commonName],
    notBefore: new Date(certificate.validFrom),
    notAfter: new Date(certificate.validTo),
  };
}
