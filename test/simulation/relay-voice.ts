/** How a relay speaks: one reply after the other, each so late, whole or in pieces. Not here: what it says. */
import type { Clock } from "./clock.ts";
import type { RelayWord } from "./relay-ledger.ts";

/** What is to be said. */
export interface Utterance {
  readonly octets: string;
  readonly delayMs: number;
  readonly word?: RelayWord;
  /** Once it is out. */
  readonly done?: () => void;
}

export interface VoiceHost {
  says(octets: Buffer, word: RelayWord | undefined): void;
  /** All of it is out. */
  said(word: RelayWord): void;
}

export class RelayVoice {
  readonly #clock: Clock;
  readonly #pieces: { readonly octets: number; readonly pauseMs: number } | undefined;
  readonly #host: VoiceHost;
  readonly #outbox: Utterance[] = [];
  #isSpeaking = false;
  #isSilenced = false;

  constructor(
    clock: Clock,
    pieces: { readonly octets: number; readonly pauseMs: number } | undefined,
    host: VoiceHost,
  ) {
    this.#clock = clock;
    this.#pieces = pieces;
    this.#host = host;
  }

  /** Nothing more is said. */
  silence(): void {
    this.#isSilenced = true;
  }

  utter(utterance: Utterance): void {
    this.#outbox.push(utterance);
    if (!this.#isSpeaking) this.#speak();
  }

  #speak(): void {
    const next = this.#outbox.shift();
    if (next === undefined || this.#isSilenced) return;
    this.#isSpeaking = true;
    this.#clock.timer(next.delayMs, () => this.#pronounce(next, next.octets));
  }

  #pronounce(utterance: Utterance, octets: string): void {
    if (this.#isSilenced) return;
    const piece = this.#pieces === undefined ? octets : octets.slice(0, this.#pieces.octets);
    if (piece !== "") this.#host.says(Buffer.from(piece, "latin1"), utterance.word);
    if (piece.length < octets.length) {
      const rest = octets.slice(piece.length);
      this.#clock.timer(this.#pieces?.pauseMs ?? 0, () => this.#pronounce(utterance, rest));
      return;
    }
    this.#isSpeaking = false;
    if (utterance.word !== undefined) this.#host.said(utterance.word);
    utterance.done?.();
    if (!this.#isSpeaking) this.#speak();
  }
}

export function wire({ code, lines }: RelayWord): string {
  return lines.map((line, index) => `${code}${index === lines.length - 1 ? " " : "-"}${line}\r\n`).join("");
}
