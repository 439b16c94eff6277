/** HAProxy in TCP mode, one thread, otherwise as it comes. It copies octets and knows nothing of SMTP. */
import { writeFileSync } from "node:fs";
import { command, commandPath } from "../../peers/support/suite.ts";
import { programPeer } from "./program-peer.ts";

export const haproxy = programPeer({
  name: "haproxy",
  missing: () => command("haproxy").missing,
  speaks: ["none"],
  binary: () => commandPath("haproxy") ?? "",
  invoke: ({ relayPort, sessions }, port, folder) => {
    const file = `${folder}/haproxy.cfg`;
    writeFileSync(
      file,
      `global
  nbthread 1
  maxconn ${sessions + 100}
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen smtp
  maxconn ${sessions + 100}
  bind 127.0.0.1:${port}
  server relay 127.0.0.1:${relayPort}
`,
    );
    return { command: [commandPath("haproxy") ?? "haproxy", "-db", "-f", file] };
  },
});
