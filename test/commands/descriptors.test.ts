/** The limit of open files, as `smtpproxy serve` finds it, leaves it and tells of it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { descriptorsNeeded } from "../../src/commands/descriptors.ts";
import { OPTIONS } from "../../src/config/options.ts";
import { Client } from "./client.ts";
import { FakeRelay } from "./fake-relay.ts";
import { binary, cleanUp, found, Service } from "./support.ts";

beforeAll(() => {
  binary();
}, 60_000);
afterAll(cleanUp);

const prlimit = Bun.which("prlimit");

async function started(limits: string, more: Readonly<Record<string, string>> = {}) {
  const environment = {
    LISTEN_ADDRESS: "127.0.0.1:0",
    RELAY_HOST: "127.0.0.1:9",
    SERVER_NAME: "proxy.test",
    VALID_RECIPIENTS: "@there$",
    ...more,
  };
  await using service = new Service(environment, [String(prlimit), `--nofile=${limits}`]);
  await service.event("listening");
  const text = readFileSync(`/proc/${service.pid}/limits`, "utf8");
  const [, soft, hard] = /^Max open files +(\d+) +(\d+)/m.exec(text) ?? [];
  const warnings = service.events("configuration").map((line) => line.get("warning") ?? "");
  return { soft, hard, warnings };
}

describe.skipIf(prlimit === null)("serve", () => {
  test("raises the soft limit to the hard one, and is content", async () => {
    expect(await started("256:4096")).toEqual({ soft: "4096", hard: "4096", warnings: [] });
  });

  test("warns of a hard limit that is too low for the options", async () => {
    const { soft, warnings } = await started("256:1024");
    expect(soft).toBe("1024");
    const needed = descriptorsNeeded({
      clientsMax: Number(OPTIONS.maxConnections.default),
      relaysMax: Number(OPTIONS.relayMaxConnections.default),
      listeners: 1,
      dnsServers: 0,
    });
    expect(warnings).toEqual([
      `MAX_CONNECTIONS=1000 and RELAY_MAX_CONNECTIONS=50 may need ${needed} open files, and the limit is 1024: ` +
        "before they run out, further clients are left waiting; raise LimitNOFILE= or lower MAX_CONNECTIONS",
    ]);
  });

  test("counts listeners, relays and, with a DNSBL, name servers", async () => {
    const small = { MAX_CONNECTIONS: "500", MAX_TARPITTED: "250" };
    expect((await started("256:1024", small)).warnings).toEqual([]);
    const more = {
      ...small,
      RELAY_MAX_CONNECTIONS: "100",
      DNSBL_DOMAINS: "list.test",
      DNS_SERVERS: "127.0.0.1 127.0.0.2 127.0.0.3",
      LISTEN_ADDRESS: "127.0.0.1:0 127.0.0.2:0",
    };
    const needed = descriptorsNeeded({ clientsMax: 500, relaysMax: 100, listeners: 2, dnsServers: 3 });
    const { warnings } = await started("256:1024", more);
    expect(needed).toBeGreaterThan(1024);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(`may need ${needed} open files`);
  });
});

describe.skipIf(prlimit === null)("more clients than descriptors", () => {
  const limit = 64;
  const clients = 80;

  /** User and system time of the process, in milliseconds. */
  function cpuMs(pid: number): number {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) * 10;
  }

  const openBy = (pid: number) => readdirSync(`/proc/${pid}/fd`).length;

  test("are left waiting without a spin, are told of once, and are served as others leave", async () => {
    using relay = new FakeRelay();
    const environment = {
      LISTEN_ADDRESS: "127.0.0.1:0",
      RELAY_HOST: relay.host,
      RELAY_TLS: "off",
      SERVER_NAME: "proxy.test",
      MAX_CONNECTIONS_PER_CLIENT: "1000",
    };
    await using service = new Service(environment, [String(prlimit), `--nofile=${limit}`]);
    const port = await service.port();
    const greeted: Client[] = [];
    const dials = Array.from({ length: clients }, () =>
      Client.dial(port, 20_000).then((client) => {
        greeted.push(client);
        return client;
      }),
    );
    const scarce = await service.event("descriptors");
    expect(scarce.get("state")).toBe("scarce");
    expect(scarce.get("limit")).toBe(String(limit));
    await Bun.sleep(500);
    const served = greeted.length;
    expect(served).toBeGreaterThan(20);
    expect(served).toBeLessThan(limit);

    // Nothing happens, and nothing is spent on it.
    const before = cpuMs(service.pid);
    await Bun.sleep(2_000);
    expect(cpuMs(service.pid) - before).toBeLessThan(200);
    expect(greeted).toHaveLength(served);
    expect(openBy(service.pid)).toBeLessThan(limit - 4);
    expect(service.events("descriptors")).toHaveLength(1);

    // Those within have their mail relayed, for something is left for the relay.
    expect(await greeted[0]?.send("Subject: x\r\n\r\nscarce")).toStartWith("250 ");

    // Each that leaves makes room for one that waits; in the end all were served.
    for (let next = 0; next < clients; next++) {
      await found(
        () => greeted[next],
        () => `client ${next + 1} is greeted`,
      );
      await greeted[next]?.quit();
    }
    await Promise.all(dials);
    expect(openBy(service.pid)).toBeLessThan(limit - 20);
    expect(service.events("fault")).toEqual([]);
    // Coming and going of room is told once a minute at most.
    expect(service.events("descriptors").length).toBeLessThanOrEqual(2);
  }, 40_000);
});
