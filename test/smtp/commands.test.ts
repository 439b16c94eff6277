import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Command, type CommandDefect, parseCommand } from "../../src/smtp/commands.ts";
import type { Offered } from "../../src/smtp/parameters.ts";
import { commandLike, wireStrings } from "./generators.ts";

const all: Offered = { extended: true, smtputf8: true, dsn: true };
const plain: Offered = { extended: true, smtputf8: false, dsn: false };
/** What the relay offers is of no use to a client that said HELO. */
const helo: Offered = { extended: false, smtputf8: true, dsn: true };

function defectOf(text: string, offered = all): CommandDefect | "none" {
  const command = parseCommand(text, offered);
  return command.verb === "malformed" ? command.defect : "none";
}

const a = { localPart: "a", domain: "b.example", address: "a@b.example", utf8: false };
const e = { localPart: "\xc3\xa9", domain: "b.example", address: "\xc3\xa9@b.example", utf8: true };

describe("commands", () => {
  test.each<[string, Command]>([
    ["EHLO mx.example", { verb: "EHLO", name: "mx.example" }],
    ["helo  we(ird ", { verb: "HELO", name: "we(ird" }],
    ["MAIL FROM:<>", { verb: "MAIL", path: "null", parameters: { smtputf8: false } }],
    ["mail from: <a@b.example>  ", { verb: "MAIL", path: a, parameters: { smtputf8: false } }],
    ["MAIL  FROM:<@x:a@b.example>", { verb: "MAIL", path: a, parameters: { smtputf8: false } }],
    ["RCPT TO:<a@b.example>", { verb: "RCPT", path: a, parameters: {} }],
    ["RCPT TO:<\xc3\xa9@b.example>", { verb: "RCPT", path: e, parameters: {} }],
    ["MAIL FROM:<\xc3\xa9@b.example> smtputf8", { verb: "MAIL", path: e, parameters: { smtputf8: true } }],
    ["DATA", { verb: "DATA" }],
    ["data   ", { verb: "DATA" }],
    ["RSET", { verb: "RSET" }],
    ["Quit", { verb: "QUIT" }],
    ["STARTTLS", { verb: "STARTTLS" }],
    ["NOOP", { verb: "NOOP" }],
    ["NOOP any \xff thing", { verb: "NOOP" }],
    ["HELP me", { verb: "HELP" }],
    ["VRFY  a b ", { verb: "VRFY", argument: "a b" }],
    ["VRFY \xc3\xa0", { verb: "VRFY", argument: "\xc3\xa0" }],
  ])("%j", (text, command) => {
    expect(parseCommand(text, all)).toEqual(command);
  });

  test.each<[CommandDefect, string]>([
    ["unknown", ""],
    ["unknown", " NOOP"],
    ["unknown", "NOOPS"],
    ["unknown", "MAILFROM:<>"],
    ["unknown", "NOOP\tx"],
    ["unknown", "GET / HTTP/1.1"],
    ["unknown", "constructor"],
    ["unknown", "\xff"],
    ["unimplemented", "EXPN list"],
    ["unimplemented", "auth plain AGEAYg=="],
    ["unimplemented", "BDAT 5 LAST"],
    ["unimplemented", "ETRN x"],
    ["unimplemented", "TURN"],
    ["unimplemented", "SEND FROM:<>"],
    ["unimplemented", "SOML FROM:<>"],
    ["unimplemented", "SAML FROM:<>"],
    ["syntax", "EHLO"],
    ["syntax", "EHLO "],
    ["syntax", "HELO a b"],
    ["syntax", "EHLO a\tb"],
    ["syntax", "EHLO \xc3\xa9"],
    ["syntax", `EHLO ${"x".repeat(256)}`],
    ["syntax", "DATA x"],
    ["syntax", "RSET x"],
    ["syntax", "QUIT x"],
    ["syntax", "STARTTLS x"],
    ["syntax", "VRFY"],
    ["syntax", "MAIL"],
    ["syntax", "MAIL <a@b>"],
    ["syntax", "MAIL FROM"],
    ["syntax", "MAIL FROM:"],
    ["syntax", "MAIL FROM :<a@b>"],
    ["syntax", "MAIL FROM:a@b"],
    ["syntax", "MAIL FROM:<postmaster>"],
    ["syntax", "MAIL FROM:<a@b>x"],
    ["syntax", "MAIL FROM:<a@b>SIZE=1"],
    ["syntax", "MAIL FROM:<\xff@b> SMTPUTF8"],
    ["syntax", "MAIL TO:<a@b>"],
    ["syntax", "RCPT TO:<>"],
    ["syntax", "RCPT FROM:<a@b>"],
    ["syntax", "RCPT TO:<\xff@b>"],
    ["utf8-refused", "MAIL FROM:<\xc3\xa9@b>"],
    ["utf8-refused", "MAIL FROM:<a@\xc3\xa9> SIZE=1"],
  ])("%s: %j", (defect, text) => {
    expect(defectOf(text)).toBe(defect);
  });

  test("what is wrong is told in our words", () => {
    expect(parseCommand("MAIL FROM:a@b", all)).toEqual({
      verb: "malformed",
      defect: "syntax",
      detail: "MAIL FROM:<reverse-path>",
    });
    expect(parseCommand("MAIL FROM:<> X=1", plain)).toEqual({
      verb: "malformed",
      defect: "parameter",
      detail: "offered are SIZE BODY",
    });
    expect(parseCommand("RCPT TO:<a@b> X=1", plain)).toEqual({
      verb: "malformed",
      defect: "parameter",
      detail: "none is offered",
    });
  });
});

describe("parameters of MAIL", () => {
  test("are read", () => {
    const text = "MAIL FROM:<>  size=100 BODY=8bitmime SMTPUTF8 ret=hdrs  ENVID=QQ314159+2B";
    expect(parseCommand(text, all)).toEqual({
      verb: "MAIL",
      path: "null",
      parameters: { size: 100, body: "8BITMIME", smtputf8: true, ret: "HDRS", envid: "QQ314159+2B" },
    });
  });

  test("a SIZE beyond counting is the most that can be counted", () => {
    expect(parseCommand(`MAIL FROM:<> SIZE=${"9".repeat(20)}`, all)).toEqual({
      verb: "MAIL",
      path: "null",
      parameters: { size: Number.MAX_SAFE_INTEGER, smtputf8: false },
    });
  });

  test.each<[CommandDefect, string]>([
    ["syntax", "SIZE"],
    ["syntax", "SIZE="],
    ["syntax", "SIZE=abc"],
    ["syntax", "SIZE=-1"],
    ["syntax", "SIZE=1.5"],
    ["syntax", `SIZE=${"1".repeat(21)}`],
    ["syntax", "SIZE=1 SIZE=1"],
    ["syntax", "SIZE=1 size=2"],
    ["syntax", "BODY"],
    ["syntax", "BODY=x"],
    ["parameter", "BODY=BINARYMIME"],
    ["syntax", "SMTPUTF8=1"],
    ["syntax", "RET=ALL"],
    ["syntax", "ENVID=a=b"],
    ["syntax", "ENVID=a+zz"],
    ["syntax", "ENVID=a+"],
    ["syntax", `ENVID=${"x".repeat(101)}`],
    ["syntax", "ENVID=\xc3\xa9"],
    ["syntax", "=1"],
    ["syntax", "-X=1"],
    ["syntax", "a@b"],
    ["syntax", "SIZE=1\tBODY=7BIT"],
    ["parameter", "AUTH=<>"],
    ["parameter", "X"],
    ["parameter", "NOTIFY=NEVER"],
    ["parameter", "constructor=1"],
  ])("%s: %j", (defect, parameters) => {
    expect(defectOf(`MAIL FROM:<a@b> ${parameters}`)).toBe(defect);
  });

  test("belong to an extension that was offered", () => {
    for (const parameter of ["SMTPUTF8", "RET=FULL", "ENVID=x"]) {
      expect(defectOf(`MAIL FROM:<> ${parameter}`, all)).toBe("none");
      expect(defectOf(`MAIL FROM:<> ${parameter}`, plain)).toBe("parameter");
      expect(defectOf(`MAIL FROM:<> ${parameter}`, helo)).toBe("parameter");
    }
    for (const parameter of ["SIZE=1", "BODY=7BIT"]) {
      expect(defectOf(`MAIL FROM:<> ${parameter}`, plain)).toBe("none");
      expect(defectOf(`MAIL FROM:<> ${parameter}`, helo)).toBe("parameter");
    }
  });
});

describe("parameters of RCPT", () => {
  test("are kept as written", () => {
    expect(parseCommand("RCPT TO:<a@b.example> NOTIFY=Success,delay ORCPT=rfc822;a+2Bb@c", all)).toEqual({
      verb: "RCPT",
      path: a,
      parameters: { notify: "Success,delay", orcpt: "rfc822;a+2Bb@c" },
    });
  });

  test.each([
    "NOTIFY=NEVER",
    "NOTIFY=SUCCESS",
    "NOTIFY=FAILURE,DELAY,SUCCESS",
    "ORCPT=utf-8;\xc3\xa9@x",
    "ORCPT=utf-8;\\x{E9}@x",
    `ORCPT=rfc822;${"x".repeat(493)}`,
  ])("%j", (parameter) => {
    expect(defectOf(`RCPT TO:<a@b> ${parameter}`)).toBe("none");
  });

  test.each<[CommandDefect, string]>([
    ["syntax", "NOTIFY"],
    ["syntax", "NOTIFY=NEVER,SUCCESS"],
    ["syntax", "NOTIFY=SUCCESS,"],
    ["syntax", "NOTIFY=SUCCESS,NEVER"],
    ["syntax", "NOTIFY=x"],
    ["syntax", "NOTIFY=NEVER NOTIFY=NEVER"],
    ["syntax", "ORCPT=a@b"],
    ["syntax", "ORCPT=rfc822;"],
    ["syntax", "ORCPT=;a@b"],
    ["syntax", "ORCPT=rf@c;a@b"],
    ["syntax", "ORCPT=rfc822;\xc3\xa9@x"],
    ["syntax", "ORCPT=utf-8;\xff@x"],
    ["syntax", `ORCPT=rfc822;${"x".repeat(494)}`],
    ["parameter", "SIZE=1"],
  ])("%s: %j", (defect, parameter) => {
    expect(defectOf(`RCPT TO:<a@b> ${parameter}`)).toBe(defect);
  });

  test("belong to an extension that was offered", () => {
    for (const parameter of ["NOTIFY=NEVER", "ORCPT=rfc822;a@b"]) {
      expect(defectOf(`RCPT TO:<a@b> ${parameter}`, plain)).toBe("parameter");
      expect(defectOf(`RCPT TO:<a@b> ${parameter}`, helo)).toBe("parameter");
    }
    expect(defectOf("RCPT TO:<a@b> ORCPT=utf-8;\xc3\xa9@x", { ...all, smtputf8: false })).toBe("syntax");
  });
});

describe("any line", () => {
  test("is a command or a fault, told without the client's octets", () => {
    const details = new Set<string>();
    const offers = fc.record({ extended: fc.boolean(), smtputf8: fc.boolean(), dsn: fc.boolean() });
    const lines = fc.oneof(
      wireStrings(80),
      commandLike,
      commandLike.map((text) => `MAIL FROM:<a@b> ${text}`),
      commandLike.map((text) => `RCPT TO:<a@b> ${text}`),
    );
    fc.assert(
      fc.property(lines, offers, (text, offered) => {
        const command = parseCommand(text, offered);
        if (command.verb === "malformed") details.add(command.detail);
      }),
      { numRuns: 5000 },
    );
    // A vocabulary of our own is small; the octets of clients are not.
    expect(details.size).toBeLessThan(60);
    for (const detail of details) expect(detail).toMatch(/^[\w <>=:;,-]+$/);
  });

  test("is read in linear time, whatever fills it", () => {
    const started = performance.now();
    for (const filling of [
      " ",
      "a",
      ".",
      "@a,",
      '"\\"',
      "[",
      "a-",
      "SIZE=1 ",
      "SUCCESS,",
      "+2B",
      "\xc3\xa9",
    ]) {
      const filled = filling.repeat(100_000);
      for (const verb of [
        "",
        "EHLO ",
        "MAIL FROM:<",
        "MAIL FROM:<a@",
        "MAIL FROM:<a@[",
        "MAIL FROM:<> ENVID=",
      ]) {
        parseCommand(`${verb}${filled}!`, all);
      }
      for (const verb of [
        "RCPT TO:<@a",
        'RCPT TO:<"',
        "RCPT TO:<a@b> NOTIFY=",
        "RCPT TO:<a@b> ORCPT=rfc822;",
      ]) {
        parseCommand(`${verb}${filled}!`, all);
      }
    }
    expect(performance.now() - started).toBeLessThan(5_000);
  });
});
