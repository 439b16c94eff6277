/**
 * The screening's place in a client session: says the greeting when it is due, asks the zones, and tells the session
 * whether RCPT may go on, has to wait, or is refused.
 *
 * Contract: `start` once; feed `octets`, `answered` and `time` as they come; then ask `isGreetingDue`, `offence`, and, when
 * a RCPT stands at the head, `gate`. What is found is logged once, when it is final.
 * An offender is forgotten by the memory of passed clients, and one that passed is remembered.
 * Not here: the rules (screening/greeting.ts, screening/dnsbl.ts); the tarpit (shell/tarpit.ts); what a session does
 * with an offence (session.ts).
 */

import type { DnsblZone } from "../config/kinds/dnsbl-zone.ts";
import type { ClientFacts } from "../mail/messages.ts";
import { type DnsblMatch, DnsblScore, type ZoneNews } from "../screening/dnsbl.ts";
import { explanation } from "../screening/dnsbl-zones.ts";
import { exemptFromAll, Screen, type ScreenRules, type Verdict } from "../screening/greeting.ts";
import type { PassedClients } from "../screening/passed-clients.ts";
import type { ZoneHealth } from "../screening/zone-health.ts";
import {
  badlyPipelined,
  greetingBegins,
  listedClient,
  spokeTooEarly,
  tooBusyToScreen,
  tooManyErrors,
} from "../smtp/catalogue.ts";
import { maskOctetsOfClient } from "../smtp/masking.ts";
import type { Reply } from "../smtp/replies.ts";
import type { LookupAnswer } from "./messages.ts";
import type { ClientOutput } from "./output.ts";

/** What the screenings of all clients share. */
export interface ScreeningSettings extends ScreenRules {
  readonly zones: readonly DnsblZone[];
  readonly threshold: number;
  readonly health: ZoneHealth;
  readonly memory: PassedClients;
}

/** What follows from an offence: a last reply, slowly; or nothing but an end. */
export type Offence =
  | { readonly end: "tarpit"; readonly reply: Reply; readonly reason: string }
  | { readonly end: "close"; readonly reason: string };

/** What happens to a client that reached MAX_ERRORS. */
export const errorLimitReached: Offence = {
  end: "tarpit",
  reply: tooManyErrors,
  reason: "too many errors",
};

/** Whether a RCPT may be carried out. */
export type Gate =
  | { readonly gate: "open" }
  | { readonly gate: "wait" }
  /** The session goes on. */
  | { readonly gate: "deferred"; readonly reply: Reply }
  | { readonly gate: "refused"; readonly reply: Reply };

/** Texts in answer to a question for addresses: no resolver of ours does that. */
const notAsked = { reason: "not the answer to what was asked", server: undefined };

/** How long a RCPT waits for the text of the zone that lists its client. */
const explanationMsMax = 2_000;

export class ClientScreening {
  readonly #settings: ScreeningSettings;
  readonly #facts: ClientFacts;
  readonly #output: ClientOutput;
  readonly #serverName: string;
  readonly #screen: Screen;
  #verdict: Verdict | undefined;
  #pipelinedBadly = false;
  /** Why a zone was not asked. */
  #lack = "";
  #explanation: string | undefined;
  #explainedBy = Number.POSITIVE_INFINITY;

  constructor(
    settings: ScreeningSettings,
    facts: ClientFacts,
    now: number,
    serverName: string,
    output: ClientOutput,
  ) {
    this.#settings = settings;
    this.#facts = facts;
    this.#output = output;
    this.#serverName = serverName;
    const score = new DnsblScore(settings.zones, settings.threshold, settings.health);
    const exemption = facts.isTrusted ? exemptFromAll : settings.memory.passes(facts.address, now);
    this.#screen = new Screen(settings, exemption, score);
  }

  start(now: number): void {
    const queries = this.#screen.started(this.#facts.address, now);
    for (const { zone, name } of queries) this.#output.emit({ type: "look-up", record: "A", zone, name });
    if (this.#screen.isDelayed) {
      this.#output.begin(greetingBegins(this.#serverName));
    }
    this.#conclude(now);
  }

  octets(octets: Buffer, now: number): void {
    this.#screen.octets(octets, now);
    this.#conclude(now);
  }

  answered(record: "A" | "TXT", zone: string, answer: LookupAnswer, now: number): void {
    this.#logAnswer(record, zone, answer);
    if (record === "TXT") {
      if (answer.kind !== "busy") this.#explain(answer);
      return;
    }
    if (answer.kind === "found" || answer.kind === "none") {
      const { ttlMs, cached = false } = answer;
      const addresses = answer.kind === "found" ? answer.addresses : [];
      this.#screen.dnsblAnswered(zone, { addresses, ttlMs, cached }, now);
    } else if (answer.kind === "busy") {
      this.#lack = answer.reason;
      this.#screen.dnsblNotAsked(zone, now);
    } else {
      const { reason, server } = answer.kind === "trouble" ? answer : notAsked;
      this.#screen.dnsblFailed(zone, { reason, server }, now);
    }
    this.#conclude(now);
  }

  time(now: number): void {
    this.#screen.time(now);
    if (now >= this.#explainedBy) this.#explainedBy = Number.NEGATIVE_INFINITY;
    this.#conclude(now);
  }

  deadline(): number {
    const explained =
      this.#explainedBy === Number.NEGATIVE_INFINITY ? Number.POSITIVE_INFINITY : this.#explainedBy;
    return Math.min(this.#screen.deadline(), explained);
  }

  /** The last line of the greeting may be said. */
  get isGreetingDue(): boolean {
    return this.#screen.isGreetingDue;
  }

  /** The session is not to go on, whatever was said. */
  get offence(): Offence | undefined {
    if (this.#settings.observe) return undefined;
    if (this.#verdict?.kind === "early-talker") {
      return { end: "tarpit", reply: spokeTooEarly, reason: "early talker" };
    }
    return this.#verdict?.kind === "non-smtp"
      ? { end: "close", reason: `not SMTP: ${this.#verdict.looksLike}` }
      : undefined;
  }

  /** Commands behind one whose answer decides whether they may be sent: no mail server does that. */
  pipelinedBadly(now: number): Offence | undefined {
    if (this.#facts.isTrusted) return undefined;
    if (!this.#pipelinedBadly) this.#log("pipelining");
    this.#pipelinedBadly = true;
    this.#settings.memory.forget(this.#facts.address, now);
    if (this.#settings.observe) return undefined;
    return { end: "tarpit", reply: badlyPipelined, reason: "improper pipelining" };
  }

  /** The client offended in a way that is not the screening's to find: too many errors. */
  offended(now: number): void {
    this.#settings.memory.forget(this.#facts.address, now);
  }

  /** May a RCPT be carried out now? */
  get gate(): Gate {
    const verdict = this.#verdict;
    if (this.#settings.observe) return { gate: "open" };
    if (verdict === undefined) return { gate: "wait" };
    if (verdict.kind === "unknown") return { gate: "deferred", reply: tooBusyToScreen };
    if (verdict.kind !== "listed") return { gate: "open" };
    const [match] = verdict.dnsbl.matches;
    if (this.#explainedBy !== Number.NEGATIVE_INFINITY) return { gate: "wait" };
    return {
      gate: "refused",
      reply: listedClient(this.#facts.address, match?.shownName ?? "", this.#explanation),
    };
  }

  /** Takes note of what the zones are like, and of a verdict, once. */
  #conclude(now: number): void {
    for (const told of this.#screen.takeNews()) this.#logNews(told);
    const { verdict } = this.#screen;
    if (verdict === undefined || this.#verdict !== undefined) return;
    this.#verdict = verdict;
    const { memory } = this.#settings;
    if (verdict.kind === "unknown") this.#logOverload();
    if (verdict.kind === "pass" || verdict.kind === "unknown") {
      if (!this.#facts.isTrusted) memory.remember(this.#facts.address, verdict.earned, now);
      return;
    }
    memory.forget(this.#facts.address, now);
    this.#log(verdict.kind);
    if (verdict.kind === "listed") this.#askWhy(verdict.dnsbl.matches[0], now);
  }

  #askWhy(match: DnsblMatch | undefined, now: number): void {
    this.#explainedBy = match === undefined ? Number.NEGATIVE_INFINITY : now + explanationMsMax;
    if (match === undefined) return;
    this.#output.emit({ type: "look-up", record: "TXT", zone: match.zone, name: match.name });
  }

  #explain(answer: LookupAnswer): void {
    this.#explainedBy = Number.NEGATIVE_INFINITY;
    const match = this.#verdict?.kind === "listed" ? this.#verdict.dnsbl.matches[0] : undefined;
    const [text] = answer.kind === "texts" ? answer.texts : [];
    if (match !== undefined && text !== undefined) this.#explanation = explanation(text, match);
  }

  #logNews(told: ZoneNews): void {
    if (told.news === "unusable") {
      this.#output.log({ event: "dnsbl-unusable", zone: told.zone, answer: told.answer });
    } else if (told.news === "silent") {
      this.#output.log({ event: "dnsbl-silent", zone: told.zone, server: told.server, reason: told.reason });
    } else {
      this.#output.log({ event: "dnsbl-back", zone: told.zone, awayMs: Math.round(told.awayMs) });
    }
  }

  #logOverload(): void {
    const { session, address: client } = this.#facts;
    const zones = this.#screen.unknownZones.join(" ");
    const enforced = !this.#settings.observe;
    this.#output.log({ event: "dnsbl-overload", session, client, zones, enforced, reason: this.#lack });
  }

  /** For LOG_LEVEL=debug. A text may have the zone's own name in it, which is not shown. */
  #logAnswer(record: "A" | "TXT", zone: string, answer: LookupAnswer): void {
    const shownName = this.#settings.zones.find((entry) => entry.zone === zone)?.shownName ?? "";
    const said =
      answer.kind === "found"
        ? answer.addresses.join(" ")
        : answer.kind === "texts"
          ? answer.texts.map((text) => explanation(text, { zone, shownName }) ?? "").join(" ")
          : answer.kind;
    const reason = answer.kind === "trouble" || answer.kind === "busy" ? answer.reason : undefined;
    const server = answer.kind === "trouble" ? answer.server : undefined;
    const cached = "cached" in answer ? answer.cached : undefined;
    const { session } = this.#facts;
    const event = "look-up";
    this.#output.log({ event, session, zone: shownName, record, answer: said, cached, server, reason });
  }

  #log(verdict: "early-talker" | "non-smtp" | "listed" | "pipelining"): void {
    const { score, matches } = this.#screen.dnsbl;
    const silentMs =
      this.#verdict !== undefined && "silentMs" in this.#verdict ? this.#verdict.silentMs : undefined;
    this.#output.log({
      event: "screening",
      session: this.#facts.session,
      client: this.#facts.address,
      verdict,
      enforced: !this.#settings.observe,
      score,
      zones: matches.map(({ shownName, answer, weight }) => `${shownName}=${answer}*${weight}`).join(" "),
      said:
        verdict === "early-talker" || verdict === "non-smtp"
          ? maskOctetsOfClient(this.#screen.said)
          : undefined,
      silentMs: silentMs === undefined ? undefined : Math.round(silentMs),
    });
  }
}
