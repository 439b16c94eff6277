/** Whose look-up is carried out when: limits, shares, turns by network, and any history against its promises. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { LookUpTurns, type Turn } from "../../src/dns/look-up-turns.ts";

const limits = { runningMax: 8, shareMax: 2, waitingMax: 10 };

/** A look-up by its name; `begun` has those that had their turn, in order. */
function bench(bent: Partial<typeof limits> = {}) {
  const turns = new LookUpTurns({ ...limits, ...bent });
  const begun: string[] = [];
  const enter = (network: string, name: string) => turns.enter(network, () => begun.push(name));
  const enterAll = (network: string, count: number) =>
    Array.from({ length: count }, (_, at) => enter(network, `${network}${at + 1}`));
  return { turns, begun, enter, enterAll };
}

describe("a look-up", () => {
  test("has its turn at once while half of the places are free, whoever asks", () => {
    const { turns, begun, enterAll } = bench();
    enterAll("a", 4);
    expect([begun, turns.running, turns.waiting]).toEqual([["a1", "a2", "a3", "a4"], 4, 0]);
  });

  test("waits beyond that if its network has its share; others do not", () => {
    const { begun, turns, enterAll } = bench();
    enterAll("a", 5);
    enterAll("b", 3);
    enterAll("c", 3);
    expect(begun).toEqual(["a1", "a2", "a3", "a4", "b1", "b2", "c1", "c2"]);
    expect([turns.running, turns.waiting]).toEqual([8, 3]);
  });

  test("finds no room to wait where too many do", () => {
    const { turns, enter, enterAll } = bench({ waitingMax: 2 });
    enterAll("a", 6);
    expect([enter("b", "b1"), turns.waiting]).toMatchObject([{ state: "running" }, 2]);
    expect(enter("a", "a7")).toBeUndefined();
    expect(turns.networks).toBe(2);
  });
});

describe("a place that comes free", () => {
  test("goes to the networks in turn, not to the one that asked most", () => {
    const { turns, begun, enterAll } = bench({ shareMax: 8 });
    const first = enterAll("a", 8);
    enterAll("a", 11).slice(0, 5);
    turns.leave(enterAll("b", 0)[0] ?? (first[0] as Turn));
    expect(begun.length).toBe(9);
    const other = bench({ shareMax: 8 });
    const running = other.enterAll("a", 8);
    for (const name of ["x1", "x2", "x3"]) other.enter("x", name);
    for (const name of ["y1", "y2"]) other.enter("y", name);
    other.enter("z", "z1");
    for (const turn of running) if (turn !== undefined) other.turns.leave(turn);
    expect(other.begun.slice(8)).toEqual(["x1", "y1", "z1", "x2", "y2", "x3"]);
  });

  test("passes by a network that has its share", () => {
    const { turns, begun, enterAll } = bench();
    const [first] = enterAll("a", 4);
    enterAll("b", 3);
    const [, second] = enterAll("c", 3);
    expect(begun.slice(4)).toEqual(["b1", "b2", "c1", "c2"]);
    // "a" has more than its share still, and so nobody of "b" and "c" may begin.
    if (first !== undefined) turns.leave(first);
    expect(begun.length).toBe(8);
    if (second !== undefined) turns.leave(second);
    expect(begun.slice(8)).toEqual(["c3"]);
  });

  test("is given on if what had it is over at once", () => {
    const turns = new LookUpTurns({ runningMax: 1, shareMax: 1, waitingMax: 5_000 });
    const first = turns.enter("a", () => {});
    let begun = 0;
    const waiting: Turn[] = [];
    for (let n = 0; n < 5_000; n += 1) {
      const turn = turns.enter("a", () => {
        begun += 1;
        const own = waiting[n];
        if (own !== undefined) turns.leave(own);
      });
      if (turn !== undefined) waiting.push(turn);
    }
    if (first !== undefined) turns.leave(first);
    expect([begun, turns.running, turns.waiting, turns.networks]).toEqual([5_000, 0, 0, 0]);
  });
});

test("any history: limits are kept, nobody waits without need, and nothing is left behind", () => {
  const steps = fc.array(
    fc.oneof(
      fc.record({ does: fc.constant("enter" as const), network: fc.constantFrom("a", "b", "c", "d") }),
      fc.record({ does: fc.constant("leave" as const), which: fc.nat(40) }),
    ),
    { maxLength: 120 },
  );
  fc.assert(
    fc.property(steps, (all) => {
      const turns = new LookUpTurns(limits);
      const here = new Set<Turn>();
      const of = (network: string, state: Turn["state"]) =>
        [...here].filter((turn) => turn.network.name === network && turn.state === state).length;
      for (const step of all) {
        if (step.does === "enter") {
          const turn = turns.enter(step.network, () => {});
          if (turn === undefined) expect(turns.waiting).toBe(limits.waitingMax);
          else here.add(turn);
        } else {
          const turn = [...here][step.which % Math.max(here.size, 1)];
          if (turn === undefined) continue;
          here.delete(turn);
          turns.leave(turn);
          turns.leave(turn);
        }
        const states = [...here].map(({ state }) => state);
        expect(states.filter((state) => state === "running").length).toBe(turns.running);
        expect(states.filter((state) => state === "waiting").length).toBe(turns.waiting);
        expect(turns.running).toBeLessThanOrEqual(limits.runningMax);
        expect(turns.waiting).toBeLessThanOrEqual(limits.waitingMax);
        for (const network of ["a", "b", "c", "d"]) {
          if (of(network, "waiting") === 0) continue;
          const isFull = turns.running === limits.runningMax;
          const hasItsShare =
            turns.running >= limits.runningMax / 2 && of(network, "running") >= limits.shareMax;
          expect(isFull || hasItsShare).toBe(true);
        }
        expect(turns.networks).toBe(new Set([...here].map((turn) => turn.network.name)).size);
      }
      for (const turn of here) turns.leave(turn);
      expect([turns.running, turns.waiting, turns.networks]).toEqual([0, 0, 0]);
    }),
    { numRuns: 2000 },
  );
});
