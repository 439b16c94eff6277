/** What loading the configuration finds: faults stop the start, warnings do not. One shape, one way to write it. */

/** `option` is a name as the operator knows it; `reason` is a clause that reads on after it. */
export interface Finding {
  readonly option: string;
  /** "flag", "environment", "file NAME:line", "default", or "not set". */
  readonly source: string;
  readonly reason: string;
}

/** One line, without a line end: `RELAY_TIMEOUT (environment): must be …`. */
export function describe(finding: Finding): string {
  return `${finding.option} (${finding.source}): ${finding.reason}`;
}
