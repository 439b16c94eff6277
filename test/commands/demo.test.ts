/** `smtpproxy demo` by the compiled binary: every message of test/messages, the sample, and what cannot be sent. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { asClientsSend, splitReceived, stuffDots, unstuffDots } from "../../src/commands/demo/message.ts";
import { sampleMessage } from "../../src/commands/demo/sample-message.ts";
import { binary, cleanUp, messages, run, temporaryFolder } from "./support.ts";

beforeAll(() => {
  binary();
}, 60_000);
afterAll(cleanUp);

const folder = temporaryFolder();

async function demoOf(octets: Buffer | string) {
  const path = join(folder, "message.eml");
  writeFileSync(path, octets);
  return run(["demo", path]);
}

function sha256(octets: Buffer): string {
  return createHash("sha256").update(octets).digest("hex");
}

test("the sample: both dialogues, the parts, the octets, the signature", async () => {
  const { status, stdout, stderr } = await run(["demo"]);
  expect([status, stderr]).toEqual([0, ""]);
  for (const line of [
    "  client -> proxy  EHLO client.demo.example",
    `  client -> proxy  MAIL FROM:<sender@client.demo.example> SIZE=${sampleMessage.length}`,
    "  proxy -> relay   RCPT TO:<recipient@demo.example>",
    "  proxy -> relay   | Received: from client.demo.example ([127.0.0.1])",
    "  relay -> proxy   221 2.0.0 bye",
    '  From         "Zoë Ackermann" <zoe@demo.example>',
    "  Subject      The picture you asked for, and a line that begins with a dot",
    "  Date         2026-11-23T08:30:00.000Z",
    "  the same     yes",
    "DKIM signature of demo.example, selector throwaway",
    "  signature    still verifies: yes",
  ]) {
    expect(stdout).toContain(`${line}\n`);
  }
  expect(stdout).toMatch(
    /^ {2}Attachment {3}picture\.png, image\/png, 280 octets, SHA-256\n {15}[0-9a-f]{64}$/m,
  );
  expect(stdout.match(/event="transaction"[\s\S]*?outcome="relayed"/g)).toHaveLength(1);
  expect(stdout).toEndWith("\nok       the message arrived as it was sent, octet for octet\n");
  expect(stdout.split(sha256(sampleMessage))).toHaveLength(3);
});

test("it fits a terminal of 80 columns", async () => {
  const cases = [["help"], ["demo"], ...readdirSync(messages).map((name) => ["demo", join(messages, name)])];
  for (const args of cases) {
    const { stdout } = await run(args);
    const wide = stdout.split("\n").filter((line) => Bun.stringWidth(line) > 80);
    expect(wide).toEqual([]);
  }
});

describe("test/messages", () => {
  const names = readdirSync(messages).filter((name) => name.endsWith(".eml"));
  test("there are some", () => expect(names.length).toBeGreaterThanOrEqual(6));

  for (const name of names) {
    test(name, async () => {
      const path = join(messages, name);
      const { status, stdout, stderr } = await run(["demo", path]);
      expect([status, stderr]).toEqual([0, ""]);
      expect(stdout.split(sha256(asClientsSend(readFileSync(path)).octets))).toHaveLength(3);
      expect(stdout).toContain("  the same     yes\n");
    });
  }

  test("the signed one is the sample", () => {
    expect(readFileSync(join(messages, "signed.eml")).equals(sampleMessage)).toBe(true);
  });
});

describe("files", () => {
  test("the line ends of Unix become CRLF, and a last line gets its end; both are told", async () => {
    const { status, stdout } = await demoOf("Subject: x\n\nline\nno end");
    expect(status).toBe(0);
    expect(stdout).toContain("3 of its lines end in LF alone: they are sent with CRLF");
    expect(stdout).toContain("its last line has no end");
    expect(stdout).toContain(sha256(Buffer.from("Subject: x\r\n\r\nline\r\nno end\r\n")));
  });

  test("a message without a body, without a header section, of one dot", async () => {
    for (const text of ["Subject: x\r\n", "\r\nbody\r\n", ".\r\n", "\r\n", "..", "a\0b\r\n"]) {
      const { status, stdout } = await demoOf(text);
      expect(stdout).toContain("  the same     yes\n");
      expect(status).toBe(0);
    }
  });

  test("a bare CR is refused by the proxy, and told", async () => {
    const { status, stdout, stderr } = await demoOf("Subject: x\r\n\r\na\rb\r\n");
    expect(status).toBe(1);
    expect(stdout).toContain("proxy -> client  550 5.5.2 bare CR in mail data\n");
    expect(stdout).toEndWith("\nFAILED   the message was refused: 550 5.5.2 bare CR in mail data\n");
    expect(stderr).toBe("");
  });

  test("20 MB", async () => {
    const line = `${"x".repeat(76)}\r\n`;
    const { status, stdout } = await demoOf(`Subject: big\r\n\r\n${line.repeat(256 * 1024)}`);
    expect(stdout).toContain("  the same     yes\n");
    expect(status).toBe(0);
  }, 30_000);

  test("missing, empty, a folder, a device, too many", async () => {
    writeFileSync(join(folder, "empty.eml"), "");
    const cases: [readonly string[], number, string][] = [
      [[join(folder, "missing.eml")], 1, "there is no such file"],
      [[join(folder, "empty.eml")], 1, "it is empty"],
      [[folder], 1, "it is a folder"],
      [["/dev/zero"], 1, "it is no file"],
      [["a", "b"], 78, "demo takes one file and no options"],
      [["--relay-host=x"], 78, "demo takes one file and no options"],
    ];
    for (const [args, expected, fault] of cases) {
      const { status, stdout, stderr } = await run(["demo", ...args]);
      expect([status, stdout]).toEqual([expected, ""]);
      expect(stderr).toContain(fault);
    }
  });

  test("a signature whose key we do not have: the hash of the body is looked at", async () => {
    const text = sampleMessage.toString("latin1").replace("s=throwaway", "s=other");
    const { status, stdout } = await demoOf(Buffer.from(text, "latin1"));
    expect(status).toBe(0);
    expect(stdout).toContain("the body's hash matches before, matches after\n");
    expect(stdout).toMatch(/its key is in the DNS, which the\s+demo does not ask/);
  });

  test("a signature that was broken before", async () => {
    const text = sampleMessage.toString("latin1").replace("Guten Tag", "Guten Abend");
    const { status, stdout } = await demoOf(Buffer.from(text, "latin1"));
    expect(status).toBe(0);
    expect(stdout).toContain("the body's hash differs before, differs after\n");
    expect(stdout).not.toContain("still verifies: yes");
  });

  test("what would upset a terminal is escaped", async () => {
    const { stdout } = await demoOf(
      "From: \x1b[31m <a@b.example>\nSubject: =?utf-8?Q?=1B=5B31m?=\n\n\x1b[31m\n",
    );
    expect(stdout).not.toContain("\x1b");
  });
});

describe("the wire form", () => {
  const both = (text: string): [string, string] => {
    const stuffed = stuffDots(Buffer.from(text));
    return [stuffed.toString(), unstuffDots(stuffed).toString()];
  };

  test("dots are doubled, and taken off again", () => {
    const cases = {
      ".\r\n": "..\r\n",
      "..a\r\n.\r\n": "...a\r\n..\r\n",
      "a.\r\n.b": "a.\r\n..b",
      "\r\n": "\r\n",
      "": "",
    };
    for (const [text, stuffed] of Object.entries(cases)) expect(both(text)).toEqual([stuffed, text]);
  });

  test("exactly one Received field is taken off, folds and all", () => {
    const split = splitReceived(Buffer.from("Received: a\r\n\tb\r\n c\r\nReceived: d\r\n\r\n"));
    expect(split?.received.toString()).toBe("Received: a\r\n\tb\r\n c\r\n");
    expect(split?.rest.toString()).toBe("Received: d\r\n\r\n");
    expect(splitReceived(Buffer.from("Subject: x\r\nReceived: a\r\n\r\n"))).toBeUndefined();
    expect(splitReceived(Buffer.from("Received: a"))).toBeUndefined();
  });
});
