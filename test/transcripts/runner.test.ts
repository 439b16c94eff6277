/** That the runner notices what it is there for: a transcript that is wrong in any way does not pass. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readTranscript } from "./language.ts";
import { cuttings, replay } from "./runner.ts";

const folder = mkdtempSync(join(tmpdir(), "transcripts-"));
afterAll(() => rmSync(folder, { recursive: true }));

function read(...lines: string[]): ReturnType<typeof readTranscript> {
  const file = join(folder, "x.transcript");
  writeFileSync(file, lines.join("\n"));
  return readTranscript(file);
}

const greeting = ["c -> (connects)", "c <- 220 mx.example ESMTP"];
const noop = ["c -> NOOP", "c <- 250 2.0.0 ok"];
const delayed = ["options GREETING_DELAY=5s", "c -> (connects)", "c <- 220-mx.example ESMTP"];
const listed = [
  "options GREETING_DELAY=0 DNSBL_DOMAINS=zone.example TARPIT_DURATION=10s",
  "dns 1.2.0.192.zone.example A 127.0.0.2",
  "dns 1.2.0.192.zone.example TXT silence",
  ...greeting,
];
const early = [...delayed, "c => NOOP", "log screening verdict=early-talker"];
const toRelay = [
  ...greeting,
  "c -> HELO x",
  "c <- 250 mx.example",
  "c -> MAIL FROM:<>",
  "c <- 250 2.1.0 ok",
  "c -> RCPT TO:<x@y>",
];

describe("what is right passes", () => {
  test.each([
    [greeting],
    [[...greeting, ...noop, "+1s", ...noop]],
    [[...greeting, "c -> NOO\\", "c -> P", "c <~ 250 2.0"]],
    [[...delayed, "+5s", "c <- 220 mx.example ESMTP"]],
    [[...delayed, "+5s (late)", "c -> NOOP", "c <- 220 mx.example ESMTP", "c <- 250 2.0.0 ok"]],
    [[...delayed, "client 192.0.2.2", "c -> (connects)", "c2 <- 220-mx.example ESMTP", "c1 <- (nothing)"]],
    [[...listed, "c -> NOOP", "c <- 250 2.0.0 ok", "log screening verdict=listed"]],
    [[...early, "+30s", "c <- 554 5.5.1 you spoke befor\\", "c -> (resets)", "log tarpit heldMs=30000"]],
    [[...toRelay, "r -> (dials)"]],
    [[...toRelay, "r -> (dials relay.example:25 [198.51.100.1])", "c <- (nothing)"]],
  ])("%j", (lines) => {
    replay(read(...lines), { cut: "nowhere" });
  });
});

describe("what is wrong does not", () => {
  test.each<[string, readonly string[]]>([
    ["a wrong text", ["c -> (connects)", "c <- 220 mx.example SMTP"]],
    ["a line too few", ["c -> (connects)"]],
    ["a line too many", [...greeting, "c <- 220 mx.example ESMTP"]],
    [
      "a line that comes later",
      ["c -> (connects)", "c -> NOOP", "c <- 220 mx.example ESMTP", "c <- 250 2.0.0 ok"],
    ],
    ["a wrong beginning", [...greeting, "c -> NOOP", "c <~ 251"]],
    ["nothing where something is", [...greeting, "c -> NOOP", "c <- (nothing)", "c <- 250 2.0.0 ok"]],
    ["something where nothing is", [...greeting, "c <? 250 2.0.0 ok", "c <- 250 2.0.0 ok"]],
    ["more than was to get through", [...greeting, "c -> NOOP", "c <? 250 2\\"]],
    ["a dial that is not told", toRelay],
    ["another relay", [...toRelay, "r -> (dials other.example:25 [198.51.100.1])"]],
    [
      "another deadline",
      [...greeting, "+299s", "c <- 421 4.4.2 timeout, closing connection", "c <- (closes)"],
    ],
    ["an event of nobody", [...greeting, "c -> (explodes)"]],
    ["a relay of nobody", [...greeting, "r <- 220 hello"]],
    ["a log event that is not there", [...greeting, "log transaction outcome=relayed"]],
    ["a greeting too early", [...delayed, "+4s", "c <- 220 mx.example ESMTP"]],
    ["a greeting in time, that is not told", [...delayed, "+6s", "+1s"]],
    ["a verdict that is not told", [...listed, "c -> NOOP", "c <- 250 2.0.0 ok", "+1s"]],
    ["another verdict", [...delayed, "c => NOOP", "log screening verdict=listed"]],
    ["a stay in the tarpit that is not told", [...early, "c -> (resets)", "+1s"]],
    ["an octet too many", [...early, "+2s", "c <- 554\\"]],
    ["a client of nobody", [...delayed, "c2 -> NOOP"]],
    [
      "something that another client heard",
      [...delayed, "c -> (connects)", "c2 <- 220-mx.example ESMTP", "+5s"],
    ],
    ["words of someone who left", [...greeting, "c -> (resets)", "c -> (ends)"]],
  ])("%s", (_, lines) => {
    expect(() => replay(read(...lines), { cut: "nowhere" })).toThrow(/x\.transcript:\d+: /);
  });

  test.each([
    "d -> x",
    "c -- x",
    "c ->NOOP",
    "+6",
    "c -> \\q",
    "log session x",
    "c -> (x",
    "dns x",
    "dns x MX y",
  ])("no such line: %s", (line) => {
    expect(() => read(line)).toThrow(/x\.transcript:1: /);
  });
});

test("a name that nobody told of is not looked up unnoticed", () => {
  const transcript = read(
    "options DNSBL_DOMAINS=zone.example",
    "c -> (connects)",
    "c <- 220-mx.example ESMTP",
  );
  expect(() => replay(transcript, { cut: "nowhere" })).toThrow("nobody told of 1.2.0.192.zone.example A");
});

test("packets are cut at every place", () => {
  const transcript = read(...greeting, "c -> AB", "c -> C\\", "c => DEF", "c <- 250 x");
  expect([...cuttings(transcript)].map((cutting) => (cutting.cut === "once" ? cutting.at : 0))).toEqual([
    1, 2, 3, 4,
  ]);
});

test("escapes", () => {
  const [step] = read("c -> \\x00\\xffé\\r\\n\\0\\\\\\{3 a\\x20}\\").steps;
  expect(step?.does === "sends" ? [...step.octets] : []).toEqual([
    0, 255, 195, 169, 13, 10, 0, 92, 97, 32, 97, 32, 97, 32,
  ]);
});
