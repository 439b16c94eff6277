/** Replies that want something of us, and what the operator is advised to set. */
import { expect, test } from "bun:test";
import { adviceOn, isDemand } from "../../src/relay/demands.ts";
import { describeDemand, relayReply } from "../../src/relay/failures.ts";
import type { RelaySettings } from "../../src/relay/messages.ts";
import { describeReply, reply } from "../../src/smtp/replies.ts";

const credentials = { username: "me", password: "secret" };
const startTls = "530 5.7.0 Must issue a STARTTLS command first";
const login = "530 5.7.0 Authentication required";

test.each([530, 534, 535, 538])(
  "%d is between the relay and us: 451 4.4.1, and the log has its words",
  (code) => {
    const said = reply(code, "5.7.0", "not like this");
    expect(isDemand(said)).toBe(true);
    expect(describeReply(relayReply(said))).toStartWith("451 4.4.1 ");
    expect(describeReply(relayReply(said))).not.toContain("not like this");
    expect(describeDemand(said)).toBe(`relay wants TLS or a login of us: ${code} 5.7.0 not like this`);
  },
);

test.each([250, 354, 421, 450, 454, 500, 531, 532, 533, 536, 537, 539, 550, 554])("%d is not", (code) => {
  expect(isDemand(reply(code, undefined, "x"))).toBe(false);
  expect(describeDemand(reply(code, undefined, "x"))).toBeUndefined();
});

type Case = readonly [
  said: string,
  settings: Pick<RelaySettings, "tls" | "credentials">,
  secured: boolean,
  broken: string | undefined,
  advice: RegExp,
];
const cases: readonly Case[] = [
  [
    startTls,
    { tls: "off", credentials: undefined },
    false,
    undefined,
    /^set RELAY_TLS=required instead of off$/,
  ],
  [startTls, { tls: "opportunistic", credentials: undefined }, false, undefined, /^set RELAY_TLS=required$/],
  [
    startTls,
    { tls: "opportunistic", credentials: undefined },
    false,
    "TLS failed: x",
    /^mend TLS .* insists on: TLS failed: x$/,
  ],
  [
    "538 5.7.11 not in the clear",
    { tls: "off", credentials: undefined },
    false,
    undefined,
    /^set RELAY_TLS=required instead of off$/,
  ],
  [
    login,
    { tls: "off", credentials: undefined },
    false,
    undefined,
    /^set RELAY_USERNAME and RELAY_PASSWORD, and RELAY_TLS=required or verify/,
  ],
  [
    "535 5.7.3 no",
    { tls: "off", credentials: undefined },
    false,
    undefined,
    /^set RELAY_USERNAME and RELAY_PASSWORD, and RELAY_TLS=/,
  ],
  [
    "530 5.7.0 no",
    { tls: "off", credentials: undefined },
    false,
    undefined,
    /^set RELAY_TLS=required instead of off, and RELAY_USERNAME .* if it wants a login$/,
  ],
  [
    login,
    { tls: "opportunistic", credentials: undefined },
    true,
    undefined,
    /^set RELAY_USERNAME and RELAY_PASSWORD, or let the relay accept mail from this host's address$/,
  ],
  [login, { tls: "verify", credentials }, true, undefined, /account RELAY_USERNAME may send/],
];

test.each(cases)("%j with %j, TLS %j, broken %j", (said, settings, secured, brokenTls, advice) => {
  const asked = reply(Number(said.slice(0, 3)), undefined, said.slice(4));
  expect(adviceOn(asked, { settings, secured, brokenTls })).toMatch(advice);
});
