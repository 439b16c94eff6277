/** The DNS of a world: zones that list some clients and answer late, never, badly, or not at all. */

import type { LookupAnswer } from "../../src/client/messages.ts";
import { reversedName } from "../../src/screening/addresses.ts";
import type { Resolver } from "../../src/shell/client-connection.ts";
import type { Clock } from "./clock.ts";
import type { ZoneScript } from "./scenario.ts";

const ttlMs = 300_000;

export class ZoneResolver implements Resolver {
  readonly #clock: Clock;
  readonly #zones: readonly ZoneScript[];

  constructor(clock: Clock, zones: readonly ZoneScript[]) {
    this.#clock = clock;
    this.#zones = zones;
  }

  lookUp(
    { name, type }: { readonly name: string; readonly type: "A" | "TXT" },
    told: (answer: LookupAnswer) => void,
  ): { cancel(): void } {
    const zone = this.#zones.find((one) => name.endsWith(`.${one.zone}`));
    if (zone?.answers === "never") return { cancel() {} };
    const answer: LookupAnswer = zone === undefined ? { kind: "none", ttlMs } : answerOf(zone, name, type);
    return this.#clock.timer(zone?.afterMs ?? 0, () => told(answer));
  }

  close(): void {}
}

function answerOf(zone: ZoneScript, name: string, type: "A" | "TXT"): LookupAnswer {
  const isListed = zone.listed.some((address) => `${reversedName(address)}.${zone.zone}` === name);
  switch (zone.answers) {
    case "trouble":
    case "never":
      return { kind: "trouble", reason: "SERVFAIL", server: "127.0.0.1:53" };
    case "refusal":
      return { kind: "found", addresses: ["127.255.255.254"], ttlMs };
    case "public":
      return { kind: "found", addresses: ["203.0.113.99"], ttlMs };
    case "listing":
      if (!isListed) return { kind: "none", ttlMs };
      return type === "TXT"
        ? { kind: "texts", texts: [`see ${zone.zone}`], ttlMs }
        : { kind: "found", addresses: ["127.0.0.2"], ttlMs };
  }
}
