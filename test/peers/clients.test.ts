/** swaks, curl and msmtp as clients, plain and with STARTTLS, with Postfix as the relay. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Client, clients, curlSeveral, needsClients, post } from "./support/clients.ts";
import { expectSame } from "./support/compare.ts";
import { big, corpus, headed } from "./support/messages.ts";
import { needsPostfix, Postfix } from "./support/postfix.ts";
import { ProxyUnderTest, proxyName } from "./support/proxy.ts";
import { Sink } from "./support/sink.ts";
import { withPeers } from "./support/suite.ts";
import { type Certificate, Workplace } from "./support/workplace.ts";

const from = "author@client.test";
const trace = ["relay.test", proxyName];
const bigOctets = 50 * 1024 * 1024;

withPeers("clients", [...needsPostfix, ...needsClients], () => {
  const place = new Workplace();
  let sink: Sink;
  let postfix: Postfix;
  let proxy: ProxyUnderTest;
  let certificate: Certificate;

  beforeAll(async () => {
    sink = await Sink.start(place);
    certificate = place.certificate(proxyName);
    postfix = await Postfix.start(place, { name: "relay.test", nextPort: sink.port });
    proxy = await ProxyUnderTest.start(place, {
      RELAY_HOST: `127.0.0.1:${postfix.port}`,
      SERVER_CERT: certificate.cert,
      SERVER_KEY: certificate.key,
    });
  });
  afterAll(() => place.close());

  const state = (): string => `${proxy.log}\n${postfix.log.slice(-4_000)}`;
  const protocolOf = (to: string): string | undefined =>
    proxy
      .transactions()
      .find((transaction) => transaction.get("to") === to)
      ?.get("protocol");

  /** Sends, and compares what arrives. */
  async function expectThrough(
    client: Client,
    encrypted: boolean,
    to: string,
    message: Buffer,
    arrives = message,
  ) {
    const authority = encrypted ? certificate.cert : undefined;
    await post(place, client, { port: proxy.port, authority, from, to: [to], message });
    expectSame((await sink.one(to, state)).octets, trace, arrives);
    expect(protocolOf(to)).toBe(encrypted ? "ESMTPS" : "ESMTP");
  }

  const ways = clients.flatMap((client) => [false, true].map((encrypted) => ({ client, encrypted })));
  for (const { client, encrypted } of ways) {
    const label = `${client}-${encrypted ? "starttls" : "plain"}`;
    describe(label, () => {
      for (const [number, { name, octets }] of corpus.entries()) {
        test(name, () => expectThrough(client, encrypted, `${label}-${number}@sink.test`, octets));
      }

      test("50 MB", () => expectThrough(client, encrypted, `${label}-big@sink.test`, big("big", bigOctets)));

      test("no final line end: the client adds one, and nothing else", () =>
        expectThrough(
          client,
          encrypted,
          `${label}-unended@sink.test`,
          headed("unended", "the end"),
          headed("unended", "the end\r\n"),
        ));

      test("100 recipients", async () => {
        const to = Array.from({ length: 100 }, (_, index) => `${label}-many-${index}@sink.test`);
        const message = headed("many", "many\r\n");
        const authority = encrypted ? certificate.cert : undefined;
        await post(place, client, { port: proxy.port, authority, from, to, message });
        const arrival = await sink.one(`${label}-many-0@sink.test`, state);
        expect(arrival.to.toSorted()).toEqual(to.toSorted());
        expectSame(arrival.octets, trace, message);
      });
    });
  }

  test("curl sends several mails in a session", async () => {
    const mails = Array.from({ length: 5 }, (_, index) => ({
      from,
      to: `curl-several-${index}@sink.test`,
      message: headed(`several ${index}`, `.${index}\r\n`),
    }));
    const before = proxy.events("session").length;
    await curlSeveral(place, proxy.port, mails);
    for (const { to, message } of mails) expectSame((await sink.one(to, state)).octets, trace, message);
    const sessions = await proxy.untilEvents("session", before + 1);
    expect(sessions.at(-1)?.get("transactions")).toBe("5");
  });

  for (const client of ["swaks", "curl"] as const) {
    test(`${client} sends with the null reverse-path`, async () => {
      const to = `${client}-null@sink.test`;
      const message = headed("bounce", "bounce\r\n");
      await post(place, client, { port: proxy.port, authority: undefined, from: "<>", to: [to], message });
      const arrival = await sink.one(to, state);
      expect(arrival.from).toStartWith("<>");
      expectSame(arrival.octets, trace, message);
    });
  }

  test("each message was accepted once", async () => {
    await postfix.untilIdle();
    const told = proxy.idsTold();
    expect(told.toSorted()).toEqual(postfix.accepted().toSorted());
    expect(sink.arrivals.length).toBe(told.length);
  });
});
