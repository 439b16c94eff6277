/**
 * Postfix as a relay that takes no mail without TLS, and a proxy that was told to use none: nobody's mail bounces, the
 * log says what to set, and `check` finds it before. With what the log said, the mail goes through.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { headed } from "./support/messages.ts";
import { needsPostfix, Postfix } from "./support/postfix.ts";
import { inheritedEnvironment } from "./support/process.ts";
import { ProxyUnderTest, proxyName } from "./support/proxy.ts";
import { Sink } from "./support/sink.ts";
import { needsPython, sendOne } from "./support/smtplib.ts";
import { withPeers } from "./support/suite.ts";
import { Workplace } from "./support/workplace.ts";

const relayName = "relay.test";
const message = headed("hello", "hello\r\n");

withPeers("Postfix as a relay that insists on TLS", [...needsPostfix, ...needsPython], () => {
  const place = new Workplace();
  let sink: Sink;
  let postfix: Postfix;
  let relayHost: string;

  beforeAll(async () => {
    sink = await Sink.start(place);
    const certificate = place.certificate(relayName);
    const main = { smtpd_tls_security_level: "encrypt" };
    postfix = await Postfix.start(place, { name: relayName, nextPort: sink.port, certificate, main });
    relayHost = `127.0.0.1:${postfix.port}`;
  });
  afterAll(() => place.close());

  test("RELAY_TLS=off: the client hears 451, and the log says once what to set", async () => {
    const proxy = await ProxyUnderTest.start(place, { RELAY_HOST: relayHost, RELAY_TLS: "off" });
    for (let mail = 0; mail < 3; mail += 1) {
      const answers = await sendOne(place, proxy, { from: "a@client.test", to: ["b@sink.test"], message });
      expect(answers.rcpt).toEqual([
        "451 4.4.1 relay does not take mail from this server as it is set up, try again later",
      ]);
    }
    const [demand, ...others] = proxy.events("relay-demands");
    expect(others).toEqual([]);
    expect(demand?.get("relay")).toBe(relayHost);
    expect(demand?.get("reply")).toBe("530 5.7.0 Must issue a STARTTLS command first");
    expect(demand?.get("advice")).toBe("set RELAY_TLS=required instead of off");
    for (const transaction of proxy.transactions()) {
      expect(transaction.get("outcome")).toBe("deferred");
      expect(transaction.get("relay_tls")).toBe("none");
    }
    expect(postfix.accepted()).toEqual([]);
  });

  test("check finds it, and sends no mail", () => {
    const { exitCode, stdout } = Bun.spawnSync([place.binary(), "check"], {
      env: {
        ...inheritedEnvironment(),
        RELAY_HOST: relayHost,
        RELAY_TLS: "off",
        SERVER_NAME: proxyName,
        DNS_SERVERS: "127.0.0.1",
      },
    });
    expect(stdout.toString()).toMatch(
      /^FAILED {3}relay .*: relay refused MAIL: 530 5\.7\.0 Must issue a STARTTLS command first: set RELAY_TLS=required instead of off$/m,
    );
    expect(exitCode).toBe(1);
    expect(postfix.accepted()).toEqual([]);
  });

  test("with what the log said, the mail goes through", async () => {
    const proxy = await ProxyUnderTest.start(place, { RELAY_HOST: relayHost, RELAY_TLS: "required" });
    await sendOne(place, proxy, { from: "a@client.test", to: ["through@sink.test"], message });
    await sink.one("through@sink.test", () => postfix.log);
    expect(proxy.transactions()[0]?.get("relay_tls")).toStartWith("TLSv1.3");
    expect(proxy.events("relay-demands")).toEqual([]);
  });
});
