/**
 * Whether a target's time is linear: four times the input may take four times as long, and not sixteen.
 * The time is the processor's, so that other programs do not count; what they do to its caches makes it longer, and so
 * do the collector, the compiler, and calls before it has compiled: never shorter. So what is compared is the shortest
 * of several, of inputs that take long enough to be measured, the short one and the long one by turns.
 * Rejected: `process.threadCpuUsage()`, which advances by 4 ms at a time.
 */
import type { Target } from "./target.ts";

const charsShort = 4096;
/** An input four times as long that takes less, once compiled, is not looked into. */
const quickMs = 15;
/** The short input is doubled until it takes so long. */
const shortMs = 5;
const charsShortMax = 4 * charsShort;
/** The first call may not be compiled yet. */
const looks = 2;
/** Between 4, for linear time, and 16, for quadratic time: as far from the one as from the other. */
const growthMax = 8;
/** Behind so many rounds a growth is believed if it is clear, and behind the last ones in any case. */
const roundsMin = 4;
const roundsMax = 16;
const clear = Math.SQRT2;

/** How long the target takes for an input of so many characters, in milliseconds. */
type TimeAt = (chars: number) => number;

/** The inputs for which it is not, as words that say how they are made. */
export function notLinear(target: Pick<Target, "words" | "beginnings" | "read">): readonly string[] {
  const slow: string[] = [];
  for (const beginning of target.beginnings) {
    for (const word of target.words) {
      const timeAt: TimeAt = (chars) =>
        timeOf(target, beginning + word.repeat(Math.ceil(chars / word.length)).slice(0, chars));
      if (takesUnder(quickMs, timeAt, 4 * charsShort)) continue;
      if (growthOf(timeAt) > growthMax) slow.push(JSON.stringify([beginning, word]));
    }
  }
  return slow;
}

function growthOf(timeAt: TimeAt): number {
  let chars = charsShort;
  while (chars < charsShortMax && takesUnder(shortMs, timeAt, chars)) chars *= 2;
  let short = Number.POSITIVE_INFINITY;
  let long = Number.POSITIVE_INFINITY;
  let growth = growthMax;
  const isClear = (): boolean => growth < growthMax / clear || growth > growthMax * clear;
  for (let round = 1; round <= roundsMin || (round <= roundsMax && !isClear()); round += 1) {
    short = Math.min(short, timeAt(chars));
    long = Math.min(long, timeAt(4 * chars));
    growth = long / short;
  }
  return growth;
}

function takesUnder(ms: number, timeAt: TimeAt, chars: number): boolean {
  return Array.from({ length: looks }).some(() => timeAt(chars) < ms);
}

function timeOf(target: Pick<Target, "read">, input: string): number {
  const before = process.cpuUsage();
  target.read(input, []);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
