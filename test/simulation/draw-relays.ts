/** Draws what a relay does on one connection: its kind decides which of its duties it fails in, and how. */
import type { TlsFate } from "./network.ts";
import type { Random } from "./random.ts";
import {
  type Leaving,
  type RelayConnectionScript,
  type RelayDeed,
  type RelayDeedKind,
  type RelayKind,
  type RelayStep,
  relayKinds,
} from "./scenario.ts";

const mailSteps: readonly RelayStep[] = ["MAIL", "RCPT", "DATA", "body", "dot"];
const setupSteps: readonly RelayStep[] = ["greeting", "EHLO", "HELO", "STARTTLS", "AUTH"];
const leavings: readonly Leaving[] = ["reset", "fin", "close", "silence"];
const handshakeFates: readonly TlsFate[] = ["untrusted", "wrong-name", "garbage", "alert", "silent", "reset"];

/** Octets that are no reply, or one of a kind that nobody may say. */
const babbles: readonly string[] = [
  "hello\r\n",
  "25",
  "250",
  "250-half\r\n",
  "250 two\r250 line ends\r\n",
  "\r\n",
  "250 nul\0\r\n",
  "200-one\r\n300 two\r\n",
  "999 beyond\r\n",
  "150 early\r\n",
  "\x80\xff\x00\x16\x03",
];

export function drawRelayConnection(random: Random): RelayConnectionScript {
  const kind = random.chance(0.45) ? "correct" : random.pick(relayKinds);
  const offers = [
    "PIPELINING",
    "8BITMIME",
    "DSN",
    "STARTTLS",
    "AUTH PLAIN LOGIN",
    "SMTPUTF8",
    "ENHANCEDSTATUSCODES",
  ].filter(() => random.chance(0.7));
  if (random.chance(0.6)) offers.push(random.pick(["SIZE", "SIZE 0", "SIZE 100000000", "SIZE 3000"]));
  return {
    kind,
    offers,
    replyMs: random.pick([0, 0, 1, 30]),
    tls: "well",
    deeds: [],
    ...particulars(kind, random),
  };
}

function particulars(kind: RelayKind, random: Random): Partial<RelayConnectionScript> {
  const step = random.pick(mailSteps);
  const nth = random.weighted([
    [0, 1],
    [1, 4],
    [2, 2],
  ] as const);
  const how = random.pick(leavings);
  const after = step === "body" ? random.pick([0, 1, 60, 400, 5_000, 60_000]) : 0;
  const one = (deed: RelayDeedKind, at = step): Partial<RelayConnectionScript> => ({
    deeds: [{ at, nth, after, deed }],
  });
  switch (kind) {
    case "correct":
      return {};
    case "slow":
      return { replyMs: random.pick([500, 4_000, 14_000]) };
    case "full":
      return one(
        { do: "say", code: random.pick([452, 552, 451]), text: "4.2.2 mailbox full" },
        random.pick(["MAIL", "RCPT", "DATA", "dot"]),
      );
    case "dying":
      return one(
        random.pick<RelayDeedKind>([
          { do: "leave", how },
          { do: "duty-and-leave", how },
          { do: "half", octets: random.between(1, 12), leaving: how },
        ]),
        random.pick([...mailSteps, "RSET"]),
      );
    case "late":
      return one(
        { do: "late", ms: random.pick([2_000, 14_900, 15_100, 31_000, 301_000, 601_000]) },
        random.pick(["MAIL", "RCPT", "DATA", "dot", "RSET"]),
      );
    case "early":
      return {
        deeds: [early(random), ...(random.chance(0.3) ? [early(random)] : [])],
      };
    case "twice":
      return one(
        { do: "twice" },
        random.pick<RelayStep>(["greeting", "EHLO", "MAIL", "RCPT", "DATA", "dot", "RSET"]),
      );
    case "in-pieces":
      return { pieces: { octets: random.between(1, 9), pauseMs: random.pick([0, 1, 200]) } };
    case "garbage":
      return one(
        random.chance(0.8)
          ? { do: "babble", octets: random.pick(babbles), ...(random.chance(0.3) ? { leaving: how } : {}) }
          : { do: "say", code: random.pick([200, 299, 300, 399]), text: "odd" },
        random.pick([...mailSteps, ...setupSteps, "RSET"]),
      );
    case "overlong": {
      const at = random.pick(mailSteps);
      const text = "x".repeat(random.pick([600, 4_070, 4_075, 4_078, 4_079, 4_080, 4_085, 9_000]));
      return { deeds: [{ at, nth, after, deed: { do: "say", code: at === "DATA" ? 354 : 250, text } }] };
    }
    case "busy-421":
      return one(
        { do: "say", code: 421, text: "4.3.2 busy", ...(random.chance(0.7) ? { leaving: how } : {}) },
        random.pick([...mailSteps, ...setupSteps, "RSET"]),
      );
    case "552-within":
      return {
        deeds: [
          {
            at: "body",
            nth,
            after: random.pick([0, 60, 400, 5_000]),
            deed: {
              do: "say",
              code: 552,
              text: "5.3.4 too big",
              ...(random.chance(0.5) ? { leaving: how } : {}),
            },
          },
        ],
      };
    case "some-recipients":
      return {
        deeds: [
          {
            at: "RCPT",
            nth: random.between(1, 3),
            after: 0,
            deed: { do: "say", code: 550, text: "5.1.1 unknown" },
          },
          {
            at: "RCPT",
            nth: random.between(1, 3),
            after: 0,
            deed: { do: "say", code: 450, text: "4.2.1 later" },
          },
        ],
      };
    case "no-recipients":
      return {
        deeds: [
          {
            at: "RCPT",
            nth: 0,
            after: 0,
            deed: { do: "say", code: random.pick([550, 450]), text: "nobody" },
          },
        ],
      };
    case "closing-after-each":
      return {
        deeds: [
          { at: "dot", nth: 0, after: 0, deed: { do: "duty-and-leave", how: random.pick(["fin", "close"]) } },
        ],
      };
    case "dying-idle":
      return {
        deeds: [{ at: "idle", nth, after: random.pick([0, 5, 800, 29_990]), deed: { do: "leave", how } }],
      };
    case "speaking-idle":
      return {
        deeds: [
          {
            at: "idle",
            nth,
            after: random.pick([0, 5, 800]),
            deed: random.pick<RelayDeedKind>([
              { do: "say", code: 421, text: "4.4.2 idle", leaving: "close" },
              { do: "say", code: 250, text: "2.0.0 unasked" },
              { do: "babble", octets: random.pick(babbles) },
            ]),
          },
        ],
      };
    case "weird":
      return one(
        { do: "say", code: random.pick([354, 220, 251, 334, 200, 500, 599, 499, 555]), text: "weird" },
        random.pick([...mailSteps, ...setupSteps, "RSET"]),
      );
    case "multi-line":
      return { multiLine: true };
    case "tls-trouble":
      return { tls: random.pick(handshakeFates), offers: ["STARTTLS", "PIPELINING"] };
    case "setup-trouble":
      return one(
        random.pick<RelayDeedKind>([
          { do: "say", code: random.pick([554, 421, 450, 502]), text: "no" },
          { do: "leave", how },
          { do: "late", ms: random.pick([4_900, 5_100, 31_000]) },
          { do: "half", octets: random.between(1, 12), leaving: how },
        ]),
        random.pick(setupSteps),
      );
    case "reading-slowly":
      return one({ do: "deaf", ms: random.pick([50, 3_000, 16_000, 400_000]) });
  }
}

/** A reply to what has not come yet. */
function early(random: Random): RelayDeed {
  const [at, code] = random.pick([
    ["body", 250],
    ["body", 250],
    ["DATA", 354],
    ["MAIL", 250],
  ] as const);
  // Behind the 354 to DATA, or behind the greeting or the last reply, at once: what it answers is still on its way.
  if (at === "body") {
    return {
      at,
      nth: 1,
      after: random.pick([0, 0, 1, 200, 1_000, 5_000]),
      deed: { do: "say", code, text: "2.0.0 early" },
    };
  }
  return { at: at === "DATA" ? "RCPT" : "EHLO", nth: 1, after: 0, deed: { do: "twice" } };
}
