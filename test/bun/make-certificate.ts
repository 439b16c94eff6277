/**
 * Makes a certificate for the tests, in a process of its own, so that whoever needs one need not wait for promises:
 * `bun make-certificate.ts JSON`, where JSON is a `CertificateWish`; writes certificate and key as PEM.
 * @peculiar/x509 writes the certificates, so the tests need no openssl command.
 */
import "reflect-metadata";
import { readFileSync, writeFileSync } from "node:fs";
import * as x509 from "@peculiar/x509";

export interface CertificateWish {
  readonly name: string;
  /** "DNS:relay.test,IP:127.0.0.1"; "": none. */
  readonly names: string;
  readonly notBefore: string;
  readonly notAfter: string;
  readonly algorithm: "EC" | "RSA";
  readonly isAuthority: boolean;
  /** PEM files of the authority that signs; undefined: self-signed. */
  readonly signedBy?: { readonly cert: string; readonly key: string };
  readonly cert: string;
  readonly key: string;
}

const algorithms = {
  EC: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
  RSA: {
    name: "RSASSA-PKCS1-v1_5",
    hash: "SHA-256",
    publicExponent: new Uint8Array([1, 0, 1]),
    modulusLength: 2048,
  },
};

async function make(wish: CertificateWish): Promise<void> {
  const algorithm = algorithms[wish.algorithm];
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  if (!("privateKey" in keys)) throw new Error("a pair of keys was asked for");
  const issuer = wish.signedBy === undefined ? undefined : new x509.X509Certificate(read(wish.signedBy.cert));
  const signingKey =
    wish.signedBy === undefined
      ? keys.privateKey
      : await crypto.subtle.importKey(
          "pkcs8",
          x509.PemConverter.decodeFirst(read(wish.signedBy.key)),
          algorithms.EC,
          false,
          ["sign"],
        );
  const names = wish.names.split(",").flatMap((text): x509.JsonGeneralName[] => {
    const [kind, value = ""] = text.split(/:(.*)/);
    return kind === "" ? [] : [{ type: kind === "IP" ? "ip" : "dns", value }];
  });
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: Buffer.from(crypto.getRandomValues(new Uint8Array(8)).with(0, 1)).toString("hex"),
    subject: `CN=${wish.name}`,
    issuer: issuer?.subject ?? `CN=${wish.name}`,
    notBefore: new Date(wish.notBefore),
    notAfter: new Date(wish.notAfter),
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: issuer === undefined ? algorithm : algorithms.EC,
    extensions: [
      new x509.BasicConstraintsExtension(wish.isAuthority, undefined, true),
      ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
    ],
  });
  writeFileSync(wish.cert, `${certificate.toString("pem")}\n`);
  const pkcs8 = await crypto.subtle.exportKey("pkcs8", keys.privateKey);
  writeFileSync(wish.key, `${x509.PemConverter.encode(pkcs8, "PRIVATE KEY")}\n`);
}

function read(path: string): string {
  return readFileSync(path, "utf8");
}

if (import.meta.main) await make(JSON.parse(Bun.argv[2] ?? "{}"));
