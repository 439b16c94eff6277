/** The demo's own verification of DKIM: canonical forms, both algorithms, and what breaks a signature. */
import { describe, expect, test } from "bun:test";
import { createHash, generateKeyPairSync, sign } from "node:crypto";
import { canonicalBody, type DkimKeys, verifyDkim } from "../../src/commands/demo/dkim.ts";
import { reportArrival } from "../../src/commands/demo/report.ts";
import { sampleKeys, sampleMessage } from "../../src/commands/demo/sample-message.ts";

const sha256 = (text: string): string => createHash("sha256").update(text, "latin1").digest("base64");

describe("the body's canonical form", () => {
  test("is that of RFC 6376 §3.4.5", () => {
    const body = " C \r\nD \t E\r\n\r\n\r\n";
    expect(canonicalBody(body, "relaxed")).toBe(" C\r\nD E\r\n");
    expect(canonicalBody(body, "simple")).toBe(" C \r\nD \t E\r\n");
  });

  test("of an empty body has the hashes of RFC 6376 §3.4.3 and §3.4.4", () => {
    for (const body of ["", "\r\n", "\r\n\r\n"]) {
      expect(sha256(canonicalBody(body, "simple"))).toBe("frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=");
      expect(sha256(canonicalBody(body, "relaxed"))).toBe("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }
    expect(canonicalBody("a \t", "relaxed")).toBe("a\r\n");
    expect(canonicalBody("a", "simple")).toBe("a\r\n");
  });
});

describe("simple/simple with Ed25519", () => {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const keys: DkimKeys = new Map([
    ["s._domainkey.d.test", publicKey.export({ type: "spki", format: "pem" }).toString()],
  ]);
  const from = "From: a@d.test\r\n";
  const body = "one  two \r\nthree\r\n";
  const unsigned = `DKIM-Signature: v=1; a=ed25519-sha256; d=d.test; s=s; h=from:from;\r\n bh=${sha256(body)}; b=`;
  const digest = createHash("sha256")
    .update(from + unsigned)
    .digest();
  const signed = `${unsigned}${sign(null, digest, privateKey).toString("base64")}\r\n${from}`;
  const resultOf = (message: string) => verifyDkim(Buffer.from(message, "latin1"), keys)[0];

  test("verifies, also behind another field and with lines at the end", () => {
    expect(resultOf(`${signed}\r\n${body}`)?.signature).toBe("verifies");
    expect(resultOf(`Received: x\r\n\ty\r\n${signed}Subject: z\r\n\r\n${body}\r\n\r\n`)?.signature).toBe(
      "verifies",
    );
  });

  test("fails when header or body were touched", () => {
    expect(resultOf(`${signed}\r\n${body}x`)).toMatchObject({ bodyHash: "differs", signature: "fails" });
    const forged = `${signed.replace("a@", "b@")}\r\n${body}`;
    expect(resultOf(forged)).toMatchObject({ bodyHash: "matches", signature: "fails" });
    // "h=from:from" forbids a second one.
    expect(resultOf(`From: b@d.test\r\n${signed}\r\n${body}`)?.signature).toBe("fails");
  });
});

test("what is no signature, or of an algorithm that we do not know", () => {
  expect(verifyDkim(Buffer.from("Subject: x\r\n\r\nDKIM-Signature: v=1\r\n"), new Map())).toEqual([]);
  for (const text of [
    "",
    "\r\n",
    "DKIM-Signature:",
    "DKIM-Signature: ;;=\r\n\r\n",
    "DKIM-Signature: a=rsa-sha1; c=x/y\r\n",
  ]) {
    const [result] = verifyDkim(Buffer.from(text), new Map());
    expect(result?.signature ?? "unknown").toBe("unknown");
  }
});

describe("the report", () => {
  const trace = Buffer.from("Received: from a\r\n\tby b; now\r\n");
  const report = (...arrived: Buffer[]) => reportArrival(sampleMessage, Buffer.concat(arrived), sampleKeys);

  test("the same, with one Received field in front", async () => {
    const { same, text } = await report(trace, sampleMessage);
    expect(same).toBe(true);
    expect(text).toContain("still verifies: yes\n");
  });

  test("not the same: no Received field, two of them, an octet less, an octet changed", async () => {
    const changed = Buffer.from(sampleMessage);
    changed.writeUInt8(0x58, sampleMessage.indexOf("Guten"));
    expect((await report(sampleMessage)).same).toBe(false);
    expect((await report(trace, trace, sampleMessage)).same).toBe(false);
    expect((await report(trace, sampleMessage.subarray(0, -1))).same).toBe(false);
    const { same, text } = await report(trace, changed);
    expect(same).toBe(false);
    expect(text).toContain(`they differ from octet ${sampleMessage.indexOf("Guten") + 1} on\n`);
    expect(text).toContain("still verifies: NO\n");
  });
});
