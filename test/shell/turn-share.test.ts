/** Who has to rest, and in which turn those that rest go on. */
import { beforeEach, expect, test } from "bun:test";
import type { Network } from "../../src/shell/network.ts";
import { longMs, type Resting, TurnShare, turnMs } from "../../src/shell/turn-share.ts";

let worked = 0;
let due: (() => void)[] = [];
let rested: string[] = [];
let share: TurnShare;

beforeEach(() => {
  worked = 0;
  due = [];
  rested = [];
  const network = {
    timer(delayMs: number, callback: () => void) {
      expect(delayMs).toBe(0);
      due.push(callback);
      return { cancel() {} };
    },
  };
  share = new TurnShare({
    // The one method of it that is called.
    network: network as unknown as Network,
    log() {},
    newSessionId: () => "s",
    stopwatch: () => worked,
  });
});

const client = (name: string): Resting => ({ rested: () => rested.push(name) });

function work(forWhom: Resting, ms: number): boolean {
  const startedAt = share.now();
  worked += ms;
  return share.charge(forWhom, startedAt);
}

/** Who goes on in the next turn. */
function turn(): string {
  rested = [];
  const callbacks = due;
  due = [];
  expect(callbacks.length).toBeLessThanOrEqual(1);
  for (const callback of callbacks) callback();
  return rested.join(" ");
}

test("who took little does not rest", () => {
  expect(work(client("a"), longMs / 2)).toBeFalse();
  expect(due).toEqual([]);
});

test("who took long rests until the next turn", () => {
  expect(work(client("a"), longMs)).toBeTrue();
  expect(rested).toEqual([]);
  expect(turn()).toBe("a");
  expect(turn()).toBe("");
  expect(due).toEqual([]);
});

test("a turn has room for so much; the others follow in order", () => {
  for (const name of ["a", "b", "c"]) work(client(name), turnMs / 2);
  work(client("d"), 3 * turnMs);
  work(client("e"), longMs);
  expect(turn()).toBe("a b");
  expect(turn()).toBe("c");
  expect(turn()).toBe("d");
  expect(turn()).toBe("e");
  expect(turn()).toBe("");
});

test("who is worked for while it rests, as little as it may be, stays in its place and owes that too", () => {
  const late = client("late");
  work(late, turnMs - longMs);
  work(client("b"), longMs);
  expect(work(late, longMs / 2)).toBeTrue();
  expect(turn()).toBe("late");
  expect(turn()).toBe("b");
});

test("who rests again behind its turn is last", () => {
  const heavy = client("heavy");
  work(heavy, turnMs);
  work(client("b"), turnMs);
  expect(turn()).toBe("heavy");
  work(heavy, turnMs);
  expect(turn()).toBe("b");
  expect(turn()).toBe("heavy");
});

test("who is gone is forgotten", () => {
  const gone = client("gone");
  work(gone, turnMs);
  work(client("b"), turnMs);
  share.forget(gone);
  expect(turn()).toBe("b");
  expect(turn()).toBe("");
});

test("without a stopwatch the network's clock is taken", () => {
  const network = { now: () => 17 };
  const plain = new TurnShare({
    network: network as unknown as Network,
    log() {},
    newSessionId: () => "s",
  });
  expect(plain.now()).toBe(17);
});
