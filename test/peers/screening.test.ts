/**
 * Mail programs of other people through the whole screening, as strangers: nobody is trusted, the greeting is delayed
 * by 5 s, and a DNSBL is asked. None of them may be taken for an offender, plain or with STARTTLS; mail arrives octet
 * for octet; and who came once is greeted at once the next time.
 * Each program comes from an address of its own, and all of them at the same time.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { DnsServer } from "../dns/server.ts";
import { clients, execute, needsClients, post } from "./support/clients.ts";
import { expectSame } from "./support/compare.ts";
import { needsExim } from "./support/exim.ts";
import { EximClient } from "./support/exim-client.ts";
import { big, corpus, headed } from "./support/messages.ts";
import { needsPostfix, Postfix } from "./support/postfix.ts";
import { type LogFields, ProxyUnderTest, proxyName } from "./support/proxy.ts";
import { Sink } from "./support/sink.ts";
import { needsPython, sendOne } from "./support/smtplib.ts";
import { command, withPeers } from "./support/suite.ts";
import { type Certificate, eventually, Workplace } from "./support/workplace.ts";

const from = "author@client.test";
const delayMs = 5_000;
/** A session that is not delayed, on a slow machine. */
const atOnceMs = 3_000;
const zone = "list.test";
const needs = [...needsPostfix, ...needsExim, ...needsClients, ...needsPython, command("smtp-source")];

const titles = ["dots at line starts", "8-bit", "empty lines at the end"];
const messages = [
  ...corpus.filter(({ name }) => titles.includes(name)).map(({ octets }) => octets),
  big("big", 2 * 1024 * 1024),
];

withPeers("through the screening", needs, () => {
  const place = new Workplace();
  let sink: Sink;
  let dns: DnsServer;
  let proxy: ProxyUnderTest;
  let certificate: Certificate;

  beforeAll(async () => {
    sink = await Sink.start(place);
    dns = await DnsServer.start();
    certificate = place.certificate(proxyName);
    proxy = await ProxyUnderTest.start(place, {
      RELAY_HOST: `127.0.0.1:${sink.port}`,
      SERVER_CERT: certificate.cert,
      SERVER_KEY: certificate.key,
      TRUSTED_CLIENTS: "",
      GREETING_DELAY: "5s",
      DNSBL_DOMAINS: zone,
      DNS_SERVERS: `127.0.0.1:${dns.address.port}`,
    });
  });
  afterAll(async () => {
    await place.close();
    dns.stop();
  });

  const state = (): string => proxy.log.slice(-4_000);
  const sessionsOf = (address: string): LogFields[] =>
    proxy.events("session").filter((session) => session.get("client") === address);

  /**
   * `send` hands a message over, and may return before it has arrived. `trace`: who else is in it.
   */
  async function expectUnharmed(
    address: string,
    encrypted: boolean,
    trace: readonly string[],
    send: (to: string, message: Buffer) => Promise<void>,
  ): Promise<void> {
    for (const [number, message] of messages.entries()) {
      const to = `mail-${number}-from-${address}@sink.test`;
      await send(to, message);
      expectSame((await sink.one(to, state)).octets, [proxyName, ...trace], message);
      await eventually(() => sessionsOf(address).length > number, "the session is over");
    }
    const [first, ...others] = sessionsOf(address).map((session) => Number(session.get("total_ms")));
    expect(first).toBeGreaterThanOrEqual(delayMs);
    expect(others.length).toBe(messages.length - 1);
    expect(Math.max(...others)).toBeLessThan(atOnceMs);
    expect(dns.asked(`${address.split(".").reverse().join(".")}.${zone}`).length).toBe(1);
    const protocols = proxy
      .transactions()
      .filter((transaction) => transaction.get("client") === address)
      .map((transaction) => transaction.get("protocol"));
    expect(new Set(protocols)).toEqual(new Set([encrypted ? "ESMTPS" : "ESMTP"]));
  }

  for (const encrypted of [false, true]) {
    const how = encrypted ? "STARTTLS" : "plain";
    const addressOf = (number: number): string => `127.0.0.${(encrypted ? 40 : 30) + number}`;
    const authority = (): string | undefined => (encrypted ? certificate.cert : undefined);

    for (const [number, client] of clients.entries()) {
      const comesFrom = addressOf(number);
      test.concurrent(`${client}, ${how}`, () =>
        expectUnharmed(comesFrom, encrypted, [], (to, message) =>
          post(place, client, {
            ...{ port: proxy.port, authority: authority(), comesFrom },
            ...{ from, to: [to], message },
          }),
        ));
    }

    test.concurrent(`Postfix, ${how}`, async () => {
      const name = `postfix-${encrypted ? "tls" : "plain"}.test`;
      const postfix = await Postfix.start(place, {
        name,
        nextPort: proxy.port,
        main: {
          smtp_bind_address: addressOf(5),
          smtp_tls_security_level: encrypted ? "secure" : "none",
          ...(encrypted
            ? { smtp_tls_CAfile: certificate.cert, smtp_tls_secure_cert_match: "localhost" }
            : {}),
        },
      });
      await expectUnharmed(addressOf(5), encrypted, [name], async (to, message) => {
        await sendOne(place, postfix, { from, to: [to], message });
      });
      expect(postfix.log).not.toContain("status=deferred");
      expect(postfix.log.match(/status=sent/g)?.length).toBe(messages.length);
    });

    test.concurrent(`Exim, ${how}`, async () => {
      const name = `exim-${encrypted ? "tls" : "plain"}.test`;
      const exim = new EximClient(place, {
        ...{ name, nextPort: proxy.port, comesFrom: addressOf(6) },
        authority: authority(),
      });
      await expectUnharmed(addressOf(6), encrypted, [name], async (to, message) => {
        await exim.send(from, [to], message);
        expect(exim.log).not.toMatch(/ (?:==|\*\*) /);
      });
      expect(exim.log.match(/ => /g)?.length).toBe(messages.length);
    });
  }

  test.concurrent("smtp-source, 10 sessions at once, 60 mails", async () => {
    const to = "source@sink.test";
    const message = headed("source", ".\r\n..\r\nend\r\n");
    const file = place.file("source", message.toString("latin1").replaceAll("\r\n", "\n"));
    const words = ["-s", "10", "-m", "60", "-f", from, "-t", to, "-F", file, `127.0.0.1:${proxy.port}`];
    await execute(["smtp-source", ...words]);
    await eventually(() => sink.for(to).length === 60, "all arrive");
    // smtp-source puts an empty line behind the last.
    const sent = Buffer.concat([message, Buffer.from("\r\n")]);
    for (const { octets } of sink.for(to)) expectSame(octets, [proxyName], sent);
    await eventually(() => sessionsOf("127.0.0.1").length === 60, "all sessions are over");
    const delayed = sessionsOf("127.0.0.1").filter((session) => Number(session.get("total_ms")) >= delayMs);
    // How many of its sessions smtp-source opens before the first has passed is its own affair.
    expect(delayed.length).toBeGreaterThanOrEqual(1);
    expect(delayed.length).toBeLessThanOrEqual(10);
  });

  test("nobody was taken for an offender, and everything was relayed", () => {
    for (const event of ["screening", "tarpit", "connection-refused", "dnsbl-unusable", "command-refused"]) {
      expect(proxy.events(event)).toEqual([]);
    }
    const outcomes = proxy.transactions().map((transaction) => transaction.get("outcome"));
    expect(outcomes.length).toBe(10 * messages.length + 60);
    expect(new Set(outcomes)).toEqual(new Set(["relayed"]));
  });
});
