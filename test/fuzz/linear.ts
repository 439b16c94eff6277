/** Whether a target's time is linear: four times the input may take four times as long, and not sixteen. */
import type { Target } from "./target.ts";

const charsShort = 4096;
/** Below it, a difference is the collector's or the compiler's. Quadratic time takes ten times as much. */
const noiseMs = 25;
/** Between 4, for linear time, and 16, for quadratic time. */
const growthMax = 9;
const tries = 4;

/** The inputs for which it is not, as words that say how they are made. */
export function notLinear(target: Pick<Target, "words" | "beginnings" | "read">): readonly string[] {
  const slow: string[] = [];
  for (const beginning of target.beginnings) {
    for (const word of target.words) {
      const filled = (chars: number) =>
        beginning + word.repeat(Math.ceil(chars / word.length)).slice(0, chars);
      const isLinear = () => {
        const long = timeOf(target, filled(4 * charsShort));
        return long < noiseMs || long < growthMax * timeOf(target, filled(charsShort)) + noiseMs;
      };
      if (!Array.from({ length: tries }).some(isLinear)) slow.push(JSON.stringify([beginning, word]));
    }
  }
  return slow;
}

/** The processor's time, so that other programs do not count. */
function timeOf(target: Pick<Target, "read">, input: string): number {
  const before = process.cpuUsage();
  target.read(input, []);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
