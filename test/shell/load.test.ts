/**
 * A thousand clients in the tarpit and a thousand slowloris, against the compiled program: mail of a good client goes
 * through as if they were not there, and what they cost is told in memory and CPU time.
 * The crowd is a process of its own (crowd-process.ts), from five hundred addresses; the good client comes from 127.0.0.1,
 * passes the screening once, and is remembered.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { compile, mebibytes, Program } from "./binary.ts";
import { Crowd } from "./crowd.ts";
import { eventually, ScriptedClient, ScriptedRelay } from "./support.ts";

const crowdSize = 1_000;
/** What the crowd may add to the time of a good client's mail. */
const delayMsMax = 100;
/**
 * RSS, all in all. Most of it is what the rush of 1,000 sessions leaves to be used again: 8,000 in the tarpit take
 * 4.6 KB each, 8,000 slowloris 7 KB. What is kept of one: tarpit.test.ts.
 */
const octetsPerConnectionMax = 32 * 1024;
const KiB = 1024;
const MiB = 1024 * KiB;

let binary = "";

beforeAll(async () => {
  binary = await compile();
}, 60_000);

afterAll(() => {
  if (binary !== "") Bun.spawnSync(["rm", "-rf", binary.replace(/\/[^/]*$/, "")]);
});

const screened = {
  TRUSTED_CLIENTS: "",
  GREETING_DELAY: "1s",
  MAX_CONNECTIONS: "3000",
  MAX_CONNECTIONS_PER_CLIENT: "500",
  MAX_TARPITTED: "2000",
  TARPIT_DURATION: "5m",
  SHUTDOWN_GRACE: "1s",
};

async function withCrowd(
  environment: Readonly<Record<string, string>>,
  run: (program: Program, crowd: Crowd) => Promise<void>,
): Promise<void> {
  const relay = await ScriptedRelay.start({ keep: false });
  const program = await Program.start(binary, {
    RELAY_HOST: `127.0.0.1:${relay.port}`,
    RELAY_TLS: "off",
    ...screened,
    ...environment,
  });
  const crowd = new Crowd(program.port);
  try {
    await mail(program);
    for (let warmUp = 0; warmUp < 40; warmUp += 1) await mail(program);
    await run(program, crowd);
    expect(program.lines("fault")).toEqual([]);
    const stoppedAt = performance.now();
    expect(await program.stop()).toBe(0);
    expect(performance.now() - stoppedAt).toBeLessThan(8_000);
  } finally {
    await crowd.stop();
    program.kill();
    relay.stop();
  }
}

/** A whole session; how long it took. */
async function mail(program: Program, body = "Subject: x\r\n\r\nx\r\n"): Promise<number> {
  const startedAt = performance.now();
  const client = await ScriptedClient.greeted(program.port);
  expect(await client.mail(body)).toStartWith("250");
  await client.quit();
  return performance.now() - startedAt;
}

interface Times {
  readonly median: number;
  readonly max: number;
}

async function times(program: Program, count = 31): Promise<Times> {
  const all: number[] = [];
  while (all.length < count) all.push(await mail(program));
  all.sort((a, b) => a - b);
  return { median: all[count >> 1] ?? Number.NaN, max: all.at(-1) ?? Number.NaN };
}

const told = ({ median, max }: Times): string => `${median.toFixed(1)} ms (at most ${max.toFixed(1)})`;

/** Mail data makes the program collect its garbage now and then: the least RSS behind that is what is in use. */
async function settledMemory(program: Program): Promise<number> {
  const body = `${"x".repeat(998)}\r\n`.repeat(10_000);
  let least = Number.POSITIVE_INFINITY;
  for (let looks = 0; looks < 45; looks += 1) {
    if (looks % 15 === 0) await mail(program, body);
    await Bun.sleep(20);
    least = Math.min(least, program.memory.now);
  }
  return least;
}

/** CPU seconds in each second of the next few. */
async function cpuShare(program: Program, seconds = 3): Promise<number> {
  const before = program.cpuSeconds;
  await Bun.sleep(seconds * 1000);
  return (program.cpuSeconds - before) / seconds;
}

const percent = (share: number): string => `${(share * 100).toFixed(1)} % CPU`;

function tellGrowth(what: string, before: number, after: number): void {
  const perConnection = (after - before) / crowdSize;
  console.log(
    `${what}: RSS ${mebibytes(before)} to ${mebibytes(after)}, ${(perConnection / KiB).toFixed(1)} KiB a connection`,
  );
  expect(perConnection).toBeLessThan(octetsPerConnectionMax);
}

describe("2,000 clients that nobody wants", () => {
  test.concurrent(
    "1,000 in the tarpit and 1,000 slowloris: good mail takes no longer",
    () =>
      withCrowd({ COMMAND_TIMEOUT: "20s" }, async (program, crowd) => {
        const alone = await times(program);
        const descriptors = program.descriptors;
        const idle = await settledMemory(program);

        await crowd.gather("early", crowdSize);
        await eventually(() => program.lines("screening").length === crowdSize, "all are found out");
        const amongTarpitted = await times(program);
        const tarpitCpu = await cpuShare(program);
        const tarpitted = await settledMemory(program);
        tellGrowth("1,000 in the tarpit", idle, tarpitted);

        await crowd.gather("slowloris", crowdSize);
        const amongAll = await times(program);
        const allCpu = await cpuShare(program);
        const all = await settledMemory(program);
        tellGrowth("1,000 slowloris besides", tarpitted, all);
        expect((await crowd.state()).open).toBe(2 * crowdSize);
        expect(program.descriptors).toBeGreaterThanOrEqual(2 * crowdSize);

        console.log(
          `a good client's mail: ${told(alone)}; with 1,000 in the tarpit ${told(amongTarpitted)}, ` +
            `${percent(tarpitCpu)}; with 1,000 slowloris besides ${told(amongAll)}, ${percent(allCpu)}`,
        );
        expect(amongTarpitted.median - alone.median).toBeLessThan(delayMsMax);
        expect(amongAll.median - alone.median).toBeLessThan(delayMsMax);
        expect(program.lines("tarpit")).toEqual([]);

        // The slowloris are sent away by COMMAND_TIMEOUT, however lively they are; the others stay.
        await eventually(
          () =>
            program.lines("session").filter((line) => line.includes('end="timeout"')).length === crowdSize,
          "COMMAND_TIMEOUT ends the slowloris",
          60_000,
        );
        await eventually(() => program.descriptors <= descriptors + crowdSize, "their descriptors are free");
        await crowd.leave("rst");
        await eventually(() => program.lines("tarpit").length === crowdSize, "the tarpit is empty");
        await eventually(() => program.descriptors <= descriptors, "no descriptor is left");
        const afterwards = await times(program);
        console.log(
          `when they are gone: ${told(afterwards)}, RSS ${mebibytes(await settledMemory(program))}, ` +
            `descriptors ${program.descriptors}`,
        );
      }),
    110_000,
  );

  test.concurrent(
    "SIGTERM while 100 are in the tarpit and 100 wait for their greeting: nobody is waited for",
    () =>
      withCrowd({ GREETING_DELAY: "3s", SHUTDOWN_GRACE: "30s" }, async (program, crowd) => {
        await crowd.gather("early", 100);
        await eventually(() => program.lines("screening").length === 100, "all are found out");
        const gathering = crowd.gather("slowloris", 100);
        await eventually(() => program.descriptors > 200, "the others wait");
        const startedAt = performance.now();
        expect(await program.stop()).toBe(0);
        const tookMs = performance.now() - startedAt;
        console.log(`SIGTERM with 100 in the tarpit: ended after ${tookMs.toFixed(0)} ms`);
        expect(tookMs).toBeLessThan(8_000);
        expect(program.lines("stopped")[0]).toContain('cut="0"');
        await gathering;
      }),
    30_000,
  );

  test.concurrent(
    "1,000 in the tarpit that go on sending: read slowly, at little cost",
    () =>
      withCrowd({}, async (program, crowd) => {
        const alone = await times(program, 11);
        for (const kind of ["trickle", "flood"] as const) {
          const before = program.lines("tarpit").length;
          const startedAt = performance.now();
          await crowd.gather(kind, crowdSize);
          const gatheringCpu = program.cpuSeconds;
          const share = await cpuShare(program, 5);
          const among = await times(program, 11);
          const { peak } = program.memory;
          await crowd.leave("rst");
          await eventually(
            () => program.lines("tarpit").length === before + crowdSize,
            "the tarpit is empty, though it did not read",
          );
          const seconds = (performance.now() - startedAt) / 1000;
          const discarded = program
            .lines("tarpit")
            .slice(before)
            .map((line) => Number(/discarded_octets="(\d+)"/.exec(line)?.[1]));
          const total = discarded.reduce((sum, octets) => sum + octets, 0);
          const rate = total / crowdSize / seconds;
          console.log(
            `1,000 in the tarpit with a ${kind} of junk: ${percent(share)} (${gatheringCpu.toFixed(1)} s before), ` +
              `${(rate / KiB).toFixed(2)} KiB/s read of each, at most ${Math.max(...discarded)} octets, ` +
              `mail ${told(among)}, alone ${told(alone)}, peak RSS ${mebibytes(peak)}`,
          );
          expect(share).toBeLessThan(0.5);
          // Bun delivers up to 512 KiB at once, and when it is told to pause what it has read by then: mostly one
          // such read, and a part of a second one on a busy machine (1,105,920 octets in all were seen).
          expect(Math.max(...discarded)).toBeLessThan(3 * 512 * KiB + 4 * KiB + seconds * KiB);
          expect(among.median - alone.median).toBeLessThan(delayMsMax);
          expect(peak).toBeLessThan(300 * MiB);
        }
      }),
    60_000,
  );
});

test("a soft limit of descriptors is raised to the hard one", async () => {
  const program = await Program.start(binary, { RELAY_HOST: "127.0.0.1:1", RELAY_TLS: "off" }, 256);
  const { soft, hard } = program.descriptorLimits;
  console.log(`descriptors: started with a soft limit of 256, runs with ${soft} of ${hard}`);
  expect(soft).toBe(hard);
  expect(await program.stop()).toBe(0);
});
