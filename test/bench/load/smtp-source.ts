/** Postfix's smtp-source as the load. It gives up at the first reply or connection that is not as it should be. */
import { commandPath } from "../../peers/support/suite.ts";

const timeoutMs = 180_000;

export interface SourceJob {
  readonly port: number;
  readonly sessions: number;
  readonly mails: number;
  readonly octets: number;
  /** The connection is kept for all mails of a session; else there is one for each. */
  readonly kept: boolean;
}

export const missingSource = (): string | undefined =>
  commandPath("smtp-source") === undefined ? "smtp-source is not installed (Debian's postfix)" : undefined;

/** How long it took, in seconds. Throws what it complains of. */
export async function smtpSource({ port, sessions, mails, octets, kept }: SourceJob): Promise<number> {
  const startedAt = performance.now();
  const source = Bun.spawn(
    [
      commandPath("smtp-source") ?? "smtp-source",
      ...(kept ? ["-d"] : []),
      ...["-s", `${sessions}`, "-m", `${mails}`, "-l", `${octets}`],
      ...["-f", "a@client.test", "-t", "b@relay.test", `127.0.0.1:${port}`],
    ],
    { stdin: "ignore", stdout: "ignore", stderr: "pipe", timeout: timeoutMs, killSignal: "SIGKILL" },
  );
  const complaint = await new Response(source.stderr).text();
  const status = await source.exited;
  if (status !== 0 || complaint !== "")
    throw new Error(
      source.signalCode === null
        ? complaint.trim() || `exit status ${status}`
        : `no end after ${timeoutMs} ms`,
    );
  return (performance.now() - startedAt) / 1000;
}
