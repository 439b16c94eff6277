import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { simpleParser } from "mailparser";
import { formatDate, protocolKeyword, receivedLine, type TraceFacts } from "../../src/smtp/trace.ts";
import { wireStrings } from "./generators.ts";

const facts: TraceFacts = {
  heloName: "helo.example",
  clientAddress: "192.0.2.1",
  serverName: "mx.example",
  extended: true,
  utf8: false,
  id: "abc-1",
  dateMs: Date.UTC(2026, 10, 23, 12, 54, 23),
};
const tls = { version: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384" };

function lineOf(changes: Partial<TraceFacts>): string {
  return receivedLine({ ...facts, ...changes }).toString("latin1");
}

/** What stands behind "from". */
function fromOf(changes: Partial<TraceFacts>): string {
  return (
    lineOf(changes)
      .replace(/^Received: from /, "")
      .split("\r\n\tby ")[0] ?? ""
  );
}

describe("the trace line", () => {
  test("is that of RFC 5321", () => {
    expect(lineOf({ tls })).toBe(
      [
        "Received: from helo.example ([192.0.2.1])\r\n",
        "\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384)\r\n",
        "\tby mx.example with ESMTPS id abc-1;\r\n",
        "\tMon, 23 Nov 2026 12:54:23 +0000\r\n",
      ].join(""),
    );
  });

  test.each([
    ["helo.example", "2001:db8::1", "helo.example ([IPv6:2001:db8::1])"],
    ["helo.example", "fe80::1%eth0", "helo.example ([IPv6:fe80::1])"],
    ["[192.0.2.9]", "192.0.2.1", "[192.0.2.9] ([192.0.2.1])"],
    ["[IPv6:::1]", "192.0.2.1", "[IPv6:::1] ([192.0.2.1])"],
    ["we(ird", "192.0.2.1", "[192.0.2.1] (helo=we\\(ird)"],
    ["a\\)", "192.0.2.1", "[192.0.2.1] (helo=a\\\\\\))"],
    ["trailing.", "192.0.2.1", "[192.0.2.1] (helo=trailing.)"],
    ['[x:(;"]', "192.0.2.1", '[192.0.2.1] (helo=[x:\\(;"])'],
    ["a\r\nX: y\0\xe9", "192.0.2.1", "[192.0.2.1] (helo=a??X:?y??)"],
    ["", "192.0.2.1", "[192.0.2.1] ([192.0.2.1])"],
    ["helo.example", "", "helo.example (local)"],
    ["we(ird", "", "localhost (helo=we\\(ird)"],
    ["", "", "localhost (local)"],
  ])("from %j at %j", (heloName, clientAddress, expected) => {
    expect(fromOf({ heloName, clientAddress })).toBe(expected);
  });

  test("is folded where a name is long", () => {
    const heloName = `${"h".repeat(60)}.${"h".repeat(60)}.example`;
    expect(lineOf({ heloName })).toStartWith(`Received: from\r\n\t${heloName}\r\n\t([192.0.2.1])\r\n\tby `);
  });

  test("does not take what only our own fault could bring", () => {
    for (const changes of [
      { serverName: "a b" },
      { id: "a b" },
      { id: "" },
      { clientAddress: "x\r\n" },
      { dateMs: Number.NaN },
    ]) {
      expect(() => receivedLine({ ...facts, ...changes })).toThrow();
    }
  });

  test("is one header field for any client, its comments closed", () => {
    const names = fc.oneof(
      wireStrings(300),
      fc.string({ unit: fc.constantFrom(..."()\\\r\n\t ;a."), maxLength: 300 }),
    );
    const addresses = fc.oneof(fc.ipV4(), fc.ipV6(), fc.constant(""));
    fc.assert(
      fc.property(names, addresses, fc.boolean(), (heloName, clientAddress, secure) => {
        const line = lineOf({ heloName, clientAddress, ...(secure ? { tls } : {}) });
        const [first = "", ...others] = line.split("\r\n");
        expect(first).toStartWith("Received: from");
        expect(others.pop()).toBe("");
        for (const physical of others) expect(physical).toMatch(/^\t[!-~]/);
        for (const physical of [first, ...others]) {
          expect(physical.length).toBeLessThan(998);
          expect(physical).toMatch(/^\t?[ -~]+$/);
          if (physical.slice(1).includes(" ")) expect(physical.length).toBeLessThan(78);
        }
        // Without comments, innermost being the only ones, the plain grammar is left.
        const plain = line.replace(/\((?:[^()\\]|\\[ -~])*\)/g, "").replace(/\s+/g, " ");
        expect(plain).toMatch(
          /^Received: from \S+ by mx\.example with ESMTPS? id abc-1; Mon, 23 Nov 2026 12:54:23 \+0000 $/,
        );
      }),
    );
  });

  test("is read by mailparser as it was written", async () => {
    const names = fc.string({ unit: fc.constantFrom(...'()\\;:<>@"a.-_[]'), minLength: 1, maxLength: 100 });
    await fc.assert(
      fc.asyncProperty(names, fc.oneof(fc.ipV4(), fc.ipV6()), async (heloName, clientAddress) => {
        const line = receivedLine({ ...facts, heloName, clientAddress, tls });
        const mail = await simpleParser(Buffer.concat([line, Buffer.from("Subject: x\r\n\r\nbody\r\n")]));
        const unfolded = line
          .toString("latin1")
          .replace(/\r\n(?=\t)/g, "")
          .replace(/\s+/g, " ")
          .trim();
        expect(`Received: ${mail.headers.get("received")}`.replace(/\s+/g, " ")).toBe(unfolded);
        expect(mail.subject).toBe("x");
        expect(mail.text).toBe("body\n");
      }),
    );
  });
});

test("protocol keywords", () => {
  expect(protocolKeyword(false, false, false)).toBe("SMTP");
  expect(protocolKeyword(false, true, false)).toBe("SMTP");
  expect(protocolKeyword(true, false, false)).toBe("ESMTP");
  expect(protocolKeyword(true, true, false)).toBe("ESMTPS");
  expect(protocolKeyword(true, false, true)).toBe("UTF8SMTP");
  expect(protocolKeyword(true, true, true)).toBe("UTF8SMTPS");
});

test("dates have the form of RFC 5322, and are read again as they were", () => {
  expect(formatDate(0)).toBe("Thu, 01 Jan 1970 00:00:00 +0000");
  expect(formatDate(Date.UTC(2028, 1, 29, 23, 59, 59) + 999)).toBe("Tue, 29 Feb 2028 23:59:59 +0000");
  fc.assert(
    fc.property(fc.integer({ min: 0, max: Date.UTC(9999, 11, 31) }), (dateMs) => {
      const date = formatDate(dateMs);
      expect(date).toMatch(/^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d \+0000$/);
      expect(Date.parse(date)).toBe(dateMs - (dateMs % 1000));
      expect(date).toBe(new Date(dateMs).toUTCString().replace("GMT", "+0000"));
    }),
  );
});
