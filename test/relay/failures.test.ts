import { expect, test } from "bun:test";
import { describeFailure, type Failure, relayReply, replyToFailure } from "../../src/relay/failures.ts";
import { describeReply, enhancedCode, reply } from "../../src/smtp/replies.ts";

const refusal = reply(550, "5.7.1", "no");
const failures: readonly (readonly [Failure, string])[] = [
  [{ kind: "unreachable", detail: "ECONNREFUSED" }, "4.4.1"],
  [{ kind: "refused-setup", step: "AUTH", reply: refusal }, "4.4.1"],
  [{ kind: "tls-not-offered" }, "4.4.1"],
  [{ kind: "tls", stage: "handshake", detail: "EPROTO" }, "4.4.1"],
  [{ kind: "auth-not-offered" }, "4.4.1"],
  [{ kind: "extension-not-offered", keyword: "SMTPUTF8" }, "4.4.1"],
  [{ kind: "busy" }, "4.3.2"],
  [{ kind: "paused", reason: "ECONNREFUSED", forMs: 1_500 }, "4.4.1"],
  [{ kind: "paused", reason: "ECONNREFUSED", forMs: 0 }, "4.4.1"],
  [{ kind: "fault" }, "4.3.0"],
  [{ kind: "lost", detail: "ECONNRESET" }, "4.4.2"],
  [{ kind: "timeout", awaited: "the reply to MAIL", waitedMs: 300_000 }, "4.4.2"],
  [{ kind: "garbled", detail: "malformed reply" }, "4.4.2"],
];

test.each(failures)("%j is told to the client as %s, and to the log in one line", (failure, code) => {
  for (const stage of ["setup", "mail", "answer"] as const) {
    const told = replyToFailure(failure, stage);
    expect(Math.floor(told.code / 100)).toBe(4);
    // What is lost before it was ready was not available.
    expect(enhancedCode(told)).toBe(stage === "setup" && code === "4.4.2" ? "4.4.1" : code);
  }
  expect(describeFailure(failure)).toMatch(/^[ -~]{4,}$/);
});

test("what the relay said itself is passed on, a 421 as 451", () => {
  expect(replyToFailure({ kind: "refused-early", reply: refusal }, "mail")).toEqual(refusal);
  expect(enhancedCode(replyToFailure({ kind: "refused-early", reply: refusal }, "setup"))).toBe("4.4.1");
  expect(describeReply(relayReply(reply(421, "4.7.28", "slow down")))).toBe("451 4.7.28 slow down");
  expect(describeReply(relayReply(reply(250, undefined, "ok")))).toBe("250 2.0.0 ok");
  expect(describeFailure({ kind: "refused-early", reply: refusal })).toBe(
    "relay refused before the end of mail data: 550 5.7.1 no",
  );
});

test("a 421 closes the connection, in turn as out of it", () => {
  const closing = reply(421, "4.3.2", "going down");
  expect(describeFailure({ kind: "refused-early", reply: closing })).toBe(
    "relay closes the connection: 421 4.3.2 going down",
  );
});

test("a timeout says how long was waited", () => {
  const awaited = "the reply to MAIL";
  expect(describeFailure({ kind: "timeout", awaited, waitedMs: 300_000 })).toBe(
    "relay timeout after 300s, awaited the reply to MAIL",
  );
});
