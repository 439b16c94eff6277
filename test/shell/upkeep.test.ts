/**
 * What a proxy keeps from one session to the next, over and over: counts that come back to where they were, a relay's
 * offer, peers that are held back each time they have to be and read again, and nothing that outlives a shutdown.
 * Not here: which relay connection is taken, and when it is over (pool.test.ts).
 */
import { expect, test } from "bun:test";
import { pauseRules } from "../../src/relay/pauses.ts";
import { AddressSet } from "../../src/screening/addresses.ts";
import { readBurstOctets, readOctetsPerSecond } from "../../src/screening/tarpit.ts";
import { leavingMax } from "../../src/shell/server.ts";
import { eventually, ScriptedClient, ScriptedRelay, TestProxy } from "./support.ts";

const body = "Subject: x\r\n\r\nx\r\n";

async function atRcpt(proxy: TestProxy): Promise<ScriptedClient> {
  const client = await ScriptedClient.greeted(proxy.port);
  await client.ask("MAIL FROM:<sender@example.com>");
  await client.ask("RCPT TO:<someone@example.org>");
  return client;
}

test("failed dials take no place of RELAY_MAX_CONNECTIONS", async () => {
  const down = await ScriptedRelay.start();
  const { port } = down;
  down.stop();
  const proxy = new TestProxy([port], { pool: { connectionsMax: 2 } });
  for (let mails = 0; mails < 5; mails += 1) expect(await proxy.mail(body)).toStartWith("451 4.4.1 ");
  const up = await ScriptedRelay.start({ port });
  proxy.network.skewMs = pauseRules.connection.longestMs;
  expect(await proxy.mail(body)).toStartWith("250");
  await proxy.stop();
  up.stop();
});

test("what the relay offered is offered from the next EHLO on", async () => {
  const relay = await ScriptedRelay.start({ keywords: ["SIZE 4711", "SMTPUTF8", "DSN", "8BITMIME"] });
  const proxy = new TestProxy([relay.port]);
  const client = await ScriptedClient.connect(proxy.port);
  await client.reply();
  const before = await client.ask("EHLO client.test");
  expect(before).not.toContain("SIZE 4711");
  expect(before).toMatch(/SMTPUTF8\n250 DSN$/);
  expect(await client.mail(body)).toStartWith("250");
  const after = await client.ask("EHLO client.test");
  expect(after.split("\n").map((line) => line.slice("250-".length))).toEqual(
    expect.arrayContaining(["SIZE 4711", "SMTPUTF8", "DSN"]),
  );
  await client.quit();
  await proxy.stop();
  relay.stop();
});

test("relays asked at the start: the first client is offered what the first relay offers", async () => {
  const [first, second] = [
    await ScriptedRelay.start({ keywords: ["SIZE 4711", "SMTPUTF8"] }),
    await ScriptedRelay.start({ keywords: ["DSN"] }),
  ];
  const proxy = new TestProxy([first.port, second.port]);
  await proxy.server.askRelays(5_000);
  const client = await ScriptedClient.connect(proxy.port);
  await client.reply();
  const offered = await client.ask("EHLO client.test");
  expect(offered).toContain("SIZE 4711");
  expect(offered).toContain("SMTPUTF8");
  expect(offered).not.toContain("DSN");
  expect(await client.mail(body)).toStartWith("250");
  expect([first.talks.length, second.talks.length]).toEqual([1, 1]);
  await client.quit();
  await proxy.stop();
  await eventually(() => first.open + second.open === 0, "what was kept is ended");
  for (const relay of [first, second]) relay.stop();
});

test("a relay that cannot be asked holds nobody up, and counts as offering SMTPUTF8 and DSN", async () => {
  const silent = await ScriptedRelay.start({ script: (step) => (step === "connect" ? {} : undefined) });
  const gone = await ScriptedRelay.start();
  const { port } = gone;
  gone.stop();
  for (const ports of [[port], [silent.port], [port, silent.port]]) {
    const proxy = new TestProxy(ports);
    const startedAt = performance.now();
    await proxy.server.askRelays(200);
    expect(performance.now() - startedAt).toBeLessThan(1_500);
    const client = await ScriptedClient.connect(proxy.port);
    await client.reply();
    expect(await client.ask("EHLO client.test")).toMatch(/SMTPUTF8\n250 DSN$/);
    await client.quit();
    await proxy.stop();
  }
  await eventually(() => silent.open === 0, "the dials are called off");
  silent.stop();
});

test("a client is held back each time the relay does not read, not the first time alone", async () => {
  const relay = await ScriptedRelay.start({ keep: false });
  const proxy = new TestProxy([relay.port]);
  proxy.network.holdable = true;
  const client = await atRcpt(proxy);
  expect(await client.ask("DATA")).toStartWith("354");
  const [held] = proxy.network.held;
  if (held === undefined) throw new Error("no relay was dialled");
  // More than the kernel's buffers take.
  const wave = Buffer.from("0123456789abcdef\r\n".repeat(1_500_000));
  for (let waves = 0; waves < 3; waves += 1) {
    held.holding = true;
    client.say(wave);
    let [unsent, looks] = [-1, 0];
    await eventually(() => {
      looks = client.unsent === unsent ? looks + 1 : 0;
      unsent = client.unsent;
      return looks > 50 && unsent > 0;
    }, "the client is held back");
    expect(held.queuedOctets).toBeWithin(1, wave.length / 10);
    held.letGo();
    await eventually(() => client.unsent === 0, "the client is read again");
  }
  expect(await client.ask(".")).toStartWith("250");
  expect(relay.mails.map(({ octets }) => octets > 3 * wave.length)).toEqual([true]);
  await client.quit();
  await proxy.stop();
  relay.stop();
});

test("what a client says behind a big mail is heard, though the mail's memory is given back", async () => {
  const relay = await ScriptedRelay.start();
  const proxy = new TestProxy([relay.port]);
  const client = await atRcpt(proxy);
  expect(await client.ask("DATA")).toStartWith("354");
  client.say(`${body}${"0123456789abcdef\r\n".repeat(1_000)}.\r\nHELP\r\n`);
  expect(await client.reply()).toStartWith("250 2.0.0 queued");
  expect(await client.reply()).toStartWith("214 ");
  await client.quit();
  await proxy.stop();
  relay.stop();
});

test("however many were sent away, the next one is told and not reset", async () => {
  const relay = await ScriptedRelay.start();
  const proxy = new TestProxy([relay.port], { maxConnections: 1 });
  const first = await ScriptedClient.greeted(proxy.port);
  for (let sentAway = 0; sentAway < leavingMax + 3; sentAway += 1) {
    const client = await ScriptedClient.connect(proxy.port);
    expect(await client.reply()).toStartWith("421 4.3.2 ");
    await eventually(() => client.ended, "the proxy's FIN came, and no reset");
    client.fin();
    await eventually(() => client.closed, "it has left");
  }
  await first.quit();
  await proxy.stop();
  relay.stop();
});

test("an offender that sent too much is read again, and heard when it hangs up", async () => {
  const relay = await ScriptedRelay.start();
  const proxy = new TestProxy([relay.port], {
    screening: { greetingDelayMs: 5_000 },
    server: { trusted: new AddressSet([]), tarpitDurationMs: 60_000 },
  });
  const client = await ScriptedClient.connect(proxy.port);
  client.say("HELO early.example\r\n");
  await eventually(() => proxy.server.tarpitted === 1, "it is held");
  // Read no more for a second.
  client.say(Buffer.alloc(readBurstOctets + readOctetsPerSecond, "x"));
  client.fin();
  await eventually(() => proxy.server.tarpitted === 0, "it is let go");
  const ends = proxy.events.flatMap((event) => (event.event === "tarpit" ? [event.end] : []));
  expect(ends).toEqual(["closed by the client"]);
  await proxy.stop();
  relay.stop();
});

test("a shutdown lets those go who are held in the tarpit", async () => {
  const relay = await ScriptedRelay.start();
  const proxy = new TestProxy([relay.port], {
    screening: { greetingDelayMs: 5_000 },
    server: { trusted: new AddressSet([]), tarpitDurationMs: 60_000 },
  });
  const client = await ScriptedClient.connect(proxy.port);
  client.say("HELO early.example\r\n");
  await eventually(() => proxy.server.tarpitted === 1, "it is held");
  await proxy.server.shutdown(0);
  expect(proxy.server.tarpitted).toBe(0);
  await eventually(() => client.closed, "it is let go");
  await eventually(() => proxy.network.timers === 0, "the loop has ended");
  relay.stop();
});

test("the relay connection of a shutdown's last mail is ended by QUIT", async () => {
  const relay = await ScriptedRelay.start();
  const proxy = new TestProxy([relay.port]);
  const client = await atRcpt(proxy);
  const down = proxy.server.shutdown(5_000);
  expect(await client.ask("DATA")).toStartWith("354");
  expect(await client.ask(`${body}.`)).toStartWith("250");
  expect(await down).toBe(0);
  await eventually(() => relay.open === 0, "no relay connection is left");
  expect(relay.last.lines.at(-1)).toBe("QUIT");
  client.fin();
  relay.stop();
});
