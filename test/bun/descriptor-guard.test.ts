/** Listeners rest before descriptors run out: when, and that nobody who waits meanwhile is lost. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DescriptorGuard } from "../../src/bun/descriptor-guard.ts";
import { type NativeListener, PausableListener } from "../../src/bun/pausable-listener.ts";
import { listeningSocket } from "../host/libc.ts";
import { eventually } from "./support.ts";

const folder = mkdtempSync(join(tmpdir(), "smtpproxy-net-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("DescriptorGuard", () => {
  /** A process with `others` descriptors besides clients and dials, and one listener. */
  function process(limit: number, reserve: number) {
    const state = {
      others: 20,
      sockets: 0,
      paused: false,
      broken: false,
      now: 0,
      told: [] as boolean[],
      counts: 0,
    };
    let timer: (() => void) | undefined;
    const guard = new DescriptorGuard({
      now: () => state.now,
      timer: (_delayMs, callback) => {
        timer = callback;
        return { cancel() {} };
      },
      openDescriptors: () => {
        state.counts += 1;
        return state.others + state.sockets;
      },
    });
    const native = (): NativeListener => ({
      fd: 2,
      stop: () => {
        state.paused = true;
      },
    });
    const listener = new PausableListener(
      { name: "test", port: 25 },
      native(),
      () => {
        if (state.broken) throw new Error("EMFILE");
        state.paused = false;
        return native();
      },
      () => {},
    );
    guard.add(listener);
    guard.limit({ limit, reserve, changed: (isScarce) => state.told.push(isScarce) });
    return {
      state,
      open(whose: "client" | "dial", count = 1) {
        for (let n = 0; n < count; n++) {
          state.sockets += 1;
          guard.opened(whose);
        }
      },
      close(whose: "client" | "dial", count = 1) {
        for (let n = 0; n < count; n++) {
          state.sockets -= 1;
          guard.closed(whose);
        }
      },
      /** Until the listener rests. */
      fill(): number {
        let clients = 0;
        for (; !state.paused && clients < 2 * limit; clients++) this.open("client");
        return clients;
      },
      look: () => timer?.(),
    };
  }

  test("clients leave the reserve alone, whether it is in use or not", () => {
    const idle = process(1_000, 250);
    expect(idle.fill()).toBe(750);
    const busy = process(1_000, 250);
    busy.open("dial", 100);
    // 20 others and 100 dials are within the reserve.
    expect(busy.fill()).toBe(750);
    const more = process(1_000, 250);
    more.open("dial", 300);
    expect(more.fill()).toBe(1_000 - 320 - 8);
  });

  test("a dial that takes the last that are spare makes listeners rest too", () => {
    const { state, open } = process(100, 25);
    open("client", 70);
    expect(state.paused).toBe(false);
    open("dial", 3);
    expect(state.paused).toBe(true);
  });

  test("what nobody counted is found out before it matters", () => {
    const { state, open } = process(1_000, 250);
    open("client", 600);
    state.others = 395;
    state.now += 2_000;
    open("client");
    expect(state.paused).toBe(true);
  });

  test("goes on when there is room, and tells each once", () => {
    const world = process(100, 25);
    world.fill();
    expect(world.state.told).toEqual([true]);
    world.close("client");
    world.look();
    expect(world.state.paused).toBe(true);
    world.close("client");
    world.look();
    expect(world.state.paused).toBe(false);
    expect(world.state.told).toEqual([true, false]);
    expect(world.fill()).toBe(2);
    expect(world.state.told).toEqual([true, false, true]);
  });

  test("a listener that cannot go on at once is tried again", () => {
    const world = process(100, 25);
    world.fill();
    world.close("client", 10);
    world.state.broken = true;
    world.look();
    expect(world.state.told).toEqual([true]);
    world.state.broken = false;
    world.look();
    expect(world.state.paused).toBe(false);
    expect(world.state.told).toEqual([true, false]);
  });

  test("/proc is not asked while most descriptors are free, and then no more than once a second", () => {
    const { state, open, close } = process(1_000, 250);
    open("client", 400);
    expect(state.counts).toBe(0);
    open("client", 200);
    for (let n = 0; n < 1_000; n++) {
      close("client");
      open("client");
      state.now += 1;
    }
    expect(state.counts).toBeLessThanOrEqual(3);
  });
});

describe("PausableListener", () => {
  interface Doorman {
    readonly accepted: number;
    readonly listener: PausableListener;
  }

  /** Rests after every third client. */
  function listenAt(
    target: { hostname: string; port: number } | { unix: string } | { fd: number },
  ): Doorman & { readonly port: number } {
    const state = { accepted: 0 };
    const socket: Bun.SocketHandler<undefined> = {
      data() {},
      open() {
        state.accepted += 1;
        if (state.accepted % 3 === 0) listener.pause();
      },
    };
    const native: Bun.SocketListener<undefined> = Bun.listen<undefined>({ ...target, socket } as never);
    const port = "port" in target ? Number((native as Bun.TCPSocketListener<undefined>).port) : 0;
    const place = { name: "test", port, ...("unix" in target ? { unixPath: target.unix } : {}) };
    const listenOn = (fd: number): NativeListener => Bun.listen<undefined>({ fd, socket } as never);
    const listener: PausableListener = new PausableListener(place, native, listenOn, () => {});
    return {
      get accepted() {
        return state.accepted;
      },
      listener,
      port,
    };
  }

  async function crowd(doorman: Doorman, dial: () => ReturnType<typeof createConnection>) {
    const failures: string[] = [];
    const sockets = Array.from({ length: 10 }, () => {
      const socket = dial();
      socket.on("error", (error) => failures.push(error.message));
      return socket;
    });
    for (const accepted of [3, 6, 9, 10]) {
      await eventually(() => doorman.accepted === accepted, `${accepted} are let in`);
      await Bun.sleep(30);
      expect(doorman.accepted).toBe(accepted);
      doorman.listener.resume();
    }
    for (const socket of sockets) socket.destroy();
    expect(failures).toEqual([]);
  }

  test("a port: nobody in the queue is lost", async () => {
    const doorman = listenAt({ hostname: "127.0.0.1", port: 0 });
    await crowd(doorman, () => createConnection(doorman.port, "127.0.0.1"));
    doorman.listener.stop();
    const refused = new Promise((resolve) =>
      createConnection(doorman.port, "127.0.0.1").on("error", resolve),
    );
    expect(String(await refused)).toContain("ECONNREFUSED");
  });

  test("a unix socket: its file stays while it rests, and is gone when it stops", async () => {
    const path = join(folder, "socket");
    const doorman = listenAt({ unix: path });
    await crowd(doorman, () => createConnection(path));
    expect(existsSync(path)).toBe(true);
    doorman.listener.pause();
    expect(existsSync(path)).toBe(true);
    doorman.listener.stop();
    expect(existsSync(path)).toBe(false);
    expect(existsSync(`${path}.paused`)).toBe(false);
  });

  test("a unix socket that rests when it stops for good", async () => {
    const path = join(folder, "resting");
    const doorman = listenAt({ unix: path });
    doorman.listener.pause();
    doorman.listener.stop();
    expect(existsSync(path)).toBe(false);
  });

  test("a socket that somebody else holds", async () => {
    const { descriptor, port } = listeningSocket();
    const doorman = listenAt({ fd: descriptor });
    await crowd(doorman, () => createConnection(port, "127.0.0.1"));
    doorman.listener.stop();
  });
});
