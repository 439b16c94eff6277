/**
 * What a Postfix holds, as its own postcat(1) reads it. A queue file counts when Postfix itself would take it for
 * complete: its owner may execute it (cleanup(8) sets that last). An incomplete one was never acknowledged, and is
 * what a crash leaves behind.
 * postcat gives lines without CR; mail data has no bare LF, so each LF stands for CRLF.
 */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { withoutTrace } from "../peers/support/compare.ts";
import { proxyName } from "../peers/support/proxy.ts";
import { commandPath } from "../peers/support/suite.ts";
import type { Held } from "./ledger.ts";
import { idOf, sha256 } from "./mails.ts";
import { relayName } from "./relay.ts";

/** All where a message can be. */
const queues = ["incoming", "active", "deferred", "hold", "corrupt", "maildrop"] as const;
const filesAtOnce = 200;
const ownerExecutes = 0o100;

/** `folder`: Postfix's configuration folder, with the queue within. */
export function heldBy(folder: string): Held[] {
  const files = queues.flatMap((queue) => complete(join(folder, "queue", queue)));
  const held: Held[] = [];
  for (let at = 0; at < files.length; at += filesAtOnce) {
    held.push(...read(folder, files.slice(at, at + filesAtOnce)));
  }
  return held;
}

function complete(queue: string): string[] {
  return readdirSync(queue, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => (statSync(path).mode & ownerExecutes) !== 0);
}

function read(folder: string, files: readonly string[]): Held[] {
  const { stdout, stderr, exitCode } = Bun.spawnSync([
    commandPath("postcat") ?? "postcat",
    "-c",
    folder,
    ...files,
  ]);
  if (exitCode !== 0) throw new Error(`postcat: exit status ${exitCode}: ${stderr}`);
  let at = 0;
  const until = (mark: string): Buffer => {
    const end = stdout.indexOf(mark, at);
    if (end === -1) throw new Error(`postcat: no ${mark}`);
    const piece = stdout.subarray(at, end);
    at = end + mark.length;
    return piece;
  };
  return files.map((file) => {
    until(`*** ENVELOPE RECORDS ${file} ***\n`);
    const envelope = until(`*** MESSAGE CONTENTS ${file} ***\n`).toString("latin1");
    const message = until(`*** HEADER EXTRACTED ${file} ***\n`);
    const more = until(`*** MESSAGE FILE END ${file} ***\n`).toString("latin1");
    return heldAs(file, `${envelope}${more}`, message);
  });
}

function heldAs(file: string, envelope: string, message: Buffer): Held {
  const values = (key: string): string[] =>
    [...envelope.matchAll(new RegExp(`^${key}: (.*)$`, "gm"))].map(([, value = ""]) => value);
  return {
    id: idOf(values("sender")[0] ?? ""),
    queueId: file.split("/").at(-1) ?? "",
    to: values("recipient"),
    sha256: digest(message),
  };
}

/** Less the trace of relay and proxy. */
function digest(message: Buffer): string | undefined {
  const wire = Buffer.from(message.toString("latin1").replaceAll("\n", "\r\n"), "latin1");
  try {
    const { fields, message: sent } = withoutTrace(wire, 2);
    const by = fields.map((field) => /\sby (\S+)/.exec(field)?.[1]);
    return by.join() === `${relayName},${proxyName}` ? sha256(sent) : undefined;
  } catch {
    return undefined; // withoutTrace found no two Received fields: that is no mail of the proxy.
  }
}
