/** Draws how one connection's network behaves: mostly well, sometimes badly in one way, sometimes in all. */
import { type Conditions, calm } from "./network.ts";
import type { Random } from "./random.ts";

export function drawConditions(random: Random): Conditions {
  const latencyMs: [number, number] = random.weighted([
    [[0, 2], 6],
    [[5, 60], 2],
    [[1, 900], 1],
  ] as [[number, number], number][]);
  const base: Conditions = { ...calm, latencyMs };
  const kind = random.weighted([
    ["calm", 20],
    ["cut", 12],
    ["tiny", 1],
    ["small-buffer", 6],
    ["stalling", 4],
    ["all", 6],
  ] as const);
  const cut: Partial<Conditions> = { cut: 0.5, segmentOctetsMax: random.pick([512, 1460, 65_536]) };
  const small: Partial<Conditions> = {
    sendBufferOctets: random.pick([64, 1_024, 2_048, 8_192, 16_384, 16_384]),
    shortWrite: 0.3,
    spuriousDrain: 0.2,
  };
  const stalling: Partial<Conditions> = {
    stall: 0.1,
    stallMs: random.pick([
      [10, 300],
      [1_000, 9_000],
    ] as const),
  };
  switch (kind) {
    case "calm":
      return base;
    case "cut":
      return { ...base, ...cut };
    case "tiny":
      return { ...base, segmentOctetsMax: random.between(1, 7), latencyMs: [0, 1] };
    case "small-buffer":
      return { ...base, ...small };
    case "stalling":
      return { ...base, ...stalling };
    case "all":
      return { ...base, ...cut, ...small, ...stalling, lateChunk: 0.5 };
  }
}

/** Of a peer that takes little at a time. */
export function drawCongestedConditions(random: Random): Conditions {
  return {
    ...calm,
    latencyMs: random.pick([
      [0, 2],
      [5, 60],
    ] as const),
    sendBufferOctets: random.pick([2_048, 8_192, 16_384, 65_536]),
    shortWrite: random.pick([0, 0.3]),
  };
}
