import { describe, expect, test } from "bun:test";
import { noOffer, type RelayOffer } from "../../src/smtp/ehlo.ts";
import type { MailParameters } from "../../src/smtp/parameters.ts";
import { parseForwardPath } from "../../src/smtp/paths.ts";
import { formatMail, formatRcpt } from "../../src/smtp/relay-commands.ts";

const everything: RelayOffer = {
  pipelining: true,
  sizeOctetsMax: 0,
  eightBitMime: true,
  smtputf8: true,
  dsn: true,
  starttls: true,
  auth: [],
};
const parameters: MailParameters = {
  size: 1000,
  body: "8BITMIME",
  smtputf8: false,
  ret: "HDRS",
  envid: "a+2Bb",
};
const mailbox = parseForwardPath('<"a b"@example.org>')?.path ?? "null";

describe("MAIL to the relay", () => {
  test("the null reverse-path, without parameters", () => {
    expect(formatMail("null", { smtputf8: false }, 100, everything)).toBe("MAIL FROM:<>");
  });

  test("what the relay offers goes along, the size with our trace added", () => {
    expect(formatMail(mailbox, parameters, 111, everything)).toBe(
      'MAIL FROM:<"a b"@example.org> SIZE=1111 BODY=8BITMIME RET=HDRS ENVID=a+2Bb',
    );
  });

  test("what it does not offer stays behind", () => {
    expect(formatMail(mailbox, parameters, 111, noOffer)).toBe('MAIL FROM:<"a b"@example.org>');
    expect(formatMail(mailbox, parameters, 1, { ...noOffer, sizeOctetsMax: 5 })).toBe(
      'MAIL FROM:<"a b"@example.org> SIZE=1001',
    );
    expect(formatMail(mailbox, parameters, 1, { ...noOffer, dsn: true })).toBe(
      'MAIL FROM:<"a b"@example.org> RET=HDRS ENVID=a+2Bb',
    );
  });

  test("a size beyond counting stays a number", () => {
    const size = Number.MAX_SAFE_INTEGER;
    expect(formatMail("null", { size, smtputf8: false }, 100, everything)).toBe(
      "MAIL FROM:<> SIZE=9007199254740991",
    );
  });

  test("SMTPUTF8 to a relay without it is our own fault", () => {
    expect(formatMail("null", { smtputf8: true }, 0, everything)).toBe("MAIL FROM:<> SMTPUTF8");
    expect(() => formatMail("null", { smtputf8: true }, 0, noOffer)).toThrow("SMTPUTF8");
  });
});

describe("RCPT to the relay", () => {
  test("DSN's wishes go along only where it is offered", () => {
    const wishes = { notify: "SUCCESS,delay", orcpt: "rfc822;x@example.org" };
    expect(formatRcpt("x@example.org", wishes, everything)).toBe(
      "RCPT TO:<x@example.org> NOTIFY=SUCCESS,delay ORCPT=rfc822;x@example.org",
    );
    expect(formatRcpt("postmaster", wishes, noOffer)).toBe("RCPT TO:<postmaster>");
  });
});
