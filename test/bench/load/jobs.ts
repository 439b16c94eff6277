/** What generator-process.ts is told to do, and what it answers: one line of JSON each. */

/** Mails over so many sessions at once. */
export interface MailsJob {
  readonly kind: "mails";
  readonly port: number;
  readonly sessions: number;
  readonly mails: number;
  readonly octets: number;
  readonly recipients: number;
  /** The connection is kept for all mails of a session; else there is one for each. */
  readonly kept: boolean;
  readonly tls: boolean;
  /** Each mail's dot goes out together with the next mail's MAIL, RCPT and DATA, as far as RFC 2920 allows. */
  readonly pipelined: boolean;
}

/** One mail after the other, each over a connection of its own, through all ports in turn. */
export interface LatencyJob {
  readonly kind: "latency";
  readonly ports: readonly number[];
  /** For each port. */
  readonly mails: number;
  readonly tls: boolean;
}

/** So many sessions more that stay: after EHLO, or in the middle of mail data. */
export interface HoldJob {
  readonly kind: "hold";
  readonly port: number;
  readonly sessions: number;
  readonly state: "ehlo" | "data";
  readonly tls: boolean;
}

/** All held sessions end. */
export interface ReleaseJob {
  readonly kind: "release";
}

export type Job = MailsJob | LatencyJob | HoldJob | ReleaseJob;

export interface Answer {
  /** From the first connection to the last reply. */
  readonly seconds: number;
  /** What went wrong, at first; undefined: nothing. */
  readonly failure?: string;
  /** For each port: from connect(2) to the reply to the dot. */
  readonly latenciesMs: readonly (readonly number[])[];
}
