import { expect, test } from "bun:test";
import { PlaintextPlaces, withoutTlsMs } from "../../src/relay/plaintext-places.ts";

test("a place is without TLS for an hour, and says why", () => {
  const places = new PlaintextPlaces();
  places.tlsBroke("a", "reset", 5);
  expect(places.reason("a", 5 + withoutTlsMs - 1)).toBe("reset");
  expect(places.reason("b", 5)).toBeUndefined();
  expect(places.reason("a", 5 + withoutTlsMs)).toBeUndefined();
});

test("it is forgotten when the relay insists on TLS", () => {
  const places = new PlaintextPlaces();
  places.tlsBroke("a", "reset", 0);
  places.forget("a");
  expect(places.reason("a", 1)).toBeUndefined();
});

test("there are so many at most, the oldest go first", () => {
  const places = new PlaintextPlaces();
  for (let index = 0; index < 1_500; index += 1) places.tlsBroke(`place ${index}`, "reset", 0);
  places.tlsBroke("place 500", "again", 0);
  places.tlsBroke("new", "reset", 0);
  expect(places.reason("place 499", 1)).toBeUndefined();
  expect(places.reason("place 500", 1)).toBe("again");
  expect(places.reason("place 501", 1)).toBeUndefined();
  expect(places.reason("place 502", 1)).toBe("reset");
});
