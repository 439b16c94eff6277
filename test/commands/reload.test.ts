/**
 * A reload: what was read again, what has changed and needs a restart, and which certificates are taken over. And the
 * certificate as time goes by.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadServerTls } from "../../src/bun/tls.ts";
import { CertificateWatch } from "../../src/commands/certificate-watch.ts";
import { Authority, makeCertificate } from "../bun/support.ts";
import { Client } from "./client.ts";
import { binary, cleanUp, Service, temporaryFolder } from "./support.ts";

const authority = new Authority();
const folder = temporaryFolder();
const files = { cert: join(folder, "cert.pem"), key: join(folder, "key.pem") };

beforeAll(() => {
  binary();
}, 60_000);
afterAll(() => {
  cleanUp();
  rmSync(authority.folder, { recursive: true });
});

function install({ cert, key }: { readonly cert: string; readonly key: string }): void {
  copyFileSync(cert, files.cert);
  copyFileSync(key, files.key);
}

describe("SIGHUP", () => {
  const config = join(folder, "defaults");
  const base = {
    LISTEN_ADDRESS: "127.0.0.1:0",
    RELAY_HOST: "127.0.0.1:9",
    RELAY_TLS: "off",
    SERVER_NAME: "proxy.test",
    VALID_RECIPIENTS: "@there\\.test$",
    SERVER_CERT: files.cert,
    SERVER_KEY: files.key,
  };

  function write(more: Readonly<Record<string, string>> = {}): void {
    const lines = Object.entries({ ...base, ...more }).map(([key, value]) => `${key}='${value}'\n`);
    writeFileSync(config, lines.join(""));
  }

  async function started(environment: Readonly<Record<string, string>> = {}): Promise<Service> {
    const service = new Service(environment, [], ["--config", config]);
    await service.port();
    return service;
  }

  /** The line that tells of a reload. */
  async function reloaded(service: Service) {
    const count = service.events("reload").length;
    service.signal("SIGHUP");
    const line = await service.event("reload", count);
    return {
      outcome: line.get("outcome"),
      read_again: line.get("read_again"),
      restart_needed: line.get("restart_needed"),
      not_read_again: line.get("not_read_again"),
      reason: line.get("reason"),
    };
  }

  test("names what has changed and needs a restart, until it is undone", async () => {
    install(authority.issue("mx", "DNS:proxy.test"));
    write();
    await using service = await started();
    const untouched = {
      outcome: "done",
      read_again: `${config}, SERVER_CERT, SERVER_KEY`,
      restart_needed: undefined,
      not_read_again: undefined,
      reason: undefined,
    };
    expect(await reloaded(service)).toEqual(untouched);
    write({ VALID_RECIPIENTS: "@elsewhere\\.test$", MAX_ERRORS: "7" });
    const changed = { ...untouched, restart_needed: "VALID_RECIPIENTS, MAX_ERRORS" };
    expect(await reloaded(service)).toEqual(changed);
    // It holds as it was at the start.
    const client = await Client.dial(await service.port());
    for (const line of ["EHLO client.test", "MAIL FROM:<>"]) await client.ask(line);
    expect(await client.ask("RCPT TO:<me@elsewhere.test>")).toStartWith("550 ");
    expect(await reloaded(service)).toEqual(changed);
    write();
    expect(await reloaded(service)).toEqual(untouched);
  });

  test("a changed password, and changed authorities, without the path to them", async () => {
    install(authority.issue("mx", "DNS:proxy.test"));
    const [password, ca] = [join(folder, "password"), join(folder, "ca.pem")];
    writeFileSync(password, "one\n");
    copyFileSync(authority.pem, ca);
    const relay = {
      RELAY_TLS: "verify",
      RELAY_CA: ca,
      RELAY_USERNAME: "me",
      RELAY_PASSWORD_FILE: password,
    };
    write(relay);
    await using service = await started();
    expect((await reloaded(service)).restart_needed).toBeUndefined();
    writeFileSync(password, "two\n");
    writeFileSync(ca, readFileSync(files.cert));
    expect((await reloaded(service)).restart_needed).toBe("RELAY_CA, RELAY_PASSWORD");
    expect(service.text).not.toContain("two");
  });

  test("while the start still asks relays, is done when the start is over", async () => {
    const [old, renewed] = [
      authority.issue("old", "DNS:proxy.test"),
      authority.issue("new", "DNS:renewed.test"),
    ];
    install(old);
    using relay = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { open: (socket) => void setTimeout(() => socket.terminate(), 1_000), data() {} },
    });
    write({ RELAY_HOST: `127.0.0.1:${relay.port}` });
    await using service = new Service({}, [], ["--config", config]);
    await service.event("certificate");
    install(renewed);
    service.signal("SIGHUP");
    expect((await service.event("reload")).get("outcome")).toBe("done");
    expect(service.events("listening").length).toBe(1);
    const names = service.events("certificate").map((line) => line.get("names"));
    expect(names).toEqual(["proxy.test", "renewed.test"]);
  });

  test("what the environment has is not read again, and that is told", async () => {
    install(authority.issue("mx", "DNS:proxy.test"));
    write();
    await using service = await started({ MAX_ERRORS: "5" });
    expect((await reloaded(service)).not_read_again).toBe("environment");
  });

  test("a credential is a copy of the start, and that is told", async () => {
    install(authority.issue("mx", "DNS:proxy.test"));
    write();
    await using service = await started({ CREDENTIALS_DIRECTORY: folder });
    expect((await reloaded(service)).not_read_again).toBe("credentials");
    await using elsewhere = await started({ CREDENTIALS_DIRECTORY: "/run/credentials/other.service" });
    expect((await reloaded(elsewhere)).not_read_again).toBeUndefined();
  });

  test("with a fault in the configuration nothing changes, the certificate neither", async () => {
    const [old, renewed] = [
      authority.issue("old", "DNS:proxy.test"),
      authority.issue("new", "DNS:proxy.test"),
    ];
    install(old);
    write();
    await using service = await started();
    install(renewed);
    write({ MAX_ERRORS: "many", RELAY_TLS: "perhaps" });
    const { outcome, reason } = await reloaded(service);
    expect(outcome).toBe("failed");
    expect(reason).toContain("MAX_ERRORS");
    expect(reason).toContain("RELAY_TLS");
    expect(service.events("certificate")).toHaveLength(1);
    write();
    expect((await reloaded(service)).outcome).toBe("done");
    expect(service.events("certificate")).toHaveLength(2);
  });

  test("an expired certificate, and one that is not valid yet, do not replace a good one", async () => {
    const good = authority.issue("mx", "DNS:proxy.test");
    for (const [label, from, to, told] of [
      ["expired", 2020, 2021, "expired on 2021-01-01T00:00:00.000Z"],
      ["early", 2044, 2045, "is not valid before 2044-01-01T00:00:00.000Z"],
    ] as const) {
      install(good);
      write();
      await using service = await started();
      install(authority.issue(label, "DNS:proxy.test", from, to));
      const { outcome, reason } = await reloaded(service);
      expect(outcome).toBe("failed");
      expect(reason).toContain(`${files.cert} ${told}; the certificate in use stays`);
      const client = await Client.dial(await service.port());
      await client.ask("EHLO client.test");
      const tls = await client.starttls("proxy.test", [readFileSync(authority.pem, "utf8")]);
      expect(tls.authorized).toBe(true);
    }
  });

  test("a certificate elsewhere is taken over; one that was not there before needs a restart", async () => {
    const elsewhere = authority.issue("elsewhere", "DNS:proxy.test");
    install(authority.issue("mx", "DNS:proxy.test"));
    write();
    await using service = await started();
    write({ SERVER_CERT: elsewhere.cert, SERVER_KEY: elsewhere.key });
    expect((await reloaded(service)).restart_needed).toBeUndefined();
    expect((await service.event("certificate", 1)).get("file")).toBe(elsewhere.cert);
    // What it was told once is what is in use.
    expect((await reloaded(service)).restart_needed).toBeUndefined();

    write({ SERVER_CERT: "", SERVER_KEY: "" });
    await using plain = await started();
    write();
    const { restart_needed, read_again } = await reloaded(plain);
    expect(restart_needed).toBe("SERVER_CERT, SERVER_KEY");
    expect(read_again).toBe(config);
  });
});

describe("the certificate as time goes by", () => {
  const dayMs = 86_400_000;
  const expires = Date.parse("2030-06-30T12:00:00Z");

  function certificate(label: string, notBefore: string, notAfter: string) {
    const made = { cert: join(folder, `${label}.pem`), key: join(folder, `${label}.key`) };
    makeCertificate({ name: "mx.test", names: "DNS:mx.test", notBefore, notAfter, ...made });
    return made;
  }

  function watch(from: { readonly cert: string; readonly key: string }): CertificateWatch {
    install(from);
    const loaded = loadServerTls(files.cert, files.key);
    if (!loaded.ok) throw new Error(loaded.fault);
    return new CertificateWatch(files, loaded);
  }

  /** Looks every hour; what is told, with the days that were left. */
  function lookOn(watched: CertificateWatch, fromDays: number, toDays: number) {
    const told: (readonly [number, string])[] = [];
    for (let left = fromDays * 24; left > toDays * 24; left--) {
      for (const event of watched.look(expires - left * 3_600_000)) {
        if (event.event === "configuration") told.push([left / 24, event.warning]);
      }
    }
    return told;
  }

  const made = certificate("watched", "2030-01-01T00:00:00Z", "2030-06-30T12:00:00Z");

  test("is told at 14, 7, 3, 2 and 1 days, and daily once it has expired", () => {
    const told = lookOn(watch(made), 90, -3);
    expect(told.map(([left]) => left)).toEqual([14, 7, 3, 2, 1, 0, -1, -2]);
    expect(told.map(([, warning]) => warning)).toEqual([
      "SERVER_CERT: the certificate expires on 2030-06-30T12:00:00.000Z, in 14 days",
      "SERVER_CERT: the certificate expires on 2030-06-30T12:00:00.000Z, in 7 days",
      "SERVER_CERT: the certificate expires on 2030-06-30T12:00:00.000Z, in 3 days",
      "SERVER_CERT: the certificate expires on 2030-06-30T12:00:00.000Z, in 2 days",
      "SERVER_CERT: the certificate expires on 2030-06-30T12:00:00.000Z, in 1 day",
      ...Array.from({ length: 3 }, () => "SERVER_CERT: the certificate expired on 2030-06-30T12:00:00.000Z"),
    ]);
  });

  test("a start in between warns at once, and then at the next mark", () => {
    const watched = watch(made);
    expect(watched.introduce(expires - 9 * dayMs)).toHaveLength(2);
    expect(lookOn(watched, 9, 0).map(([left]) => left)).toEqual([7, 3, 2, 1]);
  });

  test("one that was renewed on disk and never taken over is named", () => {
    const watched = watch(made);
    install(certificate("renewed", "2030-06-01T00:00:00Z", "2030-09-01T00:00:00Z"));
    const [[, warning] = [0, ""]] = lookOn(watched, 14, 13);
    expect(warning).toEndWith(
      `in 14 days; ${files.cert} has a newer one, which a reload (SIGHUP) takes over`,
    );
    expect(watched.reload(files, expires - 13 * dayMs)).toBeUndefined();
    expect(lookOn(watched, 13, 0)).toEqual([]);
  });

  test("one that is not valid yet is used when there is no other, and told once", () => {
    const early = certificate("early", "2030-06-28T12:00:00Z", "2030-06-30T12:00:00Z");
    const watched = watch(early);
    const told = lookOn(watched, 20, 0).map(([left, warning]) => `${left} ${warning}`);
    expect(told[0]).toBe("20 SERVER_CERT: the certificate is not valid before 2030-06-28T12:00:00.000Z");
    expect(told.filter((text) => text.includes("not valid"))).toHaveLength(1);
  });

  test("an expired one may be followed by an expired one, and by a good one", () => {
    const watched = watch(made);
    const after = expires + dayMs;
    install(certificate("other", "2030-01-01T00:00:00Z", "2030-07-01T00:00:00Z"));
    expect(watched.reload(files, after)).toBeUndefined();
    install(certificate("good", "2030-01-01T00:00:00Z", "2031-01-01T00:00:00Z"));
    expect(watched.reload(files, after)).toBeUndefined();
    install(made);
    expect(watched.reload(files, after)).toContain("the certificate in use stays");
  });
});
