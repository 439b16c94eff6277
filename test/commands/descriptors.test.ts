/** The limit of open files, as `smtpproxy serve` finds it, leaves it and tells of it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { OPTIONS } from "../../src/config/options.ts";
import { descriptorsNeeded } from "../../src/net/descriptors.ts";
import { binary, cleanUp, Service } from "./support.ts";

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
    VALID_RECIPIENTS: "@there",
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
        "when they run out, nobody is served; raise LimitNOFILE= or lower MAX_CONNECTIONS",
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
