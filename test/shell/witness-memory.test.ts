/** What the interface of witnesses says about memory: what is kept of mail data without a copy is empty afterwards. */
import { expect, spyOn, test } from "bun:test";
import { HeaderCounter } from "../../src/smtp/header-counter.ts";
import { behindTrace, ScriptedRelay, TestProxy } from "./support.ts";

test.each(["reject", "normalize"] as const)(
  "a witness that keeps slices finds them empty, %s",
  async (bareNewline) => {
    const kept: Buffer[] = [];
    const copies: Buffer[] = [];
    // One witness, HopCount, shows what it observes to this.
    const observe = spyOn(HeaderCounter.prototype, "observe").mockImplementation((octets) => {
      kept.push(octets);
      copies.push(Buffer.from(octets));
    });
    const relay = await ScriptedRelay.start();
    const proxy = new TestProxy([relay.port], { policy: { bareNewline } });
    const lineEnd = bareNewline === "normalize" ? "\n" : "\r\n";
    try {
      const body = `Subject: kept\r\n\r\n${`${"x".repeat(60)}${lineEnd}`.repeat(20_000)}`;
      expect(await proxy.mail(`${body}\r\n`)).toStartWith("250");
      await proxy.stop();
      const [mail] = relay.mails;
      // A copy has it all, for the memory was given back only after the relay had it.
      expect(
        behindTrace(mail?.body ?? Buffer.alloc(0)) === Buffer.concat(copies).toString("latin1"),
      ).toBeTrue();
      const octetsKept = kept.reduce((sum, { length }) => sum + length, 0);
      const octetsSeen = copies.reduce((sum, { length }) => sum + length, 0);
      expect(octetsSeen).toBeGreaterThan(1_200_000);
      // What came in the last chunk, with something behind the end, or in small ones, is left to the collector.
      expect(octetsKept).toBeLessThan(octetsSeen / 2);
      for (const [index, { length }] of kept.entries()) {
        if (length > 0) expect(length).toBe(copies[index]?.length ?? Number.NaN);
      }
    } finally {
      observe.mockRestore();
      relay.stop();
    }
  },
);
