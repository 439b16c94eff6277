/** Postfix as the client: smtp-source with many sessions, and a whole Postfix whose relayhost is the proxy. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { execute } from "./support/clients.ts";
import { expectSame, withoutTrace } from "./support/compare.ts";
import { big, corpus, headed } from "./support/messages.ts";
import { needsPostfix, Postfix } from "./support/postfix.ts";
import { ProxyUnderTest, proxyName } from "./support/proxy.ts";
import { Sink } from "./support/sink.ts";
import { needsPython, SmtplibClient, sendOne } from "./support/smtplib.ts";
import { command, withPeers } from "./support/suite.ts";
import { type Certificate, eventually, Workplace } from "./support/workplace.ts";

const from = "author@client.test";
const relayTrace = ["relay.test", proxyName];
const trace = [...relayTrace, "client.test"];
const needs = [...needsPostfix, ...needsPython, command("smtp-source")];

withPeers("Postfix as the client", needs, () => {
  const place = new Workplace();
  let sink: Sink;
  let relay: Postfix;
  let proxy: ProxyUnderTest;
  let certificate: Certificate;

  beforeAll(async () => {
    sink = await Sink.start(place);
    certificate = place.certificate(proxyName);
    relay = await Postfix.start(place, {
      name: "relay.test",
      nextPort: sink.port,
      refuses: "refused@sink.test",
    });
    proxy = await ProxyUnderTest.start(place, {
      RELAY_HOST: `127.0.0.1:${relay.port}`,
      SERVER_CERT: certificate.cert,
      SERVER_KEY: certificate.key,
    });
  });
  afterAll(() => place.close());

  const source = (...words: string[]): Promise<string> =>
    execute(["smtp-source", "-f", from, ...words, `127.0.0.1:${proxy.port}`]);

  describe("smtp-source", () => {
    const message = headed("source", `${"text\r\n".repeat(500)}.\r\n..\r\nend\r\n`);

    /** smtp-source reads lines that end in LF, and puts an empty one behind the last. */
    const sent = Buffer.concat([message, Buffer.from("\r\n")]);
    const file = (): string => place.file("source", message.toString("latin1").replaceAll("\r\n", "\n"));

    /** Waits for `count` messages to `to`; each is what smtp-source makes of the file. */
    async function expectArrivals(to: string, count: number): Promise<void> {
      await eventually(
        () => sink.for(to).length >= count,
        () => `${count} messages arrive, ${sink.for(to).length} did: ${relay.log.slice(-2_000)}`,
        60_000,
      );
      await relay.untilIdle();
      expect(sink.for(to).length).toBe(count);
      for (const { octets } of sink.for(to)) expectSame(octets, relayTrace, sent);
    }

    test("20 sessions at once, one mail each, 400 in all", async () => {
      const to = "sessions@sink.test";
      const sessions = proxy.events("session").length;
      await source("-s", "20", "-m", "400", "-t", to, "-F", file());
      await expectArrivals(to, 400);
      await proxy.untilEvents("session", sessions + 400);
    });

    test("10 sessions at once that are kept, 400 mails in all", async () => {
      const to = "kept@sink.test";
      const sessions = proxy.events("session").length;
      await source("-d", "-s", "10", "-m", "400", "-t", to, "-F", file());
      await expectArrivals(to, 400);
      await proxy.untilEvents("session", sessions + 10);
    });

    test("100 recipients a mail", async () => {
      await source("-r", "100", "-s", "5", "-m", "10", "-t", "many@sink.test", "-F", file());
      await expectArrivals("100many@sink.test", 10);
      for (const { to } of sink.for("100many@sink.test")) expect(to.length).toBe(100);
    });

    test("two sessions at once over two relay connections", async () => {
      const narrow = await ProxyUnderTest.start(place, {
        RELAY_HOST: `127.0.0.1:${relay.port}`,
        RELAY_MAX_CONNECTIONS: "2",
      });
      const to = "narrow@sink.test";
      const address = `127.0.0.1:${narrow.port}`;
      await execute(["smtp-source", "-s", "2", "-m", "40", "-f", from, "-t", to, "-F", file(), address]);
      await expectArrivals(to, 40);
      expect(narrow.transactions().length).toBe(40);
    });

    test("each message was accepted once", async () => {
      await relay.untilIdle();
      const told = proxy.idsTold();
      const accepted = new Set(relay.accepted());
      expect(new Set(told).size).toBe(told.length);
      expect(told.filter((id) => id === undefined || !accepted.has(id))).toEqual([]);
    });
  });

  test("the very first mail after a start may need SMTPUTF8", async () => {
    const smtputf8 = { smtputf8_enable: "yes" };
    const reader = await Postfix.start(place, {
      name: "reader.test",
      nextPort: sink.port,
      main: { ...smtputf8, default_transport: "discard:" },
    });
    const fresh = await ProxyUnderTest.start(place, { RELAY_HOST: `127.0.0.1:${reader.port}` });
    const client = await Postfix.start(place, {
      name: "client.test",
      nextPort: fresh.port,
      main: { ...smtputf8, smtp_tls_security_level: "none" },
    });
    const to = "grüße@sink.test";
    client.sendmail("jürgen@client.test", [to], headed("greetings", "Grüße\r\n"));
    await client.untilIdle();
    const state = `${client.log.slice(-3_000)}\n${fresh.log.slice(-3_000)}`;
    const [transaction, ...others] = fresh.transactions();
    expect(transaction?.get("outcome"), state).toBe("relayed");
    expect(transaction?.get("protocol")).toBe("UTF8SMTP");
    expect(transaction?.get("to")).toBe(Buffer.from(to).toString("latin1"));
    expect(others).toEqual([]);
    expect(client.log).not.toContain("5.6.7");
  });

  for (const encrypted of [false, true]) {
    describe(`a whole Postfix, ${encrypted ? "STARTTLS" : "plain"}`, () => {
      let client: Postfix;
      const label = encrypted ? "tls" : "plain";

      beforeAll(async () => {
        client = await Postfix.start(place, {
          name: "client.test",
          nextPort: proxy.port,
          main: encrypted
            ? {
                smtp_tls_security_level: "secure",
                smtp_tls_CAfile: certificate.cert,
                smtp_tls_secure_cert_match: "localhost",
              }
            : { smtp_tls_security_level: "none" },
        });
      });

      const state = (): string => `${client.log.slice(-3_000)}\n${proxy.log.slice(-3_000)}`;

      test("every message", async () => {
        const session = await SmtplibClient.connect(place, client);
        const mails = corpus.map(({ octets }, number) => ({
          to: `whole-${label}-${number}@sink.test`,
          octets,
        }));
        for (const { to, octets } of mails) await session.send({ from, to: [to], message: octets });
        await session.quit();
        for (const { to, octets } of mails) expectSame((await sink.one(to, state)).octets, trace, octets);
      });

      test("50 MB", async () => {
        const to = `whole-${label}-big@sink.test`;
        const octets = big("big", 50 * 1024 * 1024);
        await sendOne(place, client, { from, to: [to], message: octets });
        expectSame((await sink.one(to, state, 60_000)).octets, trace, octets);
      });

      test("100 recipients", async () => {
        const to = Array.from({ length: 100 }, (_, index) => `whole-${label}-many-${index}@sink.test`);
        await sendOne(place, client, { from, to, message: corpus[0].octets });
        const arrival = await sink.one(to[0] ?? "", state);
        expect(arrival.to.toSorted()).toEqual(to.toSorted());
      });

      test("from the sendmail command", async () => {
        const to = `whole-${label}-sendmail@sink.test`;
        const message = headed("sendmail", "from a program\r\n.\r\n..\r\nend\r\n");
        client.sendmail(from, [to], message);
        expectSame((await sink.one(to, state)).octets, trace, message);
      });

      test("the relay's refusal becomes a bounce with the relay's words, which goes through too", async () => {
        const author = `whole-${label}-author@sink.test`;
        const message = headed("refused", "nobody reads this\r\n");
        await sendOne(place, client, { from: author, to: ["refused@sink.test"], message });
        const bounce = await sink.one(author, state);
        expect(bounce.from).toStartWith("<>");
        const { message: report } = withoutTrace(bounce.octets, 2);
        const text = report.toString("latin1").replaceAll(/\s+/g, " ");
        expect(text).toContain("<refused@sink.test>: Recipient address rejected: not here");
        expect(text).toContain("Status: 5.7.25");
        expect(text).toContain("ask elsewhere");
      });

      test("each message went once, in few sessions, encrypted as configured", async () => {
        await client.untilIdle();
        await relay.untilIdle();
        const sent = [...client.log.matchAll(/status=sent \(250 2\.0\.0 Ok: queued as (\w+)\)/g)].map(
          ([, id]) => id,
        );
        const accepted = relay.accepted();
        for (const id of new Set(sent)) expect(accepted.filter((one) => one === id).length).toBe(1);
        expect(client.log).not.toContain("status=deferred");
        const own = proxy
          .transactions()
          .filter((transaction) => transaction.get("to")?.includes(`whole-${label}-`));
        expect(new Set(own.map((transaction) => transaction.get("protocol")))).toEqual(
          new Set([encrypted ? "ESMTPS" : "ESMTP"]),
        );
      });
    });
  }
});
