/**
 * What a VALID_RECIPIENTS accepts or refuses against its author's intention. The pattern is searched in the address, so
 * one without an anchor also accepts what goes on behind the match, and one with a stray character accepts nothing.
 * In: a pattern that compiles. Out: a reason for each doubt, in no order that matters; none for a sound pattern.
 * Contract: never throws, and time grows with the pattern's length. It reads as much of RE2's syntax as tells where a
 * match must end; what it does not know counts as a piece that says nothing.
 * Not here: the syntax itself (config/kinds/values.ts compiles the pattern), and the addresses (mail/recipients.ts).
 * Rejected: trying some addresses that look alike. It finds the dangerous ones only where the pattern is guessed right.
 */
import { quote, type RecipientPattern } from "./kinds/values.ts";

/** A part of an alternative, as far as it tells where a match begins and ends. */
type Piece = (
  | { readonly kind: "end" }
  /** What a domain is written with; a dot is one of these, though it stands for any character unless escaped. */
  | { readonly kind: "domain-text"; readonly text: string }
  | { readonly kind: "group"; readonly alternatives: readonly Alternative[] }
  | { readonly kind: "other" }
) & { readonly isOptional: boolean };

type Alternative = readonly Piece[];

/** An address that nobody has a mailbox at (RFC 2606 §2), and no pattern for somebody's domain matches. */
const STRANGER = "q7z@stranger-2606.invalid";

export function doubts({ source, test }: RecipientPattern): readonly string[] {
  const trimmed = source.trim();
  const meant = withoutSlashes(trimmed);
  if (test(STRANGER)) return ["matches addresses of every domain: mail for everyone is relayed"];

  const found: string[] = [];
  if (trimmed !== source) {
    found.push(
      `begins or ends with a blank or a line end, which no address does; write ${quote(trimmed)} instead`,
    );
  }
  if (meant !== trimmed) {
    found.push(`has slashes around it, which would have to be in the address; write ${quote(meant)} instead`);
  }
  const alternatives = read(meant);
  if (!alternatives.every(isEnded)) {
    const ended = alternatives.length > 1 ? `(?:${meant})$` : `${meant}$`;
    found.push(
      "is not anchored at its end, so it also matches addresses that go on there, such as " +
        `me@example.com.elsewhere.test for me@example.com; write ${quote(ended)} instead`,
    );
  }
  if (alternatives.some(isBareDomain)) {
    found.push(
      "does not say where the domain begins, so it also matches domains that end alike, such as " +
        "not-example.com for example.com; write “@” before the domain",
    );
  }
  return found;
}

/** `/pattern/i` of other languages, as RE2 has it. */
function withoutSlashes(source: string): string {
  const [, inner, flags] = /^\/(.+)\/([a-z]*)$/s.exec(source) ?? [];
  if (inner === undefined) return source;
  return flags?.includes("i") ? `(?i)${inner}` : inner;
}

/** Whether whatever matches has to reach the end of the address. */
function isEnded(alternative: Alternative): boolean {
  return alternative.some((piece) => {
    if (piece.isOptional) return false;
    return piece.kind === "end" || (piece.kind === "group" && piece.alternatives.every(isEnded));
  });
}

/** Whether it is a domain and no more, such as `example\.com$`. One that begins with a dot is for subdomains. */
function isBareDomain(alternative: Alternative): boolean {
  const [first] = alternative;
  if (first === undefined || !alternative.every(isDomainOnly)) return false;
  if (first.kind === "group") return first.alternatives.some(isBareDomain);
  return first.kind === "domain-text" && /\w/.test(first.text);
}

function isDomainOnly(piece: Piece): boolean {
  if (piece.kind === "other") return piece.isOptional;
  return piece.kind !== "group" || piece.alternatives.some((alternative) => alternative.every(isDomainOnly));
}

const FLAGS = /\(\?[a-zA-Z-]+\)/y;
const LITERAL_TEXT = /\\Q(.*?)(?:\\E|$)/sy;
const CHARACTER_CLASS = /\[\^?\]?(?:\[:\^?\w+:\]|\\[pP]\{\^?\w+\}|\\.|[^\]\\])*\]/sy;
const ESCAPE = /\\(?:[pP]\{\^?\w+\}|x\{[\da-fA-F]+\}|x[\da-fA-F]{2}|[0-7]{2,3}|.)/sy;
const GROUP = /\((?:\?(?:P?<\w+>|[a-zA-Z-]*:))?/y;
const QUANTIFIER = /(?:[*+?]|\{\d+(?:,\d*)?\})\??/y;
const ANY_CHARACTER = /./suy;

function read(source: string): readonly Alternative[] {
  let at = 0;
  const take = (sticky: RegExp): RegExpExecArray | undefined => {
    sticky.lastIndex = at;
    const taken = sticky.exec(source) ?? undefined;
    at += taken?.[0].length ?? 0;
    return taken;
  };

  /** Up to the parenthesis that closes the group, or to the end. */
  const readAlternatives = (): readonly Alternative[] => {
    const alternatives: Alternative[] = [];
    do {
      const alternative: Piece[] = [];
      while (at < source.length && !"|)".includes(source.charAt(at))) alternative.push(...readPieces());
      alternatives.push(alternative);
    } while (take(/\|/y) !== undefined);
    return alternatives;
  };

  /** Several for a literal text, none for flags, one otherwise. */
  const readPieces = (): readonly Piece[] => {
    if (take(FLAGS) !== undefined) return [];
    const literal = take(LITERAL_TEXT);
    if (literal !== undefined) return Array.from(literal[1] ?? "", (text) => character(text, false));
    const piece = readPiece();
    const quantifier = take(QUANTIFIER)?.[0];
    if (quantifier === undefined) return [piece];
    // A repeated dot may stand for the "@" and all before it.
    const repeated: Piece = piece.kind === "domain-text" ? { kind: "other", isOptional: false } : piece;
    return [{ ...repeated, isOptional: /^(?:[*?]|\{0)/.test(quantifier) }];
  };

  const readPiece = (): Piece => {
    const isOptional = false;
    if (take(/\$|\\z/y) !== undefined) return { kind: "end", isOptional };
    if (take(CHARACTER_CLASS) !== undefined) return { kind: "other", isOptional };
    if (take(GROUP) !== undefined) {
      const alternatives = readAlternatives();
      take(/\)/y);
      return { kind: "group", alternatives, isOptional };
    }
    const escaped = take(ESCAPE)?.[0];
    return character(escaped?.slice(1) ?? take(ANY_CHARACTER)?.[0] ?? "", escaped !== undefined);
  };

  return readAlternatives();
}

/** An escaped letter or digit is a class, an assertion or a code. */
function character(text: string, isEscaped: boolean): Piece {
  const isDomainText = (isEscaped ? /^[.-]$/ : /^[\w.-]$/).test(text);
  return isDomainText
    ? { kind: "domain-text", text, isOptional: false }
    : { kind: "other", isOptional: false };
}
