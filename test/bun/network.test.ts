/** Dialling, listening, names and timers: each trap of Bun.connect and Bun.listen that the adapter is for. */

import { dlopen, ptr } from "bun:ffi";
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { abandonedDialsMax } from "../../src/bun/network.ts";
import type { DialTarget, Socket } from "../../src/shell/network.ts";
import { at, connect, descriptors, dialled, eventually, Recorder, turns, world } from "./support.ts";

const folder = mkdtempSync(join(tmpdir(), "smtpproxy-net-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** What became of a dial. */
function dialOutcome(target: DialTarget, timeoutMs = 5_000, { network } = world()) {
  const outcome: { opened: Recorder[]; failed: string[] } = { opened: [], failed: [] };
  const dial = network.dial(target, timeoutMs, {
    opened(socket) {
      const recorder = new Recorder(socket);
      outcome.opened.push(recorder);
      return recorder;
    },
    failed: (reason) => outcome.failed.push(reason),
  });
  return { dial, outcome, network };
}

/** A port that completes no more connections: its backlog is full and nobody accepts. */
async function deafPort() {
  const { symbols: c } = dlopen("libc.so.6", {
    socket: { args: ["i32", "i32", "i32"], returns: "i32" },
    bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
    listen: { args: ["i32", "i32"], returns: "i32" },
    getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
    close: { args: ["i32"], returns: "i32" },
  });
  const address = Buffer.from([2, 0, 0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
  const fd = c.socket(2, 1, 0);
  expect(c.bind(fd, ptr(address), 16)).toBe(0);
  expect(c.listen(fd, 0)).toBe(0);
  expect(c.getsockname(fd, ptr(address), ptr(new Uint32Array([16])))).toBe(0);
  const port = address.readUInt16BE(2);
  const filler = await dialled(world().network, { address: "127.0.0.1", port });
  const stop = () => {
    filler.socket.terminate();
    c.close(fd);
  };
  return { port, stop };
}

describe("dial", () => {
  test("refused: failed once, and not from within the call", async () => {
    const { network } = world();
    const listener = network.listen({ host: "127.0.0.1", port: 0 }, (socket) => new Recorder(socket));
    listener.stop();
    const { outcome } = dialOutcome(at(listener));
    expect(outcome.failed).toEqual([]);
    await eventually(() => outcome.failed.length > 0, "failed");
    await turns();
    expect(outcome).toEqual({
      opened: [],
      failed: ["nothing listens there, a firewall refuses, or no route leads there (ECONNREFUSED)"],
    });
  });

  test("a deaf host: our own timeout", async () => {
    const deaf = await deafPort();
    const { outcome, network } = dialOutcome({ address: "127.0.0.1", port: deaf.port }, 200);
    await eventually(() => outcome.failed.length > 0, "timeout");
    expect(outcome).toEqual({ opened: [], failed: ["no answer within 0.2s"] });
    expect(network.abandonedDials).toBe(1);
    deaf.stop();
    await eventually(() => network.abandonedDials === 0, "the kernel's answer ends the abandoned dial");
    expect(outcome).toEqual({ opened: [], failed: ["no answer within 0.2s"] });
  });

  test("a deaf host leaves a bounded number of descriptors, and stands in nobody's way", async () => {
    const deaf = await deafPort();
    const target: DialTarget = { address: "127.0.0.1", port: deaf.port };
    const { network } = world();
    for (let round = 0; round < abandonedDialsMax + 20; round += 1) {
      dialOutcome(target, 5_000, { network, faults: [] }).dial.cancel();
    }
    expect(network.abandonedDials).toBe(abandonedDialsMax);
    const { outcome } = dialOutcome(target, 5_000, { network, faults: [] });
    await eventually(() => outcome.failed.length > 0, "failed at once");
    expect(outcome.failed).toEqual([`no answer to the last ${abandonedDialsMax} dials`]);
    const listener = network.listen({ host: "127.0.0.1", port: 0 }, (socket) => new Recorder(socket));
    const other = dialOutcome(at(listener), 5_000, { network, faults: [] }).outcome;
    await eventually(() => other.opened.length === 1, "another host is dialled");
    other.opened[0]?.socket.terminate();
    listener.stop();
    deaf.stop();
    await eventually(() => network.abandonedDials === 0, "the kernel's answers end them");
  });

  test("cancelled: silence, and a late open is terminated", async () => {
    const { network } = world();
    const arrivals: Recorder[] = [];
    const listener = network.listen({ host: "127.0.0.1", port: 0 }, (socket) => {
      const recorder = new Recorder(socket);
      arrivals.push(recorder);
      return recorder;
    });
    const before = descriptors();
    for (let round = 0; round < 50; round += 1) {
      const { dial, outcome } = dialOutcome(at(listener), 5_000, world());
      dial.cancel();
      dial.cancel();
      await turns(2);
      expect(outcome).toEqual({ opened: [], failed: [] });
    }
    await eventually(() => arrivals.every((arrival) => arrival.isClosed), "all arrivals are closed");
    await eventually(() => descriptors() <= before, "descriptors are free");
    listener.stop();
  });

  test("cancel after it opened or failed changes nothing", async () => {
    const { network } = world();
    const listener = network.listen({ host: "127.0.0.1", port: 0 }, (socket) => new Recorder(socket));
    const { dial, outcome } = dialOutcome(at(listener), 5_000, { network, faults: [] });
    await eventually(() => outcome.opened.length === 1, "opened");
    dial.cancel();
    await turns();
    expect(outcome.opened[0]?.events).toEqual([]);
    expect(network.abandonedDials).toBe(0);
    outcome.opened[0]?.socket.terminate();
    listener.stop();
  });

  test("impossible targets fail and never throw", async () => {
    const targets: DialTarget[] = [
      { address: "127.0.0.1", port: 70_000 },
      { address: "", port: 25 },
      { address: "255.255.255.255", port: 25 },
      { address: "fe80::1", port: 25 },
      { unix: join(folder, "nobody.sock") },
      { unix: `/${"x".repeat(300)}` },
    ];
    for (const target of targets) {
      const { outcome } = dialOutcome(target);
      await eventually(() => outcome.failed.length === 1, JSON.stringify(target));
      expect(outcome.failed[0]).toMatch(/^[^\n]+$/);
    }
  });

  test("IPv6 that leads nowhere fails clean", async () => {
    const { outcome } = dialOutcome({ address: "2001:db8::1", port: 25 }, 300);
    await eventually(() => outcome.failed.length === 1, "failed");
    expect(outcome.failed[0]).toMatch(/\(E[A-Z]+\)$|^no answer within 0\.3s$/);
  });

  test("a TLS server that never answers: the caller's terminate frees everything", async () => {
    const before = descriptors();
    const { client, server } = await connect(world().network);
    client.socket.secure({ role: "client", serverName: "relay.test", verify: true, authorities: [] });
    await eventually(() => server.octetsReceived > 0, "ClientHello");
    client.socket.terminate();
    await eventually(() => server.events.length > 1, "the peer hears of it, by a FIN in this case");
    expect(descriptors()).toBeLessThanOrEqual(before + 1);
    server.socket.terminate();
    await eventually(() => client.isClosed && server.isClosed && descriptors() <= before, "all is free");
    expect(client.events).toEqual(["closed terminated"]);
  });

  test("a throw in opened or failed is reported", async () => {
    const { network, faults } = world();
    const listener = network.listen({ host: "127.0.0.1", port: 0 }, (socket) => new Recorder(socket));
    const boom = () => {
      throw new Error("boom");
    };
    network.dial(at(listener), 1_000, { opened: boom, failed: boom });
    await eventually(() => faults.length === 1, "opened threw");
    network.dial({ address: "127.0.0.1", port: 70_000 }, 1_000, { opened: boom, failed: boom });
    await eventually(() => faults.length === 2, "failed threw");
    network.timer(0, boom);
    await eventually(() => faults.length === 3, "the timer threw");
    listener.stop();
  });
});

describe("listen", () => {
  test("all addresses: both families arrive, IPv4 as IPv4", async () => {
    const { network } = world();
    const seen: string[] = [];
    const listener = network.listen({ host: "", port: 0 }, (socket) => {
      seen.push(`${socket.remote.family} ${socket.remote.address}`);
      return new Recorder(socket);
    });
    expect(listener.name).toBe(`[::]:${listener.port}`);
    const four = await dialled(network, at(listener));
    const six = await dialled(network, at(listener, "::1"));
    await eventually(() => seen.length === 2, "both");
    expect(seen.toSorted()).toEqual(["ipv4 127.0.0.1", "ipv6 ::1"]);
    expect(four.socket.remote).toEqual({ family: "ipv4", address: "127.0.0.1" });
    four.socket.terminate();
    six.socket.terminate();
    listener.stop();
  });

  test("a socket for each family on one port", async () => {
    const { network } = world();
    const seen: string[] = [];
    const accept = (name: string) => (socket: Socket) => {
      seen.push(`${name} ${socket.remote.family}`);
      return new Recorder(socket);
    };
    const four = network.listen({ host: "0.0.0.0", port: 0 }, accept("first"));
    const { port } = four;
    expect(() => network.listen({ host: "::", port }, accept("never"))).toThrow("EADDRINUSE");
    const six = network.listen({ host: "::", port, ipv6Only: true }, accept("second"));
    await dialled(network, { address: "127.0.0.1", port });
    await dialled(network, { address: "::1", port });
    await eventually(() => seen.length === 2, "both");
    expect(seen).toEqual(["first ipv4", "second ipv6"]);
    four.stop();
    await expect(dialled(network, { address: "127.0.0.1", port })).rejects.toThrow("ECONNREFUSED");
    six.stop();
  });

  test("what cannot be had is one line that names the address", () => {
    const { network } = world();
    const accept = () => expect.unreachable();
    const first = network.listen({ host: "127.0.0.1", port: 0 }, accept);
    expect(() => network.listen({ host: "127.0.0.1", port: first.port }, accept)).toThrow(
      `cannot listen on 127.0.0.1:${first.port}: another program uses this address already (EADDRINUSE)`,
    );
    first.stop();
    const taken = network.listen({ host: "", port: 0 }, accept);
    expect(() => network.listen({ host: "", port: taken.port }, accept)).toThrow("EADDRINUSE");
    taken.stop();
    expect(() => network.listen({ host: "192.0.2.199", port: 0 }, accept)).toThrow("EADDRNOTAVAIL");
    expect(() => network.listen({ fd: 4_000, name: "mail" }, accept)).toThrow(
      "cannot listen on fd 4000 (mail): ",
    );
  });

  test("stop is graceful: open sockets live on, nobody new is let in", async () => {
    const { network } = world();
    let server: Recorder | undefined;
    const listener = network.listen({ host: "127.0.0.1", port: 0 }, (socket) => {
      server = new Recorder(socket);
      return server;
    });
    const client = await dialled(network, at(listener));
    await eventually(() => server !== undefined, "accepted");
    listener.stop();
    await expect(dialled(network, at(listener))).rejects.toThrow("ECONNREFUSED");
    client.say("still here");
    await eventually(() => server?.text === "still here", "it lives on");
    client.socket.terminate();
  });

  test("unix socket: both ends, a file deserted by its process, a live one, another kind of file", async () => {
    const { network } = world();
    const unix = join(folder, "proxy.sock");
    const child = Bun.spawnSync([
      ...[process.execPath, "-e"],
      `Bun.listen({unix:${JSON.stringify(unix)},socket:{data(){}}}); process.kill(process.pid, "SIGKILL")`,
    ]);
    expect(child.signalCode).toBe("SIGKILL");
    expect(statSync(unix).isSocket()).toBe(true);

    const arrivals: Recorder[] = [];
    const accept = (socket: Recorder["socket"]) => {
      const recorder = new Recorder(socket);
      arrivals.push(recorder);
      return recorder;
    };
    const listener = network.listen({ unix }, accept);
    expect([listener.name, listener.port]).toEqual([`unix:${unix}`, 0]);
    const client = await dialled(network, { unix });
    client.say("by file");
    await eventually(() => arrivals[0]?.text === "by file", "arrives");
    expect(arrivals[0]?.socket.remote).toEqual({ family: "unix", address: unix });
    client.socket.terminate();

    expect(() => network.listen({ unix }, accept)).toThrow(
      `cannot listen on unix:${unix}: another program uses this address already (EADDRINUSE)`,
    );
    listener.stop();
    expect(existsSync(unix)).toBe(false);

    const plain = join(folder, "precious.txt");
    writeFileSync(plain, "precious");
    expect(() => network.listen({ unix: plain }, accept)).toThrow("EADDRINUSE");
    expect(existsSync(plain)).toBe(true);
  });

  test("accept that throws loses that connection alone", async () => {
    const { network, faults } = world();
    let arrivals = 0;
    const listener = network.listen({ host: "127.0.0.1", port: 0 }, (socket) => {
      arrivals += 1;
      if (arrivals === 1) throw new Error("accept");
      return new Recorder(socket);
    });
    // The peer may hear "opened, then closed" or ECONNRESET: it is a race with the reset.
    const { outcome } = dialOutcome(at(listener));
    await eventually(() => faults.length === 1, "its fault is reported");
    await eventually(
      () => (outcome.opened[0]?.isClosed ?? false) || outcome.failed.length > 0,
      "it is dropped",
    );
    const second = await dialled(network, at(listener));
    await eventually(() => arrivals === 2, "the second is served");
    expect(faults).toHaveLength(1);
    second.socket.terminate();
    listener.stop();
  });

  test("peers that reset at once: each that is accepted has an address and closes once", async () => {
    const { network, faults } = world();
    const arrivals: Recorder[] = [];
    const listener = network.listen({ host: "127.0.0.1", port: 0 }, (socket) => {
      const recorder = new Recorder(socket);
      arrivals.push(recorder);
      return recorder;
    });
    const before = descriptors();
    for (let round = 0; round < 20; round += 1) {
      const clients = await Promise.all(Array.from({ length: 20 }, () => dialled(network, at(listener))));
      for (const client of clients) client.socket.terminate();
    }
    await eventually(() => arrivals.every((arrival) => arrival.closings === 1), "closed");
    await eventually(() => descriptors() <= before, "descriptors are free");
    expect(arrivals.every((arrival) => arrival.socket.remote.address === "127.0.0.1")).toBe(true);
    expect(faults).toEqual([]);
    listener.stop();
  });
});

describe("the rest of the system", () => {
  test("last words before a reset are heard", async () => {
    const { client, server } = await connect(world().network);
    server.say("421 going down\r\n");
    server.socket.terminate();
    client.say("RCPT TO:<a@b>\r\n");
    await eventually(() => client.isClosed, "closed");
    expect(client.text).toBe("421 going down\r\n");
  });

  test("resolve: literals pass, /etc/hosts counts, failures are text", async () => {
    const { network } = world();
    expect(await network.resolve("192.0.2.1")).toEqual({ addresses: ["192.0.2.1"] });
    expect(await network.resolve("2001:db8::1")).toEqual({ addresses: ["2001:db8::1"] });
    const local = await network.resolve("localhost");
    expect("addresses" in local && local.addresses.some((a) => a === "127.0.0.1" || a === "::1")).toBe(true);
    expect(await network.resolve("nobody.invalid")).toEqual({
      failure: expect.stringMatching(/^[a-z ,]+: .*\((?:ENOTFOUND|EAI_AGAIN)\)$/),
    });
    expect(await network.resolve("")).toEqual({ failure: "no host name" });
    expect(await network.resolve("a b\r\nc")).toEqual({ failure: expect.stringMatching(/^[^\n]+$/) });
  });

  test("timers fire once, and not when cancelled", async () => {
    const { network } = world();
    let fired = 0;
    const start = network.now();
    network.timer(5, () => {
      fired += 1;
    });
    network.timer(1, () => expect.unreachable()).cancel();
    await eventually(() => fired === 1, "fires");
    expect(network.now() - start).toBeGreaterThanOrEqual(4);
  });
});
