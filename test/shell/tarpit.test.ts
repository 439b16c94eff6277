/**
 * The tarpit over real sockets, plain and in TLS: an octet at a time, slots, and every way to leave it, with nothing
 * left behind. How fast: test/screening/tarpit.test.ts; what a thousand cost: load.test.ts.
 */
import { heapStats } from "bun:jsc";
import { describe, expect, test } from "bun:test";
import { BunNetwork } from "../../src/bun/network.ts";
import { loadServerTls } from "../../src/bun/tls.ts";
import { AddressSet } from "../../src/screening/addresses.ts";
import { Crowd } from "./crowd.ts";
import {
  Authority,
  type Bent,
  descriptors,
  eventually,
  ScriptedClient,
  ScriptedRelay,
  TestProxy,
} from "./support.ts";

const reply = "554 5.5.1 you spoke before the greeting was over\r\n";
const begins = "220-proxy.test ESMTP\r\n";
const long = 60_000;

const authority = new Authority();
const { cert, key } = authority.issue("proxy", "DNS:proxy.test");

function serverTls() {
  const loaded = loadServerTls(cert, key);
  if (!loaded.ok) throw new Error(loaded.fault);
  return loaded.tls;
}

async function withProxy(
  run: (proxy: TestProxy, relay: ScriptedRelay) => Promise<void>,
  server: Bent["server"],
  bent: Bent = {},
): Promise<void> {
  const relay = await ScriptedRelay.start();
  const proxy = new TestProxy([relay.port], {
    tls: serverTls(),
    ...bent,
    screening: { greetingDelayMs: 5_000, ...bent.screening },
    server: { trusted: new AddressSet([]), maxConnectionsPerClient: 1_000, ...server },
  });
  try {
    await run(proxy, relay);
    await eventually(() => proxy.server.tarpitted === 0, "the tarpit is empty");
    await proxy.stop();
    expect(proxy.stacks).toEqual([]);
    expect(relay.talks.length).toBe(0);
  } finally {
    relay.stop();
  }
}

function stays(proxy: TestProxy) {
  return proxy.events.filter((event) => event.event === "tarpit");
}

async function early(proxy: TestProxy, said = "HELO x\r\n"): Promise<ScriptedClient> {
  const client = await ScriptedClient.connect(proxy.port, "127.0.0.1", "127.0.0.7");
  client.say(said);
  return client;
}

/** How many octets were heard at each look that found more, from now on until the end. */
async function steps(client: ScriptedClient): Promise<number[]> {
  const lengths: number[] = [];
  await eventually(() => {
    if (client.heard.length !== lengths.at(-1)) lengths.push(client.heard.length);
    return client.ended || client.closed;
  }, "it is told and closed");
  return lengths;
}

/** As many connections as are allowed can be had again, and no more: nobody is counted who has left. */
async function expectRoomFor(proxy: TestProxy, count: number): Promise<void> {
  const clients: ScriptedClient[] = [];
  for (let at = 0; at < count; at += 1) {
    clients.push(await ScriptedClient.connect(proxy.port, "127.0.0.1", "127.0.0.7"));
  }
  await eventually(() => clients.every(({ heard }) => heard === begins), `there is room for ${count}`);
  const beyond = await ScriptedClient.connect(proxy.port, "127.0.0.1", "127.0.0.7");
  expect(await beyond.reply()).toStartWith("421 ");
  for (const client of [...clients, beyond]) client.rst();
  await eventually(() => proxy.server.sessions === 0, "they are gone");
}

test.concurrent("the reply comes an octet at a time over the whole time, and then the end", () =>
  withProxy(
    async (proxy) => {
      const startedAt = performance.now();
      const client = await early(proxy);
      const lengths = await steps(client);
      const tookMs = performance.now() - startedAt;
      client.fin();
      expect(client.heard).toBe(begins + reply);
      expect(tookMs).toBeGreaterThan(980);
      expect(tookMs).toBeLessThan(1_500);
      // 20 ms an octet: this process would have to stand still for half a second to see so many at once.
      const strides = lengths.slice(1).map((length, at) => length - (lengths[at] ?? 0));
      expect(Math.max(...strides.slice(1))).toBeLessThan(25);
      expect(strides.length).toBeGreaterThan(10);
      await eventually(() => stays(proxy).length === 1, "its end is logged");
      expect(stays(proxy)).toMatchObject([{ client: "127.0.0.7", end: "complete", discardedOctets: 0 }]);
      expect(stays(proxy)[0]?.heldMs).toBeGreaterThan(980);
    },
    { tarpitDurationMs: 1_000 },
  ));

test.concurrent("what is said in it is thrown away and counted, and never becomes a command", () =>
  withProxy(
    async (proxy) => {
      const client = await early(proxy);
      await eventually(() => proxy.server.tarpitted === 1, "it is in the tarpit");
      const junk = "EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n";
      client.say(junk);
      await steps(client);
      client.fin();
      expect(client.heard).toBe(begins + reply);
      await eventually(() => stays(proxy).length === 1, "its end is logged");
      expect(stays(proxy)).toMatchObject([{ discardedOctets: junk.length, end: "complete" }]);
      expect(proxy.transactions).toEqual([]);
    },
    { tarpitDurationMs: 300 },
  ));

test.concurrent("a client that sends without end is read slowly, and told and closed in time", () =>
  withProxy(
    async (proxy) => {
      const client = await early(proxy);
      const flood = Buffer.alloc(1024 * 1024, "x");
      for (let at = 0; at < 30; at += 1) client.say(flood);
      const startedAt = performance.now();
      await eventually(() => stays(proxy).length === 1, "it is told");
      expect(performance.now() - startedAt).toBeLessThan(900);
      expect(stays(proxy)[0]?.discardedOctets).toBeLessThan(1024 * 1024 + 8 * 1024);
      expect(client.unsent).toBeGreaterThan(8 * 1024 * 1024);
      client.rst();
    },
    { tarpitDurationMs: 500 },
  ));

test.concurrent("slots: without a free one the offender hears the reply at once", () =>
  withProxy(
    async (proxy) => {
      const held = [await early(proxy), await early(proxy)];
      await eventually(() => proxy.server.tarpitted === 2, "both slots are taken");
      const startedAt = performance.now();
      const third = await early(proxy);
      await eventually(() => third.ended, "it is closed at once");
      expect(performance.now() - startedAt).toBeLessThan(300);
      expect(third.heard).toBe(begins + reply);
      third.fin();
      expect(proxy.server.tarpitted).toBe(2);
      held[0]?.rst();
      await eventually(() => proxy.server.tarpitted === 1, "a slot is free");
      const fourth = await early(proxy);
      await eventually(() => proxy.server.tarpitted === 2, "the next takes it");
      for (const client of [...held, fourth]) client.rst();
    },
    { maxTarpitted: 2, tarpitDurationMs: long },
  ));

test.concurrent.each([
  ["TARPIT_DURATION=0", { tarpitDurationMs: 0 }],
  ["MAX_TARPITTED=0", { maxTarpitted: 0 }],
] as const)("%s: told and closed at once", (_title, server) =>
  withProxy(async (proxy) => {
    const client = await early(proxy);
    await eventually(() => client.ended, "it is closed at once", 300);
    expect(client.heard).toBe(begins + reply);
    client.fin();
    await eventually(() => proxy.events.some(({ event }) => event === "session"), "it is over");
    expect(stays(proxy)).toEqual([]);
  }, server),
);

describe("in TLS", () => {
  async function offended(proxy: TestProxy): Promise<ScriptedClient> {
    const client = await ScriptedClient.connect(proxy.port, "127.0.0.1", "127.0.0.7");
    await client.reply();
    await client.ask("EHLO client.test");
    await client.startTls();
    for (let errors = 0; errors < 3; errors += 1) expect(await client.ask("WHAT")).toStartWith("500 ");
    client.say("WHAT\r\n");
    return client;
  }
  const said = "421 4.7.0 too many errors, closing connection\r\n";
  const bent: Bent = { screening: { greetingDelayMs: 0 }, policy: { maxErrors: 3 } };

  test.concurrent("too many errors: an octet at a time", () =>
    withProxy(
      async (proxy) => {
        const client = await offended(proxy);
        const before = client.heard.length;
        const lengths = await steps(client);
        expect(client.heard.slice(before)).toBe(said);
        expect(lengths.length).toBeGreaterThan(8);
        client.fin();
        await eventually(() => stays(proxy).length === 1, "its end is logged");
        expect(stays(proxy)).toMatchObject([{ end: "complete" }]);
      },
      { tarpitDurationMs: 600 },
      bent,
    ));

  test.concurrent.each(["fin", "rst"] as const)("leaving by %s frees the slot", (leave) =>
    withProxy(
      async (proxy) => {
        const client = await offended(proxy);
        await eventually(() => proxy.server.tarpitted === 1, "it is in the tarpit");
        client[leave]();
        await eventually(() => stays(proxy).length === 1, "it is gone", 2_000);
        expect(stays(proxy)[0]?.end).not.toBe("complete");
      },
      { tarpitDurationMs: long },
      bent,
    ),
  );
});

describe("every way to leave", () => {
  const count = 40;
  const flood = Buffer.alloc(256 * 1024, "x\r\n");

  /** Clients in the tarpit; the second half of them has sent more than is read. */
  async function heldClients(proxy: TestProxy): Promise<ScriptedClient[]> {
    const clients = await Promise.all(Array.from({ length: count }, () => early(proxy)));
    await eventually(() => proxy.server.tarpitted === count, "all are in the tarpit");
    for (const client of clients.slice(count / 2)) for (let at = 0; at < 8; at += 1) client.say(flood);
    await Bun.sleep(50);
    return clients;
  }

  // One after the other: descriptors of the whole process are counted.
  test.each([
    ["a reset", (client: ScriptedClient) => client.rst(), long],
    ["FIN, or the end of time while we do not read", (client: ScriptedClient) => client.fin(), 1_500],
    ["being told, and never closing", () => {}, 700],
    [
      "being told, and never reading nor closing",
      (client: ScriptedClient) => {
        client.pause();
      },
      700,
    ],
  ] as const)("%s", (_title, leave, tarpitDurationMs) =>
    withProxy(
      async (proxy) => {
        const before = descriptors();
        const clients = await heldClients(proxy);
        expect(proxy.server.sessions).toBe(0);
        for (const client of clients) leave(client);
        await eventually(() => proxy.server.tarpitted === 0, "all have left");
        await eventually(() => stays(proxy).length === count, "each is logged");
        if (tarpitDurationMs === long) {
          for (const { end } of stays(proxy)) expect(end).not.toBe("complete");
        }
        for (const client of clients) client.rst();
        await eventually(() => clients.every(({ closed }) => closed), "all are closed");
        await eventually(() => descriptors() <= before, "no descriptor is left");
        await expectRoomFor(proxy, count);
      },
      { tarpitDurationMs, maxConnectionsPerClient: count },
    ),
  );

  test("the relay's pool and the timers know nothing of it", () =>
    withProxy(
      async (proxy) => {
        const clients = await heldClients(proxy);
        // One for all of them.
        expect(proxy.network.timers).toBe(1);
        for (const client of clients) client.rst();
        await eventually(() => proxy.network.timers === 0, "no timer is left");
      },
      { tarpitDurationMs: long, maxConnectionsPerClient: count },
    ));
});

describe("what one costs", () => {
  const count = 1_000;
  /** Without the socket. */
  const octetsMax = 500;

  /** Octets of the JavaScript heap that are in use for each of a crowd; a first crowd has come and gone before. */
  async function heapOctetsEach(port: number, kind: "early" | "idle", ready: () => boolean): Promise<number> {
    const crowd = new Crowd(port);
    const used = async (): Promise<number> => {
      for (let collections = 0; collections < 4; collections += 1) {
        Bun.gc(true);
        await Bun.sleep(20);
      }
      return heapStats().heapSize;
    };
    try {
      await crowd.gather(kind, count);
      await eventually(ready, "the first crowd is there");
      await crowd.leave("rst");
      await eventually(() => !ready(), "the first crowd is gone");
      await Bun.sleep(300);
      const before = await used();
      await crowd.gather(kind, count);
      await eventually(ready, "the second crowd is there");
      return ((await used()) - before) / count;
    } finally {
      await crowd.stop();
    }
  }

  async function bareHeapOctetsEach(): Promise<number> {
    let sockets = 0;
    const handler = {
      octets() {},
      ended() {},
      drained() {},
      secured() {},
      handshakeFailed() {},
      closed() {
        sockets -= 1;
      },
    };
    const listener = new BunNetwork(() => {}).listen({ host: "127.0.0.1", port: 0 }, (socket) => {
      sockets += 1;
      socket.write(Buffer.from("220-bare\r\n"));
      socket.flush();
      return handler;
    });
    const octets = await heapOctetsEach(listener.port, "early", () => sockets === count);
    listener.stop();
    return octets;
  }

  test("1,000 of them beside 1,000 bare sockets: nothing of the session is kept", async () => {
    // What the tests before have left is collected during the first, and makes it look cheap.
    await bareHeapOctetsEach();
    const bare = await bareHeapOctetsEach();
    await withProxy(
      async (proxy) => {
        // What the test writes down is not the proxy's.
        proxy.events.push = () => 0;
        const held = await heapOctetsEach(proxy.port, "early", () => proxy.server.tarpitted === count);
        await eventually(() => proxy.server.tarpitted === 0, "they are gone");
        console.log(
          `JavaScript heap for each in the tarpit: ${held.toFixed(0)} octets; a bare socket: ${bare.toFixed(0)}`,
        );
        expect(held - bare).toBeLessThan(octetsMax);
      },
      { maxConnections: 2 * count, maxTarpitted: count, tarpitDurationMs: long },
      { screening: { greetingDelayMs: 1_000 } },
    );
  }, 30_000);
});
