/**
 * What to play again: seeds and scenarios that once failed, and the limits that nobody can mend, each with a scenario
 * that shows it. A known limit is an invariant of a narrow name, whose violation is counted while the world goes on;
 * `--strict` makes it a violation.
 */
export interface KeptSeed {
  readonly seed: number;
  readonly found: string;
}

/** `file`: in scenarios/. */
export interface KnownLimit {
  readonly file: string;
  readonly invariant: string;
  readonly found: string;
}

export const knownLimits: readonly KnownLimit[] = [
  {
    file: "early-250-read-late.json",
    invariant: "250 that a relay said before the dot is taken for its answer",
    found:
      "a relay says 250 before the dot, and all of the dot is acknowledged when that is read: the kernel tells no more",
  },
];

export const knownInvariants: ReadonlySet<string> = new Set(knownLimits.map(({ invariant }) => invariant));

/** Of defects that are mended; files in scenarios/. */
export const keptScenarios: readonly { readonly file: string; readonly found: string }[] = [
  {
    file: "reply-behind-421.json",
    found: "a RCPT without a relay connection during a shutdown hears 421, and the session goes on",
  },
  {
    file: "unknown-behind-early-250.json",
    found:
      "a relay says 250 within mail data while the dot is on its way: it has the message, the log says deferred",
  },
  {
    file: "early-250-with-acknowledgement.json",
    found:
      "a 250 from before the dot is read together with what acknowledges the dot, and 552 behind it: a mail is lost",
  },
  {
    file: "fin-behind-congestion.json",
    found: "a client that reads slowly and has sent FIN is closed with commands unanswered",
  },
  {
    file: "bare-lf-behind-blocked-relay.json",
    found: "a chunk's memory is given back behind its first bare LF while what follows waits for the relay",
  },
];

export const keptSeeds: readonly KeptSeed[] = [];
