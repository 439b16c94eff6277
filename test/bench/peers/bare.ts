/** The least that a relay in Bun can be: bare-process.ts, octets in and out, and STARTTLS where it is asked for. */
import { join } from "node:path";
import type { Peer, Tls } from "./peer.ts";
import { programPeer } from "./program-peer.ts";

function bare(name: string, speaks: readonly Tls[]): Peer {
  return programPeer({
    name,
    missing: () => undefined,
    speaks,
    binary: () => process.execPath,
    invoke: ({ relayPort, tls, certificate }, port) => ({
      command: [
        process.execPath,
        join(import.meta.dir, "bare-process.ts"),
        JSON.stringify({ port, relayPort, tls, ...certificate }),
      ],
    }),
  });
}

export const bareTcp = bare("bun-tcp", ["none"]);
export const bareTls = bare("bun-tls", ["in", "out", "both"]);
