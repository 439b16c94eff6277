/**
 * The soak's parts together, on a few mails: what Postfix holds is read as it was sent, and a queue file that somebody
 * takes away, changes, copies or adds is found.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needsPostfix, type Postfix } from "../peers/support/postfix.ts";
import { talk } from "../peers/support/raw.ts";
import { withPeers } from "../peers/support/suite.ts";
import { eventually, Workplace } from "../peers/support/workplace.ts";
import { Random } from "../simulation/random.ts";
import { type Plan, session } from "./client.ts";
import { heldBy } from "./held.ts";
import { type Attempt, type Held, reckon } from "./ledger.ts";
import { MailSource } from "./mails.ts";
import { SoakProxy } from "./proxy.ts";
import { startRelay } from "./relay.ts";
import { readLogs } from "./transactions.ts";

const strangersMail = [
  "EHLO stranger.test\r\n",
  "MAIL FROM:<author@stranger.test>\r\n",
  "RCPT TO:<reader-0@sink.test>\r\n",
  "DATA\r\n",
  "Subject: stranger\r\n\r\n.\r\n",
];

withPeers("the soak's witnesses", needsPostfix, () => {
  const place = new Workplace();
  const source = new MailSource(new Random(1));
  const attempts: Attempt[] = [];
  let relay: Postfix;
  let proxy: SoakProxy;

  beforeAll(async () => {
    relay = await startRelay(place);
    proxy = await SoakProxy.start(place, relay.port, place.subfolder("logs"));
  });
  afterAll(() => place.close());

  const plan: Plan = { tls: false, pipelined: false, mails: 10, leavesAt: undefined, leavesBy: "close" };
  const sends = (wish: Partial<Plan>): Promise<string> =>
    session(
      {
        port: proxy.port,
        nextMail: () => source.next(),
        done: (attempt) => attempts.push(attempt),
        isPausing: () => false,
        now: () => performance.now(),
      },
      { ...plan, ...wish },
    );
  const findings = (held: readonly Held[]): string[] => {
    const { transactions } = readLogs(proxy.logs);
    const { findings } = reckon({ attempts, transactions, held, killedAt: [] });
    return findings.map(({ violation, id }) => `${violation} ${id}`);
  };
  const queueFile = (id: string): string =>
    join(relay.folder, "queue/hold", heldBy(relay.folder).find((held) => held.id === id)?.queueId ?? "");
  const isSettled = (): boolean => readLogs(proxy.logs).transactions.length === attempts.length;

  test("every kind of session, and every mail held as it was sent", async () => {
    for (const tls of [false, true]) {
      for (const pipelined of [false, true]) expect(await sends({ tls, pipelined })).toBe("done");
    }
    expect(attempts.map(({ told }) => told)).toEqual(attempts.map(() => "250"));
    expect(attempts.length).toBe(40);
    await eventually(isSettled, "all is logged");
    expect(heldBy(relay.folder).length).toBe(40);
    expect(findings(heldBy(relay.folder))).toEqual([]);
  });

  test("a client that leaves within its mail data leaves nothing behind", async () => {
    for (const leavesAt of ["data", "body", "before the dot"] as const) {
      expect(await sends({ mails: 1, leavesAt, leavesBy: "reset" })).toBe("left");
      expect(attempts.at(-1)?.told).toBe("not sent");
    }
    await eventually(isSettled, "all is logged");
    expect(findings(heldBy(relay.folder))).toEqual([]);
  });

  test("a queue file that is taken away, changed, copied or added", async () => {
    const copied = queueFile("m4");
    Bun.spawnSync(["cp", "-p", copied, `${copied}x`]);
    const changed = queueFile("m3");
    writeFileSync(changed, readFileSync(changed, "latin1").replace("soak m3", "soak M3"), "latin1");
    rmSync(queueFile("m2"));
    const said = await talk(relay.port, strangersMail);
    const queueId = said.at(-1)?.trim().split(" ").at(-1);
    expect(findings(heldBy(relay.folder))).toEqual([
      "lost m2",
      "corrupted m3",
      "doubled m4",
      `invented ${queueId}`,
    ]);
  });
});
