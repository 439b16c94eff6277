/** Replays every transcript of this folder: whole, octet by octet, and with each packet cut in two at each place. */
import { describe, expect, test } from "bun:test";
import { Glob } from "bun";
import { readTranscript } from "./language.ts";
import { cuttings, replay } from "./runner.ts";

const files = [...new Glob("*/*.transcript").scanSync(import.meta.dir)].sort();

test("there are transcripts, and each one tells its rule", () => {
  expect(files.length).toBeGreaterThan(200);
  const rules = files.map((file) => readTranscript(`${import.meta.dir}/${file}`).rule);
  expect(new Set(rules).size).toBe(files.length);
});

describe.each(files)("%s", (file) => {
  const transcript = readTranscript(`${import.meta.dir}/${file}`);

  test("whole", () => {
    replay(transcript, { cut: "nowhere" });
  });

  test("octet by octet", () => {
    const { record } = replay(transcript, { cut: "nowhere" });
    expect(replay(transcript, { cut: "everywhere" }).record).toBe(record);
  });

  test("each packet cut in two at every place", () => {
    const { record } = replay(transcript, { cut: "nowhere" });
    for (const cutting of cuttings(transcript)) {
      if (replay(transcript, cutting).record !== record) {
        throw new Error(`log or octets differ when cut: ${JSON.stringify(cutting)}`);
      }
    }
  }, 120_000);
});
