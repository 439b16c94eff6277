/**
 * Our own faults end one session and not the program: 421 4.3.0, the stack in the log, the relay connection dropped
 * without the dot, everybody else untouched. And MAX_CONNECTIONS.
 */
import { describe, expect, test } from "bun:test";
import { behindTrace, descriptors, eventually, ScriptedClient, ScriptedRelay, TestProxy } from "./support.ts";

const body = "Subject: x\r\n\r\nx\r\n";

/** A VALID_RECIPIENTS with a bug in it. */
const faulty = {
  test(address: string): boolean {
    if (address.startsWith("bug")) throw new Error("this pattern has a bug");
    return true;
  },
};

/** A bystander in the middle of its mail data, who has to come through. */
async function inMailData(proxy: TestProxy): Promise<ScriptedClient> {
  const client = await ScriptedClient.greeted(proxy.port);
  await client.ask("MAIL FROM:<sender@example.com>");
  await client.ask("RCPT TO:<someone@example.org>");
  expect(await client.ask("DATA")).toStartWith("354");
  client.say("Subject: bystander\r\n\r\n");
  return client;
}

async function expectUnharmed(
  bystander: ScriptedClient,
  proxy: TestProxy,
  relay: ScriptedRelay,
): Promise<void> {
  expect(await bystander.ask("x\r\n.")).toStartWith("250");
  await bystander.quit();
  expect(behindTrace(relay.mails.at(-1)?.body ?? Buffer.alloc(0))).toBe("Subject: bystander\r\n\r\nx\r\n");
  expect(await proxy.mail(body)).toStartWith("250");
  await proxy.stop();
  await eventually(() => relay.open === 0, "no connection is left");
}

describe("a fault in one session", () => {
  test("before the relay is asked", async () => {
    const relay = await ScriptedRelay.start();
    const proxy = new TestProxy([relay.port], { policy: { validRecipients: faulty } });
    const bystander = await inMailData(proxy);
    const client = await ScriptedClient.greeted(proxy.port);
    await client.ask("MAIL FROM:<sender@example.com>");
    expect(await client.ask("RCPT TO:<bug@example.org>")).toMatch(/^421 4\.3\.0 /);
    await eventually(() => client.ended, "the session is closed");
    client.fin();
    expect(proxy.stacks.length).toBe(1);
    expect(proxy.stacks[0]).toMatch(/this pattern has a bug[\s\S]*faults\.test\.ts/);
    await eventually(() => proxy.server.sessions === 1, "only the bystander is left");
    expect(proxy.transactions.length).toBe(1);
    await expectUnharmed(bystander, proxy, relay);
    relay.stop();
  });

  test("with a relay connection: dropped, not kept", async () => {
    const relay = await ScriptedRelay.start();
    const proxy = new TestProxy([relay.port], { policy: { validRecipients: faulty } });
    const bystander = await inMailData(proxy);
    const client = await ScriptedClient.greeted(proxy.port);
    await client.ask("MAIL FROM:<sender@example.com>");
    expect(await client.ask("RCPT TO:<good@example.org>")).toStartWith("250");
    const talk = relay.last;
    expect(await client.ask("RCPT TO:<bug@example.org>")).toMatch(/^421 4\.3\.0 /);
    await eventually(() => !talk.open, "the relay connection is dropped");
    expect(talk.lines.slice(-2)).toEqual(["MAIL FROM:<sender@example.com>", "RCPT TO:<good@example.org>"]);
    expect(proxy.transactions.length).toBe(1);
    client.fin();
    await expectUnharmed(bystander, proxy, relay);
    relay.stop();
  });

  test("with RCPT unanswered by the relay, and everything pipelined", async () => {
    const relay = await ScriptedRelay.start();
    const proxy = new TestProxy([relay.port], { policy: { validRecipients: faulty } });
    const bystander = await inMailData(proxy);
    relay.script = (step, _count, { number }) => (step === "RCPT" && number > 1 ? {} : undefined);
    const client = await ScriptedClient.greeted(proxy.port);
    await client.ask("MAIL FROM:<sender@example.com>");
    client.say("RCPT TO:<good@example.org>\r\nRCPT TO:<bug@example.org>\r\nDATA\r\n");
    expect(await client.reply()).toMatch(/^421 4\.3\.0 /);
    await eventually(() => client.ended, "the session is closed");
    client.fin();
    await eventually(() => proxy.server.sessions === 1, "only the bystander is left");
    relay.script = undefined;
    await expectUnharmed(bystander, proxy, relay);
    relay.stop();
  });

  test("in the middle of mail data: no dot", async () => {
    const relay = await ScriptedRelay.start();
    const proxy = new TestProxy([relay.port]);
    const bystander = await inMailData(proxy);
    const client = await inMailData(proxy);
    const talk = relay.last;
    await eventually(() => talk.bodyText.includes("bystander\r\n"), "the relay has the first part");
    // The next to look at the clock is the client's connection.
    proxy.network.clockFails = 1;
    client.say("x\r\n.\r\n");
    expect(await client.reply()).toMatch(/^421 4\.3\.0 /);
    await eventually(() => !talk.open, "the relay connection is dropped");
    expect(talk.dots).toBe(0);
    expect(proxy.stacks.length).toBe(1);
    await eventually(() => proxy.transactions.length === 1, "the outcome is logged");
    expect(proxy.outcomes).not.toContain("relayed");
    client.fin();
    await expectUnharmed(bystander, proxy, relay);
    relay.stop();
  });

  test("in the relay connection: the client hears 4yz, the connection is dropped", async () => {
    const relay = await ScriptedRelay.start();
    const proxy = new TestProxy([relay.port], { pool: { connectionsMax: 2 } });
    proxy.network.holdable = true;
    const bystander = await inMailData(proxy);
    for (let i = 0; i < 3; i += 1) {
      const client = await ScriptedClient.greeted(proxy.port);
      await client.ask("MAIL FROM:<sender@example.com>");
      await client.ask("RCPT TO:<someone@example.org>");
      const held = proxy.network.held.at(-1);
      if (held === undefined) throw new Error("the relay was dialled");
      held.writeFails = true;
      expect(await client.ask("DATA")).toMatch(/^4[25]1 4\.3\.0 /);
      await eventually(() => relay.open === 1, "the connection is dropped");
      client.rst();
      await eventually(() => proxy.server.sessions === 1, "only the bystander is left");
    }
    expect(proxy.stacks.length).toBe(3);
    await expectUnharmed(bystander, proxy, relay);
    relay.stop();
  });

  test("in dialling: the client hears 4yz, nothing is leaked, the program lives", async () => {
    const relay = await ScriptedRelay.start();
    const proxy = new TestProxy([relay.port], { pool: { connectionsMax: 2 } });
    const escaped: unknown[] = [];
    const note = (error: unknown): void => void escaped.push(error);
    process.on("unhandledRejection", note);
    process.on("uncaughtException", note);
    try {
      const bystander = await inMailData(proxy);
      proxy.network.onDial = () => {
        throw new Error("dialling has a bug");
      };
      for (let i = 0; i < 3; i += 1) {
        const client = await ScriptedClient.greeted(proxy.port);
        await client.ask("MAIL FROM:<sender@example.com>");
        client.say("RCPT TO:<someone@example.org>\r\n");
        expect(await client.reply(1_500)).toMatch(/^4[25]1 4\.3\.0 /);
        client.rst();
      }
      proxy.network.onDial = () => {};
      await eventually(() => proxy.server.sessions === 1, "only the bystander is left");
      expect(proxy.stacks.length).toBe(3);
      expect(escaped).toEqual([]);
      await expectUnharmed(bystander, proxy, relay);
    } finally {
      process.off("unhandledRejection", note);
      process.off("uncaughtException", note);
      relay.stop();
    }
  });
});

describe("MAX_CONNECTIONS", () => {
  test("beyond it 421 4.3.2 and closed; a place that came free is given again", async () => {
    const relay = await ScriptedRelay.start();
    const proxy = new TestProxy([relay.port], { maxConnections: 3 });
    const clients = await Promise.all([1, 2, 3].map(() => ScriptedClient.greeted(proxy.port)));
    for (let i = 0; i < 5; i += 1) {
      const refused = await ScriptedClient.connect(proxy.port);
      expect(await refused.reply()).toMatch(/^421 4\.3\.2 /);
      await eventually(() => refused.ended, "it is closed");
      refused.fin();
    }
    expect(proxy.server.sessions).toBe(3);
    const [first, ...others] = clients;
    await first?.quit();
    await eventually(() => proxy.server.sessions === 2, "a place is free");
    expect(await proxy.mail(body)).toStartWith("250");
    for (const client of others) await client.quit();
    expect(proxy.events.filter(({ event }) => event === "connection-refused").length).toBe(5);
    await proxy.stop();
    relay.stop();
  });

  test("those who are sent away, and do not go, hold a bounded number of descriptors", async () => {
    const proxy = new TestProxy([1], { maxConnections: 50 });
    const before = descriptors();
    const clients = await Promise.all(Array.from({ length: 400 }, () => ScriptedClient.connect(proxy.port)));
    const greetings = await Promise.all(clients.map((client) => client.reply()));
    expect(greetings.filter((greeting) => greeting.startsWith("421 4.3.2")).length).toBe(350);
    // Both ends are in this process.
    expect(descriptors() - before - clients.length).toBeLessThanOrEqual(2 * 50);
    for (const client of clients) client.rst();
    await proxy.stop();
  });

  test("three hundred that are reset as soon as they are connected leave nothing", async () => {
    const relay = await ScriptedRelay.start();
    const proxy = new TestProxy([relay.port], { maxConnections: 50 });
    const before = descriptors();
    for (let round = 0; round < 10; round += 1) {
      const clients = await Promise.all(Array.from({ length: 30 }, () => ScriptedClient.connect(proxy.port)));
      for (const client of clients) {
        client.say("EHLO x\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\n");
        client.rst();
      }
    }
    await eventually(() => proxy.server.sessions === 0, "all have left");
    await eventually(() => descriptors() <= before + 20, "no descriptor is left but idle ones");
    for (const outcome of proxy.outcomes) expect(outcome).toBe("abandoned");
    expect(await proxy.mail(body)).toStartWith("250");
    await proxy.stop();
    await eventually(() => relay.open === 0, "no relay connection is left");
    await eventually(() => descriptors() <= before, "no descriptor is left");
    relay.stop();
  });

  test("five hundred at once: as many are served as may be, the others are told", async () => {
    const relay = await ScriptedRelay.start();
    const proxy = new TestProxy([relay.port], { maxConnections: 50 });
    const clients = await Promise.all(Array.from({ length: 500 }, () => ScriptedClient.connect(proxy.port)));
    const greetings = await Promise.all(clients.map((client) => client.reply()));
    expect(greetings.filter((greeting) => greeting.startsWith("220")).length).toBe(50);
    expect(greetings.filter((greeting) => greeting.startsWith("421 4.3.2")).length).toBe(450);
    for (const client of clients) client.rst();
    await eventually(() => proxy.server.sessions === 0, "all have left");
    expect(await proxy.mail(body)).toStartWith("250");
    await proxy.stop();
    relay.stop();
  });
});
