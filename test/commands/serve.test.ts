/** `smtpproxy serve` as a process: its log, SIGHUP and SIGTERM, with real sockets before and behind it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { Authority } from "../bun/support.ts";
import { Client } from "./client.ts";
import { FakeRelay, type RelayManners } from "./fake-relay.ts";
import { binary, cleanUp, found, Service, temporaryFolder } from "./support.ts";

const old = new Authority();
const renewed = new Authority();
const folder = temporaryFolder();
const certificate = { SERVER_CERT: join(folder, "cert.pem"), SERVER_KEY: join(folder, "key.pem") };

beforeAll(() => {
  binary();
}, 60_000);
afterAll(() => {
  cleanUp();
  for (const authority of [old, renewed]) rmSync(authority.folder, { recursive: true });
});

function install({ cert, key }: { readonly cert: string; readonly key: string }): void {
  copyFileSync(cert, certificate.SERVER_CERT);
  copyFileSync(key, certificate.SERVER_KEY);
}

/** A relay, the proxy before it, and what ends both. */
async function house(manners: RelayManners = {}, environment: Readonly<Record<string, string>> = {}) {
  const relay = new FakeRelay(manners);
  const service = new Service({
    LISTEN_ADDRESS: "127.0.0.1:0",
    RELAY_HOST: relay.host,
    RELAY_TLS: "off",
    SERVER_NAME: "proxy.test",
    VALID_RECIPIENTS: "@there\\.test$",
    ...environment,
  });
  return {
    relay,
    service,
    port: await service.port(),
    async [Symbol.asyncDispose]() {
      await service[Symbol.asyncDispose]();
      relay[Symbol.dispose]();
    },
  };
}

const text = "Subject: x\r\n\r\nhello";
const both = ["client <", "client >", "relay <", "relay >"];

describe("the log", () => {
  test("at debug level, what was said on both sides, and nothing of it else", async () => {
    for (const level of ["debug", "info"]) {
      await using world = await house({}, { LOG_LEVEL: level });
      const client = await Client.dial(world.port);
      expect(await client.send(text)).toStartWith("250 ");
      await client.quit();
      await world.service.event("session");
      const said = world.service
        .events("dialogue")
        .map((line) => `${line.get("with")} ${line.get("direction")}`);
      expect(new Set(said)).toEqual(new Set(level === "info" ? [] : both));
    }
  });

  test("one line a transaction, whatever became of it", async () => {
    await using world = await house();
    const client = await Client.dial(world.port);
    expect(await client.send(text)).toStartWith("250 ");
    expect(await client.ask("MAIL FROM:<>")).toStartWith("250 ");
    expect(await client.ask("RSET")).toStartWith("250 ");
    expect(await client.send(`${text}\r`)).toStartWith("550 5.5.2");
    expect(await client.ask("MAIL FROM:<a@client.test>")).toStartWith("250 ");
    expect(await client.ask("RCPT TO:<else@where.test>")).toStartWith("550 5.7.1");
    await client.quit();
    await world.service.event("session");

    const outcomes = world.service.events("transaction").map((line) => line.get("outcome"));
    expect(outcomes).toEqual(["relayed", "abandoned", "refused", "refused"]);
    const [relayed] = world.service.events("transaction");
    expect(relayed?.get("from")).toBe("<a@client.test>");
    expect(relayed?.get("to")).toBe("b@there.test");
    expect(relayed?.get("octets")).toBe(String(text.length + 2));
    expect(relayed?.get("reply")).toBe("250 2.0.0 taken");
    expect(relayed?.get("relay")).toBe(world.relay.host);
    expect(world.service.events("recipient-refused")).toHaveLength(1);
    expect(world.service.events("fault")).toHaveLength(0);
    const [mail, ...others] = world.relay.mails;
    expect(others).toEqual([]);
    expect(mail).toMatch(
      /^Received: from client\.test \(\[127\.0\.0\.1\]\)\r\n\tby proxy\.test with ESMTP id \S+;\r\n\t.*\r\nSubject: x\r\n\r\nhello\r\n$/,
    );
  });

  test("a client over its limit has one line, and at the end the count of the others", async () => {
    await using world = await house({}, { MAX_CONNECTIONS_PER_CLIENT: "1", TRUSTED_CLIENTS: "" });
    const first = createConnection({ host: "127.0.0.1", port: world.port });
    first.on("error", () => {});
    await new Promise((resolve) => first.once("data", resolve));
    for (let n = 0; n < 100; n++) {
      const next = createConnection({ host: "127.0.0.1", port: world.port });
      next.on("error", () => {});
      await new Promise((resolve) => next.once("close", resolve).resume());
    }
    world.service.signal("SIGTERM");
    expect(await world.service.exited).toBe(0);
    first.destroy();
    expect(world.service.events("connection-refused")).toHaveLength(1);
    const [told] = world.service.events("log-lines-left-out");
    expect([told?.get("of"), told?.get("about"), told?.get("lines")]).toEqual([
      "connection-refused",
      "127.0.0.1",
      "99",
    ]);
  });

  test("as JSON, one object a line", async () => {
    await using service = new Service({
      LISTEN_ADDRESS: "127.0.0.1:0",
      RELAY_HOST: "127.0.0.1:9",
      LOG_FORMAT: "json",
    });
    const read = () =>
      service.text
        .split("\n")
        .slice(0, -1)
        .map((line): unknown => JSON.parse(line));
    await found(
      () => (service.text.includes('"event":"listening"') ? true : undefined),
      () => `listening in the log: ${service.text}`,
    );
    expect(read()).toContainEqual(
      expect.objectContaining({ level: "info", event: "start", relay: "127.0.0.1:9" }),
    );
    expect(read()).toContainEqual(expect.objectContaining({ level: "warn", event: "configuration" }));
  });
});

test("0.0.0.0 and [::] with one port: both listen", async () => {
  const free = Bun.listen({ hostname: "0.0.0.0", port: 0, socket: { data() {} } });
  const { port } = free;
  free.stop(true);
  const address = `0.0.0.0:${port} [::]:${port}`;
  await using service = new Service({ LISTEN_ADDRESS: address, RELAY_HOST: "127.0.0.1:9" });
  for (const host of ["127.0.0.1", "::1"]) {
    const client = await Client.dialWhenReady({ address: host, port });
    await client.quit();
  }
  expect(service.events("listening").map((line) => line.get("address"))).toEqual(address.split(" "));
});

describe("SIGHUP", () => {
  test("a renewed certificate is for new sessions; a running one keeps its own", async () => {
    install(old.issue("mx", "DNS:proxy.test"));
    await using world = await house({}, certificate);
    const first = await Client.dial(world.port);
    await first.ask("EHLO client.test");
    const [oldPem, newPem] = [readFileSync(old.pem, "utf8"), readFileSync(renewed.pem, "utf8")];
    expect((await first.starttls("proxy.test", [oldPem])).authorized).toBe(true);

    install(renewed.issue("mx", "DNS:proxy.test"));
    world.service.signal("SIGHUP");
    expect((await world.service.event("reload")).get("outcome")).toBe("done");

    const second = await Client.dial(world.port);
    await second.ask("EHLO client.test");
    expect((await second.starttls("proxy.test", [newPem])).authorized).toBe(true);
    expect(await second.send(text)).toStartWith("250 ");
    // The session from before goes on under its own keys.
    expect(await first.send(text)).toStartWith("250 ");
    expect(world.relay.mails).toHaveLength(2);
    for (const mail of world.relay.mails) expect(mail).toMatch(/\(using TLSv1\.3 with cipher \S+\)/);

    // The old authority does not vouch for the new certificate.
    const third = await Client.dial(world.port);
    await third.ask("EHLO client.test");
    await expect(third.starttls("proxy.test", [oldPem])).rejects.toThrow();
  });

  test("a bad certificate is told, and the one before stays", async () => {
    install(old.issue("mx", "DNS:proxy.test"));
    await using world = await house({}, certificate);
    writeFileSync(certificate.SERVER_CERT, "garbage\n");
    world.service.signal("SIGHUP");
    const line = await world.service.event("reload");
    expect(line.get("outcome")).toBe("failed");
    expect(line.get("level")).toBe("error");
    expect(line.get("reason")).toContain("no certificate in");
    const client = await Client.dial(world.port);
    await client.ask("EHLO client.test");
    expect((await client.starttls("proxy.test", [readFileSync(old.pem, "utf8")])).authorized).toBe(true);
  });

  test("without a certificate it does no harm", async () => {
    await using world = await house();
    world.service.signal("SIGHUP");
    expect((await world.service.event("reload")).get("outcome")).toBe("done");
    const client = await Client.dial(world.port);
    expect(await client.send(text)).toStartWith("250 ");
  });
});

describe("SIGTERM", () => {
  test("nothing to do: 421 to the idle, and the end", async () => {
    await using world = await house();
    const idle = await Client.dial(world.port);
    await idle.ask("EHLO client.test");
    world.service.signal("SIGTERM");
    expect(await idle.reply()).toStartWith("421 4.3.2");
    expect(await world.service.exited).toBe(0);
    expect(world.service.events("stopped").map((line) => line.get("cut"))).toEqual(["0"]);
  });

  test("a transaction in progress is seen through, and nobody new is let in", async () => {
    await using world = await house({ holdDot: true });
    const [busy, writing, idle] = [
      await Client.dial(world.port),
      await Client.dial(world.port),
      await Client.dial(world.port),
    ];
    const answer = busy.send(text);
    await found(
      () => (world.relay.holds ? true : undefined),
      () => "the dot at the relay",
    );
    for (const line of ["EHLO client.test", "MAIL FROM:<>", "RCPT TO:<b@there.test>", "DATA"])
      await writing.ask(line);
    writing.say("Subject: half\r\n");

    world.service.signal("SIGTERM");
    expect(await idle.reply()).toStartWith("421 4.3.2");
    await expect(Client.dial(world.port)).rejects.toThrow("ECONNREFUSED");
    writing.say("\r\nthe other half\r\n.\r\n");
    await found(
      () => (world.relay.mails.length === 2 ? true : undefined),
      () => "the second mail",
    );
    expect(world.service.events("transaction")).toHaveLength(0);
    world.relay.letGo();
    expect(await answer).toBe("250 2.0.0 taken");
    expect(await busy.reply()).toStartWith("421 4.3.2");
    expect(await writing.reply()).toBe("250 2.0.0 taken");
    expect(await world.service.exited).toBe(0);
    expect(world.service.events("transaction").map((line) => line.get("outcome"))).toEqual([
      "relayed",
      "relayed",
    ]);
    expect(world.service.events("stopped").map((line) => line.get("cut"))).toEqual(["0"]);
  });

  test("the grace has an end: what the relay did not answer is unknown", async () => {
    await using world = await house({ holdDot: true }, { SHUTDOWN_GRACE: "300ms" });
    const busy = await Client.dial(world.port);
    const answer = busy.send(text);
    await found(
      () => (world.relay.holds ? true : undefined),
      () => "the dot at the relay",
    );
    world.service.signal("SIGTERM");
    expect(await answer).toStartWith("421 4.3.2");
    expect(await world.service.exited).toBe(0);
    expect(world.service.events("transaction").map((line) => line.get("outcome"))).toEqual(["unknown"]);
    expect(world.service.events("stopped").map((line) => line.get("cut"))).toEqual(["1"]);
  });

  /** A client that is told to leave and stays. */
  async function stayer(port: number): Promise<{ readonly heard: () => string; readonly leave: () => void }> {
    let heard = "";
    const socket = createConnection({ host: "127.0.0.1", port, allowHalfOpen: true });
    socket.on("data", (octets) => {
      heard += octets.toString("latin1");
    });
    socket.on("error", () => {});
    await found(
      () => (heard.startsWith("220 ") ? true : undefined),
      () => "the greeting",
    );
    return { heard: () => heard, leave: () => socket.destroy() };
  }

  test("a client that was told 421 and does not hang up is waited for a second, and not longer", async () => {
    await using world = await house();
    const client = await stayer(world.port);
    const signalledAt = performance.now();
    world.service.signal("SIGTERM");
    expect(await world.service.exited).toBe(0);
    const tookMs = performance.now() - signalledAt;
    expect(tookMs).toBeGreaterThan(900);
    expect(tookMs).toBeLessThan(2_000);
    expect(client.heard()).toContain("421 4.3.2");
    expect(world.service.events("stopped").map((line) => line.get("cut"))).toEqual(["0"]);
    client.leave();
  });

  test("neither does one that said QUIT before and stays", async () => {
    await using world = await house();
    const client = createConnection({ host: "127.0.0.1", port: world.port, allowHalfOpen: true });
    client.on("data", () => {});
    client.write("QUIT\r\n");
    await Bun.sleep(200);
    const signalledAt = performance.now();
    world.service.signal("SIGTERM");
    expect(await world.service.exited).toBe(0);
    expect(performance.now() - signalledAt).toBeLessThan(2_000);
    client.destroy();
  });

  test("a second signal ends the farewell, and the grace, at once", async () => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      await using world = await house({ holdDot: true });
      const client = await stayer(world.port);
      const busy = await Client.dial(world.port);
      const answer = busy.send(text);
      await found(
        () => (world.relay.holds ? true : undefined),
        () => "the dot at the relay",
      );
      world.service.signal(signal);
      await world.service.event("shutdown");
      const signalledAt = performance.now();
      world.service.signal(signal);
      expect(await world.service.exited).toBe(0);
      expect(performance.now() - signalledAt).toBeLessThan(500);
      // In a hurry too, whoever waits is told, and the mail has its line.
      expect(await answer).toStartWith("421 4.3.2");
      expect(world.service.events("transaction").map((line) => line.get("outcome"))).toEqual(["unknown"]);
      expect(world.service.events("stopped").map((line) => line.get("cut"))).toEqual(["1"]);
      client.leave();
    }
  });
});
