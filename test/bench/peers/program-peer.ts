/** A peer that is one program with a configuration, started in the foreground. */
import { freePort } from "../../peers/support/workplace.ts";
import { startGreeting } from "../processes.ts";
import type { Peer, PeerSettings } from "./peer.ts";

export interface Invocation {
  readonly command: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** What else is to be stopped. */
  readonly stop?: () => Promise<void>;
}

export interface ProgramPeer extends Omit<Peer, "start"> {
  /** `folder` is its own, and empty. */
  readonly invoke: (settings: PeerSettings, port: number, folder: string) => Invocation;
}

export function programPeer({ invoke, ...peer }: ProgramPeer): Peer {
  return {
    ...peer,
    async start(settings) {
      const port = await freePort();
      const folder = settings.place.subfolder(peer.name);
      const { stop, ...invocation } = invoke(settings, port, folder);
      const { program, greetedMs } = await startGreeting({ ...invocation, logFile: `${folder}/log` }, port);
      return {
        name: peer.name,
        port,
        session: program.pid,
        greetedMs,
        stop: async () => {
          await program.stop();
          await stop?.();
        },
      };
    },
  };
}
