/** From exec to the first 220, what RSS is then at rest, and how large the program is. */
import { statSync } from "node:fs";
import { allPeers } from "../peers/all.ts";
import { settledOctets } from "../processes.ts";
import { oneByOne, type Workload } from "./workload.ts";

export const start: Workload = {
  name: "start",
  title: "Start: from exec to 220, RSS at rest, the binary",
  figures: [
    { key: "ms", title: "ms", better: "less", inPlot: true },
    { key: "megabytes", title: "RSS, MB", better: "less", inPlot: true },
    { key: "binary", title: "binary, MB", better: "less", inPlot: false },
  ],
  relay: "smtp-sink",
  tls: "none",
  sessions: 20,
  // The time is told by peers that are one program.
  only: ["smtpproxy", "haproxy", "nginx-stream", "nginx-mail", "bun-tcp"],
  fresh: true,
  grows: false,
  round: oneByOne(async ({ name }, { startAnother }) => {
    const peer = await startAnother(name);
    try {
      const file = allPeers.find((known) => known.name === name)?.binary?.() ?? "";
      const resting = peer.session === undefined ? Number.NaN : await settledOctets(peer.session);
      return {
        ms: peer.greetedMs ?? Number.NaN,
        megabytes: resting / 1e6,
        binary: statSync(file).size / 1e6,
      };
    } finally {
      await peer.stop();
    }
  }),
};
