/**
 * Memory is bounded by the number of sessions and not by the size of messages, and mail data streams: against the
 * compiled program, with big messages, slow relays, and clients that do not listen.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { compile, mebibytes, Program } from "./binary.ts";
import { eventually, ScriptedClient, ScriptedRelay } from "./support.ts";

const MiB = 1024 * 1024;
const growthMax = 32 * MiB;
const messageOctets = 200 * MiB;

/** One MiB of lines of 64 octets that differ from each other. */
const piece = Buffer.from(
  Array.from({ length: MiB / 64 }, (_, n) => `${n.toString(36).padStart(61, "x").slice(-61)}.\r\n`).join(""),
);

let binary = "";

beforeAll(async () => {
  binary = await compile();
}, 60_000);

/** A program before a relay, warmed up by small mails; killed at the end, if it does not end by itself. */
async function withProgram(
  relay: ScriptedRelay,
  environment: Readonly<Record<string, string>>,
  run: (program: Program) => Promise<void>,
): Promise<void> {
  const program = await Program.start(binary, {
    RELAY_HOST: `127.0.0.1:${relay.port}`,
    RELAY_TLS: "off",
    MAX_MESSAGE_SIZE: "300M",
    SHUTDOWN_GRACE: "1s",
    ...environment,
  });
  try {
    await run(program);
    expect(program.lines("fault")).toEqual([]);
    expect(await program.stop()).toBe(0);
  } finally {
    program.kill();
    relay.stop();
  }
}

async function warmUp(program: Program): Promise<number> {
  for (let i = 0; i < 5; i += 1) {
    const client = await ScriptedClient.greeted(program.port);
    expect(await client.mail(`Subject: warm up\r\n\r\n${i}\r\n`)).toStartWith("250");
    await client.quit();
  }
  await eventually(() => program.lines("session").length >= 5, "the warm-up is over");
  program.resetPeak();
  return program.memory.now;
}

async function envelope(program: Program): Promise<ScriptedClient> {
  const client = await ScriptedClient.greeted(program.port);
  await client.ask("MAIL FROM:<big@example.com>");
  await client.ask("RCPT TO:<someone@example.org>");
  expect(await client.ask("DATA")).toStartWith("354");
  return client;
}

/** Sends `octets` of mail data in pieces, as fast as they are taken; returns their hash. */
async function pour(client: ScriptedClient, octets: number, watch: (sent: number) => void): Promise<string> {
  const hash = createHash("sha256");
  for (let sent = 0; sent < octets; sent += piece.length) {
    watch(sent);
    hash.update(piece);
    await client.pour(piece);
  }
  return hash.digest("hex");
}

async function big(octetsPerSecond: number | undefined): Promise<void> {
  const relay = await ScriptedRelay.start({
    keep: false,
    ...(octetsPerSecond === undefined ? {} : { octetsPerSecond }),
  });
  await withProgram(relay, {}, async (program) => {
    const idle = await warmUp(program);
    const client = await envelope(program);
    let firstSeenAt = -1;
    let sampled = 0;
    const startedAt = performance.now();
    const sha256 = await pour(client, messageOctets, (sent) => {
      if (firstSeenAt < 0 && relay.last.bodyOctets > MiB) firstSeenAt = sent;
      sampled = Math.max(sampled, program.memory.now);
    });
    client.say(".\r\n");
    expect(await client.reply(60_000)).toStartWith("250");
    const seconds = (performance.now() - startedAt) / 1000;
    const peak = Math.max(program.memory.peak, sampled);
    const rate = octetsPerSecond === undefined ? "fast" : `${octetsPerSecond / 1e6} MB/s`;
    console.log(
      `200 MiB, relay ${rate}: ${seconds.toFixed(1)} s, idle ${mebibytes(idle)}, peak ${mebibytes(peak)} ` +
        `(+${mebibytes(peak - idle)}), relay had 1 MiB when ${mebibytes(firstSeenAt)} were sent`,
    );
    expect(relay.mails.at(-1)?.sha256).toBe(sha256);
    expect(firstSeenAt).toBeGreaterThanOrEqual(0);
    expect(firstSeenAt).toBeLessThan(messageOctets / 2);
    // At full speed the garbage collector lags behind; still nothing grows with the message.
    expect(peak - idle).toBeLessThan(octetsPerSecond === undefined ? 2 * growthMax : growthMax);
    await client.quit();
  });
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const timeout = Promise.withResolvers<never>();
  const timer = setTimeout(() => timeout.reject(new Error(`not done within ${ms} ms`)), ms);
  try {
    return await Promise.race([work, timeout.promise]);
  } finally {
    clearTimeout(timer);
  }
}

describe("200 MB", () => {
  test.concurrent("to a relay that reads 10 MB/s", () => big(10_000_000), 60_000);
  test.concurrent("to a fast relay", () => big(undefined), 30_000);
});

describe("a peer that does not read", () => {
  test.concurrent("a client that sends commands on and on and reads no reply", async () => {
    const relay = await ScriptedRelay.start();
    await withProgram(relay, { COMMAND_TIMEOUT: "2s" }, async (program) => {
      const idle = await warmUp(program);
      const client = await ScriptedClient.greeted(program.port);
      client.pause();
      const help = Buffer.from("HELP\r\n".repeat(100_000));
      for (let i = 0; i < 60 && !client.closed; i += 1) client.say(help);
      await eventually(() => program.lines("session").length >= 6, "it is cut off", 15_000);
      const { peak } = program.memory;
      console.log(`commands without reading: idle ${mebibytes(idle)}, peak +${mebibytes(peak - idle)}`);
      expect(peak - idle).toBeLessThan(growthMax);
      client.rst();
    });
  }, 30_000);

  test.concurrent("a client that sends garbage on and on, without line ends, and reads nothing", async () => {
    const relay = await ScriptedRelay.start();
    await withProgram(relay, { COMMAND_TIMEOUT: "2s", MAX_ERRORS: "1000" }, async (program) => {
      const idle = await warmUp(program);
      const client = await ScriptedClient.greeted(program.port);
      client.pause();
      const garbage = Buffer.alloc(MiB, 0xa7);
      for (let i = 0; i < 100 && !client.closed; i += 1) {
        await Promise.race([client.pour(garbage), Bun.sleep(500)]);
      }
      client.say("\n");
      await eventually(() => program.lines("session").length >= 6, "it is cut off", 15_000);
      const { peak } = program.memory;
      console.log(`garbage without reading: idle ${mebibytes(idle)}, peak +${mebibytes(peak - idle)}`);
      expect(peak - idle).toBeLessThan(growthMax);
      client.rst();
    });
  }, 30_000);

  test.concurrent("a relay that stops reading: RELAY_TIMEOUT, 451, no dot", async () => {
    const relay = await ScriptedRelay.start({ keep: false });
    await withProgram(relay, { RELAY_TIMEOUT: "1s" }, async (program) => {
      const idle = await warmUp(program);
      const client = await envelope(program);
      relay.last.pause();
      await within(
        15_000,
        pour(client, 40 * MiB, () => {}),
      );
      expect(await client.ask(".")).toMatch(/^451 4\.4\.2 /);
      const { peak } = program.memory;
      console.log(`a relay that stops: idle ${mebibytes(idle)}, peak +${mebibytes(peak - idle)}`);
      expect(peak - idle).toBeLessThan(growthMax);
      relay.last.resume();
      await eventually(() => !relay.last.open, "the relay connection is dropped");
      expect(relay.mails.length).toBe(5);
      await eventually(
        () => program.lines("transaction").at(-1)?.includes('outcome="deferred"') === true,
        "the log says so",
      );
      await client.quit();
    });
  }, 30_000);

  test.concurrent("a relay that is slow, but goes on, is waited for far beyond RELAY_TIMEOUT", async () => {
    // The kernel tells us of room only when a third of its buffer is free: a second or two at this rate.
    const relay = await ScriptedRelay.start({ keep: false, octetsPerSecond: 1_500_000 });
    await withProgram(relay, { RELAY_TIMEOUT: "4s" }, async (program) => {
      await warmUp(program);
      const client = await envelope(program);
      const startedAt = performance.now();
      const sha256 = await within(
        30_000,
        pour(client, 20 * MiB, () => {}),
      );
      client.say(".\r\n");
      expect(await client.reply(20_000)).toStartWith("250");
      expect(performance.now() - startedAt).toBeGreaterThan(8_000);
      expect(relay.mails.at(-1)?.sha256).toBe(sha256);
      await client.quit();
    });
  }, 40_000);

  test.concurrent("twenty clients in the middle of big mails at once", async () => {
    const relay = await ScriptedRelay.start({ keep: false });
    await withProgram(relay, {}, async (program) => {
      const idle = await warmUp(program);
      const clients = await Promise.all(Array.from({ length: 20 }, () => envelope(program)));
      const hashes = await Promise.all(clients.map((client) => pour(client, 8 * MiB, () => {})));
      const replies = await Promise.all(clients.map((client) => client.ask(".")));
      for (const reply of replies) expect(reply).toStartWith("250");
      expect(new Set(relay.mails.slice(5).map(({ sha256 }) => sha256))).toEqual(new Set(hashes));
      expect(relay.mails.length).toBe(25);
      console.log(
        `20 times 8 MiB at once: idle ${mebibytes(idle)}, peak +${mebibytes(program.memory.peak - idle)}`,
      );
      expect(program.memory.peak - idle).toBeLessThan(4 * growthMax);
      await Promise.all(clients.map((client) => client.quit()));
      await eventually(() => program.lines("session").length >= 25, "all sessions are over");
    });
  }, 30_000);
});

afterAll(() => {
  if (binary !== "") Bun.spawnSync(["rm", "-rf", binary.replace(/\/[^/]*$/, "")]);
});
