/** Passwords that peers say, and what is shown of them. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { CommandMask, maskOctetsOfClient, maskSecrets, secretsOf } from "../../src/smtp/masking.ts";

describe("what a client says", () => {
  test.each([
    [["AUTH PLAIN AGEAYg=="], ["AUTH (hidden)"]],
    [["auth\tplain x"], ["auth (hidden)"]],
    [
      ["AUTH LOGIN", "dQ==", "cA==", "NOOP", "dQ=="],
      ["AUTH (hidden)", "(hidden)", "(hidden)", "NOOP", "dQ=="],
    ],
    [
      ["AUTH", "x", ""],
      ["AUTH", "(hidden)", ""],
    ],
    [["  PASS x"], ["  PASS (hidden)"]],
    [
      ["AUTH=LOGIN", "cA==", "QUIT"],
      ["AUTH (hidden)", "(hidden)", "QUIT"],
    ],
    [["AUTH:PLAIN AGEAYg=="], ["AUTH (hidden)"]],
    [["\0AUTH PLAIN AGEAYg=="], ["\0AUTH (hidden)"]],
    [["PASSWORD x"], ["PASSWORD (hidden)"]],
    [["a LOGIN u p"], ["a LOGIN (hidden)"]],
    [["a AUTHENTICATE PLAIN x"], ["a AUTHENTICATE (hidden)"]],
    [["Authorization: Basic x"], ["Authorization: (hidden)"]],
    [["MAIL FROM:<a@b> AUTH=<>"], ["MAIL FROM:<a@b> AUTH=<>"]],
    [["AUTHPLAIN AGEAYg=="], ["AUTHPLAIN (hidden)"]],
    [["XAUTH PLAIN AGEAYg=="], ["XAUTH (hidden)"]],
    [["GET /?password=x HTTP/1.1"], ["GET /?(hidden) HTTP/1.1"]],
    [["GET http://u:p@h/x HTTP/1.1"], ["GET http://(hidden)@h/x HTTP/1.1"]],
    [["RCPT TO:<a?b@c>"], ["RCPT TO:<a?b@c>"]],
    [["RCPT LOGIN"], ["RCPT LOGIN"]],
    [
      ["EHLO authority", "AUTHORS x"],
      ["EHLO authority", "AUTHORS x"],
    ],
  ])("%j", (said, shown) => {
    const mask = new CommandMask();
    expect(said.map((line) => mask.show(line))).toEqual(shown);
  });

  test("octets are masked line by line, and their line ends stay", () => {
    expect(maskOctetsOfClient("EHLO x\r\nAUTH PLAIN x\r\ny\n")).toBe("EHLO x\r\nAUTH (hidden)\r\n(hidden)\n");
    expect(maskOctetsOfClient("\x16\x03\x01")).toBe("\x16\x03\x01");
  });

  test("no word behind AUTH is ever shown", () => {
    const secret = "S3cretW0rd";
    const blank = fc.stringMatching(/^[ \t]{0,3}$/);
    const mechanism = fc.constantFrom("PLAIN ", "LOGIN ", "", "CRAM-MD5 ");
    fc.assert(
      fc.property(
        blank,
        fc.constantFrom("AUTH", "Auth", "auth"),
        mechanism,
        fc.boolean(),
        (before, verb, how, later) => {
          const mask = new CommandMask();
          const lines = later
            ? [`${before}${verb} ${how}`.trimEnd(), secret]
            : [`${before}${verb} ${how}${secret}`];
          for (const line of lines) expect(mask.show(line)).not.toContain(secret);
        },
      ),
    );
  });

  test("takes linear time", () => {
    const startedAt = performance.now();
    for (const line of [
      " ".repeat(1e6),
      "\t ".repeat(5e5),
      "a ".repeat(5e5),
      "AUTH ".repeat(2e5),
      `GET ${"/?@".repeat(3e5)}`,
      "GET //".padEnd(1e6, "/"),
    ]) {
      new CommandMask().show(line);
    }
    expect(performance.now() - startedAt).toBeLessThan(500);
  });
});

describe("what a relay says", () => {
  const secrets = secretsOf({ username: "me", password: "hunter2" });

  test.each([
    ["5.7.8 hunter2 is wrong", "5.7.8 (hidden) is wrong"],
    [`5.7.8 ${btoa("\0me\0hunter2")}`, "5.7.8 (hidden)"],
    [`5.7.8 ${btoa("hunter2")}!`, "5.7.8 (hidden)!"],
    ["5.7.8 wrong user name me", "5.7.8 wrong user name me"],
  ])("%j", (said, shown) => expect(maskSecrets(said, secrets)).toBe(shown));

  test("a password of three characters would be found in every word", () => {
    expect(maskSecrets("abc", secretsOf({ username: "me", password: "abc" }))).toBe("abc");
  });

  test("a password in UTF-8 is found as it is on the wire", () => {
    const wire = Buffer.from("héllo!").toString("latin1");
    expect(maskSecrets(`no ${wire}`, secretsOf({ username: "me", password: "héllo!" }))).toBe("no (hidden)");
  });
});
