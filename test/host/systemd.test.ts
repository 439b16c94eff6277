/** Socket activation: under the real systemd-socket-activate, and every way in which it may be wrong. */

import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Environment, forgetInheritedSockets, inheritedSockets } from "../../src/host/systemd.ts";
import { dialled, eventually, world } from "../bun/support.ts";

const folder = mkdtempSync(join(tmpdir(), "smtpproxy-net-"));
afterAll(() => rmSync(folder, { recursive: true }));

function faultOf(environment: Environment, pid = 42): string {
  const found = inheritedSockets(environment, pid);
  return found.ok ? "no fault" : found.fault;
}

describe("the variables", () => {
  test("none of them: not activated", () => {
    expect(inheritedSockets({}, 42)).toEqual({ ok: true, sockets: [] });
  });

  test("what is wrong with them is told", () => {
    const cases: [Environment, string][] = [
      [{ LISTEN_FDS: "1" }, "LISTEN_FDS is set alone"],
      [{ LISTEN_PID: "42" }, "LISTEN_PID is set alone"],
      [{ LISTEN_PID: "41", LISTEN_FDS: "1" }, "LISTEN_PID=41 names another process, ours is 42"],
      [{ LISTEN_PID: "self", LISTEN_FDS: "1" }, 'LISTEN_PID="self" is not a process id'],
      [{ LISTEN_PID: "42", LISTEN_FDS: "0" }, 'LISTEN_FDS="0" is not a number from 1 to 256'],
      [{ LISTEN_PID: "42", LISTEN_FDS: "-1" }, 'LISTEN_FDS="-1" is not a number'],
      [{ LISTEN_PID: "42", LISTEN_FDS: "1e9" }, 'LISTEN_FDS="1e9" is not a number'],
      [{ LISTEN_PID: "42", LISTEN_FDS: "" }, 'LISTEN_FDS="" is not a number'],
      [{ LISTEN_PID: "42", LISTEN_FDS: "99999" }, 'LISTEN_FDS="99999" is not a number'],
      [
        { LISTEN_PID: "42", LISTEN_FDS: "1", LISTEN_FDNAMES: "a:b" },
        "LISTEN_FDNAMES has 2 names for 1 descriptors",
      ],
      [
        { LISTEN_PID: "42", LISTEN_FDS: "3", LISTEN_FDNAMES: "a:b" },
        "LISTEN_FDNAMES has 2 names for 3 descriptors",
      ],
    ];
    for (const [environment, fault] of cases) expect(faultOf(environment)).toStartWith(fault);
  });

  test("they are taken away", () => {
    const environment: Environment = { LISTEN_PID: "1", LISTEN_FDS: "1", LISTEN_FDNAMES: "a", PATH: "/bin" };
    forgetInheritedSockets(environment);
    expect(environment).toEqual({ PATH: "/bin" });
  });
});

/** Runs a program of a few lines in a process whose descriptor 3 is `third`. */
async function inChild(third: number | "pipe", names = "smtp"): Promise<string> {
  const program = `
    import { inheritedSockets } from ${JSON.stringify(join(import.meta.dir, "../../src/host/systemd.ts"))};
    console.log(JSON.stringify(inheritedSockets({ LISTEN_PID: "7", LISTEN_FDS: "1", LISTEN_FDNAMES: "${names}" }, 7)));`;
  const child = Bun.spawn([process.execPath, "-e", program], { stdio: ["ignore", "pipe", "inherit", third] });
  return (await new Response(child.stdout).text()).trim();
}

describe("the descriptors", () => {
  test("a plain file", async () => {
    const fd = openSync(join(folder, "plain"), "w+");
    expect(await inChild(fd)).toBe('{"ok":false,"fault":"descriptor 3 (\\"smtp\\") is no socket"}');
  });

  test("a connected socket", async () => {
    expect(await inChild("pipe")).toBe(
      '{"ok":false,"fault":"descriptor 3 (\\"smtp\\") is a stream socket that does not listen"}',
    );
  });

  test("one that is closed", () => {
    // Far more than this process has: the last ones are not open.
    expect(faultOf({ LISTEN_PID: "42", LISTEN_FDS: "256" })).toMatch(/^descriptor \d+ \("unknown"\) is /);
  });
});

const activator = Bun.which("systemd-socket-activate");

describe.skipIf(activator === null)("under systemd-socket-activate", () => {
  /** A port that was free a moment ago. */
  async function freePort(): Promise<number> {
    const listener = world().network.listen({ host: "127.0.0.1", port: 0 }, () => expect.unreachable());
    listener.stop();
    return listener.port;
  }

  const program = `
    import { BunNetwork } from ${JSON.stringify(join(import.meta.dir, "../../src/bun/network.ts"))};
    import { forgetInheritedSockets, inheritedSockets } from ${JSON.stringify(join(import.meta.dir, "../../src/host/systemd.ts"))};
    const found = inheritedSockets(process.env, process.pid);
    forgetInheritedSockets(process.env);
    if (!found.ok) throw new Error(found.fault);
    const network = new BunNetwork((error) => { throw error; });
    for (const target of found.sockets) {
      const { name } = network.listen(target, (socket) => {
        socket.write(Buffer.from([name, socket.remote.family, process.env.LISTEN_FDS ?? "forgotten"].join(" ")));
        socket.close();
        return { octets() {}, ended() {}, drained() {}, secured() {}, handshakeFailed() {}, closed() {} };
      });
    }`;

  async function serve(command: readonly string[], cwd = folder): Promise<void> {
    const [port, unix] = [await freePort(), join(folder, "activated.sock")];
    const words = ["-l", `127.0.0.1:${port}`, "-l", unix, "--fdname=smtp:local", ...command];
    const child = Bun.spawn([String(activator), ...words], { cwd, stdio: ["ignore", "ignore", "pipe"] });
    try {
      const { network } = world();
      const heard: string[] = [];
      for (const target of [{ address: "127.0.0.1", port }, { unix }]) {
        const end = performance.now() + 5_000;
        let client = await dialled(network, target).catch(() => undefined);
        while (client === undefined && performance.now() < end) {
          await Bun.sleep(10);
          client = await dialled(network, target).catch(() => undefined);
        }
        if (client === undefined) throw new Error("the activator does not listen");
        await eventually(() => client.events.includes("ended"), "the greeting and the end");
        heard.push(client.text);
        client.socket.close();
      }
      expect(heard).toEqual(["fd 3 (smtp) ipv4 forgotten", "fd 4 (local) unix forgotten"]);
    } finally {
      child.kill();
      await child.exited;
      rmSync(unix, { force: true });
    }
  }

  test("two sockets, with names, by bun", () => serve([process.execPath, "-e", program]));

  test("the same, by a compiled binary", async () => {
    const source = join(folder, "activated.ts");
    await Bun.write(source, program);
    const binary = join(folder, "activated");
    const flags = [
      "build",
      "--compile",
      "--minify",
      "--bytecode",
      "--format=esm",
      source,
      "--outfile",
      binary,
    ];
    const built = Bun.spawnSync([process.execPath, ...flags]);
    expect(built.exitCode).toBe(0);
    await serve([binary]);
  }, 30_000);
});
