/** The binary and its command line: version, help, faults, exit statuses, and what it does not read. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadServerTls } from "../../src/bun/tls.ts";
import { OPTIONS, PROPERTIES } from "../../src/config/options.ts";
import { Authority } from "../bun/support.ts";
import { Client } from "./client.ts";
import { FakeRelay } from "./fake-relay.ts";
import { bareEnvironment, binary, cleanUp, run, Service, temporaryFolder } from "./support.ts";

beforeAll(() => {
  binary();
}, 60_000);
afterAll(cleanUp);

test("--version tells version and commit", async () => {
  for (const args of [["--version"], ["-V"], ["version"], ["check", "--version"]]) {
    const { status, stdout, stderr } = await run(args);
    expect(stdout).toMatch(/^smtpproxy \d+\.\d+\.\d+ \(([0-9a-f]{12}|unknown)\)\n$/);
    expect([status, stderr]).toEqual([0, ""]);
  }
});

test("--help tells every command and every option", async () => {
  for (const args of [
    ["--help"],
    ["-h"],
    ["help"],
    ["check", "--help"],
    ["demo", "-h"],
    ["serve", "--help"],
  ]) {
    const { status, stdout, stderr } = await run(args);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout.indexOf("Commands:")).toBeLessThan(stdout.indexOf("--listen-address"));
    for (const command of ["serve", "check", "demo"])
      expect(stdout).toMatch(new RegExp(`^  ${command} `, "m"));
    for (const property of PROPERTIES) {
      expect(stdout).toContain(`--${OPTIONS[property].name.toLowerCase().replaceAll("_", "-")} `);
    }
  }
});

describe("faults", () => {
  test("all of them are told at once, by serve and by check, and nothing listens", async () => {
    const environment = {
      RELAY_TLS: "perhaps",
      MAX_HOPS: "-1",
      RELAY_HOTS: "a.example",
      VALID_RECIPIENTS: "(",
    };
    for (const command of ["serve", "check"]) {
      const { status, stdout, stderr } = await run([command, "--frobnicate", "--log-level=loud"], {
        environment,
      });
      expect(status).toBe(78);
      expect(stdout).toBe("");
      expect(stderr).not.toContain("listening");
      for (const fault of [
        "RELAY_TLS (environment)",
        "MAX_HOPS (environment)",
        "warning: RELAY_HOTS (environment): is no option; did you mean RELAY_HOST?",
        "VALID_RECIPIENTS (environment)",
        "RELAY_HOST (not set)",
        "--frobnicate",
        "LOG_LEVEL (flag)",
      ]) {
        expect(stderr).toContain(`smtpproxy: ${fault}`);
      }
    }
  });

  test("without a word it serves", async () => {
    const { status, stderr } = await run([]);
    expect(status).toBe(78);
    expect(stderr).toBe(
      "smtpproxy: RELAY_HOST (not set): must be set, such as smtp.example.com:25\n" +
        "smtpproxy: see smtpproxy --help, or try it without any option: smtpproxy demo\n",
    );
  });

  test("a file of options that has no end, or is far too large", async () => {
    const { status, stderr } = await run(["check", "--config", "/dev/zero"]);
    expect([status, stderr]).toEqual([
      78,
      "smtpproxy: --config (flag): cannot read “/dev/zero”: it is larger than 1 MiB\n",
    ]);
  });

  test("an unknown command", async () => {
    const { status, stderr } = await run(["relay"]);
    expect(status).toBe(78);
    expect(stderr).toBe("smtpproxy: there is no command “relay”; see smtpproxy --help\n");
  });

  test("an option that stands where a command or a file belongs: its value is not shown", async () => {
    for (const args of [
      ["RELAY_PASSWORD=hunter2\x1b[31m"],
      ["serve", "RELAY_PASSWORD=hunter2"],
      ["check", "--", "RELAY_PASSWORD=hunter2"],
    ]) {
      const { status, stderr } = await run(args, { environment: { RELAY_HOST: "127.0.0.1:9" } });
      expect(status).toBe(78);
      expect(stderr).toContain("“RELAY_PASSWORD=…”");
      expect(stderr).not.toContain("hunter2");
    }
  });

  test("a port that is taken or forbidden: exit status 1", async () => {
    const taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const environment = { RELAY_HOST: "127.0.0.1:9", LISTEN_ADDRESS: `127.0.0.1:${taken.port}` };
    const { status, stderr } = await run(["serve"], { environment });
    taken.stop();
    expect(status).toBe(1);
    expect(stderr).toContain(
      `smtpproxy: cannot listen on 127.0.0.1:${taken.port}: another program uses this address already (EADDRINUSE)`,
    );
  });

  const setpriv = Bun.which("setpriv");
  const firstFreePort = Number(readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8"));

  test.skipIf(setpriv === null || process.getuid?.() !== 0 || firstFreePort <= 25)(
    "port 25 without the privilege: what it is that is missing",
    async () => {
      const environment = { RELAY_HOST: "127.0.0.1:9", LISTEN_ADDRESS: "127.0.0.1:25" };
      const without = ["--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service"];
      const child = Bun.spawn([String(setpriv), ...without, binary(), "serve"], {
        env: { ...bareEnvironment, ...environment },
        stdio: ["ignore", "ignore", "pipe"],
        timeout: 10_000,
      });
      const stderr = await new Response(child.stderr).text();
      expect(await child.exited).toBe(1);
      expect(stderr).toMatch(
        /^smtpproxy: cannot listen on 127\.0\.0\.1:25: permission denied: .*CAP_NET_BIND_SERVICE.*systemd socket.*\(EACCES\)$/m,
      );
    },
  );

  const unprivileged = Bun.which("setpriv");
  const firstFree = Number(readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8"));
  test.skipIf(unprivileged === null || process.getuid?.() !== 0 || firstFree <= 25)(
    "port 25 without the privilege says which one it is",
    async () => {
      const environment = { RELAY_HOST: "127.0.0.1:9", SERVER_NAME: "proxy.test", LISTEN_ADDRESS: "25" };
      const words = [String(unprivileged), "--reuid=65534", "--clear-groups", binary()];
      const child = Bun.spawn(words, { env: environment, stderr: "pipe", cwd: "/" });
      const stderr = await new Response(child.stderr).text();
      expect(await child.exited).toBe(1);
      expect(stderr).toMatch(
        /^smtpproxy: cannot listen on \[::\]:25: permission denied: ports below 1024 need .*\(EACCES\)$/m,
      );
    },
  );

  test("files that do not fit together are faults of the configuration", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "empty.pem");
    writeFileSync(path, "");
    const environment = { RELAY_HOST: "127.0.0.1:9", SERVER_CERT: path, SERVER_KEY: path, RELAY_CA: path };
    const { status, stderr } = await run(["serve"], { environment });
    expect(status).toBe(78);
    expect(stderr).toContain("RELAY_CA: no certificate in");
    expect(stderr.match(/no certificate in/g)).toHaveLength(2);
  });
});

describe("with LOG_FORMAT=json", () => {
  const objects = (stderr: string) =>
    stderr
      .split("\n")
      .slice(0, -1)
      .map((line): unknown => JSON.parse(line));

  test("faults of the configuration are lines of the log", async () => {
    const environment = { LOG_FORMAT: "json", RELAY_TLS: "perhaps", MAX_HOPS: "-1" };
    const { status, stderr } = await run(["serve"], { environment });
    expect(status).toBe(78);
    for (const reason of ["RELAY_TLS (environment)", "MAX_HOPS (environment)", "RELAY_HOST (not set)"]) {
      expect(objects(stderr)).toContainEqual(
        expect.objectContaining({
          level: "error",
          event: "start-failed",
          reason: expect.stringContaining(reason),
        }),
      );
    }
  });

  test("so are files that do not fit together, and a port that is taken", async () => {
    const path = join(temporaryFolder(), "empty.pem");
    writeFileSync(path, "");
    const environment = { LOG_FORMAT: "json", RELAY_HOST: "127.0.0.1:9" };
    const files = { SERVER_CERT: path, SERVER_KEY: path };
    const unfit = await run(["serve"], { environment: { ...environment, ...files } });
    expect(unfit.status).toBe(78);
    expect(objects(unfit.stderr)).toEqual([
      expect.objectContaining({
        event: "start-failed",
        reason: expect.stringContaining("no certificate in"),
      }),
    ]);

    const taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const address = { LISTEN_ADDRESS: `127.0.0.1:${taken.port}` };
    const { status, stderr } = await run(["serve"], { environment: { ...environment, ...address } });
    taken.stop();
    expect(status).toBe(1);
    expect(objects(stderr).at(-1)).toEqual(
      expect.objectContaining({
        level: "error",
        event: "start-failed",
        reason: expect.stringContaining(`cannot listen on 127.0.0.1:${taken.port}: `),
      }),
    );
  });

  test("with a fault in LOG_FORMAT itself, and of check, they are text", async () => {
    const environment = { LOG_FORMAT: "xml", RELAY_TLS: "perhaps" };
    expect((await run(["serve"], { environment })).stderr).toContain("smtpproxy: RELAY_TLS (environment)");
    const json = { LOG_FORMAT: "json", RELAY_TLS: "perhaps" };
    expect((await run(["check"], { environment: json })).stderr).toContain("smtpproxy: RELAY_TLS");
  });
});

test("neither .env nor bunfig.toml of the folder it starts in is read", async () => {
  const folder = temporaryFolder();
  const proof = join(folder, "code-was-run");
  writeFileSync(join(folder, "preload.ts"), `await Bun.write(${JSON.stringify(proof)}, "");`);
  writeFileSync(join(folder, "bunfig.toml"), 'preload = ["./preload.ts"]\n');
  for (const name of [".env", ".env.local", ".env.production"]) {
    writeFileSync(join(folder, name), "RELAY_HOST=127.0.0.1:9\nRELAY_TLS=off\n");
  }
  const { status, stderr } = await run(["check"], { cwd: folder });
  expect(status).toBe(78);
  expect(stderr).toContain("RELAY_HOST (not set)");
  expect((await run(["demo"], { cwd: folder })).status).toBe(0);
  expect(existsSync(proof)).toBe(false);
});

describe("Bun's own variables make no other program of it", () => {
  const folder = temporaryFolder();
  const proof = join(folder, "code-was-run");
  const preload = join(folder, "preload.ts");
  writeFileSync(preload, `require("node:fs").writeFileSync(${JSON.stringify(proof)}, "");`);

  test.each([
    { BUN_OPTIONS: `--preload=${preload}` },
    { BUN_OPTIONS: "--version" },
    { BUN_BE_BUN: "1" },
    { BUN_INSPECT_PRELOAD: preload },
    { NODE_OPTIONS: `--require=${preload}` },
  ])("%j", async (environment) => {
    const { status, stdout, stderr } = await run(["--version"], { environment });
    expect(stdout).toMatch(/^smtpproxy \d/);
    expect([status, stderr]).toEqual([0, ""]);
    expect(existsSync(proof)).toBe(false);
  });

  test("a relay's certificate is verified as RELAY_TLS says, whatever NODE_TLS_REJECT_UNAUTHORIZED says", async () => {
    const authority = new Authority();
    const certificate = authority.issue("relay", "DNS:relay.test");
    const loaded = loadServerTls(certificate.cert, certificate.key);
    if (!loaded.ok) throw new Error(loaded.fault);
    using relay = new FakeRelay({ tls: loaded.tls });
    const { status, stdout } = await run(["check"], {
      environment: {
        RELAY_HOST: relay.host,
        RELAY_TLS: "verify",
        SERVER_NAME: "proxy.test",
        NODE_TLS_REJECT_UNAUTHORIZED: "0",
      },
    });
    rmSync(authority.folder, { recursive: true });
    expect(status).toBe(1);
    expect(stdout).toMatch(/^FAILED .*TLS handshake/m);
  });

  test("no debugger listens, and none is called", async () => {
    const free = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    free.stop();
    const called: string[] = [];
    const unix = join(folder, "debugger");
    const caller = Bun.listen({
      unix,
      socket: {
        open: () => {
          called.push("BUN_INSPECT_CONNECT_TO");
        },
        data() {},
      },
    });
    for (const variables of [
      { BUN_INSPECT: `127.0.0.1:${free.port}` },
      { BUN_INSPECT_CONNECT_TO: `unix://${unix}`, BUN_INSPECT: `ws+unix://${unix}` },
      { BUN_INSPECT_CONNECT_TO: unix },
    ]) {
      await using service = new Service({
        LISTEN_ADDRESS: "127.0.0.1:0",
        RELAY_HOST: "127.0.0.1:9",
        ...variables,
      });
      await service.port();
      await expect(Client.dial({ address: "127.0.0.1", port: free.port })).rejects.toThrow("ECONNREFUSED");
    }
    caller.stop();
    expect(called).toEqual([]);
  });
});
