/** The relay behind the peers: Postfix's smtp-sink, or the bench's own sink-process.ts. Both forget every mail. */
import { join } from "node:path";
import { commandPath } from "../../peers/support/suite.ts";
import { type Certificate, freePort, type Workplace } from "../../peers/support/workplace.ts";
import { startGreeting } from "../processes.ts";

export interface Relay {
  readonly port: number;
  stop(): Promise<void>;
}

/** And connections at once: smtp-sink lets all beyond 256 wait for their greeting unless told otherwise. */
const backlog = 4096;

export function smtpSink(place: Workplace): Promise<Relay> {
  const user = process.getuid?.() === 0 ? ["-u", "nobody"] : [];
  const sink = [commandPath("smtp-sink") ?? "smtp-sink", ...user, "-m", `${backlog}`];
  return relay(place, (port) => [...sink, `127.0.0.1:${port}`, `${backlog}`]);
}

export function ownSink(place: Workplace, certificate: Certificate): Promise<Relay> {
  const script = join(import.meta.dir, "sink-process.ts");
  return relay(place, (port) => [process.execPath, script, JSON.stringify({ port, ...certificate })]);
}

async function relay(place: Workplace, command: (port: number) => readonly string[]): Promise<Relay> {
  const port = await freePort();
  const logFile = `${place.folder}/relay.log`;
  const { program } = await startGreeting({ command: command(port), logFile }, port);
  return { port, stop: async () => void (await program.stop()) };
}
