/**
 * How a relay session is set up: from the greeting through EHLO, STARTTLS and AUTH to the offer that mail may use.
 *
 * In: each reply to a step of the set-up, and that the TLS handshake is done. Out: one `SetupMove` for each.
 * Not here: sending, deadlines, and what is awaited (session.ts); AUTH step by step (auth.ts).
 * RFC 5321 §4.1.1.1, §3.1; RFC 3207; RFC 4954.
 */

import { assert } from "../lib/assert.ts";
import { afterWait } from "../lib/errors.ts";
import { plaintextWillDo, type TlsMode, tlsModes } from "../lib/tls-modes.ts";
import { type AuthMechanism, noOffer, parseEhloReply, type RelayOffer } from "../smtp/ehlo.ts";
import { describeReply, type Reply } from "../smtp/replies.ts";
import { type AuthMove, type AuthStep, type Credentials, continueAuth, startAuth } from "./auth.ts";
import { describeFailure, type Failure, type SetupStep } from "./failures.ts";
import type { Plaintext, RelaySettings } from "./messages.ts";
import type { TlsStage } from "./tls-trouble.ts";

/** What a reply can belong to before the session is ready. */
export type SetupAwaited = SetupStep | "HELO" | AuthStep;

export type SetupMove =
  | { readonly move: "send"; readonly step: SetupAwaited; readonly line: string; readonly shown?: string }
  /** The greeting comes within TLS. */
  | { readonly move: "await-greeting" }
  | { readonly move: "handshake" }
  | { readonly move: "ready"; readonly plaintext?: Plaintext }
  | { readonly move: "quit"; readonly failure: Failure };

export class RelaySetup {
  readonly #settings: RelaySettings;
  #offer: RelayOffer = noOffer;
  #secured = false;
  /** Offered, and not yet found missing; the first is tried, or being tried. */
  #mechanisms: readonly AuthMechanism[] = [];
  /** From STARTTLS to the first reply within TLS, which shows that TLS works both ways. */
  #tlsStage: TlsStage | undefined;

  constructor(settings: RelaySettings) {
    this.#settings = settings;
  }

  get #mode(): TlsMode {
    return tlsModes[this.#settings.tls];
  }

  /** What the relay offers, as far as it counts now. */
  get offer(): RelayOffer {
    return this.#offer;
  }

  opened(): SetupMove {
    return this.#mode.isFromStart ? this.#handshake() : { move: "await-greeting" };
  }

  secured(): SetupMove {
    this.#secured = true;
    this.#tlsStage = "within";
    // RFC 3207 §4.2: what was offered before counts no more, not even for a relay that knows only HELO within.
    this.#offer = noOffer;
    return this.#mode.isFromStart ? { move: "await-greeting" } : this.#ehlo();
  }

  /** How the loss of the connection is to be understood: TLS that breaks is TLS that breaks, whatever breaks it. */
  explain(failure: Failure): Failure {
    const stage = this.#tlsStage;
    switch (failure.kind) {
      case "lost":
        return stage === undefined ? failure : { kind: "tls", stage, detail: failure.detail };
      case "timeout":
        return stage === undefined
          ? failure
          : {
              kind: "tls",
              stage,
              detail: `timeout${afterWait(failure.waitedMs)}, awaited ${failure.awaited}`,
            };
      case "garbled":
        // Octets between the 220 and the handshake are somebody else's (CVE-2011-0411): no TLS of the relay's broke.
        return stage === "STARTTLS" ? { kind: "tls", stage, detail: failure.detail } : failure;
      default:
        return failure;
    }
  }

  answered(step: SetupAwaited, reply: Reply): SetupMove {
    this.#tlsStage = undefined;
    switch (step) {
      case "greeting":
        return reply.code === 220 ? this.#ehlo() : refused(step, reply);
      case "EHLO":
        if (reply.code === 250) return this.#ehloAnswered(reply);
        if (reply.code < 500 || this.#needsExtensions()) return refused(step, reply);
        return { move: "send", step: "HELO", line: `HELO ${this.#settings.heloName}` };
      case "HELO":
        return reply.code === 250 ? this.#ready("the relay does not know EHLO") : refused("EHLO", reply);
      case "STARTTLS":
        return this.#starttlsAnswered(reply);
      default:
        step satisfies AuthStep;
        return this.#authAnswered(step, reply);
    }
  }

  #starttlsAnswered(reply: Reply): SetupMove {
    if (reply.code === 220) return this.#handshake();
    if (!this.#plainWillDo()) return refused("STARTTLS", reply);
    const failure: Failure = { kind: "tls", stage: "STARTTLS", detail: describeReply(reply) };
    // RFC 5321 §3.8: behind 421 the connection is closed.
    if (reply.code === 421) return { move: "quit", failure };
    return { move: "ready", plaintext: { reason: describeFailure(failure), broke: true } };
  }

  #handshake(): SetupMove {
    this.#tlsStage = this.#mode.isFromStart ? "implicit" : "handshake";
    return { move: "handshake" };
  }

  #ready(whyPlaintext: string): SetupMove {
    const wished = this.#mode.isWanted && !this.#secured;
    return wished ? { move: "ready", plaintext: { reason: whyPlaintext, broke: false } } : { move: "ready" };
  }

  #ehlo(): SetupMove {
    return { move: "send", step: "EHLO", line: `EHLO ${this.#settings.heloName}` };
  }

  #ehloAnswered(reply: Reply): SetupMove {
    if (reply.lines[0]?.includes(this.#settings.loopMark)) return { move: "quit", failure: { kind: "loop" } };
    const offer = parseEhloReply(reply);
    this.#offer = offer;
    const { credentials } = this.#settings;
    if (!this.#secured && this.#mode.isWanted) {
      if (!offer.starttls) {
        if (this.#plainWillDo()) return this.#ready("the relay does not offer STARTTLS");
        return { move: "quit", failure: { kind: "tls-not-offered" } };
      }
      this.#tlsStage = "STARTTLS";
      return { move: "send", step: "STARTTLS", line: "STARTTLS" };
    }
    if (credentials === undefined) return { move: "ready" };
    assert(this.#secured, "credentials travel over TLS only");
    this.#mechanisms = offer.auth;
    const [mechanism] = offer.auth;
    if (mechanism === undefined) return { move: "quit", failure: { kind: "auth-not-offered" } };
    return this.#authMove(startAuth(mechanism, credentials), reply, credentials);
  }

  #authAnswered(step: AuthStep, reply: Reply): SetupMove {
    const { credentials } = this.#settings;
    const [mechanism] = this.#mechanisms;
    assert(credentials !== undefined && mechanism !== undefined, "AUTH was begun with both");
    return this.#authMove(continueAuth(mechanism, step, reply, credentials), reply, credentials);
  }

  #authMove(move: AuthMove, reply: Reply, credentials: Credentials): SetupMove {
    switch (move.move) {
      case "done":
        return { move: "ready" };
      case "refused":
        return refused("AUTH", reply);
      case "not-available": {
        const [, ...others] = this.#mechanisms;
        this.#mechanisms = others;
        const [next] = others;
        if (next === undefined) return refused("AUTH", reply);
        return this.#authMove(startAuth(next, credentials), reply, credentials);
      }
      default:
        return move;
    }
  }

  #needsExtensions(): boolean {
    return this.#settings.credentials !== undefined || this.#mode.isRequired;
  }

  #plainWillDo(): boolean {
    return plaintextWillDo(this.#settings.tls, this.#settings.credentials !== undefined);
  }
}

function refused(step: SetupStep, reply: Reply): SetupMove {
  return { move: "quit", failure: { kind: "refused-setup", step, reply } };
}
