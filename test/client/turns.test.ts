/** One packet may hold thousands of short commands: their replies are given out turn by turn, and none is lost. */

import { expect, test } from "bun:test";
import { slotsMax } from "../../src/client/reply-queue.ts";
import { ClientSession, turnOctetsMax } from "../../src/client/session.ts";
import { noOffer } from "../../src/smtp/ehlo.ts";
import { ReplyReader } from "../../src/smtp/reply-reader.ts";
import { wire } from "../smtp/generators.ts";
import { World } from "../transcripts/world.ts";

/** What a turn may say beyond `turnOctetsMax`: the replies that are let out together. None here is longer. */
const excessOctetsMax = slotsMax * 100;

test("replies of one turn are bounded, and the next turn is due at once", () => {
  const { policy } = new World({ MAX_ERRORS: "10000" });
  const facts = { session: "s1", address: "192.0.2.1", isTrusted: false };
  const session = new ClientSession(
    policy,
    { relayOffer: noOffer, relayPressure: false, unixEpochMs: 0 },
    facts,
    0,
  );
  const commands = ["HELP", "VRFY x", "NOOP", "RSET"];
  const rounds = 2000;
  const reader = new ReplyReader();
  const codes: number[] = [];
  let turns = 0;

  const hear = (): void => {
    const said = session.drain().flatMap((action) => (action.type === "write" ? [action.octets] : []));
    const octets = Buffer.concat(said);
    expect(octets.length).toBeLessThanOrEqual(turnOctetsMax + excessOctetsMax);
    codes.push(...reader.push(octets).replies.map(({ code }) => code));
    turns += 1;
  };

  session.receive({ type: "connected" }, 0);
  hear();
  session.receive({ type: "octets", octets: wire(`${commands.join("\r\n")}\r\n`.repeat(rounds)) }, 5);
  hear();
  expect(codes.length).toBeLessThan(commands.length * rounds);
  while (session.deadline() === 5) {
    session.receive({ type: "time" }, 5);
    hear();
  }
  expect(turns).toBeGreaterThan(3);
  expect(codes).toEqual([220, ...Array<number[]>(rounds).fill([214, 252, 250, 250]).flat()]);
  expect(session.deadline()).toBe(5 + policy.commandTimeoutMs);
});
