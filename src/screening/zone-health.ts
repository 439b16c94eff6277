/**
 * Which zones are of use at present, as one memory for all clients: which are left out, which give no answer, and what
 * of that the log is to be told.
 *
 * A zone that answers nonsense (dnsbl-zones.ts says what that is) would list everybody, so it is left out for an hour.
 * A zone that gives no answer (silence, SERVFAIL, REFUSED) is asked on, for it may be back at any time.
 * Each is a warning, once an hour and zone, however many clients it concerns; and one line when the zone is back,
 * which is where it has answered and was in no trouble for a minute: one that answers every other question is not.
 * Answers from our own cache tell nothing of a zone, and are not to be reported here.
 * Holds no more than the zones there are. Time is a number in milliseconds that only grows.
 * Not here: what an answer means (dnsbl-zones.ts), one client's score (dnsbl.ts).
 * Rejected: leaving out a zone that is silent. An outage would then last an hour at least, and let everybody in.
 */
export const leftOutMs = 60 * 60 * 1000;
export const warnedMs = 60 * 60 * 1000;
export const backAfterMs = 60 * 1000;

interface Trouble {
  readonly since: number;
  readonly lastAt: number;
  /** It was logged. */
  readonly told: boolean;
}

interface Zone {
  trouble: Trouble | undefined;
  leftOutUntil: number;
  warnedAt: number;
}

export class ZoneHealth {
  readonly #zones = new Map<string, Zone>();

  isLeftOut(zone: string, now: number): boolean {
    const known = this.#zones.get(zone);
    return known !== undefined && now < known.leftOutUntil;
  }

  /**
   * The zone answered nonsense: leaves it out from now on. True: a warning is due. Answers to questions that were on
   * their way by then neither warn again nor prolong it.
   */
  unusable(zone: string, now: number): boolean {
    if (this.isLeftOut(zone, now)) return false;
    const known = this.#zone(zone);
    known.leftOutUntil = now + leftOutMs;
    known.warnedAt = now;
    known.trouble = { since: known.trouble?.since ?? now, lastAt: now, told: true };
    return true;
  }

  /** The zone gave no answer. True: a warning is due. */
  silent(zone: string, now: number): boolean {
    if (this.isLeftOut(zone, now)) return false;
    const known = this.#zone(zone);
    const warns = now - known.warnedAt >= warnedMs;
    if (warns) known.warnedAt = now;
    const { since = now, told = false } = known.trouble ?? {};
    known.trouble = { since, lastAt: now, told: told || warns };
    return warns;
  }

  /** The zone answered as it should. How long it was in trouble, if it is to be logged that it is back. */
  answered(zone: string, now: number): number | undefined {
    const known = this.#zones.get(zone);
    const trouble = known?.trouble;
    if (known === undefined || trouble === undefined || this.isLeftOut(zone, now)) return undefined;
    if (now - trouble.lastAt < backAfterMs) return undefined;
    known.trouble = undefined;
    return trouble.told ? now - trouble.since : undefined;
  }

  #zone(name: string): Zone {
    const known = this.#zones.get(name);
    if (known !== undefined) return known;
    const fresh = {
      trouble: undefined,
      leftOutUntil: Number.NEGATIVE_INFINITY,
      warnedAt: Number.NEGATIVE_INFINITY,
    };
    this.#zones.set(name, fresh);
    return fresh;
  }
}
