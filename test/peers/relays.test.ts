/** Relays that are dead, silent, restarted or simple-minded. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { clients, needsClients, post } from "./support/clients.ts";
import { expectSame } from "./support/compare.ts";
import { corpus, headed, oneOctet } from "./support/messages.ts";
import { needsPostfix, Postfix } from "./support/postfix.ts";
import { ProxyUnderTest, proxyName } from "./support/proxy.ts";
import { Sink } from "./support/sink.ts";
import { needsSmtpSink, SmtpSink } from "./support/smtp-sink.ts";
import { needsPython, SmtplibClient, sendOne } from "./support/smtplib.ts";
import { withPeers } from "./support/suite.ts";
import { eventually, freePort, Workplace } from "./support/workplace.ts";

const from = "author@client.test";
const trace = ["relay.test", proxyName];
const message = headed("hello", "hello\r\n");
const relayed = /^250 2\.0\.0 Ok: queued as /;

withPeers("relays that are dead or die", [...needsPostfix, ...needsSmtpSink, ...needsPython], () => {
  const place = new Workplace();
  let sink: Sink;
  let postfix: Postfix;

  beforeAll(async () => {
    sink = await Sink.start(place);
    postfix = await Postfix.start(place, { name: "relay.test", nextPort: sink.port });
  });
  afterAll(() => place.close());

  const state = (): string => postfix.log.slice(-4_000);
  const proxyTo = (relays: string, options: Record<string, string> = {}): Promise<ProxyUnderTest> =>
    ProxyUnderTest.start(place, { RELAY_HOST: relays, ...options });

  test("the first relay is dead: the second takes the mail, and the first is rested", async () => {
    const dead = await freePort();
    const proxy = await proxyTo(`127.0.0.1:${dead}, 127.0.0.1:${postfix.port}`, { RELAY_IDLE_TIMEOUT: "0" });
    for (const to of ["dead-1@sink.test", "dead-2@sink.test"]) {
      expect((await sendOne(place, proxy, { from, to: [to], message })).data).toMatch(relayed);
      expectSame((await sink.one(to, state)).octets, trace, message);
    }
    expect(proxy.events("relay-failed").map((failure) => failure.get("reason"))).toEqual([
      "nothing listens there, a firewall refuses, or no route leads there (ECONNREFUSED)",
    ]);
  });

  test("the first relay never greets: the second takes the mail", async () => {
    const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
    place.onClose(async () => silent.stop(true));
    const proxy = await proxyTo(`127.0.0.1:${silent.port} 127.0.0.1:${postfix.port}`, {
      RELAY_CONNECT_TIMEOUT: "500ms",
    });
    const to = "silent@sink.test";
    expect((await sendOne(place, proxy, { from, to: [to], message })).data).toMatch(relayed);
    expectSame((await sink.one(to, state)).octets, trace, message);
  });

  for (const command of ["connect", "ehlo,helo"]) {
    test(`the first relay refuses ${command}: the second takes the mail`, async () => {
      const refusing = await SmtpSink.start(place, ["-f", command]);
      const proxy = await proxyTo(`127.0.0.1:${refusing.port} 127.0.0.1:${postfix.port}`);
      const to = `refuses-${command.slice(0, 4)}@sink.test`;
      expect((await sendOne(place, proxy, { from, to: [to], message })).data).toMatch(relayed);
      expectSame((await sink.one(to, state)).octets, trace, message);
      expect(refusing.messages()).toEqual([]);
    });
  }

  test("the relay is restarted between two mails of a session: nobody notices", async () => {
    const proxy = await proxyTo(`127.0.0.1:${postfix.port}`);
    const client = await SmtplibClient.connect(place, proxy);
    const before = postfix.accepted().length;
    for (let round = 0; round < 4; round += 1) {
      const to = `restart-${round}@sink.test`;
      const answers = await client.send({ from, to: [to], message });
      expect(answers.data).toMatch(relayed);
      expectSame((await sink.one(to, state)).octets, trace, message);
      await postfix.untilIdle();
      await postfix.stop();
      await postfix.start();
    }
    await client.quit();
    expect(postfix.accepted().length).toBe(before + 4);
    expect(proxy.transactions().map((transaction) => transaction.get("outcome"))).toEqual(
      Array.from({ length: 4 }, () => "relayed"),
    );
  });

  test("the relay is away: mail is delayed; it comes back: mail goes on, in the same session", async () => {
    const proxy = await proxyTo(`127.0.0.1:${postfix.port}`);
    const client = await SmtplibClient.connect(place, proxy);
    const to = ["away@sink.test"];
    expect((await client.send({ from, to, message })).data).toMatch(relayed);
    await postfix.untilIdle();
    await postfix.stop();
    expect((await client.send({ from, to, message })).rcpt).toEqual([expect.stringMatching(/^451 4\.4\.1 /)]);
    await postfix.start();
    expect((await client.send({ from, to, message })).data).toMatch(relayed);
    await client.quit();
    await eventually(() => sink.for("away@sink.test").length === 2, "both mails arrive");
  });

  test("the relay tires of a kept connection with 421: the next mail takes a fresh one", async () => {
    const impatient = await Postfix.start(place, {
      name: "relay.test",
      nextPort: sink.port,
      main: { smtpd_timeout: "1s" },
    });
    const proxy = await proxyTo(`127.0.0.1:${impatient.port}`);
    const client = await SmtplibClient.connect(place, proxy);
    const sendTo = async (to: string): Promise<void> => {
      expect((await client.send({ from, to: [to], message })).data).toMatch(relayed);
      expectSame((await sink.one(to, state)).octets, trace, message);
    };
    await sendTo("tired-1@sink.test");
    await eventually(
      () => impatient.log.includes("timeout after END-OF-MESSAGE"),
      () => `the relay tires: ${impatient.log}`,
    );
    await sendTo("tired-2@sink.test");
    await client.quit();
  });
});

withPeers("relays that know little", [...needsSmtpSink, ...needsPython, ...needsClients], () => {
  const place = new Workplace();
  afterAll(() => place.close());

  const variants = [
    { name: "all of ESMTP", flags: [] },
    { name: "no PIPELINING", flags: ["-p"] },
    { name: "no 8BITMIME", flags: ["-8"] },
    { name: "no ESMTP at all", flags: ["-e"] },
  ];
  for (const { name, flags } of variants) {
    describe(name, () => {
      let relay: SmtpSink;
      let proxy: ProxyUnderTest;
      beforeAll(async () => {
        relay = await SmtpSink.start(place, flags);
        proxy = await ProxyUnderTest.start(place, { RELAY_HOST: `127.0.0.1:${relay.port}` });
      });

      test("every message, and that of one octet", async () => {
        const messages = [oneOctet, ...corpus.map(({ octets }) => octets)];
        const client = await SmtplibClient.connect(place, proxy);
        for (const octets of messages) {
          const answers = await client.send({ from, to: ["reader@sink.test"], message: octets });
          expect(answers.data).toMatch(/^250 /);
        }
        await client.quit();
        const arrived = await eventually(
          () => relay.messages().length === messages.length && relay.messages(),
          "all messages are written",
        );
        for (const octets of messages) {
          const same = arrived.filter((one) => isSame(one, octets));
          expect(same.length).toBe(1);
        }
      });

      for (const client of clients) {
        test(`one octet, by ${client}`, async () => {
          const before = relay.messages().length;
          const to = ["reader@sink.test"];
          await post(place, client, { port: proxy.port, authority: undefined, from, to, message: oneOctet });
          await eventually(() => relay.messages().length === before + 1, "it is written");
          expect(relay.messages().filter((one) => isSame(one, oneOctet)).length).toBeGreaterThan(1);
        });
      }
    });
  }

  test("the relay refuses DATA, or its end: the client hears it, and the session goes on", async () => {
    for (const command of ["data", "."]) {
      for (const [flag, code] of [
        ["-f", "500"],
        ["-r", "450"],
      ] as const) {
        const relay = await SmtpSink.start(place, [flag, command]);
        const proxy = await ProxyUnderTest.start(place, { RELAY_HOST: `127.0.0.1:${relay.port}` });
        const client = await SmtplibClient.connect(place, proxy);
        for (let round = 0; round < 2; round += 1) {
          const answers = await client.send({ from, to: ["reader@sink.test"], message });
          expect(answers.data).toStartWith(code);
        }
        await client.quit();
        const outcome = code === "500" ? "refused" : "deferred";
        expect(proxy.transactions().map((transaction) => transaction.get("outcome"))).toEqual([
          outcome,
          outcome,
        ]);
      }
    }
  });

  test("the relay hangs up at a command: mail is delayed, and never accepted", async () => {
    for (const command of ["mail", "rcpt", "data", "."]) {
      const relay = await SmtpSink.start(place, ["-q", command]);
      const proxy = await ProxyUnderTest.start(place, { RELAY_HOST: `127.0.0.1:${relay.port}` });
      const answers = await sendOne(place, proxy, { from, to: ["reader@sink.test"], message });
      expect(answers.data === "0 " ? answers.rcpt[0] : answers.data).toMatch(/^451 4\.4\.[12] /);
      const outcome = command === "." ? "unknown" : "deferred";
      expect(proxy.transactions().map((transaction) => transaction.get("outcome"))).toEqual([outcome]);
    }
  });
});

function isSame(arrived: Buffer, sent: Buffer): boolean {
  try {
    expectSame(arrived, [proxyName], sent);
    return true;
  } catch {
    return false;
  }
}
