/** RELAY_HOST that is ourselves: known at the start, or found at the first mail. */
import { describe, expect, test } from "bun:test";
import { BunNetwork } from "../../src/bun/network.ts";
import { findOwnRelays } from "../../src/commands/own-relay.ts";
import type { ListenTarget } from "../../src/shell/network.ts";
import { run } from "./support.ts";

const own = ["127.0.0.1", "::1", "192.0.2.7", "2001:db8::7", "fe80::1"];
const all: ListenTarget = { host: "", port: 25 };
const v4: ListenTarget = { host: "0.0.0.0", port: 25 };
const v6: ListenTarget = { host: "::", port: 25 };
const loopback: ListenTarget = { host: "127.0.0.1", port: 25 };
const unix: ListenTarget = { unix: "/run/smtp" };
const inherited: ListenTarget = { fd: 3, name: "smtp" };

const cases: readonly (readonly [string, number, readonly ListenTarget[], boolean])[] = [
  ["127.0.0.1", 25, [all], true],
  ["127.0.1.1", 25, [all], true],
  ["192.0.2.7", 25, [all], true],
  ["::1", 25, [all], true],
  ["2001:db8::7", 25, [v6], true],
  ["192.0.2.7", 25, [v4], true],
  ["127.0.0.1", 25, [unix, loopback], true],
  ["::ffff:127.0.0.1", 25, [loopback], true],
  ["::ffff:192.0.2.7", 25, [all], true],
  ["0.0.0.0", 25, [loopback], true],
  ["0.0.0.0", 25, [v4], true],
  ["::", 25, [all], true],
  ["2001:db8:0:0::7", 25, [{ host: "2001:DB8::7", port: 25 }], true],
  ["fe80::1%eth0", 25, [all], true],
  ["::", 25, [v4], false],
  ["127.0.0.1", 10025, [all], false],
  ["192.0.2.8", 25, [all], false],
  ["192.0.2.7", 25, [loopback], false],
  ["192.0.2.7", 25, [v6], false],
  ["::1", 25, [v4], false],
  ["127.0.0.1", 25, [unix, inherited], false],
];

function networkOf(names: Readonly<Record<string, readonly string[]>>): BunNetwork {
  const network = new BunNetwork(() => {});
  network.resolve = async (host) => ({ addresses: names[host] ?? [host] });
  return network;
}

test("serve does not start with a RELAY_HOST that is itself", async () => {
  using taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = taken;
  taken.stop();
  const environment = { RELAY_HOST: `localhost:${port}`, LISTEN_ADDRESS: `127.0.0.1:${port}, [::1]:${port}` };
  const { status, stderr } = await run(["serve"], { environment });
  expect(status).toBe(78);
  expect(stderr).toContain(`RELAY_HOST: localhost port ${port} is this program itself`);
  expect(stderr).not.toContain("listening");
});

test("check finds it too, though the service beside it answers", async () => {
  using service = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open: (socket) => void socket.write("220 proxy.test ESMTP\r\n"),
      data: (socket) => void socket.write("250 ok\r\n"),
    },
  });
  const address = `127.0.0.1:${service.port}`;
  const environment = { RELAY_HOST: address, LISTEN_ADDRESS: address, SERVER_NAME: "proxy.test" };
  const { status, stdout } = await run(["check"], { environment });
  expect(status).toBe(1);
  expect(stdout).toContain(`FAILED   RELAY_HOST: 127.0.0.1 port ${service.port} is this program itself`);
  expect(stdout).toMatch(/FAILED {3}mail cannot be relayed: RELAY_HOST\n$/);
});

describe("RELAY_HOST", () => {
  test.each(cases)("%s port %d, listening on %j: is ourselves: %p", async (host, port, targets, isOurs) => {
    const { faults, warnings } = await findOwnRelays(networkOf({}), [{ host, port }], targets, own);
    expect(faults.length).toBe(isOurs ? 1 : 0);
    expect(warnings).toEqual([]);
    if (isOurs) expect(faults[0]).toStartWith(`RELAY_HOST: ${host} port ${port} is this program itself`);
  });

  test("whose addresses are ours in part is a warning", async () => {
    const network = networkOf({ "mx.test": ["192.0.2.7", "192.0.2.8"] });
    const found = await findOwnRelays(network, [{ host: "mx.test", port: 25 }], [all], own);
    expect(found.faults).toEqual([]);
    expect(found.warnings).toEqual([
      "RELAY_HOST: mx.test port 25 is this program itself (192.0.2.7); its other addresses are not",
    ]);
  });

  test("that cannot be resolved is nothing", async () => {
    const network = new BunNetwork(() => {});
    network.resolve = async () => ({ failure: "ENOTFOUND" });
    const found = await findOwnRelays(network, [{ host: "mx.test", port: 25 }], [all], own);
    expect(found).toEqual({ faults: [], warnings: [] });
  });
});
