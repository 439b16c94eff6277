/**
 * Relay connections: kept, reused, ended, counted, replaced; which relay is taken, and which of its addresses; TLS
 * that is only a wish; credentials that never travel in plain text.
 */
import { describe, expect, test } from "bun:test";
import { pressureMsMax } from "../../src/client/waits.ts";
import { AddressSet } from "../../src/screening/addresses.ts";
import { Authority, eventually, type Script, ScriptedClient, ScriptedRelay, TestProxy } from "./support.ts";

const body = "Subject: x\r\n\r\nx\r\n";
const restMs = 60_000;
const authority = new Authority();
const certificate = authority.issue("relay", "IP:127.0.0.1");

async function hasRecipient(proxy: TestProxy): Promise<{ client: ScriptedClient; reply: string }> {
  const client = await ScriptedClient.greeted(proxy.port);
  await client.ask("MAIL FROM:<sender@example.com>");
  return { client, reply: await client.ask("RCPT TO:<someone@example.org>") };
}

describe("a relay connection", () => {
  test("serves several mails of one session, and of several sessions", async () => {
    const relay = await ScriptedRelay.start();
    const proxy = new TestProxy([relay.port]);
    const client = await ScriptedClient.greeted(proxy.port);
    for (let i = 0; i < 3; i += 1) expect(await client.mail(body)).toStartWith("250");
    await client.quit();
    for (let i = 0; i < 3; i += 1) expect(await proxy.mail(body)).toStartWith("250");
    expect(relay.mails.map(({ talk }) => talk)).toEqual([1, 1, 1, 1, 1, 1]);
    await proxy.stop();
    await eventually(() => relay.open === 0, "shutdown ends the idle connection");
    expect(relay.last.lines.at(-1)).toBe("QUIT");
    relay.stop();
  });

  test("is ended by QUIT after RELAY_IDLE_TIMEOUT", async () => {
    const relay = await ScriptedRelay.start();
    const proxy = new TestProxy([relay.port], { pool: { idleTimeoutMs: 200 } });
    expect(await proxy.mail(body)).toStartWith("250");
    expect(relay.open).toBe(1);
    await eventually(() => relay.open === 0, "the idle connection is ended");
    expect(relay.last.lines.at(-1)).toBe("QUIT");
    expect(await proxy.mail(body)).toStartWith("250");
    expect(relay.talks.length).toBe(2);
    await proxy.stop();
    relay.stop();
  });

  test("is not kept with RELAY_IDLE_TIMEOUT 0", async () => {
    const relay = await ScriptedRelay.start();
    const proxy = new TestProxy([relay.port], { pool: { idleTimeoutMs: 0 } });
    expect(await proxy.mail(body)).toStartWith("250");
    await eventually(() => relay.open === 0, "it is ended at once");
    await proxy.stop();
    relay.stop();
  });

  test("is clean after RSET, QUIT and a lost client: the next mail has only its own recipients", async () => {
    const relay = await ScriptedRelay.start();
    const proxy = new TestProxy([relay.port]);
    for (const leave of ["RSET", "QUIT", "reset"]) {
      const { client } = await hasRecipient(proxy);
      if (leave === "reset") client.rst();
      else await client.ask(leave);
      if (leave === "RSET") await client.quit();
      await eventually(() => proxy.server.sessions === 0, "the session is over");
      expect(await proxy.mail(body, [`only-${leave}@example.org`])).toStartWith("250");
      expect(relay.mails.at(-1)?.to).toEqual([`RCPT TO:<only-${leave}@example.org>`]);
    }
    expect(relay.talks.length).toBe(1);
    await proxy.stop();
    relay.stop();
  });

  test("that refuses RSET is not used again", async () => {
    const relay = await ScriptedRelay.start({
      script: (step) => (step === "RSET" ? { say: "500 5.5.1 no\r\n" } : undefined),
    });
    const proxy = new TestProxy([relay.port]);
    const { client } = await hasRecipient(proxy);
    await client.quit();
    await eventually(() => relay.open === 0, "it is ended");
    expect(await proxy.mail(body)).toStartWith("250");
    expect(relay.mails.map(({ talk }) => talk)).toEqual([2]);
    await proxy.stop();
    relay.stop();
  });

  test("that died after it answered part of a mail's commands is a loss that shows", async () => {
    const relay = await ScriptedRelay.start();
    const proxy = new TestProxy([relay.port]);
    expect(await proxy.mail(body)).toStartWith("250");
    relay.script = (step, count) => (step === "RCPT" && count === 2 ? { after: "rst" } : undefined);
    expect(await proxy.mail(body)).toMatch(/^(?:451 4\.4\.2|250)/);
    await proxy.stop();
    relay.stop();
  });
});

describe("RELAY_MAX_CONNECTIONS", () => {
  test("eight mails at once and a limit of two: all eight go through, one after the other", async () => {
    const relay = await ScriptedRelay.start();
    const proxy = new TestProxy([relay.port], { pool: { connectionsMax: 2 } });
    const mails = Array.from({ length: 8 }, () => proxy.mail(body));
    for (const reply of await Promise.all(mails)) expect(reply).toStartWith("250");
    expect(relay.mails.length).toBe(8);
    expect(relay.talks.length).toBe(2);
    await proxy.stop();
    relay.stop();
  });

  test("mails wait in order, also where no connection is kept", async () => {
    const relay = await ScriptedRelay.start();
    const proxy = new TestProxy([relay.port], { pool: { connectionsMax: 1, idleTimeoutMs: 0 } });
    const first = await hasRecipient(proxy);
    const later = [];
    for (let waiting = 1; waiting <= 3; waiting += 1) {
      const client = await ScriptedClient.greeted(proxy.port);
      later.push(client.mail(body, [`number-${waiting}@example.org`]).then(() => client.quit()));
      await eventually(() => proxy.server.waitingForRelay === waiting, "it waits");
    }
    await first.client.quit();
    await Promise.all(later);
    expect(relay.mails.map(({ to }) => to[0])).toEqual(
      [1, 2, 3].map((n) => `RCPT TO:<number-${n}@example.org>`),
    );
    expect(relay.talks.length).toBe(4);
    await proxy.stop();
    relay.stop();
  });

  test("a mail that waits for its own dial takes a connection that comes free; the dial serves the next", async () => {
    const relay = await ScriptedRelay.start();
    const proxy = new TestProxy([relay.port]);
    const first = await hasRecipient(proxy);
    relay.script = (step) => (step === "connect" ? { after: "go on" } : undefined);
    const second = await ScriptedClient.greeted(proxy.port);
    await second.ask("MAIL FROM:<sender@example.com>");
    second.say("RCPT TO:<someone@example.org>\r\n");
    await eventually(() => relay.talks.length === 2, "a second connection is dialled, and not greeted");
    await first.client.quit();
    expect(await second.reply()).toStartWith("250");
    expect(await second.ask("DATA")).toStartWith("354");
    relay.talks[1]?.say("220 relay.test, at last\r\n");
    await eventually(() => relay.talks[1]?.lines.length === 1, "it is set up");
    const third = await hasRecipient(proxy);
    expect(third.reply).toStartWith("250");
    expect(relay.talks.map(({ lines }) => lines.filter((line) => line.startsWith("RCPT")).length)).toEqual([
      2, 1,
    ]);
    expect(await second.ask(`${body}.`)).toStartWith("250");
    for (const { client } of [{ client: second }, third]) await client.quit();
    await proxy.stop();
    await eventually(() => relay.open === 0, "both are ended");
    relay.stop();
  });

  test("nothing is left of a dial whose mail has taken another connection, when the proxy stops", async () => {
    const relay = await ScriptedRelay.start();
    const proxy = new TestProxy([relay.port]);
    const first = await hasRecipient(proxy);
    relay.script = (step) => (step === "connect" ? { after: "go on" } : undefined);
    const second = await ScriptedClient.greeted(proxy.port);
    await second.ask("MAIL FROM:<sender@example.com>");
    second.say("RCPT TO:<someone@example.org>\r\n");
    await eventually(() => relay.talks.length === 2, "a second connection is dialled, and not greeted");
    await first.client.quit();
    expect(await second.reply()).toStartWith("250");
    await second.quit();
    await proxy.stop();
    await eventually(() => relay.open === 0, "both are ended");
    relay.stop();
  });

  test("beyond it 451 4.3.2 after RELAY_CONNECT_TIMEOUT; a place that came free is given again", async () => {
    const relay = await ScriptedRelay.start();
    const proxy = new TestProxy([relay.port], { pool: { connectionsMax: 2, connectTimeoutMs: 300 } });
    const both = [await hasRecipient(proxy), await hasRecipient(proxy)];
    expect(both.map(({ reply }) => reply.slice(0, 3))).toEqual(["250", "250"]);
    const third = await hasRecipient(proxy);
    expect(third.reply).toMatch(/^451 4\.3\.2 /);
    await third.client.quit();
    for (const { client } of both) client.rst();
    await eventually(() => proxy.server.sessions === 0, "all have left");
    for (let i = 0; i < 3; i += 1) expect(await proxy.mail(body)).toStartWith("250");
    await proxy.stop();
    relay.stop();
  });

  test("a dial under way counts, and not after its client has left", async () => {
    const relay = await ScriptedRelay.start({ script: (step) => (step === "connect" ? {} : undefined) });
    const proxy = new TestProxy([relay.port], { pool: { connectionsMax: 1 } });
    const first = await ScriptedClient.greeted(proxy.port);
    await first.ask("MAIL FROM:<sender@example.com>");
    first.say("RCPT TO:<someone@example.org>\r\n");
    await eventually(() => relay.talks.length === 1, "the relay is dialled");
    const second = proxy.mail(body);
    await eventually(() => proxy.server.waitingForRelay === 1, "the second mail waits");
    relay.script = undefined;
    first.rst();
    expect(await second).toStartWith("250");
    expect(relay.mails.length).toBe(1);
    await proxy.stop();
    relay.stop();
  });

  /** The client's mail data is at fault, and with us already when 354 comes. */
  const bareLf = "DATA\r\nSubject: x\r\n\r\nbare\nLF\r\n.\r\n";
  const ends: readonly (readonly [string, Script, (client: ScriptedClient) => Promise<unknown>])[] = [
    [
      "an objection of ours and a reply too many in one segment",
      (step) => (step === "DATA" ? { say: "354 go\r\n250 too much\r\n" } : undefined),
      (client) => saying(client, bareLf),
    ],
    [
      "an objection of ours and the relay's FIN",
      (step) => (step === "DATA" ? { say: "354 go\r\n", after: "fin" } : undefined),
      (client) => saying(client, bareLf),
    ],
    [
      "a reply too many after the dot",
      (step) => (step === "dot" ? { say: "250 ok\r\n250 ok\r\n" } : undefined),
      (client) => saying(client, bareLf.replace("bare\n", "")),
    ],
    [
      "RCPT accepted, then a reset",
      (step) => (step === "RCPT" ? { say: "250 ok\r\n", after: "rst" } : undefined),
      async () => {},
    ],
    [
      "silence at RSET",
      (step) => (step === "RSET" ? { after: "silence" } : undefined),
      async (client) => client.ask("QUIT"),
    ],
    [
      "421 at RSET, and QUIT's reply at once",
      (step) => (step === "RSET" ? { say: "421 4.3.2 no\r\n221 bye\r\n", after: "fin" } : undefined),
      async (client) => client.ask("QUIT"),
    ],
    [
      "421 at MAIL",
      (step) => (step === "MAIL" ? { say: "421 4.3.2 no\r\n", after: "fin" } : undefined),
      async () => {},
    ],
    [
      "MAIL refused, and a FIN",
      (step) => (step === "MAIL" ? { say: "550 5.7.1 no\r\n", after: "fin" } : undefined),
      async () => {},
    ],
    [
      "DATA refused, and a FIN",
      (step) => (step === "DATA" ? { say: "451 4.3.0 no\r\n", after: "fin" } : undefined),
      (client) => saying(client, "DATA\r\n"),
    ],
  ];

  async function saying(client: ScriptedClient, text: string): Promise<void> {
    client.say(text);
    while (/^[23]/.test(await client.reply(2_000)) && !/250 2\.0\.0 (?:ok|queued)/.test(client.heard));
  }

  /** However a connection ended: afterwards exactly as many may be open as before, no more and no fewer. */
  test.each(ends)("is exact after: %s", async (_name, script, end) => {
    const relay = await ScriptedRelay.start();
    const proxy = new TestProxy([relay.port], {
      pool: { connectionsMax: 3, replyTimeoutMs: 300, connectTimeoutMs: 300 },
    });
    for (let i = 0; i < 3; i += 1) {
      relay.script = script;
      const { client } = await hasRecipient(proxy);
      await end(client);
      client.rst();
      await eventually(() => proxy.server.sessions === 0, "the session is over");
      if (script("RSET", 1, relay.last)?.after !== undefined) {
        await eventually(() => relay.open === 0, "the connection is given up");
      }
    }
    relay.script = undefined;
    const users = [await hasRecipient(proxy), await hasRecipient(proxy), await hasRecipient(proxy)];
    expect(users.map(({ reply }) => reply.slice(0, 3))).toEqual(["250", "250", "250"]);
    const beyond = await hasRecipient(proxy);
    expect(beyond.reply).toMatch(/^451 4\.3\.2 /);
    for (const { client } of [...users, beyond]) await client.quit();
    await proxy.stop();
    relay.stop();
  });

  test("an idle connection to the second relay does not stand in the way of the first", async () => {
    const down = await ScriptedRelay.start();
    const { port } = down;
    down.stop();
    const second = await ScriptedRelay.start();
    const proxy = new TestProxy([port, second.port], {
      pool: { connectionsMax: 1, idleTimeoutMs: 10 * restMs },
    });
    expect(await proxy.mail(body)).toStartWith("250");
    const first = await ScriptedRelay.start({ port });
    proxy.network.skewMs = restMs + 1;
    expect(await proxy.mail(body)).toStartWith("250");
    expect(first.mails.length).toBe(1);
    await proxy.stop();
    first.stop();
    second.stop();
  });
});

describe("idle clients of a few addresses", () => {
  test("do not hold all relay connections; the log says once that they are scarce, and when that is over", async () => {
    const relay = await ScriptedRelay.start();
    const proxy = new TestProxy([relay.port], {
      pool: { connectionsMax: 50, connectTimeoutMs: 60_000 },
      policy: { commandTimeoutMs: 60_000 },
      server: { trusted: new AddressSet([]), maxConnectionsPerClient: 20 },
    });
    const idlers: ScriptedClient[] = [];
    for (let index = 0; index < 51; index += 1) {
      const client = await ScriptedClient.greeted(proxy.port, `127.1.${index % 3}.1`);
      await client.ask("MAIL FROM:<idle@example.com>");
      client.say("RCPT TO:<someone@example.org>\r\n");
      idlers.push(client);
    }
    await eventually(() => relay.talks.length === 38, "three quarters are held");
    await eventually(() => proxy.server.waitingForRelay === 13, "the others wait");
    for (let mails = 0; mails < 5; mails += 1) {
      const honest = await ScriptedClient.greeted(proxy.port, `127.2.${mails}.1`);
      expect(await honest.mail(body)).toStartWith("250");
      await honest.quit();
    }
    const pressure = (): unknown[] => proxy.events.filter(({ event }) => event.startsWith("relay-pressure"));
    expect(pressure()).toMatchObject([
      {
        event: "relay-pressure",
        connectionsMax: 50,
        held: 38,
        networks: expect.stringMatching(/=13 .*=13 .*=12$/),
      },
    ]);
    for (const client of idlers) client.rst();
    await eventually(() => proxy.server.sessions === 0, "all have left");
    expect(pressure()).toMatchObject([{}, { event: "relay-pressure-over", connectionsMax: 50 }]);
    await proxy.stop();
    relay.stop();
  });

  test("lose them once they are scarce, one by one until they are not", async () => {
    const relay = await ScriptedRelay.start();
    const proxy = new TestProxy([relay.port], {
      pool: { connectionsMax: 4, connectTimeoutMs: 60_000 },
      policy: { commandTimeoutMs: 300_000 },
    });
    const idle = [await hasRecipient(proxy), await hasRecipient(proxy)];
    proxy.network.skewMs = pressureMsMax + 1;
    const busy = await hasRecipient(proxy);
    await eventually(() => proxy.server.sessions === 2, "one is gone");
    expect(idle.filter(({ client }) => client.heard.includes("\r\n421 4.4.2 ")).length).toBe(1);
    expect(proxy.events.map(({ event }) => event)).toContain("relay-pressure-over");
    expect(await busy.client.ask("DATA")).toStartWith("354");
    expect(await busy.client.ask(`${body}.`)).toStartWith("250");
    for (const { client } of [...idle, busy]) client.rst();
    await proxy.stop();
    relay.stop();
  });
});

describe("which relay", () => {
  test("the list in order; one that failed rests, and is preferred again afterwards", async () => {
    const down = await ScriptedRelay.start();
    const { port } = down;
    down.stop();
    const second = await ScriptedRelay.start();
    const proxy = new TestProxy([port, second.port]);
    expect(await proxy.mail(body)).toStartWith("250");
    expect(await proxy.mail(body)).toStartWith("250");
    expect(second.mails.length).toBe(2);
    expect(proxy.network.dialled).toEqual([`127.0.0.1 ${port}`, `127.0.0.1 ${second.port}`]);
    const first = await ScriptedRelay.start({ port });
    expect(await proxy.mail(body)).toStartWith("250");
    expect(first.mails.length).toBe(0);
    proxy.network.skewMs = restMs + 1;
    expect(await proxy.mail(body)).toStartWith("250");
    expect(first.mails.length).toBe(1);
    await proxy.stop();
    first.stop();
    second.stop();
  });

  test("all are down: 451 4.4.1, each was tried; up again: taken although it rests", async () => {
    const [one, two] = [await ScriptedRelay.start(), await ScriptedRelay.start()];
    const ports = [one.port, two.port];
    one.stop();
    two.stop();
    const proxy = new TestProxy(ports);
    expect(await proxy.mail(body)).toMatch(/^451 4\.4\.1 /);
    expect(proxy.network.dialled.length).toBe(2);
    expect(proxy.events.filter(({ event }) => event === "relay-failed").length).toBe(2);
    const again = await ScriptedRelay.start({ port: ports[1] ?? 0 });
    expect(await proxy.mail(body)).toStartWith("250");
    const recovered = proxy.events.flatMap((event) => (event.event === "relay-recovered" ? [event] : []));
    expect(recovered).toMatchObject([{ relay: `127.0.0.1:${ports[1]}`, failures: 1 }]);
    expect(await proxy.mail(body)).toStartWith("250");
    expect(proxy.events.filter(({ event }) => event === "relay-recovered").length).toBe(1);
    await proxy.stop();
    again.stop();
  });

  test.each([
    ["refuses with 554", "554 5.7.1 go away\r\n"],
    ["greets with 421", "421 4.3.2 busy\r\n"],
    ["is no SMTP", "HTTP/1.1 400 Bad Request\r\n"],
  ])("a first relay that %s is passed over", async (_name, say) => {
    const first = await ScriptedRelay.start({ script: (step) => (step === "connect" ? { say } : undefined) });
    const second = await ScriptedRelay.start();
    const proxy = new TestProxy([first.port, second.port]);
    expect(await proxy.mail(body)).toStartWith("250");
    expect(second.mails.length).toBe(1);
    await proxy.stop();
    first.stop();
    second.stop();
  });

  test("every address of a name is tried, IPv6 and IPv4", async () => {
    const relay = await ScriptedRelay.start();
    const proxy = new TestProxy([], { pool: { relays: [{ host: "relay.test", port: relay.port }] } });
    proxy.network.names = { "relay.test": ["::1", "127.0.0.2", "127.0.0.1"] };
    expect(await proxy.mail(body)).toStartWith("250");
    expect(proxy.network.dialled).toEqual([
      `::1 ${relay.port}`,
      `127.0.0.2 ${relay.port}`,
      `127.0.0.1 ${relay.port}`,
    ]);
    expect(proxy.transactions[0]?.relay).toBe(`relay.test:${relay.port} [127.0.0.1]`);
    await proxy.stop();
    relay.stop();
  });

  test("an IPv6 relay", async () => {
    const relay = await ScriptedRelay.start({ host: "::1" });
    const proxy = new TestProxy([], { pool: { relays: [{ host: "::1", port: relay.port }] } });
    expect(await proxy.mail(body)).toStartWith("250");
    expect(proxy.transactions[0]?.relay).toBe(`[::1]:${relay.port}`);
    await proxy.stop();
    relay.stop();
  });

  test("a name that does not exist: 451 4.4.1", async () => {
    const proxy = new TestProxy([], { pool: { relays: [{ host: "nowhere.invalid", port: 25 }] } });
    expect(await proxy.mail(body)).toMatch(/^451 4\.4\.1 /);
    await proxy.stop();
  });
});

describe("a relay that is ourselves", () => {
  test("is found at the first mail, which goes round once, and not dialled for the next", async () => {
    const relays = [{ host: "127.0.0.1", port: 0 }];
    const proxy = new TestProxy([], { pool: { relays } });
    const [relay] = relays;
    if (relay !== undefined) relay.port = proxy.port;
    for (let mails = 0; mails < 5; mails += 1) expect(await proxy.mail(body)).toStartWith("451 4.4.1 ");
    expect(proxy.network.dialled.length).toBe(1);
    expect(proxy.transactions.map(({ reason }) => reason?.slice(0, 4))).toEqual(Array(5).fill("loop"));
    const lines = proxy.events.map(({ event }) => event);
    expect(lines.filter((event) => event === "relay-loop").length).toBe(1);
    await eventually(() => proxy.server.sessions === 0, "all have left");
    // Of the first mail: its session, what it was told, and the session that it made.
    expect(proxy.events.length).toBeLessThan(5 * 4 + 4);
    await proxy.stop();
  });
});

describe("a relay that refuses us", () => {
  /** Mails one behind the other for so long; returns how many were told 451 4.4.1. */
  async function hammer(proxy: TestProxy, forMs: number): Promise<number> {
    let told = 0;
    for (const end = performance.now() + forMs; performance.now() < end; told += 1) {
      expect(await proxy.mail(body)).toStartWith("451 4.4.1 ");
    }
    return told;
  }

  test("by our credentials is not asked for every mail, and taken again when it likes them", async () => {
    const relay = await ScriptedRelay.start({ certificate, auth: "PLAIN" });
    relay.script = (step) => (step === "AUTH" ? { say: "535 5.7.8 bad credentials\r\n" } : undefined);
    const proxy = new TestProxy([relay.port], {
      pool: { tls: "required", credentials: { username: "me", password: "secret" } },
    });
    expect(await hammer(proxy, 2_000)).toBeGreaterThan(10);
    const logins = relay.talks.flatMap(({ lines }) => lines.filter((line) => line.startsWith("AUTH")));
    expect(logins.length).toBeLessThanOrEqual(2);
    expect(proxy.transactions.at(-1)?.reason).toMatch(/535 5\.7\.8 bad credentials \(not tried again for/);
    relay.script = undefined;
    proxy.network.skewMs = 10_000;
    expect(await proxy.mail(body)).toStartWith("250");
    await proxy.stop();
    relay.stop();
  });

  test.each([
    ["421 at the greeting", "421 4.3.2 too busy\r\n"],
    ["554 at the greeting", "554 5.7.1 go away\r\n"],
  ])("by %s is not dialled for every mail", async (_name, say) => {
    const relay = await ScriptedRelay.start({
      script: (step) => (step === "connect" ? { say, after: "fin" } : undefined),
    });
    const proxy = new TestProxy([relay.port]);
    expect(await hammer(proxy, 2_000)).toBeGreaterThan(10);
    expect(relay.talks.length).toBeLessThanOrEqual(3);
    relay.script = undefined;
    proxy.network.skewMs = 10_000;
    const mails = Array.from({ length: 5 }, () => proxy.mail(body));
    const replies = await Promise.all(mails);
    expect(replies.filter((reply) => reply.startsWith("250")).length).toBeGreaterThanOrEqual(1);
    expect(await proxy.mail(body)).toStartWith("250");
    await proxy.stop();
    relay.stop();
  });
});

describe("TLS to the relay", () => {
  test("opportunistic: used when offered, whoever vouches for it", async () => {
    const relay = await ScriptedRelay.start({ certificate });
    const proxy = new TestProxy([relay.port], { pool: { tls: "opportunistic" } });
    expect(await proxy.mail(body)).toStartWith("250");
    expect(relay.mails.map(({ secured }) => secured)).toEqual([true]);
    expect(proxy.transactions[0]?.relayTls).toMatch(/^TLSv1\.3 /);
    await proxy.stop();
    relay.stop();
  });

  test("opportunistic: a failed handshake is dialled again in plain text, at once", async () => {
    const relay = await ScriptedRelay.start({ certificate });
    relay.catchesHello = true;
    relay.script = (step) =>
      step === "handshake" ? { say: "454 4.7.0 no TLS after all\r\n", after: "fin" } : undefined;
    const proxy = new TestProxy([relay.port], { pool: { tls: "opportunistic" } });
    expect(await proxy.mail(body)).toStartWith("250");
    expect(relay.talks.length).toBe(2);
    expect(relay.mails.map(({ secured }) => secured)).toEqual([false]);
    expect(relay.last.lines).not.toContain("STARTTLS");
    await proxy.stop();
    relay.stop();
  });

  test.each<[string, Script]>([
    ["closes on STARTTLS", (step) => (step === "STARTTLS" ? { after: "fin" } : undefined)],
    ["resets on STARTTLS", (step) => (step === "STARTTLS" ? { after: "rst" } : undefined)],
    [
      "says 421 to STARTTLS",
      (step) => (step === "STARTTLS" ? { say: "421 4.7.0 no\r\n", after: "fin" } : undefined),
    ],
    [
      "closes right behind the handshake",
      (step, count, { secured }) =>
        step === "EHLO" && count === 2 && secured ? { after: "fin" } : undefined,
    ],
    [
      "resets right behind the handshake",
      (step, count, { secured }) =>
        step === "EHLO" && count === 2 && secured ? { after: "rst" } : undefined,
    ],
  ])("opportunistic: a relay that %s gets the mail without TLS, for an hour", async (_name, script) => {
    const relay = await ScriptedRelay.start({ certificate, script });
    const proxy = new TestProxy([relay.port], { pool: { tls: "opportunistic", idleTimeoutMs: 0 } });
    for (let mail = 0; mail < 2; mail += 1) expect(await proxy.mail(body)).toStartWith("250");
    expect(relay.mails.map(({ secured }) => secured)).toEqual([false, false]);
    expect(relay.talks.map(({ lines }) => lines.includes("STARTTLS"))).toEqual([true, false, false]);
    const failed = proxy.events.filter(({ event }) => event === "relay-failed");
    expect(failed.map((event) => "reason" in event && event.reason)).toEqual([
      expect.stringMatching(/^TLS with the relay failed /),
    ]);
    relay.script = undefined;
    proxy.network.skewMs = 3_600_000;
    expect(await proxy.mail(body)).toStartWith("250");
    expect(relay.mails.map(({ secured }) => secured)).toEqual([false, false, true]);
    await proxy.stop();
    relay.stop();
  });

  test.each(["required", "verify"] as const)("%s: never in plain text", async (tls) => {
    const relay = await ScriptedRelay.start({ certificate });
    relay.catchesHello = true;
    relay.script = (step) => (step === "handshake" ? { after: "rst" } : undefined);
    const plain = await ScriptedRelay.start();
    const proxy = new TestProxy([relay.port, plain.port], { pool: { tls } });
    expect(await proxy.mail(body)).toMatch(/^451 4\.4\.1 /);
    for (const talk of [...relay.talks, ...plain.talks]) expect(talk.text).not.toContain("MAIL");
    await proxy.stop();
    relay.stop();
    plain.stop();
  });

  test("verify: refuses an authority that is not ours, takes one that is", async () => {
    const relay = await ScriptedRelay.start({ certificate });
    const stranger = new TestProxy([relay.port], { pool: { tls: "verify" } });
    expect(await stranger.mail(body)).toMatch(/^451 4\.4\.1 /);
    await stranger.stop();
    const authorities = [await Bun.file(authority.pem).text()];
    const proxy = new TestProxy([relay.port], { pool: { tls: "verify", authorities } });
    expect(await proxy.mail(body)).toStartWith("250");
    expect(relay.mails.map(({ secured }) => secured)).toEqual([true]);
    await proxy.stop();
    relay.stop();
  });

  test("implicit: from the first octet", async () => {
    const relay = await ScriptedRelay.start({ certificate, implicit: true });
    const authorities = [await Bun.file(authority.pem).text()];
    const proxy = new TestProxy([relay.port], { pool: { tls: "implicit", authorities } });
    expect(await proxy.mail(body)).toStartWith("250");
    expect(relay.mails.map(({ secured }) => secured)).toEqual([true]);
    await proxy.stop();
    relay.stop();
  });

  test("one relay by smtps:// beside another that has no TLS", async () => {
    const relay = await ScriptedRelay.start({ certificate, implicit: true });
    const plain = await ScriptedRelay.start({});
    const authorities = [await Bun.file(authority.pem).text()];
    const relays = [
      { host: "127.0.0.1", port: relay.port, tls: "implicit" as const },
      { host: "127.0.0.1", port: plain.port },
    ];
    const proxy = new TestProxy([], {
      pool: { tls: "opportunistic", authorities, relays, idleTimeoutMs: 0 },
    });
    expect(await proxy.mail(body)).toStartWith("250");
    relay.stop();
    expect(await proxy.mail(body)).toStartWith("250");
    expect([relay, plain].map(({ mails }) => mails.map(({ secured }) => secured))).toEqual([[true], [false]]);
    await proxy.stop();
    plain.stop();
  });

  test.each(["PLAIN", "LOGIN", "CRAM-MD5 LOGIN PLAIN"])("AUTH %s, over TLS", async (auth) => {
    const relay = await ScriptedRelay.start({ certificate, auth });
    const credentials = { username: "me", password: "s3cret" };
    const proxy = new TestProxy([relay.port], { pool: { tls: "required", credentials } });
    expect(await proxy.mail(body)).toStartWith("250");
    expect(relay.last.lines.some((line) => line.startsWith("AUTH "))).toBe(true);
    expect(JSON.stringify(proxy.events)).not.toContain("s3cret");
    await proxy.stop();
    relay.stop();
  });

  test.each(["opportunistic", "required", "verify"] as const)(
    "%s: AUTH never travels in plain text, however it is offered",
    async (tls) => {
      const credentials = { username: "me", password: "s3cret" };
      const secret = Buffer.from("\0me\0s3cret").toString("base64");
      const plain = await ScriptedRelay.start({ auth: "PLAIN LOGIN", authInPlain: true });
      const broken = await ScriptedRelay.start({ certificate, auth: "PLAIN LOGIN", authInPlain: true });
      broken.catchesHello = true;
      broken.script = (step) => (step === "handshake" ? { after: "rst" } : undefined);
      const refusing = await ScriptedRelay.start({
        certificate,
        auth: "PLAIN LOGIN",
        authInPlain: true,
        script: (step) => (step === "STARTTLS" ? { say: "454 4.7.0 not now\r\n" } : undefined),
      });
      const relays = [plain, broken, refusing];
      const proxy = new TestProxy(
        relays.map(({ port }) => port),
        { pool: { tls, credentials } },
      );
      expect(await proxy.mail(body)).toMatch(/^451 4\.4\.1 /);
      for (const talk of relays.flatMap(({ talks }) => talks)) {
        expect(talk.text).not.toContain("AUTH");
        expect(talk.text).not.toContain(secret);
        expect(talk.text).not.toContain("MAIL");
      }
      await proxy.stop();
      for (const relay of relays) relay.stop();
    },
  );

  test("octets behind the relay's reply to STARTTLS are never taken for TLS's", async () => {
    const relay = await ScriptedRelay.start({ certificate });
    relay.catchesHello = true;
    relay.script = (step) =>
      step === "STARTTLS" ? { say: "220 go\r\n250-injected\r\n250 AUTH PLAIN\r\n" } : undefined;
    const proxy = new TestProxy([relay.port], { pool: { tls: "required" } });
    expect(await proxy.mail(body)).toMatch(/^451 4\.4\.[12] /);
    expect(relay.talks.every(({ text }) => !text.includes("MAIL"))).toBe(true);
    await proxy.stop();
    relay.stop();
  });
});
