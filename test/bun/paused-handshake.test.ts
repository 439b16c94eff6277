/**
 * A pause that comes within a handshake waits for its end, at either end of the connection: Bun makes no handshake on a
 * socket that is paused. One that was paused before: socket.test.ts.
 */
import { afterAll, expect, test } from "bun:test";
import { readFileSync, rmSync } from "node:fs";
import { loadServerTls } from "../../src/bun/tls.ts";
import type { ClientTls } from "../../src/shell/network.ts";
import { Authority, connect, eventually, turns, world } from "./support.ts";

const authority = new Authority();
afterAll(() => rmSync(authority.folder, { recursive: true }));
const { cert, key } = authority.issue("pausing", "DNS:pausing.test");
const authorities = [readFileSync(authority.pem, "utf8")];
const clientTls: ClientTls = { role: "client", serverName: "pausing.test", verify: true, authorities };

test.each(["server", "client"] as const)("of the %s", async (who) => {
  const loaded = loadServerTls(cert, key);
  if (!loaded.ok) throw new Error(loaded.fault);
  const pair = await connect(world().network);
  const other = who === "server" ? pair.client : pair.server;
  pair.server.socket.secure(loaded.tls);
  if (who === "server") pair.server.socket.pause();
  pair.client.socket.secure(clientTls);
  if (who === "client") pair.client.socket.pause();
  await eventually(
    () => pair.server.facts !== undefined && pair.client.facts !== undefined,
    "secured",
    3_000,
  );
  other.say("x".repeat(2_000_000));
  await turns(50);
  expect(pair[who].octetsReceived).toBeLessThan(2_000_000);
  pair[who].socket.resume();
  await eventually(() => pair[who].octetsReceived === 2_000_000, "all arrives");
  pair.client.socket.terminate();
  pair.server.socket.terminate();
});
