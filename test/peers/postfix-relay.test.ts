/** Postfix as the relay: STARTTLS and AUTH, all kinds of messages, and each is accepted once. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { expectSame, withoutTrace } from "./support/compare.ts";
import { big, corpus, headed, oneOctet } from "./support/messages.ts";
import { needsPostfix, needsSasl, Postfix } from "./support/postfix.ts";
import { ProxyUnderTest, proxyName } from "./support/proxy.ts";
import { Sink } from "./support/sink.ts";
import { needsPython, SmtplibClient, sendOne } from "./support/smtplib.ts";
import { withPeers } from "./support/suite.ts";
import { type Certificate, Workplace } from "./support/workplace.ts";

const relayName = "relay.test";
const login = { user: "forwarder", password: "p\u00e4ss word=" };
const trace = [relayName, proxyName];
const bigOctets = 50 * 1024 * 1024;
const bigMs = 120_000;

withPeers(
  "Postfix as the relay, with STARTTLS and AUTH",
  [...needsPostfix, ...needsSasl, ...needsPython],
  () => {
    const place = new Workplace();
    let sink: Sink;
    let postfix: Postfix;
    let proxy: ProxyUnderTest;
    let certificate: Certificate;
    let relayOptions: Record<string, string>;

    beforeAll(async () => {
      sink = await Sink.start(place);
      certificate = place.certificate(relayName);
      postfix = await Postfix.start(place, {
        name: relayName,
        nextPort: sink.port,
        refuses: "refused@sink.test",
        certificate,
        login,
      });
      relayOptions = {
        RELAY_HOST: `127.0.0.1:${postfix.port}`,
        RELAY_TLS: "verify",
        RELAY_CA: certificate.cert,
        RELAY_USERNAME: login.user,
        RELAY_PASSWORD: login.password,
      };
      proxy = await ProxyUnderTest.start(place, relayOptions);
    });
    afterAll(() => place.close());

    const state = (): string => `${proxy.log}\n${postfix.log.slice(-4_000)}`;
    const message = headed("hello", "hello\r\n");

    for (const [number, { name, octets }] of corpus.entries()) {
      test(name, async () => {
        const to = `corpus-${number}@sink.test`;
        const answers = await sendOne(place, proxy, {
          from: "author@client.test",
          to: [to],
          message: octets,
        });
        expect(answers.data).toMatch(/^250 2\.0\.0 Ok: queued as /);
        const arrival = await sink.one(to, state);
        expectSame(arrival.octets, trace, octets);
      });
    }

    test("one octet, which Postfix sets apart from its trace by an empty line", async () => {
      const to = "octet@sink.test";
      await sendOne(place, proxy, { from: "author@client.test", to: [to], message: oneOctet });
      const arrival = await sink.one(to, state);
      expectSame(arrival.octets, trace, Buffer.concat([Buffer.from("\r\n"), oneOctet]));
    });

    test("50 MB", async () => {
      const to = "big@sink.test";
      const octets = big("big", bigOctets);
      expect(octets.length).toBe(bigOctets);
      const answers = await sendOne(place, proxy, { from: "author@client.test", to: [to], message: octets });
      expect(answers.data).toMatch(/^250 /);
      const arrival = await sink.one(to, state, bigMs);
      expectSame(arrival.octets, trace, octets);
    });

    test("the relay's session is encrypted, authenticated, and used again", () => {
      const transactions = proxy.transactions();
      expect(transactions.map((transaction) => transaction.get("relay_tls")?.split(" ")[0])).toEqual(
        transactions.map(() => "TLSv1.3"),
      );
      const logins = [...postfix.log.matchAll(/sasl_method=(\w+), sasl_username=(\S+)/g)];
      expect(logins.map(([, method, user]) => `${method} ${user}`)).toEqual(
        transactions.map(() => `PLAIN ${login.user}@relay`),
      );
      const sessions = postfix.log.match(/Anonymous TLS connection established from/g) ?? [];
      expect(sessions.length).toBeLessThan(transactions.length);
    });

    test("each message was accepted once, under the queue id that the client heard", async () => {
      await postfix.untilIdle();
      const told = proxy.idsTold();
      expect(told).toEqual(postfix.accepted());
      expect(sink.arrivals.length).toBe(told.length);
    });

    test("100 recipients, in one transaction", async () => {
      const to = Array.from({ length: 100 }, (_, index) => `many-${index}@sink.test`);
      const before = postfix.accepted().length;
      const answers = await sendOne(place, proxy, { from: "author@client.test", to, message });
      expect(new Set(answers.rcpt)).toEqual(new Set(["250 2.1.5 Ok"]));
      expect(answers.data).toMatch(/^250 /);
      const arrival = await sink.one("many-99@sink.test", state);
      expect([...arrival.to].sort()).toEqual([...to].sort());
      expectSame(arrival.octets, trace, message);
      expect(postfix.accepted().length).toBe(before + 1);
    });

    test("recipient 101 hears 452, the others get their mail", async () => {
      const to = Array.from({ length: 101 }, (_, index) => `limit-${index}@sink.test`);
      const answers = await sendOne(place, proxy, { from: "author@client.test", to, message });
      expect(answers.rcpt.at(-1)).toMatch(/^452 4\.5\.3 /);
      expect(answers.data).toMatch(/^250 /);
      expect((await sink.one("limit-0@sink.test", state)).to.length).toBe(100);
    });

    test("several mails a session", async () => {
      const before = proxy.events("session").length;
      const client = await SmtplibClient.connect(place, proxy);
      for (let number = 0; number < 20; number += 1) {
        const octets = headed(`number ${number}`, `.${number}\r\n`);
        const to = `several-${number}@sink.test`;
        const answers = await client.send({ from: "author@client.test", to: [to], message: octets });
        expect(answers.data).toMatch(/^250 /);
        expectSame((await sink.one(to, state)).octets, trace, octets);
      }
      await client.quit();
      const sessions = await proxy.untilEvents("session", before + 1);
      expect(sessions.at(-1)?.get("transactions")).toBe("20");
    });

    test("the null reverse-path", async () => {
      const to = "postmaster@sink.test";
      const answers = await sendOne(place, proxy, { from: "", to: [to], message });
      expect(answers.mail).toMatch(/^250 /);
      const arrival = await sink.one(to, state);
      expect(arrival.from).toStartWith("<>");
      expectSame(arrival.octets, trace, message);
    });

    test("the parameters of MAIL, those of DSN among them", async () => {
      const to = "parameters@sink.test";
      const parameters = ["BODY=8BITMIME", `SIZE=${message.length}`, "RET=HDRS", "ENVID=abc+2B1"];
      const answers = await sendOne(place, proxy, {
        from: "author@client.test",
        to: [to],
        message,
        parameters,
      });
      expect(answers.data).toMatch(/^250 /);
      const { from } = await sink.one(to, state);
      expect(from.split(" ")).toEqual(expect.arrayContaining(["BODY=8BITMIME", "RET=HDRS", "ENVID=abc+2B1"]));
    });

    test("the relay's refusal reaches the client as it was said, and the session goes on", async () => {
      const client = await SmtplibClient.connect(place, proxy);
      const to = ["no@invalid..domain", "refused@sink.test", "next@sink.test"];
      const refused = await client.send({ from: "author@client.test", to, message });
      expect(refused.rcpt[0]).toMatch(/^501 5\./);
      expect(refused.rcpt[1]).toBe(
        "550 5.7.25 <refused@sink.test>: Recipient address rejected: not here / 5.7.25 ask elsewhere",
      );
      expect(refused.rcpt[2]).toMatch(/^250 /);
      await client.quit();
      expect((await sink.one("next@sink.test", state)).to).toEqual(["next@sink.test"]);
    });

    test("STARTTLS on both sides", async () => {
      const own = place.certificate(proxyName);
      const encrypted = await ProxyUnderTest.start(place, {
        ...relayOptions,
        SERVER_CERT: own.cert,
        SERVER_KEY: own.key,
      });
      const to = "both@sink.test";
      const octets = big("both sides", 2_000_000);
      const session = { port: encrypted.port, authority: own.cert };
      await sendOne(place, session, { from: "author@client.test", to: [to], message: octets });
      const arrival = await sink.one(to, state);
      expectSame(arrival.octets, trace, octets);
      const { fields } = withoutTrace(arrival.octets, 2);
      expect(fields[1]).toMatch(/\(using TLSv1\.3 with cipher TLS_\w+\)\s+by proxy\.test with ESMTPS id/);
    });

    test("RELAY_TLS=required encrypts, and asks for no authority", async () => {
      const { RELAY_CA: _, ...options } = relayOptions;
      const required = await ProxyUnderTest.start(place, { ...options, RELAY_TLS: "required" });
      const to = "required@sink.test";
      await sendOne(place, required, { from: "author@client.test", to: [to], message });
      expectSame((await sink.one(to, state)).octets, trace, message);
      expect(required.transactions()[0]?.get("relay_tls")).toStartWith("TLSv1.3");
    });

    test("RELAY_TLS=verify delays mail when nobody vouches for the relay", async () => {
      const stranger = place.certificate(relayName);
      const wary = await ProxyUnderTest.start(place, { ...relayOptions, RELAY_CA: stranger.cert });
      const before = postfix.accepted().length;
      const answers = await sendOne(place, wary, { from: "a@client.test", to: ["b@sink.test"], message });
      expect(answers.rcpt).toEqual([expect.stringMatching(/^451 4\.4\.1 /)]);
      expect(postfix.accepted().length).toBe(before);
      expect(wary.transactions()[0]?.get("outcome")).toBe("deferred");
    });

    test("a wrong password delays mail", async () => {
      const wrong = await ProxyUnderTest.start(place, { ...relayOptions, RELAY_PASSWORD: "wrong" });
      const answers = await sendOne(place, wrong, { from: "a@client.test", to: ["b@sink.test"], message });
      expect(answers.rcpt).toEqual([expect.stringMatching(/^451 4\.4\.1 /)]);
      expect(postfix.log).toContain("SASL PLAIN authentication failed");
    });
  },
);
