/**
 * The date of a trace line, and the line itself, as mailparser reads them, over the instants that a server may live
 * to see: 1970 to 2099, with leap days, ends of years, and the last millisecond of a second.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { simpleParser } from "mailparser";
import { formatDate, receivedLine } from "../../src/smtp/trace.ts";
import { wire } from "../smtp/generators.ts";

const dayMs = 24 * 60 * 60 * 1000;
const years = fc.integer({ min: 1970, max: 2099 });
const leapYears = fc.integer({ min: 493, max: 524 }).map((n) => 4 * n);
const withinDay = fc.oneof(fc.nat(dayMs - 1), fc.constantFrom(0, 999, dayMs - 1));

const instants = fc.oneof(
  fc.integer({ min: 0, max: Date.UTC(2100, 0, 1) - 1 }),
  fc.tuple(leapYears, withinDay).map(([year, ms]) => Date.UTC(year, 1, 29) + ms),
  fc
    .tuple(years, fc.constantFrom([1, 28], [2, 1], [11, 31], [0, 1]), withinDay)
    .map(([year, [month = 0, day], ms]) => Date.UTC(year, month, day) + ms),
);

test("2000 and 2096 have a leap day, 2100 has none", () => {
  expect(formatDate(Date.UTC(2000, 1, 29))).toBe("Tue, 29 Feb 2000 00:00:00 +0000");
  expect(formatDate(Date.UTC(2096, 1, 29))).toBe("Wed, 29 Feb 2096 00:00:00 +0000");
  expect(formatDate(Date.UTC(2100, 1, 28) + dayMs)).toBe("Mon, 01 Mar 2100 00:00:00 +0000");
});

test("a trace line is one header field to mailparser, and its date the instant that was meant", async () => {
  await fc.assert(
    fc.asyncProperty(instants, async (dateMs) => {
      const facts = {
        heloName: "c.example",
        clientAddress: "192.0.2.1",
        serverName: "mx.example",
        id: "s1-1",
      };
      const line = receivedLine({ ...facts, extended: true, utf8: false, dateMs });
      const date = formatDate(dateMs);
      const mail = await simpleParser(Buffer.concat([line, wire(`Date: ${date}\r\n\r\nbody\r\n`)]));
      const second = dateMs - (dateMs % 1000);
      expect(mail.date?.getTime()).toBe(second);
      expect(mail.headerLines.map(({ key }) => key)).toEqual(["received", "date"]);
      const trace = `${mail.headers.get("received")}`;
      expect(trace).toMatch(
        /^from c\.example \(\[192\.0\.2\.1\]\) by mx\.example with ESMTP id s1-1; .+ \+0000$/,
      );
      // Ours is RFC 5322's form, with the name of the day that it is.
      expect(trace.slice(trace.lastIndexOf(";") + 2)).toBe(date);
      expect(Date.parse(date)).toBe(second);
      const weekday = new Intl.DateTimeFormat("en", { weekday: "short", timeZone: "UTC" }).format(second);
      expect(date).toStartWith(`${weekday}, `);
    }),
    { numRuns: 400 },
  );
});
