/**
 * What holds for every client and every relay: garbage never throws, any split gives the same, one reply a command,
 * no 2yz to a message that the relay did not acknowledge, no dot to one that the client did not end.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ReplyReader } from "../../src/smtp/reply-reader.ts";
import { cut, cuts, singleOctets, streams, wire } from "../smtp/generators.ts";
import { World } from "../transcripts/world.ts";
import { type Misdeed, ScriptedRelay, type Step } from "./scripted-relay.ts";

const patient = { MAX_ERRORS: "10000", BARE_NEWLINE: "normalize" };

interface Heard {
  readonly client: string;
  readonly relay: ScriptedRelay;
  readonly world: World;
}

/** A client says `chunks` to a proxy with a relay that misbehaves as it likes. */
function converse(
  chunks: readonly Buffer[],
  misbehave?: (step: Step) => Misdeed,
  options: Readonly<Record<string, string>> = patient,
): Heard {
  const world = new World(options);
  const relay = new ScriptedRelay(world, misbehave);
  world.connect();
  relay.run();
  for (const chunk of chunks) {
    if (world.client?.outbox.closed === false) world.client.send(chunk);
    relay.run();
  }
  return { client: heardBy(world), relay, world };
}

function heardBy(world: World): string {
  const octets = world.client?.outbox.heard.filter((output) => typeof output === "object") ?? [];
  return Buffer.concat(octets).toString("latin1");
}

function codesIn(text: string): number[] {
  const { replies, defect } = new ReplyReader().push(wire(text));
  expect(defect).toBeUndefined();
  return replies.map(({ code }) => code);
}

const commands = [
  "EHLO c.example\r\n",
  "HELO c.example\r\n",
  "MAIL FROM:<a@c.example>\r\n",
  "MAIL FROM:<bad@c.example>\r\n",
  "RCPT TO:<x@y.example>\r\n",
  "RCPT TO:<bad@y.example>\r\n",
  "RSET\r\n",
  "NOOP\r\n",
  "VRFY x\r\n",
  "FOO\r\n",
  "\r\n",
];
const mail = "EHLO c.example\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<x@y.example>\r\nDATA\r\n";
const anyTalk = fc.oneof(
  streams(
    ...commands,
    mail,
    "DATA\r\n",
    ".\r\n",
    "a\r\n.\r\n",
    "..\r\n",
    "STARTTLS\r\n",
    "MAIL FROM:<",
    "x".repeat(3000),
  ),
  fc
    .array(
      fc.constantFrom(
        ...commands,
        mail,
        `${mail}a\r\n.\r\n`,
        `${mail}..\r\n\n.\n\r\n.\r\n`,
        "DATA\r\n",
        "a\r\n",
      ),
      {
        maxLength: 20,
      },
    )
    .map((parts) => wire(parts.join(""))),
);

describe("a client that says anything", () => {
  test("is answered in whole replies, the same however its octets are cut", () => {
    fc.assert(
      fc.property(anyTalk, cuts, (octets, places) => {
        const whole = converse([octets]);
        codesIn(whole.client);
        for (const chunks of [cut(octets, places), singleOctets(octets)]) {
          const other = converse(chunks);
          expect(other.client).toBe(whole.client);
          expect(other.relay.acknowledged).toEqual(whole.relay.acknowledged);
        }
      }),
      { numRuns: 300 },
    );
  });

  test("hears one reply for each line that is not mail data", () => {
    const talk = fc.array(fc.constantFrom(...commands), { maxLength: 300 });
    fc.assert(
      fc.property(talk, cuts, (lines, places) => {
        const { client } = converse(cut(wire(lines.join("")), places));
        expect(codesIn(client).length).toBe(1 + lines.length);
      }),
      { numRuns: 200 },
    );
  });

  test("hears in one packet what it hears one command at a time", () => {
    const talk = fc.array(fc.constantFrom(...commands, `${mail}x\r\n.\r\n`), { maxLength: 30 });
    fc.assert(
      fc.property(talk, (lines) => {
        const onePacket = converse([wire(lines.join(""))]).client;
        expect(converse(lines.map(wire)).client).toBe(onePacket);
      }),
      { numRuns: 300 },
    );
  });

  test("is not read while it has 64 KiB of commands waiting", () => {
    const world = new World(patient);
    world.connect();
    world.client?.send(wire("EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<x@y>\r\n"));
    world.endTurn();
    let sent = 0;
    for (; sent < 1_000_000; sent += 6000) {
      world.client?.send(wire("NOOP\r\n".repeat(1000)));
      world.endTurn();
      if (world.client?.outbox.heard.includes("pauses") === true) break;
    }
    expect(sent).toBeLessThan(80_000);
  });
});

/** What a relay may do instead of its duty. */
const misdeeds: fc.Arbitrary<Misdeed> = fc.oneof(
  { weight: 12, arbitrary: fc.constant(undefined) },
  {
    weight: 5,
    arbitrary: fc.constantFrom(
      "closes",
      "resets",
      "is silent",
      "250 2.0.0 ok\r\n",
      "250 2.0.0 ok\r\n250 2.0.0 ok\r\n",
      "250-2.0.0 ok\r\n",
      "354 go\r\n",
      "354 go\r\n250 2.0.0 ok\r\n",
      "421 4.7.0 no\r\n",
      "450 4.0.0 later\r\n",
      "552 5.3.4 no\r\n",
      "334 \r\n",
      "garbage\r\n",
      "250 a\r250 b\r\n",
      "\r\n",
    ),
  },
);

describe("a relay that does anything", () => {
  const bodies = ["one", "two\r\n..three", "four\r\n.five", ""];

  test("is never credited with a message that it did not acknowledge", () => {
    fc.assert(
      fc.property(
        fc.infiniteStream(misdeeds),
        fc.array(fc.nat(3), { maxLength: 4 }),
        cuts,
        (deeds, mails, places) => {
          const world = new World({ MAX_ERRORS: "10000", RELAY_TIMEOUT: "10s", RELAY_CONNECT_TIMEOUT: "5s" });
          const relay = new ScriptedRelay(world, () => {
            const { value } = deeds.next();
            return value;
          });
          world.connect();
          const say = (text: string): string => {
            const before = heardBy(world).length;
            for (const chunk of cut(wire(text), places)) {
              if (world.client?.outbox.closed === false) world.client.send(chunk);
              relay.run();
            }
            // Whoever is silent is not waited for for ever.
            for (let turn = 0; turn < 60 && heardBy(world).length === before; turn += 1) {
              world.pass(5000);
              relay.run();
            }
            return heardBy(world).slice(before);
          };
          say("EHLO c.example\r\n");
          for (const [index, body] of mails.entries()) {
            const text = `Token: ${index}\r\n${bodies[body]}`;
            say("MAIL FROM:<a@c.example>\r\n");
            const refused = /^[45]/.test(say("RCPT TO:<x@y.example>\r\n"));
            const answer = say("DATA\r\n");
            if (!answer.startsWith("354")) {
              expect(answer).toMatch(/^[45]/);
              say("RSET\r\n");
              continue;
            }
            expect(refused).toBe(false);
            const verdict = say(`${text}\r\n.\r\n`);
            const acknowledged = relay.acknowledged.some((message) => message.endsWith(`${text}\r\n`));
            expect(verdict).toMatch(/^[245]\d\d/);
            if (verdict.startsWith("2")) expect(acknowledged).toBe(true);
            const logged = world.logs.findLast(({ event }) => event === "transaction");
            expect(logged).toMatchObject({ event: "transaction" });
            if (logged?.event === "transaction" && logged.outcome === "relayed")
              expect(acknowledged).toBe(true);
          }
          codesIn(heardBy(world));
          // One outcome a transaction.
          const ids = world.logs.flatMap((event) =>
            event.event === "transaction" ? [event.transaction] : [],
          );
          expect(new Set(ids).size).toBe(ids.length);
        },
      ),
      { numRuns: 1500 },
    );
  });

  test("never gets the end of a message that the client did not end", () => {
    const message = "Subject: x\r\n\r\n..one\r\n.two\r\nthree\r\n";
    fc.assert(
      fc.property(
        fc.nat(message.length + 3),
        fc.constantFrom("resets", "ends"),
        cuts,
        (length, leave, places) => {
          const world = new World({});
          const relay = new ScriptedRelay(world);
          world.connect();
          for (const chunk of [wire(mail), ...cut(wire(`${message}.\r\n`).subarray(0, length), places)]) {
            world.client?.send(chunk);
            relay.run();
          }
          if (world.client?.outbox.closed === false) world.client.act(leave);
          relay.run();
          if (length < message.length + 3) expect(relay.received).toEqual([]);
          else expect(relay.received.every((received) => received.endsWith(message))).toBe(true);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("gets every octet that the client sent, and one trace line", () => {
    const lines = fc.array(
      fc
        .uint8Array({ maxLength: 60 })
        .map((octets) =>
          Buffer.from(octets.filter((octet) => octet !== 13 && octet !== 10)).toString("latin1"),
        ),
      { maxLength: 30 },
    );
    fc.assert(
      fc.property(lines, cuts, (texts, places) => {
        const message = texts.map((text) => `${text.startsWith(".") ? "." : ""}${text}\r\n`).join("");
        const { relay, client } = converse(cut(wire(`${mail}${message}.\r\n`), places), undefined, {});
        expect(relay.received.length).toBe(1);
        const trace = "Received: from c.example ([192.0.2.1])\r\n\tby mx.example with ESMTP id s1-1;\r\n\t";
        expect(relay.received[0]).toBe(`${trace}Mon, 23 Nov 2026 12:00:00 +0000\r\n${message}`);
        expect(codesIn(client).at(-1)).toBe(250);
      }),
      { numRuns: 300 },
    );
  });
});

describe("odds and ends", () => {
  test("octets that come in spite of a pause, and end the relay connection, do not leave the client unread", () => {
    const world = new World({ BARE_NEWLINE: "reject" });
    const relay = new ScriptedRelay(world);
    world.connect();
    world.client?.send(wire(mail));
    relay.run();
    world.relays[0]?.act("congested");
    world.endTurn();
    expect(world.client?.outbox.heard.at(-1)).toBe("pauses");
    // As Bun delivers what it had read before it was asked to pause.
    world.client?.run({ type: "octets", octets: wire("a\n") });
    world.endTurn();
    expect(world.client?.outbox.heard.at(-1)).toBe("resumes");
    world.client?.send(wire("b\r\n.\r\n"));
    world.endTurn();
    expect(heardBy(world)).toEndWith("550 5.5.2 bare LF in mail data\r\n");
  });

  test("no password gets into the log", () => {
    const world = new World({ RELAY_TLS: "implicit", RELAY_USERNAME: "me", RELAY_PASSWORD: "swordfish" });
    world.connect();
    world.client?.send(wire("EHLO c\r\nMAIL FROM:<>\r\nAUTH PLAIN AHN3b3JkZmlzaA==\r\nRCPT TO:<x@y>\r\n"));
    const [relay] = world.relays;
    relay?.act("opens");
    relay?.act("secured");
    for (const line of ["220 r", "250-r\r\n250 AUTH LOGIN", "334 a", "334 b", "235 ok"])
      relay?.send(wire(`${line}\r\n`));
    world.endTurn();
    const said = relay?.outbox.heard.map(String).join("") ?? "";
    expect(said).toContain(Buffer.from("swordfish").toString("base64"));
    const log = JSON.stringify(world.logs);
    expect(log).toContain("hidden");
    expect(log).not.toMatch(/swordfish|c3dvcmRmaXNo|AHN3b3Jk/);
  });
});
