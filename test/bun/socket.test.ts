/** The adapter over Bun's sockets: the contract, plain and under TLS, and each trap of Bun's that is its own. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { giveBack } from "../../src/bun/received-memory.ts";
import { loadServerTls } from "../../src/bun/tls.ts";
import type { ClientTls, ServerTls } from "../../src/shell/network.ts";
import { socketConformance } from "./conformance.ts";
import {
  Authority,
  connect,
  descriptors,
  eventually,
  type Pair,
  patternOctets,
  Recorder,
  sha256,
  turns,
  world,
} from "./support.ts";

let authority: Authority;
let serverTls: ServerTls;
let authorities: readonly string[];

function contextFor(label: string, names: string, from?: number, to?: number): ServerTls {
  const { cert, key } = authority.issue(label, names, from, to);
  const loaded = loadServerTls(cert, key);
  if (!loaded.ok) throw new Error(loaded.fault);
  return loaded.tls;
}

beforeAll(() => {
  authority = new Authority();
  authorities = [readFileSync(authority.pem, "utf8")];
  serverTls = contextFor("good", "DNS:relay.test,DNS:*.wild.test,IP:127.0.0.1");
});
afterAll(() => rmSync(authority.folder, { recursive: true }));

function clientTls(serverName = "relay.test", verify = true): ClientTls {
  return { role: "client", serverName, verify, authorities };
}

/** A pair whose handshakes are under way; which end started is up to the caller. */
function secure({ client, server }: Pair, client_ = clientTls(), server_ = serverTls): void {
  server.socket.secure(server_);
  client.socket.secure(client_);
}

async function securedPair(network = world().network, tls = clientTls()): Promise<Pair> {
  const pair = await connect(network);
  secure(pair, tls);
  await eventually(() => pair.client.facts !== undefined && pair.server.facts !== undefined, "secured");
  return pair;
}

socketConformance("plain TCP", () => {
  const { network, faults } = world();
  return { faults, connect: () => connect(network) };
});

socketConformance("TLS by STARTTLS", () => {
  const { network, faults } = world();
  return { faults, connect: () => securedPair(network) };
});

/** From a Bun that delivers others, no memory would be given back. */
test("what Bun delivers is alone in its memory, which can be given back", async () => {
  for (const pair of [await connect(world().network), await securedPair()]) {
    const { client, server } = pair;
    client.socket.write(patternOctets(64 << 10));
    client.socket.flush();
    await eventually(() => server.octetsReceived === 64 << 10, "all of it");
    for (const chunk of server.chunks) {
      const isLarge = chunk.length >= 4 << 10;
      giveBack(chunk);
      expect(chunk.length === 0).toBe(isLarge);
    }
    expect(server.chunks.some(({ length }) => length === 0)).toBeTrue();
    client.socket.terminate();
  }
});

test("memory that others have a part of is left alone", () => {
  const whole = patternOctets(64 << 10);
  giveBack(whole.subarray(0, 32 << 10));
  giveBack(Buffer.from("small"));
  expect(whole.length).toBe(64 << 10);
});

describe("the end of a connection", () => {
  test("a reset tells its code, once", async () => {
    const { client, server } = await connect(world().network);
    client.socket.terminate();
    await eventually(() => server.isClosed, "closed");
    await turns();
    expect(server.events).toEqual(["closed the peer reset the connection (ECONNRESET)"]);
    expect(client.events).toEqual(["closed terminated"]);
  });

  for (const kind of ["plain", "TLS"] as const) {
    test(`${kind}: close to a silent peer ends by our own timer and frees the descriptor`, async () => {
      const { network } = world({ closeMs: 50 });
      const pair = kind === "TLS" ? await securedPair(network) : await connect(network);
      const before = descriptors();
      pair.client.socket.pause();
      pair.server.socket.close();
      await eventually(() => pair.server.isClosed, "closed by the timer");
      expect(pair.server.events.at(-1)).toBe("closed terminated");
      await eventually(() => descriptors() <= before - 1, "the descriptor is free");
      pair.client.socket.terminate();
      await eventually(() => descriptors() <= before - 2, "so is the peer's");
    });
  }

  test("terminate in the middle of a handshake frees the descriptor and tells `closed` alone", async () => {
    const before = descriptors();
    const { client, server } = await connect(world().network);
    server.socket.secure(serverTls);
    await turns();
    server.socket.terminate();
    await eventually(() => server.isClosed && client.isClosed, "both closed");
    client.socket.terminate();
    expect(server.events).toEqual(["closed terminated"]);
    await eventually(() => descriptors() <= before, "descriptors are free");
  });

  test("terminate after a TLS close to a silent peer frees the descriptor at once", async () => {
    const pair = await securedPair();
    const before = descriptors();
    pair.client.socket.pause();
    pair.server.socket.close();
    await turns();
    pair.server.socket.terminate();
    await eventually(() => pair.server.isClosed && descriptors() <= before - 1, "free");
    pair.client.socket.terminate();
  });

  test("200 handshakes of every fate leave no descriptor behind", async () => {
    const { network, faults } = world({ closeMs: 20 });
    const before = descriptors();
    const pairs = await Promise.all(Array.from({ length: 200 }, () => connect(network)));
    pairs.forEach((pair, index) => {
      pair.server.socket.secure(serverTls);
      if (index % 4 === 0) pair.client.say("EHLO this is no TLS\r\n");
      if (index % 4 === 1) pair.client.socket.terminate();
      if (index % 4 === 2) pair.client.socket.close();
      if (index % 4 === 3) pair.client.socket.secure(clientTls());
    });
    await eventually(() => pairs.every((pair, index) => pair.server.isClosed !== (index % 4 === 3)), "fates");
    for (const { client, server } of pairs) {
      client.socket.close();
      server.socket.close();
    }
    await eventually(() => pairs.every(({ client, server }) => client.isClosed && server.isClosed), "closed");
    await eventually(() => descriptors() <= before, "descriptors are free");
    expect(pairs.every(({ client, server }) => client.closings === 1 && server.closings === 1)).toBe(true);
    expect(faults).toEqual([]);
  });
});

/** `nc` and many scripts send their FIN at once and read on: half-closed, but for the adapter's `close` still a reader. */
test("close delivers 8 MiB to a peer that has sent its FIN before", async () => {
  const { network } = world();
  const big = patternOctets(8 << 20);
  const hash = createHash("sha256");
  let received = 0;
  let closed = "";
  const listener = network.listen({ host: "127.0.0.1", port: 0 }, (socket) => {
    const recorder = new Recorder(socket);
    socket.write(big);
    socket.flush();
    recorder.on.octets = () => socket.close();
    recorder.on.closed = (reason) => {
      closed = reason;
    };
    return recorder;
  });
  const peer = await Bun.connect({
    ...{ hostname: "127.0.0.1", port: listener.port, allowHalfOpen: true },
    socket: {
      data: (_socket, octets) => {
        received += octets.length;
        hash.update(octets);
      },
      end: (socket) => void socket.end(),
    },
  });
  peer.pause();
  peer.write("QUIT\r\n");
  await turns();
  peer.shutdown();
  await turns();
  peer.resume();
  // What the kernel took may reach the peer after our side is closed.
  await eventually(() => closed !== "" && received >= big.length, "closed, and all is there");
  expect([closed, received, hash.digest("hex")]).toEqual(["closed", big.length, sha256(big)]);
  listener.stop();
});

describe("the handshake", () => {
  test("facts: version and cipher at both ends, authorized at the client's alone", async () => {
    const { client, server } = await securedPair();
    expect(client.facts).toEqual({ version: "TLSv1.3", cipher: "TLS_AES_128_GCM_SHA256", authorized: true });
    expect(server.facts).toEqual({ version: "TLSv1.3", cipher: "TLS_AES_128_GCM_SHA256", authorized: false });
    client.socket.terminate();
  });

  test("TLS from the first octet: secure() within accept and opened", async () => {
    const { network } = world();
    const pair = await connect(network, (server) => server.socket.secure(serverTls));
    pair.client.socket.secure(clientTls());
    pair.server.on.secured = () => pair.server.say("220 ready\r\n");
    await eventually(() => pair.client.text === "220 ready\r\n", "the greeting");
    pair.client.socket.terminate();
  });

  test("what comes with the last flight of the handshake is not lost, at either end", async () => {
    for (let round = 0; round < 50; round += 1) {
      const pair = await connect(world().network);
      pair.client.on.secured = () => pair.client.say("EHLO at once\r\n");
      pair.server.on.secured = () => pair.server.say("220 at once\r\n");
      secure(pair);
      await eventually(
        () => pair.server.text === "EHLO at once\r\n" && pair.client.text === "220 at once\r\n",
        "both",
      );
      expect(pair.server.events).toEqual(["secured", "octets"]);
      pair.client.socket.terminate();
    }
  });

  test("octets in STARTTLS's own segment are heard before secure() and never enter the session", async () => {
    const { network } = world();
    const pair = await connect(network);
    pair.server.on.octets = () => {
      if (pair.server.text.startsWith("STARTTLS\r\n") && pair.server.facts === undefined) {
        pair.server.on = {};
        pair.server.say("220 go\r\n");
        pair.server.socket.secure(serverTls);
      }
    };
    pair.client.on.octets = () => {
      pair.client.on = {};
      pair.client.socket.secure(clientTls());
    };
    pair.client.say("STARTTLS\r\nMAIL FROM:<injected@x>\r\n");
    await eventually(() => pair.server.facts !== undefined && pair.client.facts !== undefined, "secured");
    pair.client.say("EHLO inside\r\n");
    await eventually(() => pair.server.text.includes("inside"), "EHLO");
    expect(pair.server.chunks.map(String)).toEqual([
      "STARTTLS\r\nMAIL FROM:<injected@x>\r\n",
      "EHLO inside\r\n",
    ]);
    pair.client.socket.terminate();
  });

  test("a paused socket finishes its handshake and is paused again", async () => {
    const pair = await connect(world().network);
    pair.server.socket.pause();
    secure(pair);
    pair.server.socket.pause();
    pair.client.on.secured = () => pair.client.say("x".repeat(2_000_000));
    await eventually(() => pair.server.facts !== undefined, "secured while paused");
    await turns(50);
    expect(pair.server.octetsReceived).toBeLessThan(2_000_000);
    pair.server.socket.resume();
    await eventually(() => pair.server.octetsReceived === 2_000_000, "all arrives");
    pair.client.socket.terminate();
  });

  test("garbage, a FIN and a reset instead of a handshake fail it, then close", async () => {
    const fates: [string, (pair: Pair) => void, RegExp, RegExp][] = [
      ["garbage", ({ client }) => client.say("MAIL FROM:<a@b>\r\n"), /\(EPROTO: /, /^closed /],
      ["FIN", ({ client }) => client.socket.close(), /handshake \(ECONNRESET\)$/, /^closed closed$/],
      ["reset", ({ client }) => client.socket.terminate(), /\(ECONNRESET\)$/, /^closed .*\(ECONNRESET\)$/],
    ];
    for (const [label, act, reason, closing] of fates) {
      const pair = await connect(world().network);
      pair.server.socket.secure(serverTls);
      await turns(3);
      act(pair);
      await eventually(() => pair.server.isClosed, `${label}: closed`);
      expect(pair.server.failure).toMatch(reason);
      expect(pair.server.events).toEqual(["handshakeFailed", expect.stringMatching(closing)]);
      pair.client.socket.terminate();
    }
  });

  test("garbage to the client fails it too", async () => {
    const pair = await connect(world().network);
    pair.client.socket.secure(clientTls("relay.test", false));
    pair.server.say("454 TLS not available\r\n");
    await eventually(() => pair.client.isClosed, "closed");
    expect(pair.client.failure).toMatch(
      /^the peer does not speak TLS here \(EPROTO: wrong version number\)$/,
    );
    pair.server.socket.terminate();
  });

  test("a broken record in an established session closes it without a fault of ours", async () => {
    const { network, faults } = world({ closeMs: 200 });
    const peer = await tlsThenGarbage(network);
    await eventually(() => peer.isClosed, "closed");
    expect(peer.events.filter((event) => event.startsWith("closed"))).toHaveLength(1);
    expect(faults).toEqual([]);
  });
});

/** A secured server end whose peer sends a broken TLS record: a relay in between spoils the stream. */
async function tlsThenGarbage(network: ReturnType<typeof world>["network"]) {
  const outer = await connect(network);
  const inner = await connect(network);
  // outer.client speaks TLS to inner.server, by way of outer.server and inner.client.
  outer.server.on.octets = (octets) => {
    inner.client.socket.write(octets);
    inner.client.socket.flush();
  };
  inner.client.on.octets = (octets) => {
    outer.server.socket.write(octets);
    outer.server.socket.flush();
  };
  secure({ client: outer.client, server: inner.server });
  await eventually(() => inner.server.facts !== undefined && outer.client.facts !== undefined, "secured");
  inner.client.say("\x17\x03\x03\x00\x20this is thirty-two octets of dust");
  return inner.server;
}

describe("verification", () => {
  interface Case {
    readonly label: string;
    readonly server: () => ServerTls;
    readonly tls: ClientTls;
    readonly fault: RegExp;
  }
  const relay = { role: "client", serverName: "relay.test" } as const;
  const cases: readonly Case[] = [
    {
      label: "wrong name",
      server: () => serverTls,
      tls: { ...relay, serverName: "other.test", verify: true },
      fault: /other\.test\.? is not in the cert's altnames: DNS:relay\.test/,
    },
    {
      label: "expired",
      server: () => contextFor("expired", "DNS:relay.test", 2020, 2021),
      tls: { ...relay, verify: true },
      fault: /certificate has expired/,
    },
    {
      label: "not yet valid",
      server: () => contextFor("future", "DNS:relay.test", 2044, 2045),
      tls: { ...relay, verify: true },
      fault: /not yet valid/,
    },
    {
      label: "address not among the certificate's",
      server: () => contextFor("named", "DNS:relay.test"),
      tls: { ...relay, serverName: "127.0.0.1", verify: true },
      fault: /127\.0\.0\.1 is not in the cert's list/,
    },
  ];

  for (const { label, server, tls, fault } of cases) {
    test(`${label}: fails with verify, is unauthorized without`, async () => {
      const context = server();
      const strict = await connect(world().network);
      secure(strict, { ...tls, authorities }, context);
      await eventually(() => strict.client.isClosed && strict.server.isClosed, "closed");
      expect(strict.client.failure).toMatch(fault);
      expect(strict.client.events).toEqual(["handshakeFailed", expect.stringMatching(/^closed/)]);
      await expectUnauthorized({ ...tls, verify: false, authorities }, context);
    });
  }

  async function expectUnauthorized(tls: ClientTls, context: ServerTls): Promise<void> {
    const lax = await connect(world().network);
    secure(lax, tls, context);
    await eventually(() => lax.client.facts !== undefined, "secured");
    expect(lax.client.facts?.authorized).toBe(false);
    lax.client.say("EHLO");
    await eventually(() => lax.server.text === "EHLO", "usable");
    lax.client.socket.terminate();
  }

  test("unknown authority: fails with verify, is unauthorized without", async () => {
    const strict = await connect(world().network);
    secure(strict, { ...relay, verify: true });
    await eventually(() => strict.client.isClosed, "closed");
    expect(strict.client.failure).toMatch(/unable to verify the first certificate/);
    await expectUnauthorized({ ...relay, verify: false }, serverTls);
    await expectUnauthorized({ ...relay, serverName: "other.test", verify: false }, serverTls);
  });

  test("good: exact name, wildcard, another case, final dot, address", async () => {
    for (const name of ["relay.test", "x.wild.test", "RELAY.test", "relay.test.", "127.0.0.1"]) {
      for (const verify of [true, false]) {
        const pair = await securedPair(undefined, clientTls(name, verify));
        expect(pair.client.facts?.authorized).toBe(true);
        pair.client.socket.terminate();
      }
    }
  });

  test("authorities that are no certificates fail the handshake, not the program", async () => {
    const pair = await connect(world().network);
    pair.client.socket.secure({ ...relay, verify: true, authorities: ["-----BEGIN CERTIFICATE-----\nx\n"] });
    await eventually(() => pair.client.isClosed, "closed");
    expect(pair.client.events[0]).toBe("handshakeFailed");
    pair.server.socket.terminate();
  });

  test("a name is sent as SNI, an address is not", async () => {
    for (const [name, sent] of [
      ["relay.test.", true],
      ["127.0.0.1", false],
    ] as const) {
      const pair = await connect(world().network);
      pair.client.socket.secure(clientTls(name));
      await eventually(() => pair.server.octetsReceived > 200, "ClientHello");
      expect(pair.server.text.includes("relay.test")).toBe(sent);
      expect(pair.server.text.includes("127.0.0.1")).toBe(false);
      pair.client.socket.terminate();
    }
  });
});
