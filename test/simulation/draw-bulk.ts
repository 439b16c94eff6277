/**
 * Makes one world in fifty a bulky one: mails of up to 512 KiB come in large pieces, with bare LFs that are mended on
 * the way, for relays that take little at a time. So what came in one piece waits to be written in several.
 * Most clients and relay connections are in order there, for other kinds rarely come so far; the others are as drawn.
 * All is drawn apart: other worlds are what they would be without it.
 */
import { drawCongestedConditions } from "./draw-conditions.ts";
import { drawMail } from "./draw-mail.ts";
import type { Random } from "./random.ts";
import type { BodyScript, ClientScript, ClientStep, RelayScript, Scenario } from "./scenario.ts";

const share = 0.02;
const clientsMax = 3;

export function perhapsBulky(scenario: Scenario, random: Random): Scenario {
  if (!random.chance(share)) return scenario;
  return {
    ...scenario,
    options: { ...scenario.options, BARE_NEWLINE: "normalize", MAX_MESSAGE_SIZE: "150M" },
    relays: scenario.relays.map((relay) => congested(relay, random.fork(relay.name))),
    clients: scenario.clients.slice(0, clientsMax).map((client) => bulky(client, random.fork(client.name))),
  };
}

function congested(relay: RelayScript, random: Random): RelayScript {
  return {
    ...relay,
    addresses: relay.addresses.map((address) => ({
      ...address,
      listens: "well",
      conditions: drawCongestedConditions(random),
    })),
    connections: relay.connections.map((connection) =>
      random.chance(0.7)
        ? {
            kind: "correct",
            offers: ["PIPELINING", "STARTTLS", "AUTH PLAIN"],
            replyMs: 0,
            tls: "well",
            deeds: [],
          }
        : connection,
    ),
  };
}

function bulky(client: ClientScript, random: Random): ClientScript {
  const pieceOctets = random.weighted([
    [4_096, 1],
    [30_000, 2],
    [70_000, 3],
    [140_000, 2],
    [300_000, 1],
  ] as const);
  const plain = random.chance(0.7) ? inOrder(client, random) : client;
  const inBulk = (step: ClientStep): ClientStep =>
    step.step === "mail"
      ? { step: "mail", mail: { ...step.mail, body: drawBulk(random, pieceOctets) } }
      : step;
  return {
    ...plain,
    steps: plain.steps.map(inBulk),
    // As much arrives at once as Bun reads at once.
    conditions: { ...plain.conditions, segmentOctetsMax: 1_048_576, receiveBufferOctets: 1_048_576 },
    pace: { octets: pieceOctets, pauseMs: random.pick([0, 3, 30]), wholeLines: true },
  };
}

/** The same client, with mails and nothing else on its mind. */
function inOrder({ name, address, atMs, conditions }: ClientScript, random: Random): ClientScript {
  const style = random.pick(["polite", "pipelined"] as const);
  const mails = Array.from({ length: random.between(1, 2) }, (_, n): ClientStep => {
    const mail = drawMail(random.fork(`mail${n}`), `${name}m${n + 1}`, style);
    return { step: "mail", mail: { ...mail, parameters: "" } };
  });
  return {
    name,
    kind: style === "polite" ? "correct" : "pipelining",
    address,
    atMs,
    conditions,
    patienceMs: 1_500_000,
    steps: [
      { step: "greeting" },
      { step: "say", line: `EHLO ${name}.example`, await: true },
      ...mails,
      { step: "say", line: "QUIT", await: true },
    ],
  };
}

/** A piece has few lines: the scanner hands on many bare LFs as one copy. */
function drawBulk(random: Random, pieceOctets: number): BodyScript {
  const octets = random.weighted([
    [30_000, 2],
    [150_000, 4],
    [300_000, 2],
    [530_000, 1],
  ] as const);
  const lineOctets = Math.ceil(pieceOctets / random.between(1, 6));
  return {
    lines: Math.ceil(octets / lineOctets),
    lineOctets,
    flavour: "text",
    hops: 0,
    bareLfEvery: random.pick([1, 1, 2, 3, 9]),
  };
}
