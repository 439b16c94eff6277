/** Every kind of value, of config/kinds/values.ts and config/kinds/hosts.ts: what it takes, what it refuses and how it says so, and that format∘parse changes nothing. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { domainName, listenAddress, mailbox, relayAddress } from "../../src/config/kinds/hosts.ts";
import {
  choice,
  DAY_MS,
  duration,
  integer,
  type Kind,
  listOf,
  path,
  pattern,
  quote,
  Secret,
  secret,
  size,
} from "../../src/config/kinds/values.ts";
import { OPTIONS, PROPERTIES } from "../../src/config/options.ts";
import { formatHostPort } from "../../src/lib/host-port.ts";

const nothing = () => undefined;

function good<T>(kind: Kind<T>, text: string): T {
  const parsed = kind.parse(text, nothing);
  if (!parsed.ok) throw new Error(`${text}: ${parsed.fault}`);
  return parsed.value;
}

function fault<T>(kind: Kind<T>, text: string): string {
  const parsed = kind.parse(text, nothing);
  if (parsed.ok) throw new Error(`${text} is taken`);
  return parsed.fault;
}

describe("durations", () => {
  const kind = duration(1, DAY_MS);

  test.each([
    ["500ms", 500],
    ["5s", 5000],
    ["10m", 600_000],
    ["1h", 3_600_000],
    ["1d", 86_400_000],
    ["30", 30_000],
    ["007s", 7000],
    // As Go writes them.
    ["1m30s", 90_000],
    ["1h30m", 5_400_000],
    ["1h0m0s", 3_600_000],
    ["0.5s", 500],
    ["1.5h", 5_400_000],
    ["1m0.5s", 60_500],
    // As systemd writes them.
    ["30sec", 30_000],
    ["5min", 300_000],
    ["1min 30s", 90_000],
    ["2 h", 7_200_000],
    ["500msec", 500],
    ["3 minutes 1 second", 181_000],
    ["1hr", 3_600_000],
    ["1.5", 1500],
    // Never less than was asked for, and little is not nothing.
    ["0.0001s", 1],
    ["1.0005s", 1001],
  ])("%s is %d ms", (text, ms) => expect(good(kind, text)).toBe(ms));

  test.each([
    "",
    " 5s",
    "5parsecs",
    "5S",
    "5M",
    "-5s",
    "+5s",
    "s",
    "1.s",
    ".5s",
    "1.2.3s",
    "1.1234567s",
    "30s1m",
    "1m1m",
    "1m30",
    "30 1m",
    "1m  30s",
    "5min ",
    "1M",
    "5MIN",
    "1w",
    "1,5s",
    "0x5",
    "٥s",
    "1e3",
    "5µs",
  ])("“%s” is none", (text) =>
    expect(fault(kind, text)).toStartWith("must be a duration such as 500ms, 5s, 1m30s, 1.5h or 1d, not “"),
  );

  test("the fault is told in the operator's words", () => {
    expect(fault(kind, "5 parsecs")).toBe(
      "must be a duration such as 500ms, 5s, 1m30s, 1.5h or 1d, not “5 parsecs”",
    );
    expect(fault(kind, "0")).toBe("must be from 1ms to 1d, not “0”");
    expect(fault(kind, "25h")).toBe("must be from 1ms to 1d, not “25h”");
    expect(fault(kind, "999999999999999d")).toBe("must be from 1ms to 1d, not “999999999999999d”");
  });

  test("a long text takes no longer than its length", () => {
    const started = performance.now();
    for (const text of ["1".repeat(100_000), `${"1s".repeat(50_000)}!`, "1 ".repeat(50_000)])
      fault(kind, text);
    expect(performance.now() - started).toBeLessThan(1_000);
  });

  test("0 where never is an answer", () => expect(good(duration(0, DAY_MS), "0")).toBe(0));

  test("format, then parse, is the same", () => {
    const all = duration(0, DAY_MS);
    fc.assert(fc.property(fc.nat(DAY_MS), (ms) => good(all, all.format(ms)) === ms));
    expect([0, 1, 999, 1000, 90_000, 60_000, DAY_MS].map(all.format)).toEqual([
      "0",
      "1ms",
      "999ms",
      "1s",
      "90s",
      "1m",
      "1d",
    ]);
  });
});

describe("sizes", () => {
  const kind = size(1, 1024 ** 4);

  test.each([
    ["1", 1],
    ["1000", 1000],
    ["64K", 65_536],
    ["25M", 26_214_400],
    ["1G", 1_073_741_824],
    ["1024G", 1024 ** 4],
    ["25m", 26_214_400],
    ["25MB", 26_214_400],
    ["25MiB", 26_214_400],
    ["25 mib", 26_214_400],
    ["64kB", 65_536],
    ["1.5G", 1_610_612_736],
    ["1.3K", 1332],
    ["512b", 512],
  ])("%s is %d octets", (text, octets) => expect(good(kind, text)).toBe(octets));

  test.each(["", "25MiBs", "25mi", "25  M", "1,5M", ".5M", "M", "-1", "1T", "1M1K", "1M 1"])(
    "“%s” is none",
    (text) =>
      expect(fault(kind, text)).toBe(
        `must be a size in octets, or such as 64K, 25M, 25MB, 25MiB or 1.5G, not ${quote(text)}`,
      ),
  );

  test("bounds", () => {
    expect(fault(kind, "0")).toBe("must be from 1 to 1024G, not “0”");
    expect(fault(kind, "1025G")).toBe("must be from 1 to 1024G, not “1025G”");
  });

  test("format, then parse, is the same", () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 1024 ** 4 }), (n) => good(kind, kind.format(n)) === n));
    expect([1, 1023, 1024, 1025, 150 * 1024 ** 2].map(kind.format)).toEqual([
      "1",
      "1023",
      "1K",
      "1025",
      "150M",
    ]);
  });
});

test("whole numbers", () => {
  const kind = integer(1, 100);
  expect([good(kind, "1"), good(kind, "100")]).toEqual([1, 100]);
  for (const text of ["0", "101", "", "ten", "1.0", "-1", " 1", "9999999999999999999"]) {
    expect(fault(kind, text)).toBe(`must be a whole number from 1 to 100, not ${quote(text)}`);
  }
});

test("choices", () => {
  const kind = choice("off", "verify", "implicit");
  expect(good(kind, "verify")).toBe("verify");
  expect(fault(kind, "Verify")).toBe("must be off, verify or implicit, not “Verify”");
  expect(fault(choice("text", "json"), "xml")).toBe("must be text or json, not “xml”");
});

describe("listen addresses", () => {
  test.each([
    [":25", { host: "", port: 25 }],
    ["127.0.0.1:0", { host: "127.0.0.1", port: 0 }],
    ["localhost:2525", { host: "localhost", port: 2525 }],
    ["[::1]:25", { host: "::1", port: 25 }],
    ["[::]:65535", { host: "::", port: 65535 }],
    ["unix:/run/smtpproxy/smtp.sock", { unix: "/run/smtpproxy/smtp.sock" }],
  ])("%s", (text, address) => {
    expect(good(listenAddress, text)).toEqual(address);
    expect(listenAddress.format(good(listenAddress, text))).toBe(text);
  });

  test.each([
    ["25", ":25"],
    ["*:25", ":25"],
  ])("%s is %s", (text, canonical) =>
    expect(listenAddress.format(good(listenAddress, text))).toBe(canonical),
  );

  test.each([
    "",
    ":",
    ":65536",
    ":-1",
    "host",
    "host:",
    "host:smtp",
    "65536",
    "*",
    "*25",
    "**:25",
    "a:b:25",
    "[::1]",
    "[::1]25",
  ])("“%s” is none", (text) => void fault(listenAddress, text));

  test("faults", () => {
    expect(fault(listenAddress, "::1:25")).toBe(
      "must have an IPv6 address in brackets, such as [2001:db8::1]:25, not “::1:25”",
    );
    expect(fault(listenAddress, "[localhost]:25")).toBe(
      "has no IPv6 address in the brackets of “[localhost]:25”",
    );
    expect(fault(listenAddress, "300.0.0.1:25")).toBe("has no good host name or address in “300.0.0.1:25”");
    expect(fault(listenAddress, "unix:smtp.sock")).toBe(
      "must have an absolute path of at most 107 octets after unix:, not “smtp.sock”",
    );
    fault(listenAddress, `unix:/${"x".repeat(107)}`);
    good(listenAddress, `unix:/${"x".repeat(106)}`);
  });

  test("lists", () => {
    const kind = listOf(listenAddress);
    expect(good(kind, " :25, [::1]:587\tunix:/s\n")).toEqual([
      { host: "", port: 25 },
      { host: "::1", port: 587 },
      { unix: "/s" },
    ]);
    expect(kind.format(good(kind, ":25,:587"))).toBe(":25 :587");
    expect(fault(kind, " , ")).toBe("must name at least one");
    expect(fault(kind, ":25 :587 :25")).toBe("names “:25” twice");
    expect(Object.isFrozen(good(kind, ":25"))).toBe(true);
  });
});

describe("relay hosts", () => {
  test.each([
    ["smtp.example.com", "smtp.example.com", 25, "smtp.example.com:25"],
    ["smtp.example.com:587", "smtp.example.com", 587, "smtp.example.com:587"],
    ["192.0.2.1", "192.0.2.1", 25, "192.0.2.1:25"],
    ["[2001:db8::1]", "2001:db8::1", 25, "[2001:db8::1]:25"],
    ["[2001:db8::1]:2525", "2001:db8::1", 2525, "[2001:db8::1]:2525"],
    ["mail_relay:25", "mail_relay", 25, "mail_relay:25"],
    // As Postfix has it.
    ["[mail.example.net]:587", "mail.example.net", 587, "mail.example.net:587"],
    ["[mail.example.net]", "mail.example.net", 25, "mail.example.net:25"],
    ["[192.0.2.1]:2525", "192.0.2.1", 2525, "192.0.2.1:2525"],
    ["[mail.example.net]:submission", "mail.example.net", 587, "mail.example.net:587"],
    ["mail.example.net.", "mail.example.net", 25, "mail.example.net:25"],
    ["mail.example.net.:587", "mail.example.net", 587, "mail.example.net:587"],
    ["[mail.example.net.]:smtps", "mail.example.net", 465, "mail.example.net:465"],
    ["localhost.:25", "localhost", 25, "localhost:25"],
    // As an URL.
    ["smtp://mail.example.net", "mail.example.net", 25, "mail.example.net:25"],
    ["SMTP://mail.example.net:587/", "mail.example.net", 587, "mail.example.net:587"],
    ["smtp://[2001:db8::1]:25", "2001:db8::1", 25, "[2001:db8::1]:25"],
  ])("%s", (written, host, port, text) => {
    expect(good(relayAddress(25), written)).toEqual({ host, port, text });
  });

  test.each([
    ["smtps://mail.example.net", "mail.example.net", 465],
    ["smtps://mail.example.net:587", "mail.example.net", 587],
    ["SMTPS://[2001:db8::1]/", "2001:db8::1", 465],
  ])("%s is TLS from the first octet", (written, host, port) => {
    const text = `smtps://${formatHostPort(host, port)}`;
    expect(good(relayAddress(25), written)).toEqual({ host, port, text, tls: "implicit" });
    expect(good(relayAddress(25), text).text).toBe(text);
  });

  test("a password in it is not shown", () => {
    for (const text of ["smtp://me:hunter2@mail.example.net", "me:hunter2@mail.example.net:25"]) {
      const said = fault(relayAddress(25), text);
      expect(said).toContain("RELAY_PASSWORD");
      expect(said).not.toContain("hunter2");
    }
  });

  test.each([
    ":25",
    "",
    "host:0",
    "host:65536",
    "host:",
    "2001:db8::1",
    "-a.example",
    "a..b",
    "http://x",
    "smtp://",
    "smtps://x/y",
    "smtp://smtp://x",
    "x/",
    "[a]b",
    "[]",
    "a.example..",
    "192.0.2.1.",
    "[2001:db8::1].",
    "host:imap",
    "host:constructor",
    "1.2.3",
  ])("“%s” is none", (text) => void fault(relayAddress(25), text));
});

test("domain names", () => {
  for (const text of ["mail.example.com", "localhost", "a-b.c1", "xn--bcher-kva.example", "1.example"]) {
    expect(good(domainName, text)).toBe(text);
  }
  const bad = [
    "",
    ".",
    "a.",
    ".a",
    "a..b",
    "-a",
    "a-",
    "a_b",
    "bücher.example",
    "1.2.3.4",
    "a b",
    "[1.2.3.4]",
  ];
  for (const text of [...bad, `${"a".repeat(64)}.b`, `${"a.".repeat(127)}b`]) {
    expect(fault(domainName, text)).toStartWith(
      "must be a domain name in ASCII such as mail.example.com, not “",
    );
  }
});

test("mailboxes", () => {
  const boxes = [
    "me@example.com",
    "first.last+tag@example.com",
    '"first last"@example.com',
    '"a\\"@b"@example.com',
    "me@[192.0.2.1]",
    "me@[IPv6:2001:db8::1]",
    `${"a".repeat(64)}@example.com`,
  ];
  for (const text of boxes) expect(good(mailbox, text)).toBe(text);
  const others = [
    "",
    "me",
    "@example.com",
    "me@",
    "<me@example.com>",
    "Me <me@example.com>",
    ".me@example.com",
    "me.@example.com",
    "a b@example.com",
    "me@example.com, you@example.com",
    "me@[192.0.2]",
    "me@[IPv6:zz]",
    "jörg@example.com",
    "me@example.com\r\nRCPT TO:<x@example.com>",
    `${"a".repeat(65)}@example.com`,
    `me@${"a.".repeat(125)}example.com`,
  ];
  for (const text of others) expect(fault(mailbox, text)).toStartWith("must be one mailbox such as me@");
});

test("paths", () => {
  expect(good(path, "/etc/cert.pem")).toBe("/etc/cert.pem");
  expect(good(path, "relative path")).toBe("relative path");
  for (const text of ["", "a\0b", "a\nb", "x".repeat(4096)]) fault(path, text);
});

describe("secrets", () => {
  const password = good(secret, "hunter2");

  test("only reveal() has it", () => {
    expect(password.reveal()).toBe("hunter2");
    expect(`${password}`).toBe("(hidden)");
    expect(JSON.stringify({ password })).toBe('{"password":"(hidden)"}');
    expect(Bun.inspect({ password })).not.toContain("hunter2");
    expect(Object.values(password)).toEqual([]);
  });

  test("no fault shows it", () => {
    expect(fault(secret, "hunter2\n")).not.toContain("hunter2");
    expect(fault(secret, "hunter2\uFFFD")).toBe("must be in UTF-8");
    expect(secret.format(new Secret("hunter2"))).toBe("(hidden)");
  });
});

describe("patterns", () => {
  test("are found anywhere", () => {
    const valid = good(pattern, "@example\\.(com|net)");
    expect(valid.source).toBe("@example\\.(com|net)");
    expect(["me@example.com", "x@example.network", "me@exampleXcom", ""].map((a) => valid.test(a))).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  test("see an address in UTF-8 as Go does", () => {
    const wire = Buffer.from("jörg@example.com").toString("latin1");
    expect(good(pattern, "^j.rg@").test(wire)).toBe(true);
    expect(good(pattern, "(?i)^JÖRG@").test(wire)).toBe(true);
    expect(good(pattern, "^j.rg@").test("j\xf6rg@example.com")).toBe(true);
    expect(good(pattern, "^jörg@").test("j\xf6rg@example.com")).toBe(false);
  });

  test("take linear time", () => {
    const started = performance.now();
    expect(good(pattern, "^(a+)+$").test(`${"a".repeat(50_000)}b`)).toBe(false);
    expect(performance.now() - started).toBeLessThan(2000);
  });

  test.each(["(", "[", "*", "a{1001}", "(?=x)", "\\1", "(".repeat(5000), "((a{100}){100}){100}"])(
    "“%s” is none",
    (text) => expect(fault(pattern, text)).toStartWith("must be a regular expression in RE2's syntax: "),
  );

  test("the fault tells what is wrong", () => {
    expect(fault(pattern, "a(b")).toBe(
      "must be a regular expression in RE2's syntax: missing closing ): `a(b`",
    );
  });
});

describe("all kinds of the table", () => {
  const texts = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.string(),
    fc.string({ unit: fc.constantFrom(..."0159msdhKMG:[]@.,/-unix() *+?{}\\^$|ab\0\n") }),
  );

  test("garbage never throws, and a fault is one line without control characters", () => {
    fc.assert(
      fc.property(fc.constantFrom(...PROPERTIES), texts, (property, text) => {
        const parsed = OPTIONS[property].kind.parse(text, nothing);
        if (!parsed.ok) expect(parsed.fault).toMatch(/^[^\p{C}]+$/u);
      }),
      { numRuns: 3000 },
    );
  });

  test("what is taken is taken again after format", () => {
    const again = <T>(kind: Kind<T>, text: string) => {
      const parsed = kind.parse(text, nothing);
      if (parsed.ok)
        expect(kind.format(good(kind, kind.format(parsed.value)))).toBe(kind.format(parsed.value));
    };
    fc.assert(
      fc.property(fc.constantFrom(...PROPERTIES), texts, (property, text) => {
        const kind: Kind<unknown> = OPTIONS[property].kind;
        again(kind, text);
      }),
      { numRuns: 3000 },
    );
  });
});

test("quotes cut and escape", () => {
  expect(quote("a\u001b[31mb\u202ec\u2028d\n")).toBe("“a\\u{1b}[31mb\\u{202e}c\\u{2028}d\\u{a}”");
  expect(quote("😀".repeat(61))).toBe(`“${"😀".repeat(60)}…”`);
});
