/**
 * What every implementation of the contract in src/shell/network.ts has to do, plain and under TLS: called by
 * socket.test.ts for Bun's sockets, and by whoever builds a fake. Needs nothing but a pair of connected ends.
 */

import { describe, expect, test } from "bun:test";
import { congestedOctets } from "../../src/shell/network.ts";
import { eventually, type Pair, patternOctets, sha256, turns } from "./support.ts";

export interface Subject {
  /** What the handlers' throws were reported as, so far. */
  readonly faults: readonly unknown[];
  /** Two ends of one connection, ready for octets. */
  connect(): Promise<Pair>;
}

export function socketConformance(label: string, open: () => Subject): void {
  describe(label, () => {
    test("octets go both ways, in order, joined by one flush", async () => {
      const { client, server } = await open().connect();
      for (const word of ["one ", "two ", "three"]) client.socket.write(Buffer.from(word));
      expect(client.socket.queuedOctets).toBe(13);
      client.socket.flush();
      server.say("answer");
      await eventually(
        () => server.text === "one two three" && client.text === "answer",
        "both texts arrive",
      );
      expect(server.chunks.length).toBe(1);
      client.socket.terminate();
    });

    test("octets arrive whole though their memory is given back", async () => {
      const { client, server } = await open().connect();
      server.keep = false;
      const all = patternOctets(4 << 20);
      for (let at = 0; at < all.length; at += 256 << 10) {
        const chunk = Buffer.from(all.subarray(at, at + (256 << 10)));
        client.socket.write(chunk.subarray(0, 1000));
        client.socket.write(chunk.subarray(1000), chunk);
        client.socket.flush();
      }
      await eventually(() => server.octetsReceived === all.length, "all of it");
      expect(server.hash.digest("hex")).toBe(sha256(all));
      client.socket.terminate();
    });

    test("nothing leaves before flush", async () => {
      const { client, server } = await open().connect();
      client.socket.write(Buffer.from("early"));
      await turns();
      expect(server.octetsReceived).toBe(0);
      client.socket.flush();
      await eventually(() => server.text === "early", "it arrives after flush");
      client.socket.terminate();
    });

    test("close from either end: `ended` for the other, `closed` once for both, nothing after", async () => {
      for (const first of ["client", "server"] as const) {
        const pair = await open().connect();
        const [one, other] = first === "client" ? [pair.client, pair.server] : [pair.server, pair.client];
        one.say("last words");
        one.socket.close();
        await eventually(() => other.events.includes("ended"), "the peer hears the FIN");
        other.socket.close();
        await eventually(() => one.isClosed && other.isClosed, "both are closed");
        await turns();
        expect(one.events.filter((event) => event !== "secured")).toEqual(["closed closed"]);
        expect(other.events.filter((event) => event !== "secured")).toEqual([
          "octets",
          "ended",
          "closed closed",
        ]);
        expect(other.text).toBe("last words");
      }
    });

    test("after the peer's FIN a socket lives on until it is closed, and can write", async () => {
      for (const first of ["client", "server"] as const) {
        const pair = await open().connect();
        const [one, other] = first === "client" ? [pair.client, pair.server] : [pair.server, pair.client];
        one.socket.close();
        await eventually(() => other.events.includes("ended"), "FIN");
        other.say("late answer");
        await turns();
        expect([one.isClosed, other.isClosed]).toEqual([false, false]);
        other.socket.close();
        await eventually(() => one.isClosed && other.isClosed, "both closed");
        expect(one.octetsReceived).toBe(0);
      }
    });

    test("close of a paused socket reads to the peer's FIN", async () => {
      const { client, server } = await open().connect();
      server.socket.pause();
      client.say("x".repeat(8 << 20));
      await turns();
      server.socket.close();
      await eventually(() => client.events.includes("ended"), "FIN");
      client.socket.close();
      await eventually(() => client.isClosed && server.isClosed, "both closed", 3_000);
      expect(server.events.at(-1)).toBe("closed closed");
      expect(client.events.at(-1)).toBe("closed closed");
    });

    test("a throw in `closed` is reported", async () => {
      const subject = open();
      const { client, server } = await subject.connect();
      server.on.closed = () => {
        throw new Error("our own fault");
      };
      client.socket.terminate();
      await eventually(() => subject.faults.length > 0, "the fault");
      expect(subject.faults).toHaveLength(1);
    });

    test("terminate: `closed` once at both ends, and not from within the call", async () => {
      const { client, server } = await open().connect();
      client.socket.write(Buffer.from("dropped"));
      client.socket.terminate();
      expect(client.isClosed).toBe(false);
      expect(client.socket.queuedOctets).toBe(0);
      client.socket.terminate();
      client.socket.close();
      client.say("no-op");
      await eventually(() => client.isClosed && server.isClosed, "both closed");
      server.socket.terminate();
      await turns();
      expect(client.closings + server.closings).toBe(2);
    });

    test("after close only `closed` is heard", async () => {
      const { client, server } = await open().connect();
      client.socket.close();
      server.say("too late");
      await eventually(() => server.events.includes("ended"), "FIN");
      server.say("much too late");
      server.socket.close();
      await eventually(() => client.isClosed, "closed");
      expect(client.events.filter((event) => event !== "secured")).toEqual(["closed closed"]);
    });

    test("close delivers 8 MiB to a slow reader while that one is still sending", async () => {
      const { client, server } = await open().connect();
      const big = patternOctets(8 << 20);
      client.keep = false;
      client.socket.pause();
      server.socket.write(big);
      server.socket.close();
      const sending = setInterval(
        () => client.socket.queuedOctets === 0 && client.say("x".repeat(100_000)),
        1,
      );
      await turns(50);
      client.socket.resume();
      // Slow: the reader stops after each chunk for a turn.
      client.on.octets = () => {
        client.socket.pause();
        setTimeout(() => client.socket.resume(), 1);
      };
      await eventually(() => client.events.includes("ended"), "the FIN arrives");
      clearInterval(sending);
      client.socket.close();
      await eventually(() => client.isClosed && server.isClosed, "both closed");
      expect(client.octetsReceived).toBe(big.length);
      expect(client.hash.digest("hex")).toBe(sha256(big));
      expect(server.events.at(-1)).toBe("closed closed");
    });

    test("congestion: `drained` once the queue is empty again, and only then", async () => {
      const { client, server } = await open().connect();
      server.keep = false;
      client.say("small");
      await eventually(() => server.octetsReceived === 5, "it arrives");
      expect(client.events.filter((event) => event !== "secured")).toEqual([]);
      server.socket.pause();
      const big = Buffer.alloc(16 << 20, 7);
      client.socket.write(big);
      client.socket.flush();
      expect(client.socket.queuedOctets).toBeGreaterThan(congestedOctets);
      server.socket.resume();
      await eventually(() => server.octetsReceived === big.length + 5, "all arrives");
      await turns();
      expect(client.events.filter((event) => event === "drained")).toEqual(["drained"]);
      expect(client.socket.queuedOctets).toBe(0);
      client.socket.terminate();
    });

    test("pause and resume are idempotent; a pause holds all but a late chunk", async () => {
      const { client, server } = await open().connect();
      let chunksAfterPause = 0;
      server.keep = false;
      server.on.octets = () => {
        chunksAfterPause += 1;
        server.socket.pause();
        server.socket.pause();
      };
      const big = patternOctets(24 << 20);
      client.socket.write(big);
      client.socket.flush();
      await eventually(() => chunksAfterPause > 0, "the first chunk");
      await turns(50);
      expect(chunksAfterPause).toBeLessThanOrEqual(2);
      expect(server.octetsReceived).toBeLessThan(big.length);
      server.on = {};
      server.socket.resume();
      server.socket.resume();
      await eventually(() => server.octetsReceived === big.length, "the rest");
      expect(server.hash.digest("hex")).toBe(sha256(big));
      client.socket.terminate();
    });

    test("64 MiB each way at once, with backpressure, keep their SHA-256", async () => {
      const { client, server } = await open().connect();
      const block = patternOctets(1 << 20);
      const expected = sha256(Buffer.concat(Array.from({ length: 64 }, () => block)));
      const peaks = [client, server].map((end) => {
        end.keep = false;
        let [sent, peak] = [0, 0];
        const pump = () => {
          while (sent < 64 && end.socket.queuedOctets <= congestedOctets) {
            end.socket.write(block.subarray(0, 300_001));
            end.socket.write(block.subarray(300_001));
            end.socket.flush();
            sent += 1;
            peak = Math.max(peak, end.socket.queuedOctets);
          }
        };
        end.on.drained = pump;
        pump();
        return () => peak;
      });
      await eventually(
        () => client.octetsReceived + server.octetsReceived === 128 << 20,
        "all octets arrive",
        20_000,
      );
      expect(client.hash.digest("hex")).toBe(expected);
      expect(server.hash.digest("hex")).toBe(expected);
      for (const peak of peaks) expect(peak()).toBeLessThanOrEqual((1 << 20) + congestedOctets);
      client.socket.terminate();
    }, 25_000);

    test("a handler that throws is reported, and loses that socket alone", async () => {
      const subject = open();
      const [faulty, sound] = [await subject.connect(), await subject.connect()];
      const thrown = new Error("our own fault");
      faulty.server.on.octets = () => {
        throw thrown;
      };
      faulty.client.say("trigger");
      await eventually(() => faulty.server.isClosed && faulty.client.isClosed, "both closed");
      expect(subject.faults).toEqual([thrown]);
      expect(faulty.server.events.at(-1)).toBe("closed terminated");
      sound.client.say("unharmed");
      await eventually(() => sound.server.text === "unharmed", "the other connection works");
      sound.client.socket.terminate();
    });

    test("handle hands the events over", async () => {
      const { client, server } = await open().connect();
      client.say("first");
      await eventually(() => server.text === "first", "first");
      const heard: string[] = [];
      server.socket.handle({
        ...server,
        octets: (octets) => heard.push(octets.toString()),
        closed: () => heard.push("closed"),
        ended() {},
        drained() {},
        secured() {},
        handshakeFailed() {},
      });
      client.say("second");
      await eventually(() => heard.length > 0, "second");
      client.socket.terminate();
      await eventually(() => heard.length > 1, "closed");
      expect(heard).toEqual(["second", "closed"]);
      expect(server.events.filter((event) => event !== "secured")).toEqual(["octets"]);
    });
  });
}
