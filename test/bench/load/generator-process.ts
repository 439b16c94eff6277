/**
 * The bench's own load, for what smtp-source cannot do or does too slowly: large bodies, TLS, held sessions,
 * pipelining, single mails timed. A process of its own; a job a line on standard input, an answer a line on standard
 * output (jobs.ts). It ends with its standard input.
 */
import { createInterface } from "node:readline";
import { SmtpClient } from "./client.ts";
import type { Answer, HoldJob, Job, LatencyJob, MailsJob } from "./jobs.ts";

const latin1 = (text: string): Buffer => Buffer.from(text, "latin1");

const line = `${"abcdefghijklmnopqrstuvwxyz".repeat(3).slice(0, 76)}\r\n`;
const header = "From: a@client.test\r\nTo: b@relay.test\r\nSubject: bench\r\n\r\n";
const chunk = latin1(line.repeat(Math.floor((1024 * 1024) / line.length)));
/** Connections that are opened at once when sessions are to be held. */
const opensAtOnce = 100;
/** Lets everybody come to rest before the next single mail. */
const restMs = 2;

const held: SmtpClient[] = [];

/** The body of a mail, and the dot, in pieces of at most a megabyte. */
function bodyOf(octets: number): Buffer[] {
  const wanted = Math.max(0, octets - header.length);
  const pieces = [latin1(header)];
  for (let left = wanted; left > 0; left -= chunk.length) {
    const lines = Math.max(1, Math.floor(left / line.length));
    pieces.push(left >= chunk.length ? chunk : chunk.subarray(0, lines * line.length));
  }
  pieces.push(latin1(".\r\n"));
  return octets <= chunk.length ? [Buffer.concat(pieces)] : pieces;
}

async function greeted(port: number, tls: boolean): Promise<SmtpClient> {
  const client = await SmtpClient.connect(port);
  await client.expect("220");
  await client.ask("EHLO client.test", "250");
  if (tls) {
    await client.secure();
    await client.ask("EHLO client.test", "250");
  }
  return client;
}

function envelopeOf(recipients: number): Buffer {
  const rcpt = Array.from({ length: recipients }, (_, n) => `RCPT TO:<r${n}@relay.test>\r\n`).join("");
  return latin1(`MAIL FROM:<a@client.test>\r\n${rcpt}DATA\r\n`);
}

async function sendAll(client: SmtpClient, pieces: readonly Buffer[]): Promise<void> {
  for (const piece of pieces) await client.send(piece);
}

/** Mails over one session, as long as `next` says that there is one more. */
async function session(
  client: SmtpClient,
  job: MailsJob,
  body: readonly Buffer[],
  next: () => boolean,
): Promise<void> {
  const envelope = envelopeOf(job.recipients);
  const last = body.at(-1) ?? Buffer.alloc(0);
  const joined = job.pipelined ? [...body.slice(0, -1), Buffer.concat([last, envelope])] : body;
  let more = true;
  let begun = false;
  while (more) {
    if (!begun) await client.send(envelope);
    await client.expect("250", 1 + job.recipients);
    await client.expect("354");
    more = next();
    begun = more && job.pipelined;
    await sendAll(client, begun ? joined : body);
    await client.expect("250");
  }
}

async function mails(job: MailsJob): Promise<void> {
  const body = bodyOf(job.octets);
  let left = job.mails;
  const take = (): boolean => {
    left -= 1;
    return left >= 0;
  };
  const work = async (): Promise<void> => {
    while (take()) {
      const client = await greeted(job.port, job.tls);
      await session(client, job, body, () => job.kept && take());
      await client.quit();
    }
  };
  await Promise.all(Array.from({ length: job.sessions }, work));
}

async function oneMail(port: number, tls: boolean, body: readonly Buffer[]): Promise<number> {
  const startedAt = performance.now();
  const client = await greeted(port, tls);
  await client.ask("MAIL FROM:<a@client.test>", "250");
  await client.ask("RCPT TO:<b@relay.test>", "250");
  await client.ask("DATA", "354");
  await sendAll(client, body);
  await client.expect("250");
  const ms = performance.now() - startedAt;
  await client.quit();
  return ms;
}

async function latencies(job: LatencyJob): Promise<number[][]> {
  const body = bodyOf(2048);
  const found = job.ports.map((): number[] => []);
  for (let mail = 0; mail < job.mails; mail += 1) {
    for (const offset of job.ports.keys()) {
      // Nobody is always the one behind the same neighbour.
      const index = (mail + offset) % job.ports.length;
      found[index]?.push(await oneMail(job.ports[index] ?? 0, job.tls, body));
      await Bun.sleep(restMs);
    }
  }
  return found;
}

async function hold({ port, sessions, state, tls }: HoldJob): Promise<void> {
  let left = sessions;
  const work = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const client = await greeted(port, tls);
      held.push(client);
      if (state === "ehlo") continue;
      await client.send(envelopeOf(1));
      await client.expect("250", 2);
      await client.expect("354");
      await client.send(latin1(header + line.repeat(13)));
    }
  };
  await Promise.all(Array.from({ length: opensAtOnce }, work));
}

async function release(): Promise<void> {
  for (const client of held.splice(0)) client.terminate();
}

async function answer(job: Job): Promise<Answer> {
  const startedAt = performance.now();
  let failure: string | undefined;
  let latenciesMs: readonly (readonly number[])[] = [];
  try {
    if (job.kind === "mails") await mails(job);
    else if (job.kind === "hold") await hold(job);
    else if (job.kind === "release") await release();
    else latenciesMs = await latencies(job);
  } catch (error) {
    failure = String(error);
  }
  const seconds = (performance.now() - startedAt) / 1000;
  return { seconds, latenciesMs, ...(failure === undefined ? {} : { failure }) };
}

for await (const text of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(text)))}\n`);
}
process.exit(0);
