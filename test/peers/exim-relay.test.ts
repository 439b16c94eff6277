/** Exim as the relay: another TLS library, AUTH LOGIN, and strict about who talks out of turn. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { expectSame } from "./support/compare.ts";
import { Exim, needsExim } from "./support/exim.ts";
import { big, corpus, headed, oneOctet } from "./support/messages.ts";
import { ProxyUnderTest, proxyName } from "./support/proxy.ts";
import { Sink } from "./support/sink.ts";
import { needsPython, SmtplibClient, sendOne } from "./support/smtplib.ts";
import { withPeers } from "./support/suite.ts";
import { Workplace } from "./support/workplace.ts";

const relayName = "exim.test";
const login = { user: "forwarder", password: "secret word" };
const trace = [relayName, proxyName];
const bigMs = 120_000;

withPeers("Exim as the relay, with STARTTLS and AUTH", [...needsExim, ...needsPython], () => {
  const place = new Workplace();
  let sink: Sink;
  let exim: Exim;
  let proxy: ProxyUnderTest;

  beforeAll(async () => {
    sink = await Sink.start(place);
    const certificate = place.certificate(relayName);
    exim = await Exim.start(place, { name: relayName, nextPort: sink.port, certificate, login });
    proxy = await ProxyUnderTest.start(place, {
      RELAY_HOST: `127.0.0.1:${exim.port}`,
      RELAY_TLS: "verify",
      RELAY_CA: certificate.cert,
      RELAY_USERNAME: login.user,
      RELAY_PASSWORD: login.password,
    });
  });
  afterAll(() => place.close());

  const state = (): string => `${proxy.log}\n${exim.log}`;

  for (const [number, { name, octets }] of corpus.entries()) {
    test(name, async () => {
      const to = `corpus-${number}@sink.test`;
      const answers = await sendOne(place, proxy, { from: "author@client.test", to: [to], message: octets });
      expect(answers.data).toMatch(/^250 2\.0\.0 OK id=/);
      expectSame((await sink.one(to, state)).octets, trace, octets);
    });
  }

  test("one octet, which Exim sets apart from its trace by an empty line", async () => {
    const to = "octet@sink.test";
    await sendOne(place, proxy, { from: "author@client.test", to: [to], message: oneOctet });
    const arrival = await sink.one(to, state);
    expectSame(arrival.octets, trace, Buffer.concat([Buffer.from("\r\n"), oneOctet]));
  });

  test("50 MB", async () => {
    const to = "big@sink.test";
    const octets = big("big", 50 * 1024 * 1024);
    const answers = await sendOne(place, proxy, { from: "author@client.test", to: [to], message: octets });
    expect(answers.data).toMatch(/^250 /);
    expectSame((await sink.one(to, state, bigMs)).octets, trace, octets);
  });

  test("the session was encrypted and authenticated, and nobody talked out of turn", () => {
    expect(exim.log).toMatch(/<= author@client\.test .*P=esmtpsa X=TLS1\.3:\S+ .*A=login:forwarder/);
    expect(exim.log).not.toContain("synchronization error");
  });

  test("each message was accepted once, under the id that the client heard", () => {
    const told = proxy.idsTold();
    expect(told).toEqual(exim.accepted());
  });

  test("100 recipients, the null reverse-path, several mails a session", async () => {
    const client = await SmtplibClient.connect(place, proxy);
    const message = headed("hello", "hello\r\n");
    const to = Array.from({ length: 100 }, (_, index) => `many-${index}@sink.test`);
    expect((await client.send({ from: "author@client.test", to, message })).data).toMatch(/^250 /);
    const arrival = await sink.one("many-99@sink.test", state);
    expect([...arrival.to].sort()).toEqual([...to].sort());
    for (const bounce of ["bounce-1@sink.test", "bounce-2@sink.test"]) {
      expect((await client.send({ from: "", to: [bounce], message })).data).toMatch(/^250 /);
      const { from, octets } = await sink.one(bounce, state);
      expect(from).toStartWith("<>");
      expectSame(octets, trace, message);
    }
    await client.quit();
  });
});
