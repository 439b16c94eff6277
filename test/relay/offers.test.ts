import { describe, expect, test } from "bun:test";
import { assumedOffer, RelayOffers } from "../../src/relay/offers.ts";
import { type RelayHost, RestingPlaces, restMs } from "../../src/relay/route.ts";
import { noOffer, type RelayOffer } from "../../src/smtp/ehlo.ts";

const one: RelayHost = { host: "one.example", port: 25 };
const two: RelayHost = { host: "two.example", port: 25 };
const all: RelayOffer = { ...noOffer, smtputf8: true, dsn: true, sizeOctetsMax: 4711 };

function offers(): { offers: RelayOffers; resting: RestingPlaces } {
  const resting = new RestingPlaces();
  return { resting, offers: new RelayOffers([one, two], resting) };
}

describe("what a mail can count on", () => {
  test("of a relay that was never asked: SMTPUTF8 and DSN", () => {
    expect(offers().offers.current(0)).toEqual(assumedOffer);
    expect(new RelayOffers([], new RestingPlaces()).current(0)).toEqual(assumedOffer);
  });

  test("is the word of the first relay, whichever spoke last", () => {
    const { offers: known } = offers();
    known.learned(one, all);
    known.learned(two, noOffer);
    expect(known.current(0)).toEqual(all);
    known.learned(one, noOffer);
    known.learned(two, all);
    expect(known.current(0)).toEqual(noOffer);
  });

  test("is the second relay's word while the first rests, and the first one's when all rest", () => {
    const { offers: known, resting } = offers();
    known.learned(one, noOffer);
    known.learned(two, all);
    resting.failed(one, undefined, 0);
    expect(known.current(0)).toEqual(all);
    resting.failed(two, undefined, 0);
    expect(known.current(0)).toEqual(noOffer);
    expect(known.current(restMs)).toEqual(noOffer);
  });

  test("has SMTPUTF8 while one without it stands in for one with it", () => {
    const { offers: known, resting } = offers();
    known.learned(two, { ...noOffer, sizeOctetsMax: 1 });
    resting.failed(one, undefined, 0);
    expect(known.current(0)).toEqual({ ...noOffer, sizeOctetsMax: 1 });
    known.learned(one, all);
    expect(known.current(0)).toEqual({ ...noOffer, sizeOctetsMax: 1, smtputf8: true });
  });
});
