/** The program itself, compiled: dist/smtpproxy, or what SMTPPROXY_BINARY names. Its log goes to a file. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Workplace } from "../../peers/support/workplace.ts";
import type { Peer, PeerSettings } from "./peer.ts";
import { programPeer } from "./program-peer.ts";

const { SMTPPROXY_BINARY: binary = join(import.meta.dir, "../../../dist/smtpproxy") } = process.env;

export const smtpproxy = smtpproxyBy("smtpproxy", (place) => [place.binary()]);

/** The program as `command` runs it: another binary, or its source. */
export function smtpproxyBy(name: string, command: (place: Workplace) => readonly string[]): Peer {
  return programPeer({
    name,
    missing: () => (existsSync(binary) ? undefined : `${binary} is missing: npm run build`),
    speaks: ["none", "in", "out", "both"],
    binary: () => binary,
    invoke: (settings, port) => ({
      command: [...command(settings.place), "serve"],
      environment: environmentOf(settings, port),
    }),
  });
}

function environmentOf(settings: PeerSettings, port: number): Record<string, string> {
  const { relayPort, tls, certificate, sessions } = settings;
  const server = { SERVER_CERT: certificate.cert, SERVER_KEY: certificate.key };
  return {
    LISTEN_ADDRESS: `127.0.0.1:${port}`,
    SERVER_NAME: "proxy.test",
    RELAY_HOST: `127.0.0.1:${relayPort}`,
    RELAY_TLS: tls === "out" || tls === "both" ? "required" : "off",
    GREETING_DELAY: "0",
    // Held sessions are silent, and some more come and go beside them.
    COMMAND_TIMEOUT: "1h",
    DATA_TIMEOUT: "1h",
    MIN_DATA_RATE: "0",
    // A client that comes anew at once may be there before it is gone.
    MAX_CONNECTIONS: `${2 * sessions + 100}`,
    RELAY_MAX_CONNECTIONS: `${sessions + 100}`,
    ...(tls === "in" || tls === "both" ? server : {}),
  };
}
