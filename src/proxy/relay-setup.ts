/**
 * How a relay session is set up: from the greeting through EHLO, STARTTLS and AUTH to the offer that mail may use.
 *
 * In: each reply to a step of the set-up, and that the TLS handshake is done. Out: one `SetupMove` for each.
 * Not here: sending, deadlines, and what is awaited (relay-session.ts); AUTH step by step (relay-auth.ts).
 * RFC 5321 §4.1.1.1, §3.1; RFC 3207; RFC 4954.
 */
import { assert, unreachable } from "../ops/assert.ts";
import { noOffer, parseEhloReply, type RelayOffer } from "../smtp/ehlo.ts";
import type { Reply } from "../smtp/replies.ts";
import type { Failure, SetupStep } from "./failures.ts";
import { type AuthMove, type AuthStep, continueAuth, startAuth } from "./relay-auth.ts";
import type { RelaySettings } from "./relay-messages.ts";

/** What a reply can belong to before the session is ready. */
export type SetupAwaited = SetupStep | "HELO" | AuthStep;

export type SetupMove =
  | { readonly move: "send"; readonly step: SetupAwaited; readonly line: string; readonly shown?: string }
  /** The greeting comes within TLS. */
  | { readonly move: "await-greeting" }
  | { readonly move: "handshake" }
  | { readonly move: "ready" }
  | { readonly move: "quit"; readonly failure: Failure };

export class RelaySetup {
  readonly #settings: RelaySettings;
  #offer: RelayOffer = noOffer;
  #secured = false;

  constructor(settings: RelaySettings) {
    this.#settings = settings;
  }

  /** What the relay offers, as far as it counts now. */
  get offer(): RelayOffer {
    return this.#offer;
  }

  opened(): SetupMove {
    return { move: this.#settings.tls === "implicit" ? "handshake" : "await-greeting" };
  }

  secured(): SetupMove {
    this.#secured = true;
    // RFC 3207 §4.2: what was offered before counts no more, not even for a relay that knows only HELO within.
    this.#offer = noOffer;
    return this.#settings.tls === "implicit" ? { move: "await-greeting" } : this.#ehlo();
  }

  answered(step: SetupAwaited, reply: Reply): SetupMove {
    switch (step) {
      case "greeting":
        return reply.code === 220 ? this.#ehlo() : refused(step, reply);
      case "EHLO":
        if (reply.code === 250) return this.#ehloAnswered(reply);
        if (reply.code < 500 || this.#needsExtensions()) return refused(step, reply);
        return { move: "send", step: "HELO", line: `HELO ${this.#settings.heloName}` };
      case "HELO":
        return reply.code === 250 ? { move: "ready" } : refused("EHLO", reply);
      case "STARTTLS":
        if (reply.code === 220) return { move: "handshake" };
        return this.#plainWillDo() ? { move: "ready" } : refused(step, reply);
      case "AUTH":
      case "AUTH user name":
      case "AUTH password":
        return this.#authAnswered(step, reply);
      default:
        return unreachable(step);
    }
  }

  #ehlo(): SetupMove {
    return { move: "send", step: "EHLO", line: `EHLO ${this.#settings.heloName}` };
  }

  #ehloAnswered(reply: Reply): SetupMove {
    const offer = parseEhloReply(reply);
    this.#offer = offer;
    const { tls, credentials } = this.#settings;
    if (!this.#secured && tls !== "off") {
      if (offer.starttls) return { move: "send", step: "STARTTLS", line: "STARTTLS" };
      return this.#plainWillDo() ? { move: "ready" } : { move: "quit", failure: { kind: "tls-not-offered" } };
    }
    if (credentials === undefined) return { move: "ready" };
    assert(this.#secured, "credentials travel over TLS only");
    const [mechanism] = offer.auth;
    if (mechanism === undefined) return { move: "quit", failure: { kind: "auth-not-offered" } };
    return authMove(startAuth(mechanism, credentials), reply);
  }

  #authAnswered(step: AuthStep, reply: Reply): SetupMove {
    const { credentials } = this.#settings;
    const [mechanism] = this.#offer.auth;
    assert(credentials !== undefined && mechanism !== undefined, "AUTH was begun with both");
    return authMove(continueAuth(mechanism, step, reply, credentials), reply);
  }

  #needsExtensions(): boolean {
    return this.#settings.credentials !== undefined || !["off", "opportunistic"].includes(this.#settings.tls);
  }

  #plainWillDo(): boolean {
    return this.#settings.tls === "opportunistic" && this.#settings.credentials === undefined;
  }
}

function refused(step: SetupStep, reply: Reply): SetupMove {
  return { move: "quit", failure: { kind: "refused-setup", step, reply } };
}

function authMove(move: AuthMove, reply: Reply): SetupMove {
  if (move.move === "done") return { move: "ready" };
  return move.move === "refused" ? refused("AUTH", reply) : move;
}
