/** Nothing in between: what load and relay can do at most. */
import type { Peer } from "./peer.ts";

export const direct: Peer = {
  name: "direct",
  missing: () => undefined,
  speaks: ["none"],
  binary: undefined,
  start: async ({ relayPort }) => ({
    name: "direct",
    port: relayPort,
    session: undefined,
    stop: async () => {},
  }),
};
