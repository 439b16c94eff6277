/**
 * Local parts that route, and a Postfix that trusts the proxy's host and follows them, as its defaults have it. Each of
 * the addresses is within example.com to a reader of the domain, and elsewhere to Postfix: an open relay.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { headed } from "./support/messages.ts";
import { needsPostfix, Postfix } from "./support/postfix.ts";
import { ProxyUnderTest } from "./support/proxy.ts";
import { Sink } from "./support/sink.ts";
import { needsPython, sendOne } from "./support/smtplib.ts";
import { withPeers } from "./support/suite.ts";
import { Workplace } from "./support/workplace.ts";

const from = "author@client.test";
const message = headed("routed", "hello\r\n");

const routed = [
  "victim%elsewhere.test@example.com",
  "elsewhere.test!victim@example.com",
  '"victim@elsewhere.test"@example.com',
  "@example.com:victim%elsewhere.test@example.com",
];

withPeers("Postfix as a relay that follows routes", [...needsPostfix, ...needsPython], () => {
  const place = new Workplace();
  let sink: Sink;
  let postfix: Postfix;
  let proxy: ProxyUnderTest;

  beforeAll(async () => {
    sink = await Sink.start(place);
    postfix = await Postfix.start(place, {
      name: "relay.test",
      nextPort: sink.port,
      main: {
        mydestination: "example.com",
        local_transport: `smtp:[127.0.0.1]:${sink.port}`,
      },
    });
    proxy = await ProxyUnderTest.start(place, {
      RELAY_HOST: `127.0.0.1:${postfix.port}`,
      VALID_RECIPIENTS: String.raw`(?i)@example\.com$`,
    });
  });
  afterAll(() => place.close());

  const state = (): string => `${proxy.log}\n${postfix.log.slice(-4_000)}`;

  const connections = (): number => [...postfix.log.matchAll(/smtpd\[\d+\]: connect from /g)].length;

  for (const recipient of routed) {
    test(`<${recipient}> goes elsewhere without the proxy`, async () => {
      const before = sink.for("victim@elsewhere.test").length;
      const answers = await sendOne(place, postfix, { from, to: [`<${recipient}>`], message });
      expect(answers.rcpt).toEqual([expect.stringMatching(/^250 /)]);
      expect(answers.data).toMatch(/^250 /);
      await postfix.untilIdle();
      expect(sink.for("victim@elsewhere.test").length, state()).toBe(before + 1);
    });

    test(`<${recipient}> is refused by the proxy, and Postfix never sees it`, async () => {
      const before = connections();
      const arrivals = sink.arrivals.length;
      const answers = await sendOne(place, proxy, { from, to: [`<${recipient}>`], message });
      expect(answers.rcpt).toEqual([expect.stringMatching(/^550 5\.7\.1 /)]);
      await postfix.untilIdle();
      expect(connections()).toBe(before);
      expect(sink.arrivals.length).toBe(arrivals);
    });
  }

  test("beside a recipient that is ours, they alone are refused", async () => {
    const to = ["me@example.com", ...routed.map((recipient) => `<${recipient}>`)];
    const victims = sink.for("victim@elsewhere.test").length;
    const answers = await sendOne(place, proxy, { from, to, message });
    expect(answers.rcpt.map((answer) => answer.slice(0, 3))).toEqual(["250", ...routed.map(() => "550")]);
    expect(answers.data).toMatch(/^250 /);
    expect((await sink.one("me@example.com", state)).to).toEqual(["me@example.com"]);
    await postfix.untilIdle();
    expect(sink.for("victim@elsewhere.test").length).toBe(victims);
  });
});
