/**
 * The simulated network: it fulfils the contract of src/shell/network.ts as Bun's does, and the program meets in it what
 * it meets outside: short writes, late chunks, resets, half-closed peers. The same seed gives
 * the same run, and at the end nothing is left. Event by event, its sockets are compared with Bun's in native.test.ts; TLS has network-tls.test.ts.
 */
import { afterEach, describe, expect, test } from "bun:test";
import { socketConformance } from "../bun/conformance.ts";
import { connect, eventually, type Pair, patternOctets } from "../bun/support.ts";
import { Clock } from "./clock.ts";
import { clientTls, type Meeting, newActor, type SmallWorld, serverTls, simulated } from "./meetings.ts";
import { FakeNetwork } from "./network.ts";
import { Random } from "./random.ts";

// --- The contract, in real time -----------------------------------------------------------------------------------

/** While these tests run, a millisecond of real time is a few of virtual time. */
let pumps: ReturnType<typeof setInterval>[] = [];
afterEach(() => {
  for (const pump of pumps) clearInterval(pump);
  pumps = [];
});

function pumped(): { readonly network: FakeNetwork; readonly faults: unknown[] } {
  const clock = new Clock();
  const faults: unknown[] = [];
  pumps.push(setInterval(() => clock.runUntil(clock.now + 4), 1));
  return { network: new FakeNetwork(clock, new Random(1), (error) => faults.push(error), 0), faults };
}

async function securedPair(network: FakeNetwork): Promise<Pair> {
  const pair = await connect(network);
  pair.server.socket.secure(serverTls);
  pair.client.socket.secure(clientTls(true));
  await eventually(() => pair.client.facts !== undefined && pair.server.facts !== undefined, "secured");
  return pair;
}

socketConformance("simulated plain TCP", () => {
  const { network, faults } = pumped();
  return { faults, connect: () => connect(network) };
});

socketConformance("simulated TLS by STARTTLS", () => {
  const { network, faults } = pumped();
  return { faults, connect: () => securedPair(network) };
});

// --- From here on: virtual time alone -----------------------------------------------------------------------------

/** What a socket of the program hears of a reset. */
const closedByReset = "closed the peer reset the connection (ECONNRESET)";

describe("octets", () => {
  test("a peer that does not read: write takes a part, the queue congests, and drains when it reads again", () => {
    const world = simulated({ sendBufferOctets: 10_000, receiveBufferOctets: 5_000 });
    const meeting = world.meetClient();
    const { program, actor, end } = meeting;
    const octets = patternOctets(200_000);
    end.pause();
    program.socket.write(octets);
    program.socket.flush();
    world.run(1_000);
    expect(program.socket.queuedOctets).toBe(200_000 - 15_000);
    expect(program.socket.unreadOctets).toBe(200_000 - 5_000);
    expect(program.events).toEqual([]);
    end.resume();
    world.run(10_000);
    expect(Buffer.concat(actor.chunks).equals(octets)).toBe(true);
    expect(program.events).toEqual(["drained"]);
    expect(program.socket.unreadOctets).toBe(0);
    world.leaveNothing(meeting);
  });

  for (const secure of [false, true]) {
    test(`cut anywhere, taken in parts, held up, drained unasked${secure ? ", under TLS" : ""}: all the octets, in order`, () => {
      const world = simulated({
        ...{ cut: 0.7, segmentOctetsMax: 900, shortWrite: 0.7, spuriousDrain: 0.5, lateChunk: 0.5 },
        ...{ stall: 0.2, stallMs: [5, 50], sendBufferOctets: 3_000, lateRead: 0.3, lateReadMs: [1, 20] },
      });
      const meeting = world.meetClient();
      const { program, actor, end } = meeting;
      if (secure) {
        program.socket.secure(serverTls);
        end.startTls("client", "well");
      }
      const [down, up] = [patternOctets(100_000), patternOctets(120_000).reverse()];
      program.on.secured = () => program.socket.write(down);
      if (!secure) program.socket.write(down);
      program.socket.flush();
      for (let at = 0; at < up.length; at += 7_000) end.write(up.subarray(at, at + 7_000));
      program.on.octets = () => {
        program.socket.pause();
        world.clock.timer(3, () => program.socket.resume());
      };
      world.run(100_000);
      expect(Buffer.concat(actor.chunks).equals(down)).toBe(true);
      expect(Buffer.concat(program.chunks).equals(up)).toBe(true);
      expect(program.events.filter((event) => event === "drained")).toEqual(["drained"]);
      world.leaveNothing(meeting);
    });
  }

  test("a segment that is held up holds up what comes behind it", () => {
    const world = simulated({ latencyMs: [1, 1], stall: 1, stallMs: [100, 100] });
    const meeting = world.meetClient();
    meeting.end.write(Buffer.from("held up"));
    world.run(100);
    expect(meeting.program.text).toBe("");
    world.run(1);
    expect(meeting.program.text).toBe("held up");
    world.leaveNothing(meeting);
  });

  test("what a client meets is its own: another client more or less changes nothing", () => {
    const alone = chunkSizes(false);
    expect(alone.length).toBeGreaterThan(5);
    expect(chunkSizes(true)).toEqual(alone);
  });

  function chunkSizes(inCompany: boolean): number[] {
    const world = simulated({ cut: 0.8, latencyMs: [0, 9], segmentOctetsMax: 8_000 });
    if (inCompany) world.meetClient("198.51.100.2").end.write(patternOctets(500));
    const meeting = world.meetClient();
    meeting.end.write(patternOctets(50_000));
    world.run(1_000);
    return meeting.program.chunks.map(({ length }) => length);
  }

  test("a chunk on its way comes after pause() where it is to be late, and no other", () => {
    for (const lateChunk of [0, 1]) {
      const world = simulated({ lateChunk, latencyMs: [5, 5] });
      const meeting = world.meetClient();
      const { program, end } = meeting;
      end.write(Buffer.from("late"));
      program.socket.pause();
      world.run(10);
      end.write(Buffer.from(" held"));
      world.run(100);
      expect(program.text).toBe(lateChunk === 1 ? "late" : "");
      program.socket.resume();
      world.run(10);
      expect(program.text).toBe("late held");
      world.leaveNothing(meeting);
    }
  });

  test("what is sent before our octets were received acknowledges them not, what is sent after does", () => {
    const world = simulated({ latencyMs: [10, 10] });
    const meeting = world.meetRelay();
    const { program, actor, end } = meeting;
    const unread: number[] = [];
    program.on.octets = () => unread.push(program.socket.unreadOctets);
    program.say("DATA\r\n");
    end.write(Buffer.from("354 too early\r\n"));
    world.run(9);
    actor.on.octets = () => end.write(Buffer.from("250 in time\r\n"));
    world.run(100);
    expect([program.text, unread]).toEqual(["354 too early\r\n250 in time\r\n", [6, 0]]);
    world.leaveNothing(meeting);
  });
});

describe("the end of a connection", () => {
  test("a peer that sent its FIN first still reads all the answer", () => {
    const world = simulated();
    const meeting = world.meetClient();
    const { program, actor, end } = meeting;
    end.write(Buffer.from("QUIT\r\n"));
    end.fin();
    world.run(100);
    expect(program.events).toEqual(["octets", "ended"]);
    program.socket.write(patternOctets(1_000_000));
    program.socket.close();
    world.run(5_000);
    expect([actor.octetsReceived, ...actor.events]).toEqual([1_000_000, "octets", "ended", "closed closed"]);
    expect(program.events.at(-1)).toBe("closed closed");
    world.leaveNothing(meeting);
  });

  test("resets: by either side, after a FIN, by a peer that has gone, and for one that never answers a FIN", () => {
    const fates: readonly [string, (meeting: Meeting) => void, program: string, actor: string][] = [
      ["the peer's", ({ end }) => end.reset(), closedByReset, "closed reset"],
      ["ours", ({ program }) => program.socket.terminate(), "closed terminated", "closed ECONNRESET"],
      ["of what was unread", leaveUnread, closedByReset, "closed closed"],
      ["silence", ({ program }) => program.socket.close(), "closed terminated", "closed EPIPE"],
      ["gone", writeToGone, "closed the peer has closed the connection (EPIPE)", "closed closed"],
    ];
    for (const [label, act, programHeard, actorHeard] of fates) {
      const world = simulated();
      const meeting = world.meetClient();
      act(meeting);
      world.run(10_000);
      expect([label, meeting.program.events.at(-1)]).toEqual([label, programHeard]);
      expect([label, meeting.actor.events.at(-1)]).toEqual([label, actorHeard]);
      world.leaveNothing(meeting);
    }
  });

  function leaveUnread({ program, end, world }: Meeting): void {
    end.pause();
    program.say("unread");
    world.run(10);
    end.close();
  }

  function writeToGone({ program, end, world }: Meeting): void {
    end.close();
    world.run(10);
    program.say("is anybody there?");
  }

  test("a paused socket does not hear a FIN, but a reset, and what came before it", () => {
    const world = simulated();
    const fin = world.meetClient();
    fin.program.socket.pause();
    fin.end.write(Buffer.from("last words"));
    fin.end.fin();
    world.run(60_000);
    expect(fin.program.events).toEqual([]);
    fin.program.socket.resume();
    world.run(1);
    expect(fin.program.events).toEqual(["octets", "ended"]);
    const reset = world.meetClient();
    reset.program.socket.pause();
    reset.end.write(Buffer.from("last words"));
    reset.end.reset();
    world.run(10);
    expect(reset.program.events).toEqual(["octets", closedByReset]);
    world.leaveNothing(fin, reset);
  });

  test("with a reset a paused socket hears all that had arrived, in chunks as big as Bun reads", () => {
    const world = simulated({ receiveBufferOctets: 2 << 20 });
    const meeting = world.meetClient();
    meeting.program.socket.pause();
    meeting.end.write(patternOctets(1_200_000));
    world.run(1_000);
    meeting.end.reset();
    world.run(10);
    const [whole, rest] = [512 << 10, 1_200_000 - (1 << 20)];
    expect(meeting.program.chunks.map(({ length }) => length)).toEqual([whole, whole, rest]);
    expect(meeting.program.events).toEqual(["octets", closedByReset]);
    world.leaveNothing(meeting);
  });

  test("a reset is felt by write() before it is heard of: nothing can be written, what came before is read", () => {
    const world = simulated({ lateRead: 1, lateReadMs: [50, 50] });
    const meeting = world.meetClient();
    const { program, end } = meeting;
    end.write(Buffer.from("550 go away\r\n"));
    end.reset();
    world.run(20);
    program.say("RCPT TO:<a@b>\r\n");
    expect([program.socket.queuedOctets, program.events.length]).toEqual([0, 0]);
    world.run(100);
    expect(program.events).toEqual(["octets", "ended", closedByReset]);
    world.leaveNothing(meeting);
  });
});

describe("dials and names", () => {
  function dial(world: SmallWorld, port: number) {
    const heard: string[] = [];
    const dialled = world.network.dial({ address: "192.0.2.25", port }, 30_000, {
      opened(socket) {
        heard.push("opened");
        return { ...silent, closed: (reason) => heard.push(`closed ${reason}`), ended: () => socket.close() };
      },
      failed: (reason) => heard.push(reason),
    });
    return { dialled, heard };
  }
  const silent = { octets() {}, ended() {}, drained() {}, secured() {}, handshakeFailed() {}, closed() {} };

  test("nobody there, refused, silent, reset, and given up", () => {
    const fates = new Set<string>();
    for (let seed = 0; seed < 20; seed += 1) {
      const world = simulated({}, seed);
      const behaviours = ["refused", "silent", "resets"] as const;
      behaviours.forEach((behaviour, port) => {
        world.network.serve("192.0.2.25", port, behaviour, world.conditions);
      });
      const dials = [0, 1, 2, 3].map((port) => dial(world, port));
      const givenUp = dial(world, 1);
      givenUp.dialled.cancel();
      expect(world.network.openDials).toBe(4);
      world.run(40_000);
      expect(givenUp.heard).toEqual([]);
      fates.add(dials.map(({ heard }) => heard.join(", ")).join(" | "));
      world.leaveNothing();
    }
    const [first, last] = ["ECONNREFUSED | no answer within 30s |", "| ECONNREFUSED"];
    expect([...fates].sort()).toEqual([
      `${first} ECONNRESET ${last}`,
      `${first} opened, ${closedByReset} ${last}`,
    ]);
  });

  test("a dial given up when the answer was on its way: the relay hears a reset", () => {
    const world = simulated({ latencyMs: [10, 10] });
    const { actor, accept } = newActor();
    world.network.serve("192.0.2.25", 25, { accept }, world.conditions);
    dial(world, 25).dialled.cancel();
    world.run(100);
    expect(actor.events).toEqual(["closed ECONNRESET"]);
    world.leaveNothing();
  });

  test("names resolve after a while, addresses at once", async () => {
    const world = simulated();
    world.network.names.set("relay.test", { addresses: ["192.0.2.25", "2001:db8::25"] });
    world.network.names.set("broken.test", { failure: "EAI_AGAIN" });
    const names = ["relay.test", "broken.test", "unknown.test", "", "192.0.2.9"];
    const answers = Promise.all(names.map((name) => world.network.resolve(name)));
    world.run(100);
    expect(await answers).toEqual([
      { addresses: ["192.0.2.25", "2001:db8::25"] },
      { failure: "EAI_AGAIN" },
      { failure: "ENOTFOUND" },
      { failure: "no host name" },
      { addresses: ["192.0.2.9"] },
    ]);
  });

  test("a client that dials where nobody listens", () => {
    const world = simulated();
    const { actor, accept } = newActor();
    world.network.connect({ address: "198.51.100.1", port: 9 }, 25, world.conditions, accept);
    world.run(10);
    expect(actor.events).toEqual(["closed ECONNREFUSED"]);
    world.leaveNothing();
  });
});

describe("determinism", () => {
  function trace(seed: number): string[] {
    const world = simulated(
      { cut: 0.5, shortWrite: 0.5, spuriousDrain: 0.3, stall: 0.3, stallMs: [1, 9] },
      seed,
    );
    const { program, actor, end } = world.meetClient();
    const heard: string[] = [];
    program.on.octets = (octets) => heard.push(`${world.clock.now} program ${octets.length}`);
    actor.on.octets = (octets) => heard.push(`${world.clock.now} actor ${octets.length}`);
    end.write(patternOctets(300_000));
    program.socket.write(patternOctets(300_000));
    program.socket.flush();
    world.run(10_000);
    end.fin();
    program.socket.close();
    world.run(1_000);
    return [...heard, ...program.events, ...actor.events];
  }

  test("the same seed gives the same events at the same times, another seed gives others", () => {
    expect(trace(7).length).toBeGreaterThan(20);
    expect(trace(7)).toEqual(trace(7));
    expect(trace(7)).not.toEqual(trace(8));
  });
});
