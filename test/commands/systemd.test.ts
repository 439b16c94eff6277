/** Socket activation of the compiled binary by systemd-socket-activate, its faults, and the units of example/. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { closeSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { descriptorsNeeded } from "../../src/commands/descriptors.ts";
import { OPTIONS } from "../../src/config/options.ts";
import { listeningSocket } from "../host/libc.ts";
import { Client } from "./client.ts";
import { FakeRelay } from "./fake-relay.ts";
import { bareEnvironment, binary, cleanUp, found, root, run, Service, temporaryFolder } from "./support.ts";

const folder = temporaryFolder();
const activator = Bun.which("systemd-socket-activate");
const analyzer = Bun.which("systemd-analyze");

beforeAll(() => {
  binary();
}, 60_000);
afterAll(cleanUp);

function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  listener.stop(true);
  return listener.port;
}

describe.skipIf(activator === null)("systemd-socket-activate", () => {
  test("two sockets with names: mail goes through both, and LISTEN_ADDRESS is not used", async () => {
    using relay = new FakeRelay();
    const port = freePort();
    const unix = join(folder, "smtp.sock");
    const settings = {
      RELAY_HOST: relay.host,
      RELAY_TLS: "off",
      SERVER_NAME: "proxy.test",
      LISTEN_ADDRESS: "127.0.0.1:1",
    };
    // The activator hands on only the variables that it is told to.
    const handed = Object.keys({ ...settings, ...bareEnvironment }).map((name) => `--setenv=${name}`);
    const words = [
      String(activator),
      "-l",
      `127.0.0.1:${port}`,
      "-l",
      unix,
      "--fdname=smtp:local",
      ...handed,
    ];
    await using service = new Service(settings, words);
    for (const target of [{ address: "127.0.0.1", port }, { unix }]) {
      const client = await Client.dialWhenReady(target);
      expect(await client.send("Subject: activated\r\n\r\nx")).toStartWith("250 ");
      await client.quit();
    }
    expect(relay.mails).toHaveLength(2);
    expect(relay.mails[0]).toStartWith("Received: from client.test ([127.0.0.1])\r\n");
    expect(relay.mails[1]).toStartWith("Received: from client.test (local)\r\n");
    const addresses = service.events("listening").map((line) => line.get("address"));
    expect(addresses).toEqual(["fd 3 (smtp)", "fd 4 (local)"]);
    service.signal("SIGTERM");
    expect(await service.exited).toBe(0);
  });
});

describe("a restart under a socket that systemd holds", () => {
  /** As systemd starts it: the socket is descriptor 3, and LISTEN_PID the program's own. */
  function start(relay: FakeRelay, descriptor: number) {
    return Bun.spawn(
      ["/bin/sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=smtp exec "$0"', binary()],
      {
        env: {
          ...bareEnvironment,
          RELAY_HOST: relay.host,
          RELAY_TLS: "off",
          SERVER_NAME: "proxy.test",
        },
        cwd: folder,
        stdio: ["ignore", "ignore", "ignore", descriptor],
      },
    );
  }

  test("who comes while the old one ends waits, and is served by the new one", async () => {
    using relay = new FakeRelay({ holdDot: true });
    const { descriptor, port } = listeningSocket();
    const old = start(relay, descriptor);
    const busy = await Client.dialWhenReady(port);
    const answer = busy.send("Subject: old\r\n\r\nx");
    await found(
      () => (relay.holds ? true : undefined),
      () => "the dot at the relay",
    );
    old.kill("SIGTERM");
    await Bun.sleep(200);
    // The old one takes nobody any more; the kernel does.
    const waiting = Array.from({ length: 20 }, () => Client.dial(port));
    await Bun.sleep(300);
    relay.letGo();
    expect(await answer).toBe("250 2.0.0 taken");
    expect(await old.exited).toBe(0);
    const successor = start(relay, descriptor);
    for (const client of await Promise.all(waiting)) await client.quit();
    successor.kill("SIGKILL");
    await successor.exited;
    closeSync(descriptor);
  }, 20_000);
});

describe("what is wrong with the sockets", () => {
  const settings = { RELAY_HOST: "127.0.0.1:9", SERVER_NAME: "proxy.test", LISTEN_ADDRESS: "127.0.0.1:0" };

  async function shell(script: string) {
    const child = Bun.spawn(["/bin/sh", "-c", script, "sh", binary()], {
      env: { ...bareEnvironment, ...settings },
      cwd: folder,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 10_000,
    });
    const stderr = await new Response(child.stderr).text();
    return { status: await child.exited, stderr };
  }

  test("another process's id", async () => {
    const { status, stderr } = await run(["serve"], {
      environment: { ...settings, LISTEN_PID: "1", LISTEN_FDS: "1" },
    });
    expect(status).toBe(78);
    expect(stderr).toMatch(
      /^smtpproxy: LISTEN_PID=1 names another process, ours is \d+: the sockets are not for us$/m,
    );
    expect(stderr).not.toContain("listening");
  });

  test("a plain file as descriptor 3", async () => {
    const { status, stderr } = await shell(
      'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=smtp exec "$1" 3>plain',
    );
    expect(status).toBe(78);
    expect(stderr).toBe('smtpproxy: descriptor 3 ("smtp") is no socket\n');
  });

  test("too few descriptors", async () => {
    const { status, stderr } = await shell('LISTEN_PID=$$ LISTEN_FDS=200 exec "$1"');
    expect(status).toBe(78);
    expect(stderr).toMatch(/^smtpproxy: descriptor \d+ \("unknown"\) is /);
  });
});

const units = ["smtpproxy.service", "smtpproxy.socket"];
const unit = (name: string): string => readFileSync(join(root, "example", name), "utf8");

describe.skipIf(analyzer === null)("systemd-analyze", () => {
  function analyze(...words: string[]) {
    for (const name of units) {
      writeFileSync(join(folder, name), unit(name).replace("/usr/local/sbin/smtpproxy", binary()));
    }
    const { exitCode, stdout, stderr } = Bun.spawnSync([String(analyzer), ...words], { cwd: folder });
    return { exitCode, said: `${stdout}${stderr}` };
  }

  test("verify has nothing to say", () => {
    const { exitCode, said } = analyze("verify", ...units.map((name) => join(folder, name)));
    // systemd itself may have something to say of the machine's own units.
    expect(said.split("\n").filter((line) => line.includes("smtpproxy"))).toEqual([]);
    expect(exitCode).toBe(0);
  });

  test("security finds little exposure", () => {
    const { exitCode, said } = analyze(
      ...["security", "--offline=true", "--threshold=20", join(folder, "smtpproxy.service")],
    );
    expect(said).toMatch(/Overall exposure level for smtpproxy\.service: [01]\.\d OK/);
    expect(exitCode).toBe(0);
  });
});

describe("the units", () => {
  const value = (key: string): string =>
    new RegExp(`^${key}=(.*)$`, "m").exec(unit("smtpproxy.service"))?.[1] ?? "";

  test("agree with the program", () => {
    expect(value("RestartPreventExitStatus")).toBe("78");
    expect(value("ExecReload")).toBe("/bin/kill -HUP $MAINPID");
    expect(Number.parseInt(value("TimeoutStopSec"), 10)).toBeGreaterThan(
      Number.parseInt(OPTIONS.shutdownGraceMs.default ?? "", 10) + 5,
    );
    const needed = descriptorsNeeded({
      clientsMax: Number(OPTIONS.maxConnections.default),
      relaysMax: Number(OPTIONS.relayMaxConnections.default),
      listeners: 2,
      dnsServers: 3,
    });
    // As its comment says.
    expect(Number(value("LimitNOFILE"))).toBeGreaterThan(10 * needed);
    // It would switch the just-in-time compiler off.
    expect(value("MemoryDenyWriteExecute")).toBe("");
  });

  test("and the README tell of as many open files as the program counts", () => {
    const besides = (dnsServers: number) =>
      descriptorsNeeded({ clientsMax: 0, relaysMax: 0, listeners: 2, dnsServers });
    const perServer = besides(2) - besides(1);
    const rest = Math.ceil((besides(1) - perServer) / 10) * 10;
    const told = new RegExp(`${perServer}\\s+for(?:\\s+#)?\\s+each name server,\\s+and some ${rest} more`);
    expect(unit("smtpproxy.service")).toMatch(told);
    expect(readFileSync(join(root, "README.md"), "utf8")).toMatch(told);
  });

  test("hand the options over as a file, in which a misspelt one prevents the start", async () => {
    expect(unit("smtpproxy.service")).not.toMatch(/^EnvironmentFile=/m);
    const [credential = "", path] = value("LoadCredential").split(":");
    expect(path).toBe("/etc/default/smtpproxy");
    const [, ...words] = value("ExecStart").split(" ");
    expect(words.join(" ")).toBe(`serve --config %d/${credential}`);
    writeFileSync(join(folder, credential), "RELAY_HOST=127.0.0.1:9\nRELAY_USER=me\n");
    const args = words.map((word) => word.replace("%d", folder));
    const { status, stderr } = await run(args);
    expect(stderr).toBe(
      `smtpproxy: RELAY_USER (file ${folder}/${credential}:2): is no option; did you mean RELAY_USERNAME?\n`,
    );
    expect(status).toBe(Number(value("RestartPreventExitStatus")));
  });
});
