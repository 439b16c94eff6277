/**
 * What floods of hostile octets cost everybody else: the compiled program before a relay, flooding clients in a process
 * of their own, and a good client whose mail is timed every 100 ms. hostile-data.test.ts runs it in a size that a test
 * may have. At full size, for figures:
 *
 *     bun test/shell/flood.ts                   # every flood, as big as the report that it came from
 *     bun test/shell/flood.ts BINARY WORDS      # of another binary; only the floods with these words in their names
 */
import { join } from "node:path";
import { compile, mebibytes, Program } from "./binary.ts";
import type { FloodOrder } from "./flood-process.ts";
import { eventually, ScriptedClient } from "./support.ts";

const MB = 1_000_000;
const everyMs = 100;
/** Of the good client: the limit for each address is not to be what it meets. */
const goodAddress = "127.0.0.2";

export interface Flood extends Omit<FloodOrder, "port"> {
  readonly name: string;
  readonly environment?: Readonly<Record<string, string>>;
}

export interface FloodCost {
  /** From the good client's connection to the reply to its dot. */
  readonly worstMs: number;
  readonly medianMs: number;
  readonly mails: number;
  /** Of the program's resident memory, at its peak. */
  readonly growthOctets: number;
  readonly cpuSeconds: number;
  /** What the flooding clients say about their end. */
  readonly end: string;
}

const toData = ["EHLO flood.test", "MAIL FROM:<f@flood.test>", "RCPT TO:<r@example.org>", "DATA"];
const normalize = { BARE_NEWLINE: "normalize" };

function mailData(unit: string, clients: number, octets: number): Omit<Flood, "name"> {
  return { unit, clients, octets, opening: toData, last: "." };
}

function commands(unit: string, clients: number, octets: number): Omit<Flood, "name"> {
  return { unit, clients, octets, opening: ["EHLO flood.test"], last: "QUIT" };
}

/** `share`: of the full size. */
export function floods(share: number): readonly Flood[] {
  const big = 140 * MB * share;
  const half = 70 * MB * share;
  return [
    { name: "CR CR LF", ...mailData("\r\r\n", 4, big) },
    { name: "bare LF", ...mailData("\n", 4, big) },
    { name: "normalize: bare LF", ...mailData("\n", 8, half), environment: normalize },
    { name: "normalize: one session of bare LF", ...mailData("\n", 1, half), environment: normalize },
    { name: "normalize: LF dot LF", ...mailData("\n.\n", 8, half), environment: normalize },
    { name: "lines of two dots", ...mailData("..\r\n", 8, half) },
    { name: "short header lines", ...mailData("receive\r\n", 8, half) },
    { name: "many sessions of bare LF", ...mailData("\n", 19, half), environment: normalize },
    { name: "NOOP", ...commands("NOOP\r\n", 8, 4 * MB * share) },
    { name: "RSET", ...commands("RSET\r\n", 8, 4 * MB * share) },
    { name: "one line without an end", ...commands("x", 8, half) },
  ];
}

async function freePort(): Promise<number> {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

async function listens(port: number): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    const client = await ScriptedClient.connect(port).catch(() => undefined);
    client?.rst();
    if (client !== undefined) return;
    await Bun.sleep(50);
  }
  throw new Error(`nothing listens on port ${port}`);
}

async function goodMail(port: number): Promise<number> {
  const startedAt = performance.now();
  const client = await ScriptedClient.connect(port, "127.0.0.1", goodAddress);
  await client.reply(60_000);
  for (const line of ["EHLO good.test", "MAIL FROM:<g@good.test>", "RCPT TO:<r@example.org>", "DATA"]) {
    client.say(`${line}\r\n`);
    await client.reply(60_000);
  }
  client.say(`Subject: good\r\n\r\n${"good\r\n".repeat(100)}.\r\n`);
  const reply = await client.reply(60_000);
  const ms = performance.now() - startedAt;
  client.fin();
  if (!reply.startsWith("250")) throw new Error(`the good client was told: ${reply}`);
  return ms;
}

export async function measure(binary: string, flood: Flood): Promise<FloodCost> {
  const relayPort = await freePort();
  const sink = join(import.meta.dir, "../bench/load/sink-process.ts");
  const relay = Bun.spawn([process.execPath, sink, JSON.stringify({ port: relayPort })]);
  await listens(relayPort);
  const program = await Program.start(binary, {
    RELAY_HOST: `127.0.0.1:${relayPort}`,
    RELAY_TLS: "off",
    SHUTDOWN_GRACE: "1s",
    ...flood.environment,
  });
  const { name, environment, ...order } = flood;
  let flooders: Bun.Subprocess<"ignore", "pipe", "inherit"> | undefined;
  try {
    for (let warmUp = 0; warmUp < 50; warmUp += 1) await goodMail(program.port);
    program.resetPeak();
    const idle = program.memory.now;
    const cpuBefore = program.cpuSeconds;
    flooders = Bun.spawn(
      [
        process.execPath,
        join(import.meta.dir, "flood-process.ts"),
        JSON.stringify({ ...order, port: program.port }),
      ],
      { stdin: "ignore", stdout: "pipe", stderr: "inherit" },
    );
    let said = "";
    const listening = (async (stream: ReadableStream<Uint8Array>) => {
      const decoder = new TextDecoder();
      for await (const octets of stream) said += decoder.decode(octets, { stream: true });
    })(flooders.stdout);
    await eventually(() => said.startsWith("pouring"), "the flood begins", 30_000);
    const times: number[] = [];
    const endsAt = performance.now() + 90_000;
    while (flooders.exitCode === null && performance.now() < endsAt) {
      const ms = await goodMail(program.port);
      times.push(ms);
      await Bun.sleep(Math.max(0, everyMs - ms));
    }
    times.sort((a, b) => a - b);
    flooders.kill("SIGKILL");
    await listening;
    return {
      worstMs: times.at(-1) ?? Number.NaN,
      medianMs: times[times.length >> 1] ?? Number.NaN,
      mails: times.length,
      growthOctets: program.memory.peak - idle,
      cpuSeconds: program.cpuSeconds - cpuBefore,
      end: said.split("\n")[1] ?? "",
    };
  } finally {
    flooders?.kill("SIGKILL");
    program.kill();
    relay.kill("SIGKILL");
  }
}

export function describeCost(name: string, cost: FloodCost): string {
  const { worstMs, medianMs, mails, growthOctets, cpuSeconds, end } = cost;
  return (
    `${name}: good mail at most ${worstMs.toFixed(0)} ms (median ${medianMs.toFixed(0)}, ${mails} mails), ` +
    `RSS +${mebibytes(growthOctets)}, ${cpuSeconds.toFixed(1)} s of CPU; flood: ${end || "cut short"}`
  );
}

if (import.meta.main) {
  const [given, words] = process.argv.slice(2);
  const binary = given ?? (await compile());
  for (const flood of floods(1)) {
    if (words !== undefined && !flood.name.includes(words)) continue;
    console.log(describeCost(flood.name, await measure(binary, flood)));
  }
  process.exit(0);
}
