/** The bounds of lines that a stranger can cause: the first are written, the others counted and told. */
import { describe, expect, test } from "bun:test";
import { EventLog } from "../../src/ops/event-log.ts";
import type { LogEvent } from "../../src/ops/events.ts";
import { lineBound } from "../../src/ops/line-bounds.ts";
import { Log, type LogLevel } from "../../src/ops/log.ts";
import { LogLimits } from "../../src/ops/log-limits.ts";
import { clientKey } from "../../src/screening/addresses.ts";

const minuteMs = 60_000;
const refused = (client: string): LogEvent => ({
  event: "connection-refused",
  client,
  reply: "421 4.7.0 too many connections from your address",
  connections: 20,
});
const command = (client: string): LogEvent => ({
  event: "command-refused",
  session: "s1",
  client,
  command: "XYZZY",
  reply: "500 5.5.2 unknown command",
});
const session = (transactions: number): LogEvent => ({
  event: "session",
  session: "s1",
  client: "192.0.2.1",
  helo: "client.test",
  tls: undefined,
  transactions,
  commands: 3,
  unlogged: undefined,
  errors: 0,
  end: "quit",
  totalMs: 1,
});

describe("LogLimits", () => {
  test("the first is written, then one a minute with the count of the others", () => {
    const limits = new LogLimits(clientKey);
    const written: (readonly [number, number])[] = [];
    // One client over its limit, a hundred connections a second for three minutes.
    for (let now = 0; now < 3 * minuteMs; now += 10) {
      const leftOut = limits.admit(refused("192.0.2.1"), now);
      if (leftOut !== undefined) written.push([now, leftOut]);
    }
    expect(written).toEqual([
      [0, 0],
      [minuteMs, 5_999],
      [2 * minuteMs, 5_999],
    ]);
    expect(limits.settle(3 * minuteMs)).toEqual([
      { event: "log-lines-left-out", of: "connection-refused", about: "192.0.2.1", lines: 5_999 },
    ]);
    // Told once.
    expect(limits.settle(4 * minuteMs)).toEqual([]);
  });

  test("what is due once an hour is counted once an hour", () => {
    const limits = new LogLimits(clientKey);
    const plaintext: LogEvent = { event: "relay-plaintext", relay: "relay.test:25", reason: "no STARTTLS" };
    const told: unknown[] = [];
    for (let now = 0; now <= 120 * minuteMs; now += minuteMs) {
      const leftOut = now < 90 * minuteMs ? limits.admit(plaintext, now) : undefined;
      if (leftOut !== undefined) told.push([now / minuteMs, leftOut]);
      told.push(...limits.settle(now));
    }
    expect(told).toEqual([
      [0, 0],
      [60, 59],
      { event: "log-lines-left-out", of: "relay-plaintext", about: "relay.test:25", lines: 29 },
    ]);
  });

  test("a count is told as rarely as its line", () => {
    const limits = new LogLimits(clientKey);
    const plaintext: LogEvent = { event: "relay-plaintext", relay: "mx.test:25", reason: "off" };
    let lines = 0;
    const counts: LogEvent[] = [];
    // Six a second for two hours, settled every minute.
    for (let second = 0; second < 7_200; second++) {
      for (let n = 0; n < 6; n++) if (limits.admit(plaintext, second * 1_000) !== undefined) lines += 1;
      if (second % 60 === 59) counts.push(...limits.settle(second * 1_000));
    }
    expect(lines).toBe(2);
    expect(counts.length).toBeLessThanOrEqual(2);
  });

  test("each client has its own bound; an IPv6 client is its /64", () => {
    const limits = new LogLimits(clientKey);
    const admitted = ["192.0.2.1", "192.0.2.2", "192.0.2.1", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"];
    expect(admitted.map((client) => limits.admit(refused(client), 0))).toEqual([
      0,
      0,
      undefined,
      0,
      undefined,
      0,
    ]);
    expect(limits.settle(0, true)).toMatchObject([
      { about: "192.0.2.1", lines: 1 },
      { about: "2001:db8::/64", lines: 1 },
    ]);
  });

  test("one kind of line does not hide another", () => {
    const limits = new LogLimits(clientKey);
    while (limits.admit(refused("192.0.2.1"), 0) !== undefined);
    expect(limits.admit(command("192.0.2.1"), 0)).toBe(0);
  });

  test("clients beyond the table share one bound, and the table is cleared when they are quiet", () => {
    const limits = new LogLimits(clientKey);
    const from = (n: number) => refused(`10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`);
    let written = 0;
    for (let n = 0; n < 100_000; n++) if (limits.admit(from(n), 0) !== undefined) written += 1;
    expect(written).toBe(501);
    expect(limits.settle(0, true)).toEqual([
      { event: "log-lines-left-out", of: "connection-refused", about: "others", lines: 100_000 - 501 },
    ]);
    limits.settle(minuteMs);
    for (let n = 0; n < 500; n++) expect(limits.admit(from(n), minuteMs)).toBe(0);
  });

  test("a session without mail has a tighter bound than one with, and each its own count", () => {
    const limits = new LogLimits(clientKey);
    const written = (transactions: number) => {
      let lines = 0;
      for (let n = 0; n < 10_000; n++) if (limits.admit(session(transactions), 0) !== undefined) lines += 1;
      return lines;
    };
    expect([written(0), written(1)]).toEqual([10, 600]);
    expect(limits.settle(0, true)).toMatchObject([
      { of: "session without mail", lines: 9_990 },
      { of: "session", lines: 9_400 },
    ]);
  });

  test("a mail's line has no bound, and one without a recipient has", () => {
    const mail = { event: "transaction", recipients: 1, outcome: "relayed" } as LogEvent;
    const none = { event: "transaction", recipients: 0, client: "192.0.2.1" } as LogEvent;
    expect(lineBound(mail)).toBeUndefined();
    expect(lineBound(none)).toBeDefined();
    const limits = new LogLimits(clientKey);
    for (let n = 0; n < 10_000; n++) expect(limits.admit(mail, 0)).toBe(0);
    expect(limits.settle(0, true)).toEqual([]);
  });

  test.each([
    ["deferred", 0],
    ["deferred", 1],
    ["abandoned", 1],
  ] as const)(
    "a mail that is %s with %i recipients has a wide bound, and is counted beyond it",
    (outcome, recipients) => {
      const event = { event: "transaction", outcome, recipients, client: "192.0.2.1" } as LogEvent;
      const limits = new LogLimits(clientKey);
      const written = Array.from({ length: 10_000 }, () => limits.admit(event, 0)).filter(
        (left) => left !== undefined,
      );
      expect(written).toHaveLength(2_000);
      expect(limits.admit(event, 60_000)).toBe(8_000);
    },
  );
});

describe("EventLog", () => {
  function eventLog(level: LogLevel) {
    const written: string[] = [];
    const log = new Log("text", level, {
      write: (octets) => {
        written.push(Buffer.from(octets).toString());
        return octets.length;
      },
    });
    let now = 0;
    const events = new EventLog(log, { network: clientKey, now: () => now, date: () => 0 });
    return {
      events,
      pass: (ms: number) => {
        now += ms;
      },
      lines: () => {
        log.flush();
        return written.join("").split("\n").slice(0, -1);
      },
    };
  }

  test("the line that comes again tells how many were left out before it", () => {
    const { events, pass, lines } = eventLog("info");
    for (let n = 0; n < 8; n++) events.write(refused("192.0.2.1"));
    pass(minuteMs);
    events.write(refused("192.0.2.1"));
    events.write(refused("192.0.2.1"));
    events.settle(true);
    const [first, second, third, ...more] = lines();
    expect(more).toEqual([]);
    expect(first).toEndWith('connections="20"');
    expect(second).toEndWith('connections="20" left_out="7"');
    expect(third).toEndWith(
      'level="warn" event="log-lines-left-out" of="connection-refused" about="192.0.2.1" lines="1"',
    );
  });

  test("what the level hides is not counted", () => {
    const { events, lines } = eventLog("warn");
    for (let n = 0; n < 100; n++) events.write(command("192.0.2.1"));
    events.settle(true);
    expect(lines()).toEqual([]);
  });
});
