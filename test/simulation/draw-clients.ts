/** Draws what a client does: its kind decides how it speaks, what it sends, and how it leaves. */
import { drawConditions } from "./draw-conditions.ts";
import { drawMail, drawVectorMail } from "./draw-mail.ts";
import type { TlsFate } from "./network.ts";
import type { Random } from "./random.ts";
import {
  type ClientKind,
  type ClientScript,
  type ClientStep,
  clientKinds,
  type Leaving,
  mailDataOf,
} from "./scenario.ts";

const leavings: readonly Leaving[] = ["reset", "fin", "close", "silence"];
const quit: ClientStep = { step: "say", line: "QUIT", await: true };

export function drawClient(random: Random, name: string, addresses: readonly string[]): ClientScript {
  const kind = random.weighted(
    clientKinds.map((known): [ClientKind, number] => [known, known === "correct" ? 3 : 1]),
  );
  const script: ClientScript = {
    name,
    kind,
    address: random.pick(addresses),
    atMs: random.weighted([
      [0, 1],
      [random.below(50), 3],
      [random.below(5_000), 3],
      [random.below(60_000), 1],
    ] as const),
    conditions: drawConditions(random.fork("conditions")),
    patienceMs: random.weighted([
      [1_500_000, 6],
      [30_000, 1],
      [700, 1],
    ] as const),
    steps: [],
    ...(random.chance(0.1) ? { holdsOn: true } : {}),
  };
  return { ...script, ...particulars(kind, name, random) };
}

function particulars(
  kind: ClientKind,
  name: string,
  random: Random,
): Pick<ClientScript, "steps"> & Partial<ClientScript> {
  const hello: ClientStep[] = [{ step: "greeting" }, ehlo(name, random)];
  const mails = (style: "polite" | "pipelined" | "blind", more = {}): ClientStep[] =>
    Array.from(
      {
        length: random.weighted([
          [1, 4],
          [2, 2],
          [4, 1],
        ] as const),
      },
      (_, n): ClientStep[] => [
        { step: "mail", mail: { ...drawMail(random.fork(`mail${n}`), `${name}m${n + 1}`, style), ...more } },
        ...(random.chance(0.15) ? [between(random)] : []),
      ],
    ).flat();
  switch (kind) {
    case "correct":
      return { steps: [...hello, ...mails("polite"), quit] };
    case "pipelining":
      return { steps: [...hello, ...mails("pipelined"), quit] };
    case "few-packets":
      return { steps: [...hello, ...fewPackets(name, random)] };
    case "slow":
      return {
        pace: { octets: random.pick([1, 1, 40]), pauseMs: random.pick([1, 30, 900]) },
        steps: [
          ...hello,
          ...mails(random.pick(["polite", "pipelined"]))
            .slice(0, 2)
            .map(small),
          quit,
        ],
      };
    case "hostile":
      return { steps: [...hello, ...hostileSteps(name, random), quit] };
    case "smuggling": {
      const vectors = Array.from(
        { length: random.between(1, 2) },
        (_, n): ClientStep => ({
          step: "mail",
          mail: drawVectorMail(random.fork(`mail${n}`), `${name}m${n + 1}`),
        }),
      );
      return { steps: [...hello, ...vectors, quit] };
    }
    case "vanishing":
      return vanishing([...hello, ...mails(random.pick(["polite", "pipelined"])), quit], random);
    case "early-talker":
      return {
        steps: [
          { step: "wait", ms: random.pick([0, 0, 200, 290, 4_990, 5_010]) },
          {
            step: "octets",
            octets: random.pick([`EHLO ${name}.example\r\n`, "E", `HELO ${name}.example\r\n`, "\r\n"]),
            replies: 1,
          },
          ...mails("polite"),
          quit,
        ],
      };
    case "http":
      return {
        steps: [
          ...(random.chance(0.5) ? [hello[0] ?? quit] : []),
          {
            step: "octets",
            octets: "POST / HTTP/1.1\r\nHost: x\r\n\r\nMAIL FROM:<smuggled@x.example>\r\n",
            replies: 1,
          },
          { step: "wait", ms: 1_000 },
          { step: "leave", how: "close" },
        ],
      };
    case "starttls":
      return { steps: starttlsSteps(name, hello, mails(random.pick(["polite", "pipelined"])), random) };
    case "reading-slowly":
      return {
        steps: [
          ...hello,
          ...mails("pipelined"),
          ...floodOfNoops(random),
          { step: "deaf", ms: random.pick([500, 30_000, 400_000]) },
          ...mails("polite").map(renamed),
          quit,
        ],
      };
    case "odd":
      return { steps: [...hello, ...oddSteps(name, random), ...mails("polite"), quit] };
  }
}

function ehlo(name: string, random: Random): ClientStep {
  return { step: "say", line: `${random.chance(0.9) ? "EHLO" : "HELO"} ${name}.example`, await: true };
}

/** A second batch of mails needs identities of its own. */
function renamed(step: ClientStep): ClientStep {
  if (step.step !== "mail") return step;
  const again = (text: string): string => text.replaceAll(step.mail.identity, `${step.mail.identity}b`);
  return {
    step: "mail",
    mail: {
      ...step.mail,
      identity: `${step.mail.identity}b`,
      from: again(step.mail.from),
      to: step.mail.to.map(again),
    },
  };
}

function small(step: ClientStep): ClientStep {
  if (step.step !== "mail") return step;
  const body = {
    ...step.mail.body,
    lines: Math.min(step.mail.body.lines, 3),
    lineOctets: Math.min(step.mail.body.lineOctets, 60),
  };
  return { step: "mail", mail: { ...step.mail, body } };
}

function between(random: Random): ClientStep {
  return random.pick<ClientStep>([
    { step: "say", line: "RSET", await: true },
    { step: "say", line: "NOOP", await: true },
    { step: "say", line: "VRFY somebody", await: true },
    { step: "wait", ms: random.pick([10, 900, 31_000]) },
    { step: "say", line: "EHLO again.example", await: true },
  ]);
}

/** As few packets as RFC 2920 has it: the next envelope, or QUIT, goes with the end of mail data. */
function fewPackets(name: string, random: Random): ClientStep[] {
  const count = random.between(1, 3);
  return Array.from({ length: count }, (_, n): ClientStep => {
    const mail = drawMail(random.fork(`mail${n}`), `${name}m${n + 1}`, "pipelined");
    const last = n === count - 1;
    const leaves = last && random.chance(0.4) ? { leaves: random.pick(leavings) } : {};
    return {
      step: "mail",
      mail: last
        ? { ...mail, behind: { octets: "QUIT\r\n", replies: 1 }, ...leaves }
        : { ...mail, goesOn: true },
    };
  });
}

function vanishing(steps: ClientStep[], random: Random): Pick<ClientScript, "steps"> & Partial<ClientScript> {
  const how = random.pick(leavings);
  const manner = random.pick(["anywhere", "behind-the-dot", "between"] as const);
  if (manner === "behind-the-dot") {
    return {
      steps: steps.map((step) =>
        step.step === "mail" ? { step: "mail", mail: { ...step.mail, leaves: how } } : step,
      ),
    };
  }
  if (manner === "between")
    return { steps: [...steps.slice(0, random.between(1, steps.length)), { step: "leave", how }] };
  const octets = steps.reduce(
    (sum, step) => sum + (step.step === "mail" ? 120 + mailDataOf(step.mail).length : 20),
    0,
  );
  return { steps, vanishes: { afterOctets: random.below(octets + 1), how } };
}

function starttlsSteps(name: string, hello: ClientStep[], mails: ClientStep[], random: Random): ClientStep[] {
  const how = random.weighted([
    ["well", 6],
    ["garbage", 1],
    ["alert", 1],
    ["silent", 1],
    ["reset", 1],
  ] as [TlsFate, number][]);
  const behind = random.weighted([
    ["nothing", 6],
    ["command", 1],
    ["reply", 1],
  ] as const);
  const tls: ClientStep = { step: "starttls", how, behind };
  const within: ClientStep = { step: "say", line: "RSET", await: true };
  return [
    ...hello,
    ...(random.chance(0.2)
      ? [{ step: "say", line: `MAIL FROM:<forgotten@${name}.example>`, await: true } as const]
      : []),
    tls,
    ...(random.chance(0.9) ? [ehlo(name, random)] : []),
    ...(random.chance(0.2) ? [{ ...tls, how: "well" } as const, within] : []),
    ...mails,
    quit,
  ];
}

function floodOfNoops(random: Random): ClientStep[] {
  if (random.chance(0.6)) return [];
  const count = random.pick([50, 300, 1_200]);
  return [{ step: "octets", octets: "HELP\r\n".repeat(count), replies: count }];
}

function hostileSteps(name: string, random: Random): ClientStep[] {
  const say = (line: string, replies = 1): ClientStep => ({ step: "octets", octets: line, replies });
  const garbage = String.fromCharCode(
    ...Array.from({ length: random.between(1, 300) }, () => random.below(256)),
  );
  const choices: readonly (() => ClientStep[])[] = [
    () => [say(garbage, 0), say("\r\n")],
    () => [say(`NOOP ${"x".repeat(random.pick([2_040, 2_041, 2_042, 3_000, 90_000]))}\r\n`)],
    () => [say("NOOP\n"), say("NO\rOP\r\n"), say("NO\0OP\r\n"), say("\r\n")],
    () => [say("DATA\r\n"), say(`RCPT TO:<early@dest.example>\r\n`), say("MAIL FROM:<a b>\r\n")],
    () => [say("XYZZY\r\n".repeat(random.between(2, 15)), 15)],
    () => {
      const count = random.pick([3, 150, 400]);
      const rcpts = Array.from({ length: count }, (_, n) => `RCPT TO:<r${n}.${name}mx@dest.example>\r\n`);
      return [say(`MAIL FROM:<s.${name}mx@sender.example>\r\n${rcpts.join("")}`, count + 1), say("RSET\r\n")];
    },
    () => [
      say(`MAIL FROM:<s.${name}my@sender.example>\r\nMAIL FROM:<again@sender.example>\r\n`, 2),
      say("RSET\r\n"),
    ],
    () => [
      say("AUTH PLAIN AGEAYg==\r\n"),
      say("BDAT 5 LAST\r\n"),
      say("EXPN list\r\n"),
      say("VRFY\r\n"),
      say("EHLO\r\n"),
    ],
    () => [{ step: "mail", mail: drawMail(random.fork("blind"), `${name}mz`, "blind") }],
    () => [say("NOOP\r\n".repeat(120), 120)],
    () => [say("a".repeat(random.pick([100, 70_000])), 0), { step: "wait", ms: 100 }, say("\r\n")],
    () => [say("QUIT\r\nMAIL FROM:<smuggled@x.example>\r\nRCPT TO:<smuggled@dest.example>\r\n", 1)],
  ];
  return Array.from({ length: random.between(1, 3) }, () => random.pick(choices)()).flat();
}

function oddSteps(name: string, random: Random): ClientStep[] {
  const say = (line: string): ClientStep => ({ step: "say", line, await: true });
  const choices: readonly (readonly ClientStep[])[] = [
    [say("AUTH LOGIN"), say("noop   "), say("HELP me"), say("vrfy x")],
    [
      say(`MAIL FROM:<s.${name}mo@sender.example>  `),
      say(`RCPT TO: <r1.${name}mo@dest.example>`),
      say("RSET"),
    ],
    [
      say(`mail from:<s.${name}mo@sender.example> SIZE=100 SIZE=100`),
      say("MAIL FROM:<> BODY=9BIT"),
      say("MAIL FROM:<> RET=FULL"),
    ],
    [
      say(`MAIL FROM:<s.${name}mo@sender.example> SMTPUTF8`),
      say(`RCPT TO:<r\xc3\xa9.${name}mo@dest.example>`),
      say("DATA"),
      say("RSET"),
    ],
    [
      say("MAIL FROM:<> SIZE=99999999999999999999"),
      say("MAIL FROM:<>"),
      say("DATA"),
      say("EHLO [127.0.0.1]"),
    ],
    [say("MAIL FROM:<>"), say("RCPT TO:<postmaster>"), say(`EHLO ${name}.example`)],
    [say("EHLO (odd\\name)"), say("HELO x"), say(`EHLO ${name}.example`)],
    [say("RCPT TO:<@a.example:x@dest.example>"), say("STARTTLS now"), say("DATA x")],
  ];
  return [...random.pick(choices), ...random.pick(choices)];
}
