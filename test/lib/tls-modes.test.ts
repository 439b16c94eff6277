/** What each RELAY_TLS means: the README's promises, as a table. */
import { describe, expect, test } from "bun:test";
import { plaintextWillDo, type RelayTls, tlsModes } from "../../src/lib/tls-modes.ts";

describe("RELAY_TLS", () => {
  test.each([
    ["off", "", false],
    ["opportunistic", "wanted", true],
    ["required", "wanted required", false],
    ["verify", "wanted required verified", false],
    ["implicit", "wanted required verified from-start", false],
  ] as const)("%s: %s", (name, meaning, plaintext) => {
    const { isWanted, isRequired, isVerified, isFromStart } = tlsModes[name];
    const words = { wanted: isWanted, required: isRequired, verified: isVerified, "from-start": isFromStart };
    expect(
      Object.entries(words)
        .flatMap(([word, is]) => (is ? word : []))
        .join(" "),
    ).toBe(meaning);
    expect(plaintextWillDo(name, false)).toBe(plaintext);
  });

  test("a password never goes without TLS", () => {
    for (const name of Object.keys(tlsModes)) expect(plaintextWillDo(name as RelayTls, true)).toBe(false);
  });
});
