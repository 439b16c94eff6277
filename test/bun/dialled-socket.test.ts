/**
 * What is peculiar to a socket that was dialled: once it is open it gets the handlers that all share, and must be none
 * the worse for that. The peer is node:net's, so that nothing of ours is at its end.
 * Not here: what sockets of either end do, plain and under TLS (conformance.ts), dials that fail (network.test.ts).
 */
import { afterAll, describe, expect, test } from "bun:test";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket as Peer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DialHandler, DialTarget, Network } from "../../src/shell/network.ts";
import { dialled, eventually, patternOctets, Recorder, sha256, turns, world } from "./support.ts";

const folder = mkdtempSync(join(tmpdir(), "smtpproxy-net-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Listens without our help. `arrived` is called within the accept. */
async function host(family: "TCP" | "unix", arrived: (peer: Peer) => void) {
  const server = createServer({ allowHalfOpen: true }, (peer) => {
    peer.on("error", () => {});
    arrived(peer);
  });
  const path = join(folder, `${crypto.randomUUID()}.sock`);
  server.listen(family === "unix" ? { path } : { host: "127.0.0.1", port: 0 });
  await once(server, "listening");
  const bound = server.address();
  if (bound === null) throw new Error("it listens nowhere");
  const target: DialTarget =
    typeof bound === "string" ? { unix: bound } : { address: "127.0.0.1", port: bound.port };
  return { target, stop: () => server.close() };
}

/** Dials `target`. Nobody but the dial itself keeps the handler. */
function dialForgotten(network: Network, target: DialTarget, opened: Recorder[]): WeakRef<DialHandler> {
  const handler: DialHandler = {
    opened(socket) {
      const recorder = new Recorder(socket);
      opened.push(recorder);
      return recorder;
    },
    failed: (reason) => expect.unreachable(reason),
  };
  network.dial(target, 5_000, handler);
  return new WeakRef(handler);
}

describe("a dialled socket", () => {
  test("does not keep whoever dialled it", async () => {
    const peers: Peer[] = [];
    const { target, stop } = await host("TCP", (peer) => peers.push(peer));
    const { network } = world();
    const opened: Recorder[] = [];
    const handlers = Array.from({ length: 64 }, () => dialForgotten(network, target, opened));
    await eventually(() => opened.length === 64 && peers.length === 64, "all are open");
    const kept = (): number => {
      Bun.gc(true);
      return handlers.filter((handler) => handler.deref() !== undefined).length;
    };
    // The collector takes for a reference what only looks like one: a few may stay.
    await eventually(() => kept() <= 8, "the handlers are collected");

    for (const peer of peers) peer.write("still here");
    await eventually(() => opened.every(({ text }) => text === "still here"), "the sockets live");
    for (const { socket } of opened) socket.terminate();
    stop();
  });

  for (const family of ["TCP", "unix"] as const) {
    test(`${family}: writes on behind the peer's FIN`, async () => {
      const chunks: Buffer[] = [];
      let ended = false;
      const { target, stop } = await host(family, (peer) => {
        peer
          .on("data", (octets: Buffer) => chunks.push(octets))
          .on("end", () => {
            ended = true;
          });
        peer.end("QUIT\r\n");
      });
      const { network, faults } = world();
      const client = await dialled(network, target);
      await eventually(() => client.events.includes("ended"), "the peer's FIN");
      await turns();
      const big = patternOctets(8 << 20);
      client.socket.write(big);
      client.socket.flush();
      await eventually(() => chunks.reduce((sum, { length }) => sum + length, 0) === big.length, "all of it");
      expect(sha256(Buffer.concat(chunks))).toBe(sha256(big));
      expect([ended, client.isClosed]).toEqual([false, false]);
      client.socket.close();
      await eventually(() => ended && client.isClosed, "both ends are over");
      expect(client.events.filter((event) => event !== "drained")).toEqual([
        "octets",
        "ended",
        "closed closed",
      ]);
      expect([client.text, faults]).toEqual(["QUIT\r\n", []]);
      stop();
    });

    test(`${family}: reads on behind its own FIN, to the peer's`, async () => {
      const peers: Peer[] = [];
      const ends: string[] = [];
      const { target, stop } = await host(family, (peer) => {
        peer.on("end", () => ends.push("end")).on("error", ({ message }) => ends.push(message));
        peer.resume();
        peers.push(peer);
      });
      const { network, faults } = world();
      const client = await dialled(network, target);
      client.say("QUIT\r\n");
      client.socket.close();
      await eventually(() => ends.length > 0, "our FIN");
      const [peer] = peers;
      if (peer === undefined) throw new Error("nobody arrived");
      // More than the kernel keeps for a reader that does not read.
      let written = false;
      peer.write(patternOctets(16 << 20), () => {
        written = true;
      });
      await eventually(() => written, "all is taken");
      await turns();
      expect(client.isClosed).toBe(false);
      peer.end();
      await eventually(() => client.isClosed, "the peer's FIN");
      expect([client.events, ends, faults]).toEqual([["closed closed"], ["end"], []]);
      stop();
    });
  }

  test("hears what comes at once when it opens, whole and once", async () => {
    const { target, stop } = await host("TCP", (peer) => {
      peer.setNoDelay(true);
      peer.write("220-relay.test\r\n");
      peer.write("220 ESMTP\r\n");
    });
    const { network } = world();
    const clients = await Promise.all(Array.from({ length: 100 }, () => dialled(network, target)));
    const greeting = "220-relay.test\r\n220 ESMTP\r\n";
    await eventually(() => clients.every(({ text }) => text.length >= greeting.length), "all are greeted");
    await turns();
    expect(clients.map(({ text }) => text)).toEqual(clients.map(() => greeting));
    for (const { socket } of clients) socket.terminate();
    stop();
  });
});
