/**
 * Zones of the simulator: what each says of a client follows from its address; how long it takes and whether it says
 * anything is chance. `flaky.example` refuses to serve us for a while.
 */
import type { LookupAnswer } from "../../../src/client/messages.ts";
import type { Chance, Clock } from "./clock.ts";

/** How long an answer of the zones holds: less than a client is remembered for its patience. */
const ttlMs = 120_000;

/** A client is listed from a score of 1 on. */
export const zoneOptions = {
  DNSBL_DOMAINS: "bad.example=127.0.0.[2..9]*2 flaky.example good.example*-3",
  DNSBL_THRESHOLD: "1",
};
const weights = new Map([
  ["bad.example", 2],
  ["flaky.example", 1],
  ["good.example", -3],
]);

export class ScriptedZones {
  readonly #clock: Clock;
  readonly #chance: Chance;
  readonly #timeoutMs: number;
  readonly #isListed: (address: string) => boolean;
  readonly #isAllowlisted: (address: string) => boolean;
  readonly #count: (what: string) => void;
  #refusing = false;

  constructor(
    clock: Clock,
    chance: Chance,
    timeoutMs: number,
    about: { listed(address: string): boolean; allowlisted(address: string): boolean },
    count: (what: string) => void,
  ) {
    this.#clock = clock;
    this.#chance = chance;
    this.#timeoutMs = timeoutMs;
    this.#isListed = about.listed;
    this.#isAllowlisted = about.allowlisted;
    this.#count = count;
  }

  /** From now on `flaky.example` refuses to serve us, or serves us again. */
  turn(refusing: boolean): void {
    this.#refusing = refusing;
  }

  /** `tell`: the answer, and the weight that it has. */
  ask(
    { record, zone }: { readonly record: "A" | "TXT"; readonly zone: string },
    address: string,
    tell: (answer: LookupAnswer, points: number) => void,
  ): void {
    const chance = this.#chance;
    const fate = chance.next();
    if (fate < 0.02) {
      this.#count("DNS: silence");
      return;
    }
    if (fate < 0.04) {
      this.#count("DNS: trouble");
      this.#clock.after(chance.between(0, this.#timeoutMs), () =>
        tell({ kind: "trouble", reason: "SERVFAIL", server: "127.0.0.1:53" }, 0),
      );
      return;
    }
    const isLate = fate < 0.08;
    if (isLate) this.#count("DNS: late");
    const delayMs = isLate ? this.#timeoutMs + chance.between(0, 2) : chance.between(0, 1500);
    const [answer, points] = record === "TXT" ? this.#text() : this.#addresses(zone, address);
    if (points !== 0) this.#count(`DNS: ${zone}`);
    this.#clock.after(delayMs, () => tell(answer, points));
  }

  #text(): [LookupAnswer, number] {
    return [
      this.#chance.happens(0.7)
        ? {
            kind: "texts",
            texts: ["listed, see \x01https://bad.example"],
            ttlMs,
          }
        : { kind: "none", ttlMs },
      0,
    ];
  }

  #addresses(zone: string, address: string): [LookupAnswer, number] {
    if (zone === "flaky.example" && this.#refusing) {
      return [
        {
          kind: "found",
          addresses: [this.#chance.one("127.255.255.254", "1.2.3.4")],
          ttlMs,
        },
        0,
      ];
    }
    const says =
      zone === "good.example"
        ? this.#isAllowlisted(address)
        : this.#isListed(address) && (zone === "bad.example" || this.#chance.happens(0.5));
    if (says)
      return [{ kind: "found", addresses: ["127.0.0.3", "127.0.0.4"], ttlMs }, weights.get(zone) ?? 0];
    // Outside of the filter: it is no listing.
    const other = zone === "bad.example" && this.#chance.happens(0.1);
    return [other ? { kind: "found", addresses: ["127.0.0.10"], ttlMs } : { kind: "none", ttlMs }, 0];
  }
}
