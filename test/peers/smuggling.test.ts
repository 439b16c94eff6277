/**
 * Mail in mail: what ends the data for one server and not for the other. Postfix is told to take a bare LF for a line
 * end, as it did by default before 3.9, so it would fall for what the proxy lets through.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { expectSame } from "./support/compare.ts";
import { needsPostfix, Postfix } from "./support/postfix.ts";
import { ProxyUnderTest, proxyName } from "./support/proxy.ts";
import { talk } from "./support/raw.ts";
import { Sink } from "./support/sink.ts";
import { withPeers } from "./support/suite.ts";
import { Workplace } from "./support/workplace.ts";

const header = "From: <a@client.test>\r\nSubject: outer\r\nMessage-ID: <outer@client.test>\r\n\r\n";
const inner =
  "MAIL FROM:<evil@client.test>\r\nRCPT TO:<inner@sink.test>\r\nDATA\r\nSubject: inner\r\n\r\nx\r\n.\r\n";
const falseEnds = [
  "\n.\n",
  "\n.\r\n",
  "\r\n.\n",
  "\r.\r",
  "\r.\r\n",
  "\r\n.\r",
  "\r\n.\r\r\n",
  "\r\n.\0\r\n",
];
const envelope = (to: string): string[] => [
  "EHLO client.test\r\n",
  "MAIL FROM:<author@client.test>\r\n",
  `RCPT TO:<${to}>\r\n`,
  "DATA\r\n",
];

withPeers("smuggling, with a Postfix that takes bare LF", needsPostfix, () => {
  const place = new Workplace();
  let sink: Sink;
  let postfix: Postfix;
  let proxy: ProxyUnderTest;

  beforeAll(async () => {
    sink = await Sink.start(place);
    postfix = await Postfix.start(place, {
      name: "relay.test",
      nextPort: sink.port,
      main: { smtpd_forbid_bare_newline: "no", smtpd_forbid_unauth_pipelining: "no" },
    });
    proxy = await ProxyUnderTest.start(place, { RELAY_HOST: `127.0.0.1:${postfix.port}` });
  });
  afterAll(() => place.close());

  test("Postfix alone falls for it", async () => {
    const to = "alone@sink.test";
    await talk(postfix.port, [...envelope(to), `${header}outer\n.\r\n${inner}`]);
    await postfix.untilIdle();
    expect(sink.for(to).length).toBe(1);
    expect(sink.for("inner@sink.test").length).toBe(1);
    sink.arrivals.length = 0;
  });

  for (const [number, end] of falseEnds.entries()) {
    test(`${JSON.stringify(end)} ends nothing`, async () => {
      const to = `outer-${number}@sink.test`;
      const before = postfix.accepted().length;
      const replies = await talk(proxy.port, [...envelope(to), `${header}outer${end}${inner}`, "NOOP\r\n"]);
      const isBare = end !== "\r\n.\0\r\n";
      expect(replies.at(-2)).toMatch(
        isBare ? /^550 5\.5\.2 [^\r\n]*\r\n$/ : /^250 2\.0\.0 Ok: queued as \w+\r\n$/,
      );
      expect(replies.at(-1)).toMatch(/^250 2\.0\.0 [^\r\n]*\r\n$/);
      await postfix.untilIdle();
      expect(sink.for("inner@sink.test")).toEqual([]);
      expect(sink.for(to).length).toBe(isBare ? 0 : 1);
      expect(postfix.log.split("NOQUEUE: reject").length).toBe(1);
      expect(postfix.accepted().length).toBe(before + 1);
    });
  }

  test("BARE_NEWLINE=normalize: a bare LF becomes CRLF, and a lone dot behind it no end", async () => {
    const lenient = await ProxyUnderTest.start(place, {
      RELAY_HOST: `127.0.0.1:${postfix.port}`,
      BARE_NEWLINE: "normalize",
    });
    const to = "lenient@sink.test";
    // The client stuffs its lines, as it sees them.
    const replies = await talk(lenient.port, [
      ...envelope(to),
      `${header}one\ntwo\n.\n..three\n\n.\r\n.\r\n`,
    ]);
    expect(replies.at(-1)).toStartWith("250 ");
    const arrival = await sink.one(to, () => `${lenient.log}\n${postfix.log}`);
    const message = Buffer.from(`${header}one\r\ntwo\r\n.\r\n.three\r\n\r\n.\r\n`, "latin1");
    expectSame(arrival.octets, ["relay.test", proxyName], message);
  });
});
