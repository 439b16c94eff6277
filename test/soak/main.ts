/**
 * `bun run soak`: the built binary before a real Postfix, many mails, everything going wrong around them, and a ledger
 * at the end. Exit status 1 on any violation, or if time was over before all mails were delivered.
 *
 * --mails 100000   to be delivered
 * --minutes 10     at most
 * --seed N         of what is done; given at the start of each run
 * --stretch 0.6    the share of the mails that one run of the proxy carries, without a restart
 * --short          3000 mails within a minute or so, and troubles closer together; for CI
 *
 * Needs root, Postfix and openssl, and says so: unlike the tests of test/peers it runs only when it is asked for, so
 * a missing program is a failure everywhere.
 * The queue lives in memory where there is room. Logs are kept, and named, when something was found.
 */
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { needsPostfix } from "../peers/support/postfix.ts";
import { Workplace } from "../peers/support/workplace.ts";
import { table, verdict } from "./report.ts";
import { type Result, Soak, type Wishes } from "./soak.ts";

const full = { mails: 100_000, minutes: 10, stretch: 0.6, calmMsMax: 4_000 };
const short = { mails: 3_000, minutes: 2, stretch: 0.5, calmMsMax: 800 };
const findingsShown = 20;

function wishes(): Wishes {
  const { values } = parseArgs({
    options: {
      mails: { type: "string" },
      minutes: { type: "string" },
      seed: { type: "string" },
      stretch: { type: "string" },
      short: { type: "boolean", default: false },
    },
  });
  const base = values.short ? short : full;
  const number = (name: "mails" | "minutes" | "seed" | "stretch", otherwise: number): number => {
    const value = Number(values[name] ?? otherwise);
    if (!(value > 0)) throw new Error(`--${name} is no number above 0`);
    return value;
  };
  return {
    mails: number("mails", base.mails),
    minutes: number("minutes", base.minutes),
    seed: number("seed", 1 + Math.floor(Math.random() * 1_000_000)),
    stretch: Math.min(1, number("stretch", base.stretch)),
    calmMsMax: base.calmMsMax,
  };
}

/** A file system in memory, if it has room: a queue file for each mail, and as much again to be sure. */
function queueParent(mails: number): string {
  const memory = "/dev/shm";
  const needed = 300_000_000 + mails * 25_000;
  try {
    const { bavail, bsize } = statfsSync(memory);
    return bavail * bsize > needed ? memory : tmpdir();
  } catch {
    return tmpdir(); // There is none on this host.
  }
}

async function main(): Promise<number> {
  const wished = wishes();
  const missing = needsPostfix.flatMap((need) => need.missing ?? []);
  if (missing.length > 0) {
    console.error(`soak: ${missing.join(", ")}`);
    return 1;
  }
  const { mails, minutes, seed } = wished;
  console.log(`soak: ${mails} mails in at most ${minutes} min, --seed ${seed}`);
  const place = new Workplace(queueParent(mails));
  const logs = mkdtempSync(join(tmpdir(), "smtpproxy-soak-"));
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => {
      console.log(`logs: ${logs}`);
      void place.close().finally(() => process.exit(1));
    });
  }
  let soak: Soak | undefined;
  let result: Result;
  try {
    soak = await Soak.start(place, logs, wished);
    result = await soak.run(console.log);
    console.log(table(result));
  } catch (error) {
    console.log(`logs: ${logs}`);
    throw error;
  } finally {
    if (soak !== undefined) writeFileSync(join(logs, "relay.log"), soak.relayLog, "latin1");
    await place.close();
  }
  return conclude(result, wished, logs);
}

function conclude(result: Result, { mails, minutes }: Wishes, logs: string): number {
  const { findings, delivered } = result;
  for (const { violation, id, why } of findings.slice(0, findingsShown))
    console.log(`${violation}: ${id}: ${why}`);
  const isShort = delivered < mails;
  if (isShort) console.log(`only ${delivered} of ${mails} mails were delivered within ${minutes} min`);
  console.log(verdict(result));
  if (findings.length === 0 && !isShort) {
    rmSync(logs, { recursive: true });
    return 0;
  }
  const all = findings.map(({ violation, id, why }) => `${violation}: ${id}: ${why}\n`).join("");
  writeFileSync(join(logs, "findings"), all);
  console.log(`logs: ${logs}`);
  return 1;
}

process.exit(await main());
