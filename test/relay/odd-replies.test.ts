/**
 * Odd replies: whatever a relay says before the dot, and in whatever pieces, the dot is answered by what was said behind
 * it, read strictly; and a transaction's commands are never answered more often than they were sent.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { RelayAction, RelayReport, RelaySettings } from "../../src/relay/messages.ts";
import { RelaySession } from "../../src/relay/session.ts";
import { ReplyReader } from "../../src/smtp/reply-reader.ts";
import { cut, cuts, wire } from "../smtp/generators.ts";

const settings: RelaySettings = {
  heloName: "mx.example",
  loopMark: "MARK0123",
  tls: "off",
  credentials: undefined,
  connectTimeoutMs: 1_000,
  replyTimeoutMs: 1_000,
  idleTimeoutMs: 1_000,
  logDialogue: false,
};

const oddLines = [
  "250 2.0.0 queued\r\n",
  "250-2.0.0 queued\r\n",
  "250\r\n",
  "250 ok\r\r\n",
  "250-ok\r\r\n",
  "250 ok\0\r\n",
  "550-no\r\n",
  "554 no\r\n",
  "354 go\r\n",
  "354-go\r\n",
  "421 bye\r\n",
  "text\r\n",
  "\r\n",
  "2",
  "250-",
  "250 x\n",
];
const utterance = fc
  .array(fc.constantFrom(...oddLines), { maxLength: 5 })
  .map((lines) => wire(lines.join("")));

class Dialogue {
  readonly #session = new RelaySession(settings, 0);
  readonly reports: RelayReport[] = [];
  dots = 0;

  constructor() {
    this.#after(() => this.#session.receive({ type: "opened" }, 0));
  }

  hears(octets: Buffer): void {
    this.#after(() => this.#session.receive({ type: "octets", octets }, 0));
  }

  orders(order: Parameters<RelaySession["receive"]>[0] & { type: "order" }): void {
    this.#after(() => this.#session.receive(order, 0));
  }

  answers(to: string): Extract<RelayReport, { type: "reply" }>[] {
    return this.reports.flatMap((report) => (report.type === "reply" && report.to === to ? report : []));
  }

  get isLost(): boolean {
    return this.reports.some(({ type }) => type === "lost");
  }

  #after(act: () => void): void {
    act();
    for (const action of this.#session.drain()) this.#perform(action);
  }

  #perform(action: RelayAction): void {
    if (action.type === "report") this.reports.push(action.report);
    if (action.type === "write" && action.octets.toString("latin1") === ".\r\n") this.dots += 1;
  }
}

const hello = wire("220 relay.example\r\n");
const offer = wire("250-relay.example\r\n250 PIPELINING\r\n");
const order = (value: Parameters<Dialogue["orders"]>[0]["order"]) =>
  ({ type: "order", order: value }) as const;

test("the dot is answered by what is said behind it, and by nothing odd", () => {
  let dots = 0;
  fc.assert(
    fc.property(
      utterance,
      utterance,
      utterance,
      utterance,
      cuts,
      (forMail, forData, within, behind, places) => {
        const relay = new Dialogue();
        relay.hears(hello);
        relay.hears(offer);
        relay.orders(order({ order: "mail", path: "null", parameters: { smtputf8: false }, traceOctets: 0 }));
        relay.orders(order({ order: "rcpt", address: "a@example.org", parameters: {} }));
        for (const piece of cut(forMail, places)) relay.hears(piece);
        if (!relay.isLost && relay.answers("RCPT").length === 0) relay.hears(wire("x\r\n250 ok\r\n"));
        if (!relay.isLost && relay.answers("RCPT").length === 0) relay.hears(wire("x\r\n250 ok\r\n"));
        expect(relay.answers("MAIL").length).toBeLessThanOrEqual(1);
        expect(relay.answers("RCPT").length).toBeLessThanOrEqual(1);
        if (relay.isLost || relay.answers("RCPT").length === 0) return;
        relay.orders(order({ order: "data" }));
        for (const piece of cut(forData, places)) relay.hears(piece);
        if (!relay.isLost && relay.answers("DATA").length === 0) relay.hears(wire("354 go ahead\r\n"));
        if (relay.isLost || relay.answers("DATA")[0]?.reply.code !== 354) return;
        for (const piece of cut(within, places)) relay.hears(piece);
        if (relay.isLost) return;
        relay.orders(order({ order: "octets", octets: wire("text\r\n") }));
        relay.orders(order({ order: "end-of-data" }));
        // Nothing that was begun before is left to be finished behind it.
        if (relay.isLost) {
          expect(relay.dots).toBe(0);
          return;
        }
        dots += 1;
        for (const piece of cut(behind, places)) relay.hears(piece);
        const [first] = new ReplyReader().push(behind).replies;
        const [answer, ...others] = relay.answers("end of mail data");
        expect(others).toEqual([]);
        if (answer !== undefined) expect(answer.reply).toEqual(first ?? answer.reply);
        if (answer !== undefined) expect(first).toBeDefined();
      },
    ),
    { numRuns: 20_000 },
  );
  // The property says something only where it came to a dot.
  expect(dots).toBeGreaterThan(500);
});
