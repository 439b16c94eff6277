/**
 * The fake of Bun's socket against Bun's own: the same scenes are played to both, over loopback and in virtual time, and
 * both have to tell the same events in the same order, and answer calls alike. `drain` is left out: it comes unasked.
 * Ciphertext counts as one event however many there are of it: real sessions send tickets, which the pretended do not.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, rmSync } from "node:fs";
import type { BunSocket, NativeSocket } from "../../src/bun/socket.ts";
import { clientContext, loadServerTls } from "../../src/bun/tls.ts";
import { Authority, eventually } from "../bun/support.ts";
import { Clock } from "./clock.ts";
import { NativeConnection } from "./native.ts";
import { Random } from "./random.ts";
import { type Conditions, calm, KernelSocket } from "./wire.ts";

type Handlers = Bun.SocketHandler<BunSocket | undefined>;
type Call = "pause" | "resume" | "shutdown" | "end" | "terminate";

let authority: Authority;
let serverContext: object;
let trustingContext: object;

beforeAll(() => {
  authority = new Authority();
  const { cert, key } = authority.issue("good", "DNS:relay.test");
  const loaded = loadServerTls(cert, key);
  if (!loaded.ok) throw new Error(loaded.fault);
  serverContext = loaded.tls.context;
  trustingContext = clientContext([readFileSync(authority.pem, "utf8")]);
});
afterAll(() => rmSync(authority.folder, { recursive: true }));

/** One end, and what it heard: "data", or "tls data" from the TLS socket. */
class Side {
  readonly heard: string[] = [];
  raw: NativeSocket | undefined;
  secure: NativeSocket | undefined;
  /** Done within the TLS socket's `handshake`. */
  atHandshake: (side: Side) => void = () => {};
  /** Done within `drain`. */
  atDrain: () => void = () => {};
  drains = 0;

  handlers(prefix: "" | "tls "): Handlers {
    const hear = (event: string): void => {
      if (event !== "data" || this.heard.at(-1) !== "data") this.heard.push(prefix + event);
    };
    return {
      data: (_native, octets) => hear(prefix === "" ? "data" : `data ${octets}`),
      end: () => hear("end"),
      drain: () => {
        this.drains += 1;
        this.atDrain();
      },
      close: (_native, error) => hear(`close ${codeOf(error)}`.trim()),
      error: (_native, error) => hear(`error ${codeOf(error)}`),
      handshake: (_native, success, error) => {
        hear(`handshake ${success}${success ? "" : ` ${codeOf(error)}`}`);
        this.atHandshake(this);
      },
    };
  }

  write(octets: string, native = this.#stream): void {
    const taken = native.write(Buffer.from(octets, "latin1"));
    this.heard.push(`write ${taken > 0 && taken < octets.length ? "a part" : taken}`);
  }

  /** What is heard before the call returns stands between its name and "done". */
  call(name: Call, level: "stream" | "raw" = "stream"): void {
    const native = level === "raw" ? this.raw : this.#stream;
    this.heard.push(`${level} ${name}`);
    native?.[name]();
    this.heard.push("done");
  }

  startTls(role: "client" | "server"): void {
    const client = { secureContext: trustingContext, rejectUnauthorized: true, serverName: "relay.test" };
    const tls: Bun.TLSOptions = role === "client" ? client : upgradeAsServer();
    const upgraded = this.raw?.upgradeTLS<BunSocket | undefined>({
      data: undefined,
      tls,
      socket: this.handlers("tls "),
    });
    if (upgraded !== undefined) [this.raw, this.secure] = upgraded;
  }

  get #stream(): NativeSocket {
    const native = this.secure ?? this.raw;
    if (native === undefined) throw new Error("not open");
    return native;
  }
}

function upgradeAsServer(): Bun.TLSOptions & { readonly secureContext: object } {
  return { secureContext: serverContext };
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

interface Stage {
  readonly server: Side;
  readonly client: Side;
  settle(): Promise<void>;
}

async function realStage(): Promise<Stage> {
  const [server, client] = [new Side(), new Side()];
  const listener = Bun.listen<BunSocket | undefined>({
    ...{ hostname: "127.0.0.1", port: 0, allowHalfOpen: true },
    socket: {
      ...server.handlers(""),
      open: (native) => {
        server.raw = native;
      },
    },
  });
  client.raw = await Bun.connect<BunSocket | undefined>({
    ...{ hostname: "127.0.0.1", port: listener.port, allowHalfOpen: true },
    socket: client.handlers(""),
  });
  await eventually(() => server.raw !== undefined, "accepted");
  listener.stop();
  return { server, client, settle: () => quiet(server, client) };
}

/** Nothing was heard for a while. */
async function quiet(server: Side, client: Side): Promise<void> {
  for (let heard = -1, turn = 0; turn < 100; turn += 1) {
    const now = server.heard.length + client.heard.length;
    if (now === heard) return;
    heard = now;
    await Bun.sleep(25);
  }
}

function fakeStage(conditions: Conditions = calm): Stage {
  const clock = new Clock();
  const [server, client] = [new Side(), new Side()];
  const random = new Random(1);
  const kernels = [server, client].map(
    () => new KernelSocket(clock, random, conditions, conditions.sendBufferOctets),
  );
  const [one, other] = kernels;
  if (one === undefined || other === undefined) throw new Error("two ends");
  KernelSocket.join(one, other);
  const around = { clock, random, conditions, closed() {} };
  server.raw = new NativeConnection(one, server.handlers(""), { ...around, role: "server" }).native;
  client.raw = new NativeConnection(other, client.handlers(""), { ...around, role: "client" }).native;
  return { server, client, settle: async () => clock.runUntil(clock.now + 1_000) };
}

type Scene = (stage: Stage) => void | Promise<void>;

async function secured({ server, client, settle }: Stage): Promise<void> {
  server.startTls("server");
  client.startTls("client");
  await settle();
}

const badRecord = "\x17\x03\x03\x00\x20this is thirty-two octets of dust";
const alertRecord = "\x15\x03\x03\x00\x02\x02\x28";
const closeNotifyRecord = "\x15\x03\x03\x00\x02\x01\x00";

const plainScenes: Readonly<Record<string, Scene>> = {
  "a reset": ({ client }) => client.call("terminate"),
  "octets and a reset to a paused socket": async ({ server, client, settle }) => {
    server.call("pause");
    client.write("hello");
    await settle();
    client.call("terminate");
    await settle();
    server.write("x");
  },
  "octets and a FIN, an answer, end": async ({ server, client, settle }) => {
    client.write("hello");
    client.call("shutdown");
    await settle();
    client.write("nothing more");
    server.write("answer");
    await settle();
    server.call("end");
  },
  "end with unread octets": async ({ server, client, settle }) => {
    client.call("pause");
    server.write("unread");
    await settle();
    client.call("end");
  },
  "octets for one that has gone": async ({ server, client, settle }) => {
    client.call("end");
    await settle();
    server.write("anybody?");
    await settle();
    server.write("nobody");
  },
  "FIN both ways closes by itself": async ({ server, client, settle }) => {
    server.call("shutdown");
    await settle();
    client.write("still here");
    await settle();
    client.call("shutdown");
    await settle();
    server.call("end");
  },
  "a FIN to a paused socket": async ({ server, client, settle }) => {
    server.call("pause");
    await settle();
    client.write("hello");
    client.call("shutdown");
    await settle();
    server.heard.push("until now");
    server.call("resume");
    await settle();
    server.call("shutdown");
  },
  "octets, a FIN and a reset to a paused socket": async ({ server, client, settle }) => {
    server.call("pause");
    client.write("hello");
    client.call("end");
    await settle();
    server.write("anybody?");
    await settle();
    server.write("nobody");
  },
  "more than the kernel takes": async ({ server, client, settle }) => {
    client.call("pause");
    server.write("x".repeat(8 << 20));
    server.write("x");
    await settle();
    client.call("resume");
    await settle();
    server.write("y");
  },
  "a throw in `drain`": async ({ server, client, settle }) => {
    server.atDrain = () => {
      server.atDrain = () => {};
      throw new Error("ours");
    };
    client.call("pause");
    server.write("x".repeat(8 << 20));
    await settle();
    client.call("resume");
    await settle();
    server.call("terminate");
  },
  "after terminate": ({ server }) => {
    server.call("terminate");
    server.write("x");
    server.call("end");
  },
};

const tlsScenes: Readonly<Record<string, Scene>> = {
  "octets both ways": async ({ server, client }) => {
    server.write("down");
    client.write("up");
  },
  "shutdown, octets from the other, its shutdown": async ({ server, client, settle }) => {
    server.call("shutdown");
    server.write("x");
    await settle();
    client.write("late");
    await settle();
    client.call("shutdown");
  },
  "the peer's shutdown, an answer, shutdown and end": async ({ server, client, settle }) => {
    client.call("shutdown");
    await settle();
    server.write("answer");
    await settle();
    server.call("shutdown");
    server.call("end");
  },
  "end with a peer that answers": async ({ server, client, settle }) => {
    server.call("end");
    await settle();
    client.write("x");
    await settle();
    client.call("end");
  },
  "end with a silent peer: terminate does nothing but on the raw socket": async ({
    server,
    client,
    settle,
  }) => {
    client.call("pause");
    server.call("end");
    await settle();
    server.call("terminate");
    await settle();
    server.call("terminate", "raw");
  },
  terminate: ({ server }) => server.call("terminate"),
  "more than the kernel takes": ({ server, client }) => {
    client.call("pause");
    server.write("x".repeat(8 << 20));
    server.write("x");
  },
  "octets and a reset to a paused socket": async ({ server, client, settle }) => {
    server.call("pause");
    client.write("hello");
    await settle();
    client.call("terminate", "raw");
    await settle();
    server.write("x");
  },
  "a broken record": ({ client }) => client.write(badRecord, client.raw),
  "octets in the clear": ({ client }) => client.write("QUIT\r\n", client.raw),
};

const handshakeScenes: Readonly<Record<string, Scene>> = {
  "garbage to a server": ({ server, client }) => {
    server.startTls("server");
    client.write("MAIL FROM:<a@b>\r\n");
  },
  "garbage to a server, in parts": async ({ server, client, settle }) => {
    server.startTls("server");
    client.write("MAI");
    await settle();
    server.heard.push("until now");
    client.write("L ");
  },
  "garbage to a client": async ({ server, client, settle }) => {
    client.startTls("client");
    await settle();
    server.write("454 TLS not available\r\n");
  },
  "an alert to a client": ({ server, client }) => {
    client.startTls("client");
    server.write(alertRecord);
  },
  "an alert to a server": ({ server, client }) => {
    server.startTls("server");
    client.write(alertRecord);
  },
  "close_notify to a server": ({ server, client }) => {
    server.startTls("server");
    client.write(closeNotifyRecord);
  },
  "a FIN": ({ server, client }) => {
    server.startTls("server");
    client.call("shutdown");
  },
  "a reset": ({ server, client }) => {
    server.startTls("server");
    client.call("terminate");
  },
  "write and end before it is done": ({ server }) => {
    server.startTls("server");
    server.write("x");
    server.call("end");
  },
  "terminate before it is done": async ({ server, settle }) => {
    server.startTls("server");
    await settle();
    server.call("terminate", "raw");
  },
  "pause within `handshake`, octets behind it": async (stage) => {
    stage.server.atHandshake = (side) => side.call("pause");
    stage.client.atHandshake = (side) => side.write("EHLO");
    await secured(stage);
  },
};

async function play(stage: Stage, scene: Scene): Promise<Pick<Side, "heard">[]> {
  await scene(stage);
  await stage.settle();
  const heard = [stage.server, stage.client].map((side) => ({ heard: [...side.heard] }));
  stage.server.raw?.terminate();
  stage.client.raw?.terminate();
  await stage.settle();
  return heard;
}

function compare(label: string, scenes: Readonly<Record<string, Scene>>, prepare: Scene): void {
  describe(label, () => {
    for (const [name, scene] of Object.entries(scenes)) {
      test(name, async () => {
        const whole: Scene = async (stage) => {
          await prepare(stage);
          await scene(stage);
        };
        const real = await play(await realStage(), whole);
        const fake = await play(fakeStage(), whole);
        expect(fake).toEqual(real);
        expect(real.flatMap(({ heard }) => heard).length).toBeGreaterThan(1);
      });
    }
  });
}

compare("plain", plainScenes, () => {});
compare("TLS", tlsScenes, secured);
compare("the handshake", handshakeScenes, () => {});

describe("what chance brings", () => {
  test("`drain` with nothing written", async () => {
    for (const spuriousDrain of [0, 1]) {
      const { server, settle } = fakeStage({ ...calm, spuriousDrain });
      await settle();
      server.call("pause");
      await settle();
      expect(server.drains).toBe(2 * spuriousDrain);
    }
  });

  test("a write that takes less than it could, and `drain` behind it", async () => {
    const { server, client, settle } = fakeStage({ ...calm, shortWrite: 1 });
    server.write("x".repeat(1_000));
    await settle();
    expect([server.heard, server.drains, client.heard]).toEqual([["write a part"], 1, ["data"]]);
  });
});
