/**
 * The dot is the commit, at its edges: a 250 that came before the relay can have had the octets is no answer to them;
 * replies in pieces; refusals out of turn; octets that are equal after a long way.
 */
import { describe, expect, test } from "bun:test";
import { behindTrace, eventually, noReply, ScriptedClient, ScriptedRelay, TestProxy } from "./support.ts";

const long = `Subject: long\r\n\r\n${"0123456789abcdef\r\n".repeat(3000)}`;

async function withRelay(run: (relay: ScriptedRelay, proxy: TestProxy) => Promise<void>): Promise<void> {
  const relay = await ScriptedRelay.start();
  const proxy = new TestProxy([relay.port], { pool: { replyTimeoutMs: 300 } });
  try {
    await run(relay, proxy);
    await proxy.stop();
    expect(proxy.stacks).toEqual([]);
  } finally {
    relay.stop();
  }
}

async function inMailData(proxy: TestProxy): Promise<ScriptedClient> {
  const client = await ScriptedClient.greeted(proxy.port);
  await client.ask("MAIL FROM:<sender@example.com>");
  await client.ask("RCPT TO:<someone@example.org>");
  expect(await client.ask("DATA")).toStartWith("354");
  return client;
}

describe("a 250 that cannot be the answer to these octets", () => {
  test("said while the dot is still in the proxy's own queue", () =>
    withRelay(async (relay, proxy) => {
      proxy.network.holdable = true;
      const client = await inMailData(proxy);
      const [held] = proxy.network.held;
      if (held === undefined) throw new Error("the relay was dialled");
      held.holding = true;
      client.say(`${long}.\r\n`);
      await eventually(() => held.queuedOctets >= long.length, "the proxy holds it all");
      expect(relay.dots).toBe(0);
      relay.last.say("250 2.0.0 queued, so I say\r\n");
      expect(await client.reply()).toMatch(/^451 4\.4\.2 /);
      expect(relay.dots).toBe(0);
      await client.quit();
      expect(proxy.outcomes).not.toContain("relayed");
    }));

  // What a relay's kernel takes while its program sleeps is not to be foreseen, so our own kernel is played.
  test("said while the dot is still in the kernel, for the relay has not taken what is before it", () =>
    withRelay(async (relay, proxy) => {
      proxy.network.holdable = true;
      const client = await inMailData(proxy);
      const [held] = proxy.network.held;
      if (held === undefined) throw new Error("the relay was dialled");
      held.holding = true;
      held.kernelTakes = true;
      client.say(`${long}.\r\n`);
      await eventually(() => held.unreadOctets >= long.length, "the kernel holds it all");
      expect(held.queuedOctets).toBe(0);
      relay.last.say("250 2.0.0 queued, so I say\r\n");
      expect(await client.reply()).toMatch(/^451 4\.4\.2 /);
      expect(relay.dots).toBe(0);
      await client.quit();
      // The kernel may still deliver it.
      expect(proxy.outcomes).toEqual(["unknown"]);
    }));

  test("said in one segment with 354", () =>
    withRelay(async (relay, proxy) => {
      relay.script = (step) => (step === "DATA" ? { say: "354 go\r\n250 2.0.0 queued\r\n" } : undefined);
      const client = await inMailData(proxy);
      expect(await client.ask("Subject: x\r\n\r\nx\r\n.")).toMatch(/^451 4\.4\.2 /);
      expect(relay.dots).toBe(0);
      await client.quit();
      expect(proxy.outcomes).toEqual(["deferred"]);
    }));

  test("half of it said before the dot, the other half after", () =>
    withRelay(async (relay, proxy) => {
      relay.script = (step) => {
        if (step === "DATA") return { say: "354 go\r\n250 2.0.0 que" };
        return step === "dot" ? { say: "ued\r\n" } : undefined;
      };
      const client = await inMailData(proxy);
      client.say("Subject: x\r\n\r\nx\r\n");
      await eventually(() => relay.last.bodyText.includes("x\r\n"), "the relay has the body");
      expect(await client.ask(".")).toMatch(/^451 4\.4\.2 /);
      await client.quit();
      expect(proxy.outcomes).not.toContain("relayed");
    }));

  test("the first lines of a long one only, then FIN", () =>
    withRelay(async (relay, proxy) => {
      relay.script = (step) =>
        step === "dot" ? { say: "250-2.0.0 nearly\r\n250-2.0.0 there\r\n", after: "fin" } : undefined;
      const client = await inMailData(proxy);
      expect(await client.ask("Subject: x\r\n\r\nx\r\n.")).toMatch(/^451 4\.4\.2 /);
      await client.quit();
      expect(proxy.outcomes).toEqual(["unknown"]);
    }));

  test.each(["354 go on", "220 hello", "150 wait", "999 what", "250", "25 0 ok"])(
    "%p after the dot",
    (said) =>
      withRelay(async (relay, proxy) => {
        relay.script = (step) => (step === "dot" ? { say: `${said}\r\n` } : undefined);
        const client = await inMailData(proxy);
        const reply = await client.ask("Subject: x\r\n\r\nx\r\n.");
        // Only the first digit of a known class counts (RFC 5321 §4.2.1), and a code may stand alone.
        expect(reply).toMatch(
          /^2/.test(said) && !said.startsWith("25 ") ? /^2\d\d 2\.0\.0/ : /^451 4\.4\.2 /,
        );
        await client.quit();
      }),
  );
});

describe("the relay's word", () => {
  test("octet by octet, all lines of it, reaches the client", () =>
    withRelay(async (relay, proxy) => {
      relay.script = (step, _count, talk) => {
        if (step !== "dot") return undefined;
        const reply = "554-5.7.1 first line\r\n554-5.7.1 \xfcber\r\n554 5.7.1 last line\r\n";
        void (async () => {
          for (const octet of reply) {
            talk.say(octet);
            await Bun.sleep(0);
          }
        })();
        return { say: "" };
      };
      const client = await inMailData(proxy);
      expect(await client.ask("Subject: x\r\n\r\nx\r\n.")).toBe(
        "554-5.7.1 first line\n554-5.7.1 \xfcber\n554 5.7.1 last line",
      );
      await client.quit();
      expect(proxy.outcomes).toEqual(["refused"]);
    }));

  test("a refusal in the middle of the body is heard after the client's own dot", () =>
    withRelay(async (relay, proxy) => {
      relay.script = (step) =>
        step === "body" ? { say: "552 5.3.4 too big for me\r\n", after: "fin" } : undefined;
      const client = await inMailData(proxy);
      client.say(long);
      await eventually(() => relay.open === 0 || relay.last.ended, "the relay connection is dropped");
      expect(client.heard).not.toContain("552");
      expect(await client.ask(".")).toBe("552 5.3.4 too big for me");
      expect(relay.dots).toBe(0);
      await client.quit();
      expect(proxy.outcomes).toEqual(["refused"]);
    }));

  test("after a lost relay the client's next mail goes through without RSET", () =>
    withRelay(async (relay, proxy) => {
      relay.script = (step, _count, { number }) =>
        step === "RCPT" && number === 1 ? { say: "", after: "rst" } : undefined;
      const client = await ScriptedClient.greeted(proxy.port);
      await client.ask("MAIL FROM:<sender@example.com>");
      expect(await client.ask("RCPT TO:<someone@example.org>")).toMatch(/^451 4\.4\.2 /);
      expect(await client.ask("DATA")).toMatch(/^451 4\.4\.2 /);
      expect(await client.mail("Subject: x\r\n\r\nx\r\n")).toStartWith("250");
      await client.quit();
      expect(proxy.outcomes).toEqual(["deferred", "relayed"]);
    }));
});

describe("pipelining", () => {
  test("a client that says everything at once gets every answer in order", () =>
    withRelay(async (relay, proxy) => {
      const client = await ScriptedClient.connect(proxy.port);
      client.say(
        "EHLO c\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nRCPT TO:<g@h.i>\r\nDATA\r\nS: x\r\n\r\nx\r\n.\r\nNOOP\r\nQUIT\r\n",
      );
      const codes: string[] = [];
      for (let i = 0; i < 9; i += 1) codes.push((await client.reply(2_000)).slice(0, 3));
      expect(codes).toEqual(["220", "250", "250", "250", "250", "354", "250", "250", "221"]);
      expect(relay.mails.map((mail) => behindTrace(mail.body))).toEqual(["S: x\r\n\r\nx\r\n"]);
      client.fin();
    }));

  test("everything at once and FIN at once: still answered, still relayed", () =>
    withRelay(async (relay, proxy) => {
      const client = await ScriptedClient.connect(proxy.port);
      client.say("EHLO c\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\nS: x\r\n\r\nx\r\n.\r\n");
      client.fin();
      await eventually(() => client.ended, "the proxy has said all");
      expect(client.heard).toMatch(/354 [^\r]*\r\n250 2\.0\.0 queued as 4711\r\n$/);
      expect(relay.mails.length).toBe(1);
      expect(await client.reply()).not.toBe(noReply);
    }));

  test.each(["rst", "fin"] as const)("the next mail right behind a dot whose answer is lost (%s)", (after) =>
    withRelay(async (relay, proxy) => {
      relay.script = (step, _count, { number }) => (step === "dot" && number === 1 ? { after } : undefined);
      const client = await inMailData(proxy);
      client.say("S: 1\r\n\r\n1\r\n.\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\n");
      const replies: string[] = [];
      for (let i = 0; i < 4; i += 1) replies.push(await client.reply(2_000));
      expect(replies.map((reply) => reply.slice(0, 3))).toEqual(["451", "250", "250", "354"]);
      expect(await client.ask("S: 2\r\n\r\n2\r\n.")).toStartWith("250");
      await client.quit();
      expect(proxy.outcomes).toEqual(["unknown", "relayed"]);
      expect(relay.mails.map((mail) => behindTrace(mail.body))).toEqual(["S: 2\r\n\r\n2\r\n"]);
    }),
  );

  test("a client that leaves with the next mail's commands behind its dot: the first is seen through", () =>
    withRelay(async (relay, proxy) => {
      let answer = (): void => {};
      relay.script = (step, count, talk) => {
        if (step !== "dot" || count > 1) return undefined;
        answer = () => talk.accept();
        return { say: "" };
      };
      const client = await inMailData(proxy);
      client.say("S: 1\r\n\r\n1\r\n.\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\nhalf a mail\r\n");
      await eventually(() => relay.dots === 1, "the relay has the dot");
      client.rst();
      await eventually(() => proxy.events.some(({ event }) => event === "session"), "the client is gone");
      answer();
      await eventually(() => proxy.server.sessions === 0, "no session is left");
      expect(proxy.outcomes).toEqual(["relayed"]);
      expect(relay.dots).toBe(1);
      expect(relay.mails.map((mail) => behindTrace(mail.body))).toEqual(["S: 1\r\n\r\n1\r\n"]);
    }));

  test("two hundred commands in one segment", () =>
    withRelay(async (_relay, proxy) => {
      const client = await ScriptedClient.greeted(proxy.port);
      client.say("NOOP\r\n".repeat(200));
      for (let i = 0; i < 200; i += 1) expect(await client.reply(2_000)).toBe("250 2.0.0 ok");
      await client.quit();
    }));
});
