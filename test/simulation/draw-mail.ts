/** Draws mails: honest ones of many shapes, and those that try to smuggle another mail within. */
import type { Random } from "./random.ts";
import type { BodyScript, MailScript } from "./scenario.ts";

/** Ends of mail data that are none, and what a careless reader would make of what follows. */
const falseEnds: readonly string[] = [
  "\n.\n",
  "\n.\r\n",
  "\r\n.\n",
  "\r.\r",
  "\r\n.\r",
  "\r.\r\n",
  "\r\n.\r\r\n",
  "\r\r\n..\r\r\n",
  "\n..\r\n",
  "\r\n.\0\r\n",
  "\r\n\0.\r\n",
  "\r\n. \r\n",
  "\n\n.\n\n",
  "\r\n..\n.\r\n.x\r\n",
];
const smuggledMail =
  "MAIL FROM:<smuggled@x.example>\r\nRCPT TO:<smuggled@dest.example>\r\nDATA\r\nsmuggled\r\n";

export function drawMail(random: Random, identity: string, style: MailScript["style"]): MailScript {
  const body = drawBody(random);
  const recipients = random.weighted([
    [1, 6],
    [2, 2],
    [5, 1],
  ] as const);
  const domain = (): string =>
    random.weighted([
      ["dest", 5],
      ["other", 2],
      ["foreign", 1],
    ] as const);
  const size = random.weighted([
    ["", 5],
    [` SIZE=${body.lines * body.lineOctets}`, 2],
    [" SIZE=500000", 1],
    [" SIZE=1000000000", 1],
  ] as const);
  return {
    identity,
    from: random.chance(0.15) ? "" : `s.${identity}@sender.example`,
    to: Array.from({ length: recipients }, (_, n) => `r${n + 1}.${identity}@${domain()}.example`),
    parameters: style === "blind" ? "" : `${size}${random.chance(0.3) ? " BODY=8BITMIME" : ""}`,
    rcptParameters: "",
    style,
    body,
  };
}

/** What bare LFs there are is drawn apart: all else of a seed's mails is the same without them. */
function drawBody(random: Random): BodyScript {
  const body = drawProperBody(random);
  const own = random.fork("bare LFs");
  return own.chance(0.12) ? { ...body, bareLfEvery: own.pick([1, 2, 5, 40]) } : body;
}

function drawProperBody(random: Random): BodyScript {
  const flavour = random.weighted([
    ["text", 4],
    ["8bit", 1],
    ["dots", 2],
  ] as const);
  const hops = random.weighted([
    [0, 6],
    [1, 1],
    [3, 1],
    [51, 1],
  ] as const);
  const shape = random.weighted([
    ["small", 40],
    ["empty", 4],
    ["middle", 10],
    ["large", 1],
    ["long-lines", 1],
  ] as const);
  switch (shape) {
    case "small":
      return { lines: random.between(0, 6), lineOctets: random.between(0, 60), flavour, hops };
    case "empty":
      return { empty: true, lines: 0, lineOctets: 0, flavour, hops };
    case "middle":
      return { lines: random.between(20, 200), lineOctets: 70, flavour, hops };
    case "large":
      return { lines: random.between(1_000, 4_000), lineOctets: 76, flavour, hops };
    case "long-lines":
      return { lines: 3, lineOctets: random.pick([998, 5_000, 70_000]), flavour, hops };
  }
}

/** A mail that holds another one, or has an honest one right behind its end. */
export function drawVectorMail(random: Random, identity: string): MailScript {
  const mail = drawMail(random, identity, random.pick(["polite", "pipelined"] as const));
  const body: BodyScript = {
    ...mail.body,
    lines: Math.min(mail.body.lines, 20),
    lineOctets: Math.min(mail.body.lineOctets, 200),
  };
  if (random.chance(0.2)) {
    const second = `${identity}x`;
    const commands = `MAIL FROM:<s.${second}@sender.example>\r\nRCPT TO:<r1.${second}@dest.example>\r\nDATA\r\n`;
    return {
      ...mail,
      body,
      behind: { octets: commands, replies: 3 },
      leaves: random.pick(["fin", "close", "silence"] as const),
    };
  }
  const ends = random.chance(0.7) ? random.pick(falseEnds) : drawEnd(random);
  return { ...mail, body: { ...body, vector: `${ends}${random.chance(0.7) ? smuggledMail : ""}` } };
}

/** Any sequence of the octets that matter. An honest end of mail data must not come of it. */
function drawEnd(random: Random): string {
  const octets = Array.from({ length: random.between(2, 9) }, () =>
    random.pick(["\r", "\n", "\r\n", ".", ".", "\0", "x"]),
  );
  return octets.join("").replaceAll("\r\n.\r\n", "\r\n..\r\n");
}
