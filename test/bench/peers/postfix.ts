/**
 * A private Postfix with smtpd_proxy_filter: its smtpd hands mail on within the session. It has a process for every
 * session, at most 100 by default; the others wait.
 */
import { needsPostfix, Postfix } from "../../peers/support/postfix.ts";
import { commandPath } from "../../peers/support/suite.ts";
import type { Peer } from "./peer.ts";

export const postfix: Peer = {
  name: "postfix",
  missing: () => needsPostfix.flatMap(({ missing }) => missing ?? [])[0],
  speaks: ["none", "in"],
  binary: () => commandPath("postfix") ?? "",
  async start({ place, relayPort, tls, certificate }) {
    const server = await Postfix.start(place, {
      name: "postfix.test",
      nextPort: relayPort,
      main: { smtpd_proxy_filter: `127.0.0.1:${relayPort}`, smtpd_timeout: "1h" },
      ...(tls === "in" ? { certificate } : {}),
    });
    return { name: "postfix", port: server.port, session: server.pid, stop: () => server.stop() };
  },
};
