/** Certificates and keys as operators bring them: right, mixed up, damaged, encrypted, missing. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createPrivateKey } from "node:crypto";
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { clientContext, loadAuthorities, loadServerTls, systemAuthorities } from "../../src/bun/tls.ts";
import { Authority, type Certificate, makeCertificate } from "./support.ts";

let authority: Authority;
let good: Certificate;
let other: Certificate;

beforeAll(() => {
  authority = new Authority();
  good = authority.issue(
    "good",
    "DNS:mx.example.org,DNS:*.example.org,IP:192.0.2.1,IP:2001:db8::1",
    2020,
    2045,
  );
  other = authority.issue("other", "DNS:other.example.org");
});
afterAll(() => rmSync(authority.folder, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(authority.folder, name);
  writeFileSync(path, text);
  return path;
}

function faultOf(cert: string, key: string): string {
  const loaded = loadServerTls(cert, key);
  return loaded.ok ? "no fault" : loaded.fault;
}

describe("loadServerTls", () => {
  test("a pair that fits: names and validity", () => {
    const loaded = loadServerTls(good.cert, good.key);
    expect(loaded).toEqual({
      ok: true,
      tls: { role: "server", context: expect.anything() },
      certificate: {
        names: ["mx.example.org", "*.example.org", "192.0.2.1", expect.stringMatching(/^2001:d[bB]8:/i)],
        notBefore: new Date("2020-01-01T00:00:00Z"),
        notAfter: new Date("2045-01-01T00:00:00Z"),
      },
    });
  });

  test("with its chain behind it, comments around it, and one file for both", () => {
    const pem = readFileSync(good.cert, "utf8") + readFileSync(authority.pem, "utf8");
    const chain = file("chain.pem", `subject=CN=mx\r\n${pem.replaceAll("\n", "\r\n")}`);
    expect(faultOf(chain, good.key)).toBe("no fault");
    const both = file("both.pem", readFileSync(good.key, "utf8") + readFileSync(good.cert, "utf8"));
    expect(faultOf(both, both)).toBe("no fault");
  });

  test("other kinds of key: RSA, PKCS#1, SEC1 with its parameters", () => {
    const [key, cert] = [join(authority.folder, "rsa.key"), join(authority.folder, "rsa.pem")];
    makeCertificate({ name: "mx.only.cn", algorithm: "RSA", cert, key });
    const loaded = loadServerTls(cert, key);
    expect(loaded.ok && loaded.certificate.names).toEqual(["mx.only.cn"]);
    const pkcs1 = createPrivateKey(readFileSync(key)).export({ type: "pkcs1", format: "pem" });
    expect(faultOf(cert, file("pkcs1.key", pkcs1.toString()))).toBe("no fault");
    const sec1 = createPrivateKey(readFileSync(good.key)).export({ type: "sec1", format: "pem" });
    const parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    expect(faultOf(good.cert, file("parameters.key", parameters + sec1))).toBe("no fault");
  });

  test("an expired certificate is a fact", () => {
    const expired = authority.issue("expired", "DNS:mx.example.org", 2020, 2021);
    const loaded = loadServerTls(expired.cert, expired.key);
    expect(loaded.ok && loaded.certificate.notAfter).toEqual(new Date("2021-01-01T00:00:00Z"));
  });

  test("faults, in the operator's terms", () => {
    const { folder } = authority;
    const secret = { format: "pem", cipher: "aes-256-cbc", passphrase: "secret" } as const;
    const key = createPrivateKey(readFileSync(good.key));
    const encrypted = file("encrypted.key", key.export({ type: "pkcs8", ...secret }).toString());
    const legacy = file("legacy.key", key.export({ type: "sec1", ...secret }).toString());
    const garbage = file("garbage.pem", "no PEM at all");
    const damaged = file(
      "damaged.pem",
      readFileSync(good.cert, "utf8").replace(/\n[\w+/=]{20}/, "\nAAAAAAAAAAAAAAAAAAAA"),
    );
    const cut = file("cut.pem", readFileSync(good.cert, "utf8").slice(0, 300));
    const badKey = file(
      "bad.key",
      readFileSync(good.key, "utf8").replace(/\n[\w+/=]{20}/, "\nAAAAAAAAAAAAAAAAAAAA"),
    );
    const reversed = file(
      "reversed.pem",
      readFileSync(authority.pem, "utf8") + readFileSync(good.cert, "utf8"),
    );
    const missing = join(folder, "missing.pem");
    const cases: [string, string, string][] = [
      [good.cert, other.key, `the key in ${other.key} does not belong to the certificate in ${good.cert}`],
      [missing, good.key, `cannot read ${missing}: there is no such file (ENOENT)`],
      [good.cert, missing, `cannot read ${missing}: there is no such file (ENOENT)`],
      [folder, good.key, `cannot read ${folder}: it is a folder (EISDIR)`],
      [garbage, good.key, `no certificate in ${garbage}: it is not PEM`],
      [good.cert, garbage, `no private key in ${garbage}: it is not PEM`],
      [good.key, good.cert, `no certificate in ${good.key}: it holds a private key`],
      [good.cert, good.cert, `no private key in ${good.cert}: it holds a certificate`],
      [cut, good.key, `no certificate in ${cut}: it is not PEM`],
      [damaged, good.key, `certificate 1 in ${damaged} is damaged`],
      [good.cert, badKey, `the private key in ${badKey} is damaged`],
      [good.cert, encrypted, `the private key in ${encrypted} is encrypted: decrypt it first`],
      [good.cert, legacy, `the private key in ${legacy} is encrypted: decrypt it first`],
      [reversed, good.key, `the certificate for ${good.key} is number 2 in ${reversed}: put it first`],
    ];
    for (const [cert, key, fault] of cases) expect(faultOf(cert, key)).toStartWith(fault);
  });

  test("files replaced by others: a new context, the old one untouched", () => {
    const [cert, key] = [join(authority.folder, "live.pem"), join(authority.folder, "live.key")];
    copyFileSync(good.cert, cert);
    copyFileSync(good.key, key);
    const first = loadServerTls(cert, key);
    copyFileSync(other.cert, cert);
    expect(faultOf(cert, key)).toContain("does not belong");
    copyFileSync(other.key, key);
    const second = loadServerTls(cert, key);
    expect(first.ok && second.ok && first.tls.context !== second.tls.context).toBe(true);
    expect(second.ok && second.certificate.names).toEqual(["other.example.org"]);
  });
});

describe("authorities", () => {
  test("a file of several is read into its parts", () => {
    const loaded = loadAuthorities(file("two.pem", readFileSync(authority.pem, "utf8").repeat(2)));
    expect(loaded.ok && loaded.authorities.length).toBe(2);
  });

  test("faults", () => {
    const garbage = file("garbage-ca.pem", "nothing");
    expect(loadAuthorities(garbage)).toEqual({
      ok: false,
      fault: `no certificate in ${garbage}: it is not PEM`,
    });
  });

  test("the system's are there, and their context is made once", () => {
    expect(systemAuthorities().length).toBeGreaterThan(50);
    expect(clientContext()).toBe(clientContext());
    expect(clientContext([])).not.toBe(clientContext());
  });
});
