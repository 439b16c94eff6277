import { describe, expect, test } from "bun:test";
import type { Failure } from "../../src/relay/failures.ts";
import {
  addressesMax,
  describePlace,
  type RelayHost,
  RelayRoute,
  RestingPlaces,
  restMs,
} from "../../src/relay/route.ts";

const one: RelayHost = { host: "one.example", port: 25 };
const two: RelayHost = { host: "two.example", port: 587 };
const refused: Failure = { kind: "unreachable", detail: "ECONNREFUSED" };
const handshake: Failure = { kind: "tls", stage: "handshake", detail: "EPROTO" };

/** Walks a route on which every dial fails with `failure`; tells the places in order, and the end. */
function walk(
  relays: readonly RelayHost[],
  resting: RestingPlaces,
  now: number,
  { failure = refused, plainWillDo = false, addresses = ["192.0.2.1", "2001:db8::1"] } = {},
): string[] {
  const route = new RelayRoute(relays, resting);
  const steps: string[] = [];
  for (;;) {
    const step = route.next(now);
    if (step.step === "give-up") return [...steps, step.failure.kind];
    if (step.step === "resolve") {
      if (addresses.length === 0) route.unresolved(step.relay, "ENOTFOUND", now);
      else route.resolved(step.relay, addresses, now);
    } else {
      steps.push(`${describePlace(step.place)}${step.place.withoutTls ? " plain" : ""}`);
      route.failed(step.place, failure, plainWillDo, now);
    }
  }
}

describe("the route", () => {
  test("goes through all relays and all their addresses in order", () => {
    expect(walk([one, two], new RestingPlaces(), 0)).toEqual([
      "one.example:25 [192.0.2.1]",
      "one.example:25 [2001:db8::1]",
      "two.example:587 [192.0.2.1]",
      "two.example:587 [2001:db8::1]",
      "unreachable",
    ]);
  });

  test("passes over a name that does not resolve", () => {
    expect(walk([one, two], new RestingPlaces(), 0, { addresses: [] })).toEqual(["unreachable"]);
  });

  test("tries no more than so many addresses of a name", () => {
    const addresses = Array.from({ length: 20 }, (_, index) => `192.0.2.${index}`);
    expect(walk([one], new RestingPlaces(), 0, { addresses }).length).toBe(addressesMax + 1);
  });

  test("goes once more without TLS where the handshake failed and TLS is only a wish", () => {
    const addresses = ["192.0.2.1"];
    const failing = { failure: handshake, addresses };
    expect(walk([one], new RestingPlaces(), 0, { ...failing, plainWillDo: true })).toEqual([
      "one.example:25 [192.0.2.1]",
      "one.example:25 [192.0.2.1] plain",
      "tls",
    ]);
    expect(walk([one], new RestingPlaces(), 0, failing)).toEqual(["one.example:25 [192.0.2.1]", "tls"]);
  });

  test("no relay at all is a failure and no loop", () => {
    expect(new RelayRoute([], new RestingPlaces()).next(0).step).toBe("give-up");
  });
});

describe("resting places", () => {
  const place = { relay: one, address: "192.0.2.1", withoutTls: false };

  test("come last, after those that do not rest, and are tried all the same", () => {
    const resting = new RestingPlaces();
    resting.failed(one, "192.0.2.1", 0);
    expect(walk([one, two], resting, restMs - 1)).toEqual([
      "one.example:25 [2001:db8::1]",
      "two.example:587 [192.0.2.1]",
      "two.example:587 [2001:db8::1]",
      "one.example:25 [192.0.2.1]",
      "unreachable",
    ]);
  });

  test("rest for a minute, or until they worked", () => {
    const resting = new RestingPlaces();
    resting.failed(one, "192.0.2.1", 0);
    expect(resting.rests(one, "192.0.2.1", restMs - 1)).toBe(true);
    expect(resting.rests(one, "192.0.2.1", restMs)).toBe(false);
    expect(resting.rests(two, "192.0.2.1", 0)).toBe(false);
    resting.woke(place);
    expect(resting.rests(one, "192.0.2.1", 1)).toBe(false);
  });

  test("a connection to a second relay serves on only while the first rests", () => {
    const resting = new RestingPlaces();
    expect(resting.mayReuse(one, [one, two], 0)).toBe(true);
    expect(resting.mayReuse(two, [one, two], 0)).toBe(false);
    resting.failed(one, undefined, 0);
    expect(resting.mayReuse(two, [one, two], 1)).toBe(true);
    expect(resting.mayReuse(two, [one, two], restMs)).toBe(false);
  });

  test("are forgotten beyond a limit, the oldest first", () => {
    const resting = new RestingPlaces();
    for (let index = 0; index < 2000; index += 1) resting.failed(two, `10.0.0.${index}`, 0);
    expect(resting.rests(two, "10.0.0.0", 1)).toBe(false);
    expect(resting.rests(two, "10.0.0.1999", 1)).toBe(true);
  });
});

describe("pauses of a route", () => {
  const login: Failure = {
    kind: "refused-setup",
    step: "AUTH",
    reply: { code: 535, lines: ["5.7.8 no"] },
  };

  test("refused credentials are not put to the relay's other addresses, but to the other relay", () => {
    expect(walk([one, two], new RestingPlaces(), 0, { failure: login })).toEqual([
      "one.example:25 [192.0.2.1]",
      "two.example:587 [192.0.2.1]",
      "refused-setup",
    ]);
  });

  test("who is left with pauses alone fails at once, with the reason of the first", () => {
    const resting = new RestingPlaces();
    walk([one, two], resting, 0, { failure: login });
    expect(new RelayRoute([one, two], resting).next(999)).toEqual({
      step: "give-up",
      failure: { kind: "paused", reason: "relay refused AUTH: 535 5.7.8 no", forMs: 1 },
    });
  });

  test("an address that pauses does not keep from the others", () => {
    const resting = new RestingPlaces();
    for (const now of [0, 1]) walk([one], resting, now, { addresses: ["192.0.2.1"] });
    expect(walk([one], resting, 2)).toEqual(["one.example:25 [2001:db8::1]", "unreachable"]);
  });

  test("a name that does not resolve is not looked up for every mail", () => {
    const resting = new RestingPlaces();
    for (const now of [0, 1]) walk([one], resting, now, { addresses: [] });
    expect(new RelayRoute([one], resting).next(2)).toMatchObject({ failure: { kind: "paused" } });
    expect(new RelayRoute([one], resting).next(2_000)).toEqual({ step: "resolve", relay: one });
  });

  test("a relay that says 421 at AUTH has refused no credentials", () => {
    const gone: Failure = { ...login, reply: { code: 421, lines: ["4.3.2 bye"] } };
    expect(walk([one], new RestingPlaces(), 0, { failure: gone }).length).toBe(3);
  });
});

test("the names of places in the log", () => {
  const relay = { host: "2001:db8::1", port: 25 };
  expect(describePlace({ relay, address: "2001:db8::1", withoutTls: false })).toBe("[2001:db8::1]:25");
  expect(describePlace({ relay: one, address: "192.0.2.1", withoutTls: false })).toBe(
    "one.example:25 [192.0.2.1]",
  );
});
