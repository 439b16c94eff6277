/**
 * Mail programs that send one message and end. Each is told to leave the message alone; what it does all the same:
 * all of them put CRLF behind a message that does not end in one, for SMTP wants it.
 */
import { command, type Need } from "./suite.ts";
import type { Workplace } from "./workplace.ts";

export const clients = ["swaks", "curl", "msmtp"] as const;
export type Client = (typeof clients)[number];
export const needsClients: readonly Need[] = clients.map(command);

/** A client that waits longer waits for what never comes. */
const clientMs = 20_000;

export interface Posting {
  readonly port: number;
  /** Authority for STARTTLS; undefined: plain. */
  readonly authority: string | undefined;
  /** The address of this host that it comes from; undefined: any. */
  readonly comesFrom?: string;
  /** "<>" is the null reverse-path. */
  readonly from: string;
  readonly to: readonly string[];
  readonly message: Buffer;
}

export async function post(place: Workplace, client: Client, posting: Posting): Promise<void> {
  const file = place.file("message", posting.message);
  if (client === "swaks") await execute(swaks(place, posting, file));
  else if (client === "curl") await execute(curl(posting, file));
  else await execute(msmtp(posting), file);
}

/** With fix-ups it would take `\n` within a line for a line end, so it gets what is to go over the wire. */
function swaks(
  place: Workplace,
  { port, authority, comesFrom, from, to, message }: Posting,
  file: string,
): string[] {
  const text = message.toString("latin1");
  const data = text.endsWith("\r\n")
    ? ["--no-data-fixup", "--data", `@${place.file("data", Buffer.from(`${stuffed(text)}.`, "latin1"))}`]
    : ["--data", `@${file}`];
  const tls = authority === undefined ? [] : ["--tls", "--tls-verify", "--tls-ca-path", authority];
  const session = ["--server", "127.0.0.1", "--port", `${port}`, "--ehlo", "client.test", "--hide-all"];
  const own = comesFrom === undefined ? [] : ["--local-interface", comesFrom];
  return ["swaks", ...session, ...own, ...tls, "--from", from, "--to", to.join(","), ...data];
}

const stuffed = (text: string): string => text.replaceAll(/^\./gm, "..");

function curl({ port, authority, comesFrom, from, to }: Posting, file: string): string[] {
  const tls = authority === undefined ? [] : ["--ssl-reqd", "--cacert", authority];
  const recipients = to.flatMap((address) => ["--mail-rcpt", address]);
  const own = comesFrom === undefined ? [] : ["--interface", comesFrom];
  return [
    "curl",
    ...curlSession(port),
    ...own,
    ...tls,
    "--mail-from",
    from,
    ...recipients,
    "--upload-file",
    file,
  ];
}

/** Several mails in one session. */
export async function curlSeveral(
  place: Workplace,
  port: number,
  mails: readonly { readonly from: string; readonly to: string; readonly message: Buffer }[],
): Promise<void> {
  const words = mails.flatMap(({ from, to, message }) => {
    const file = place.file("message", message);
    return ["--next", ...curlSession(port), "--mail-from", from, "--mail-rcpt", to, "--upload-file", file];
  });
  await execute(["curl", ...words.slice(1)]);
}

function curlSession(port: number): string[] {
  return ["--silent", "--show-error", "--url", `smtp://127.0.0.1:${port}/client.test`];
}

function msmtp({ port, authority, comesFrom, from, to }: Posting): string[] {
  const session = ["--host=127.0.0.1", `--port=${port}`, "--domain=client.test", "--auth=off"];
  const own = comesFrom === undefined ? [] : [`--source-ip=${comesFrom}`];
  const alone = ["remove-bcc-headers", "set-from-header", "set-date-header", "set-msgid-header"];
  const tls =
    authority === undefined
      ? ["--tls=off"]
      : ["--tls=on", "--tls-starttls=on", `--tls-trust-file=${authority}`];
  return [
    "msmtp",
    ...session,
    ...own,
    ...tls,
    ...alone.map((name) => `--${name}=off`),
    `--from=${from}`,
    "--",
    ...to,
  ];
}

/** Without blocking: the sink lives in this process. */
export async function execute(words: readonly string[], input?: string): Promise<string> {
  const child = Bun.spawn([...words], {
    stdin: input === undefined ? "ignore" : Bun.file(input),
    stdout: "pipe",
    stderr: "pipe",
    timeout: clientMs,
  });
  const [status, output, errors] = await Promise.all([
    child.exited,
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if (status !== 0) throw new Error(`${words[0]}: exit status ${status}: ${errors}${output}`);
  return output;
}
