/** The pretended TLS of the simulated network: handshakes of every fate, in either role, and STARTTLS with octets behind it. */
import { describe, expect, test } from "bun:test";
import { clientTls, type Meeting, serverTls, simulated } from "./meetings.ts";
import type { TlsFate } from "./network.ts";

describe("TLS", () => {
  interface Fate {
    readonly how: TlsFate;
    readonly verify?: boolean;
    readonly program: readonly (string | RegExp)[];
    readonly actor: readonly (string | RegExp)[];
  }
  const asClient: readonly Fate[] = [
    { how: "well", program: ["secured"], actor: ["secured"] },
    {
      how: "untrusted",
      program: [
        "handshakeFailed the peer does not know the authority of the certificate (EPROTO: tlsv1 alert unknown ca)",
        "closed closed",
      ],
      actor: ["handshakeFailed untrusted", "closed closed"],
    },
    {
      how: "alert",
      program: [/^handshakeFailed .*\(EPROTO: sslv3 alert handshake failure\)$/, "closed closed"],
      actor: [/^handshakeFailed/, /^closed/],
    },
    {
      how: "reset",
      program: [
        "handshakeFailed the peer reset the connection (ECONNRESET)",
        "closed the peer reset the connection (ECONNRESET)",
      ],
      actor: ["closed reset"],
    },
    { how: "silent", program: [], actor: [] },
  ];
  const asServer: readonly Fate[] = [
    { how: "well", verify: true, program: ["secured authorized"], actor: ["secured"] },
    { how: "untrusted", verify: false, program: ["secured"], actor: ["secured"] },
    { how: "wrong-name", verify: false, program: ["secured"], actor: ["secured"] },
    {
      how: "untrusted",
      verify: true,
      program: ["handshakeFailed unable to verify the first certificate", "closed closed"],
      actor: [/^handshakeFailed/, /^closed/],
    },
    {
      how: "wrong-name",
      verify: true,
      program: [/^handshakeFailed the name is not/, "closed closed"],
      actor: [/^handshakeFailed/, /^closed/],
    },
    {
      how: "alert",
      verify: false,
      program: [/^handshakeFailed .*\(EPROTO: /, "closed closed"],
      actor: [/^handshakeFailed/, /^closed/],
    },
    {
      how: "reset",
      verify: false,
      program: [
        "handshakeFailed the peer reset the connection (ECONNRESET)",
        "closed the peer reset the connection (ECONNRESET)",
      ],
      actor: ["closed reset"],
    },
    { how: "silent", verify: false, program: [], actor: [] },
  ];

  function matches(events: readonly string[], wanted: readonly (string | RegExp)[]): void {
    expect(events).toEqual(
      wanted.map((want) => (typeof want === "string" ? want : expect.stringMatching(want))),
    );
  }

  for (const [role, fates] of [
    ["client", asClient],
    ["server", asServer],
  ] as const) {
    for (const { how, verify = false, program, actor } of fates) {
      test(`a ${role} whose handshake goes "${how}"${verify ? ", verified" : ""}`, () => {
        for (const segmentOctetsMax of [3, 65_536]) {
          const world = simulated({ segmentOctetsMax, cut: 0.5 });
          const meeting = role === "client" ? world.meetClient() : world.meetRelay();
          meeting.program.socket.secure(role === "client" ? serverTls : clientTls(verify));
          meeting.end.startTls(role, how);
          world.run(60_000);
          matches(
            meeting.program.events.map((event) => withFacts(meeting, event)),
            program,
          );
          matches(meeting.actor.events, actor);
          if (program.length === 1) exchange(meeting);
          world.leaveNothing(meeting);
        }
      });
    }
  }

  function withFacts({ program }: Meeting, event: string): string {
    if (event === "secured" && program.facts?.authorized) return "secured authorized";
    return event === "handshakeFailed" ? `${event} ${program.failure}` : event;
  }

  function exchange({ program, actor, end, world }: Meeting): void {
    program.say("down");
    end.write(Buffer.from("up"));
    world.run(100);
    expect([program.text, actor.text]).toEqual(["up", "down"]);
    end.fin();
    world.run(100);
    expect(program.events.at(-1)).toBe("ended");
    program.socket.close();
    world.run(100);
    expect([program.events.at(-1), actor.events.at(-1)]).toEqual(["closed closed", "closed closed"]);
  }

  test("garbage instead of a handshake breaks it in each of its forms, or leaves it waiting", () => {
    for (const role of ["client", "server"] as const) {
      const reasons = new Set<string | undefined>();
      for (let seed = 0; seed < 40; seed += 1) {
        const world = simulated({}, seed);
        const meeting = role === "client" ? world.meetClient() : world.meetRelay();
        meeting.program.socket.secure(role === "client" ? serverTls : clientTls(true));
        meeting.end.startTls(role, "garbage");
        world.run(1_000);
        reasons.add(meeting.program.failure);
        expect(meeting.program.events).not.toContain("secured");
        world.leaveNothing(meeting);
      }
      const message = "the peer does not keep to TLS (EPROTO: unexpected message)";
      const version = "the peer does not speak TLS here (EPROTO: wrong version number)";
      expect([...reasons].sort()).toEqual([message, version, undefined]);
    }
  });

  test("octets in the clear behind STARTTLS: in its own segment outside the session, later the handshake's end", () => {
    for (const together of [true, false]) {
      const world = simulated();
      const meeting = world.meetClient();
      const { program, end } = meeting;
      program.on.octets = () => {
        program.on = {};
        program.socket.secure(serverTls);
      };
      end.write(Buffer.from(together ? "STARTTLS\r\nMAIL FROM:<a@b>\r\n" : "STARTTLS\r\n"));
      world.run(50);
      if (!together) end.write(Buffer.from("MAIL FROM:<a@b>\r\n"));
      end.startTls("client", "well");
      end.write(Buffer.from("EHLO inside\r\n"));
      world.run(50);
      if (together) {
        expect(program.events).toEqual(["octets", "secured", "octets"]);
        expect(program.chunks.map(String)).toEqual(["STARTTLS\r\nMAIL FROM:<a@b>\r\n", "EHLO inside\r\n"]);
      } else {
        expect(program.events).toEqual(["octets", "handshakeFailed", "closed closed"]);
        expect(program.failure).toBe("the peer does not speak TLS here (EPROTO: wrong version number)");
      }
      world.leaveNothing(meeting);
    }
  });
});
