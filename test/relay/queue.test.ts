import { describe, expect, test } from "bun:test";
import { RelayQueue, type RelayRequester, type RelaySupply } from "../../src/relay/queue.ts";

interface Mail extends RelayRequester {
  readonly name: string;
}

const none: RelaySupply = { connections: 0, idle: 0, usableIdle: 0 };

function mail(name: string, network?: string, fresh = false): Mail {
  return { name, network, fresh };
}

/** Dials for whoever may have a connection; returns their names. */
function dialAll(queue: RelayQueue<Mail>): string[] {
  const names: string[] = [];
  for (;;) {
    const step = queue.step({ ...none, connections: queue.held });
    if (step?.step !== "dial") return names;
    names.push(step.requester.name);
  }
}

function filled(queue: RelayQueue<Mail>, mails: readonly Mail[]): string[] {
  for (const one of mails) queue.add(one);
  return dialAll(queue);
}

describe("the queue for relay connections", () => {
  test("reuses, dials, makes room, waits: in this order", () => {
    const queue = new RelayQueue<Mail>(2);
    const [a, b] = [mail("a"), mail("b", undefined, true)];
    queue.add(a);
    expect(queue.step({ connections: 2, idle: 2, usableIdle: 1 })).toEqual({ step: "reuse", requester: a });
    expect(queue.step({ connections: 1, idle: 1, usableIdle: 1 })).toBeUndefined();
    queue.add(b);
    expect(queue.step({ connections: 2, idle: 1, usableIdle: 1 })).toEqual({ step: "make-room" });
    expect(queue.step({ connections: 2, idle: 0, usableIdle: 0 })).toBeUndefined();
    expect(queue.has(b)).toBe(true);
    expect(queue.step({ connections: 1, idle: 0, usableIdle: 0 })).toEqual({ step: "dial", requester: b });
    expect(queue.has(b)).toBe(false);
    expect(queue.held).toBe(2);
    for (let again = 0; again < 2; again += 1) queue.letGo(a);
    expect(queue.held).toBe(1);
  });

  test("serves in the order in which mails asked, and passes over who has left", () => {
    const queue = new RelayQueue<Mail>(9);
    const left = mail("left");
    for (const one of [mail("a"), left, mail("b")]) queue.add(one);
    queue.remove(left);
    queue.remove(left);
    expect(queue.requesters.map(({ name }) => name)).toEqual(["a", "b"]);
    expect(dialAll(queue)).toEqual(["a", "b"]);
  });

  test.each([
    [50, 1, 38],
    [50, 2, 38],
    [50, 3, 38],
    [8, 1, 6],
    [4, 1, 3],
    [3, 1, 3],
    [2, 1, 2],
    [1, 1, 1],
  ])("of %d connections, %d networks together hold %d", (connectionsMax, networks, held) => {
    const queue = new RelayQueue<Mail>(connectionsMax);
    const greedy = Array.from({ length: 100 }, (_, index) => mail(`${index}`, `network ${index % networks}`));
    expect(filled(queue, greedy).length).toBe(held);
    const [newcomer] = filled(queue, [mail("newcomer", "elsewhere")]);
    expect(newcomer).toBe(held < connectionsMax ? "newcomer" : undefined);
  });

  test("a trusted client has no share, and takes none", () => {
    const queue = new RelayQueue<Mail>(4);
    expect(
      filled(
        queue,
        [1, 2, 3, 4, 5].map((n) => mail(`${n}`)),
      ).length,
    ).toBe(4);
  });

  test("what a network gives back is given to it again", () => {
    const queue = new RelayQueue<Mail>(4);
    const mails = [1, 2, 3, 4].map((n) => mail(`${n}`, "one"));
    expect(filled(queue, mails)).toEqual(["1", "2", "3"]);
    for (const one of mails.slice(0, 1)) queue.letGo(one);
    expect(dialAll(queue)).toEqual(["4"]);
  });

  test("is under pressure from three quarters on, until a quarter more is free", () => {
    const queue = new RelayQueue<Mail>(8);
    const mails = [1, 2, 3, 4, 5, 6].map((n) => mail(`${n}`, n < 6 ? "many" : "few"));
    for (const one of mails.slice(0, 5)) filled(queue, [one]);
    expect(queue.pressureChange(0)).toBeUndefined();
    filled(queue, mails.slice(5));
    const begun = { change: "begun" as const, held: 6, waiting: 0, networks: "many=5 few=1" };
    expect(queue.pressureChange(100)).toEqual(begun);
    expect(queue.pressureChange(101)).toBeUndefined();
    for (const [index, one] of mails.slice(0, 2).entries()) {
      queue.letGo(one);
      expect(queue.isUnderPressure).toBe(true);
      const over = { change: "over" as const, lastedMs: 400 };
      expect(queue.pressureChange(500)).toEqual(index === 0 ? undefined : over);
    }
    expect(queue.isUnderPressure).toBe(false);
  });

  test("where three quarters are all, it is under pressure only when somebody waits", () => {
    const small = new RelayQueue<Mail>(1);
    const [a, b] = [mail("a"), mail("b")];
    filled(small, [a]);
    expect(small.pressureChange(0)).toBeUndefined();
    filled(small, [b]);
    expect(small.pressureChange(1)).toMatchObject({ change: "begun", waiting: 1, networks: "" });
    small.letGo(a);
    dialAll(small);
    expect(small.pressureChange(2)).toBeUndefined();
    small.letGo(b);
    expect(small.pressureChange(3)).toEqual({ change: "over", lastedMs: 2 });
  });
});
