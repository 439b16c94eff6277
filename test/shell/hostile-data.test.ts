/**
 * Floods of octets that are dear to look at cost the sender, not others: against the compiled program, in a quarter of
 * the size that flood.ts has for figures. The bounds leave room for a busy machine of two cores; before there was a
 * mend, good mail waited for 2.5 s and more, 10 s of CPU went into a quarter, and one session took 290 MiB.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { compile } from "./binary.ts";
import { describeCost, floods, measure } from "./flood.ts";

const MiB = 1024 * 1024;
const share = 0.25;
const worstMsMax = 1_500;
const cpuSecondsMax = 4;
const growthMax = 40 * MiB;

let binary = "";

beforeAll(async () => {
  binary = await compile();
}, 60_000);

afterAll(() => {
  if (binary !== "") Bun.spawnSync(["rm", "-rf", binary.replace(/\/[^/]*$/, "")]);
});

/** By name, and what each of the flooding clients is told in the end. */
const tested: readonly [string, string][] = [
  ["CR CR LF", "4 × 550"],
  ["bare LF", "4 × 550"],
  ["normalize: bare LF", "8 × 250"],
  ["normalize: LF dot LF", "8 × 250"],
  ["lines of two dots", "8 × 250"],
  ["short header lines", "8 × 250"],
];

test.each(tested)(
  "%s",
  async (name, end) => {
    const flood = floods(share).find((one) => one.name === name);
    if (flood === undefined) throw new Error(`there is no flood ${name}`);
    const cost = await measure(binary, flood);
    console.log(describeCost(name, cost));
    expect(cost.end).toEndWith(end);
    expect(cost.worstMs).toBeLessThan(worstMsMax);
    expect(cost.cpuSeconds).toBeLessThan(cpuSecondsMax);
    expect(cost.growthOctets).toBeLessThan(growthMax);
  },
  120_000,
);
