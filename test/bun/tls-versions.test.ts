/** TLS 1.1 and older are spoken with nobody: neither a client nor a relay can talk us into them. */
import { afterAll, expect, test } from "bun:test";
import { readFileSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { connect as connectTls, createServer, type SecureVersion } from "node:tls";
import { loadServerTls } from "../../src/bun/tls.ts";
import type { ClientTls } from "../../src/shell/network.ts";
import { Authority, dialled, eventually, Recorder, world } from "./support.ts";

const authority = new Authority();
afterAll(() => rmSync(authority.folder, { recursive: true }));
const { cert, key } = authority.issue("versions", "DNS:versions.test");

/** A peer that speaks `newest` and all that is older. */
function speaking(newest: SecureVersion) {
  return { minVersion: "TLSv1", maxVersion: newest } as const;
}

const versions: readonly (readonly [SecureVersion, boolean])[] = [
  ["TLSv1", false],
  ["TLSv1.1", false],
  ["TLSv1.2", true],
  ["TLSv1.3", true],
];

test.each(versions)("a client that speaks no more than %s", async (newest, isServed) => {
  const loaded = loadServerTls(cert, key);
  if (!loaded.ok) throw new Error(loaded.fault);
  const { network, faults } = world();
  const arrivals: Recorder[] = [];
  const listener = network.listen({ host: "127.0.0.1", port: 0 }, (socket) => {
    const recorder = new Recorder(socket);
    arrivals.push(recorder);
    socket.secure(loaded.tls);
    return recorder;
  });
  const { port } = listener;
  const client = connectTls({ host: "127.0.0.1", port, rejectUnauthorized: false, ...speaking(newest) });
  client.on("error", () => {});
  const told = () => arrivals[0]?.facts !== undefined || arrivals[0]?.failure !== undefined;
  await eventually(told, "the handshake has its end");
  expect(arrivals[0]?.facts?.version).toBe(isServed ? newest : undefined);
  client.destroy();
  arrivals[0]?.socket.terminate();
  await eventually(() => arrivals[0]?.isClosed === true, "closed");
  listener.stop();
  expect(faults).toEqual([]);
});

test.each(versions)("a relay that speaks no more than %s", async (newest, isTaken) => {
  const context = { cert: readFileSync(cert), key: readFileSync(key), ...speaking(newest) };
  const relay = createServer(context, (socket) => socket.on("error", () => {}));
  relay.on("tlsClientError", () => {});
  const address = await new Promise<AddressInfo | string | null>((resolve) => {
    relay.listen(0, "127.0.0.1", () => resolve(relay.address()));
  });
  if (address === null || typeof address === "string") throw new Error("the relay does not listen");
  const { network, faults } = world();
  const ours = await dialled(network, { address: "127.0.0.1", port: address.port });
  const authorities = [readFileSync(authority.pem, "utf8")];
  const tls: ClientTls = { role: "client", serverName: "versions.test", verify: true, authorities };
  ours.socket.secure(tls);
  await eventually(() => ours.facts !== undefined || ours.failure !== undefined, "the handshake has its end");
  expect(ours.facts?.version).toBe(isTaken ? newest : undefined);
  ours.socket.terminate();
  await eventually(() => ours.isClosed, "closed");
  relay.close();
  expect(faults).toEqual([]);
});
