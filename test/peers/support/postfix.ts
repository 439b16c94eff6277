/**
 * A private Postfix: configuration, queue, data and log in a folder of its own, on a loopback port, run by its
 * `master` in the foreground. Nothing of the machine's Postfix is read or touched.
 *
 * It is told not to touch a message (`untouched`), which is what makes octet-for-octet comparisons fair. What it does
 * in spite of it: a message that does not begin with a header field gets an empty line between the trace and itself.
 */
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Program } from "./process.ts";
import { command, commandPath, type Need, root } from "./suite.ts";
import { type Certificate, eventually, freePort, run, type Workplace } from "./workplace.ts";

export const needsPostfix: readonly Need[] = [root, command("postconf"), command("openssl")];
export const needsSasl: readonly Need[] = [command("saslpasswd2")];

export interface PostfixSettings {
  readonly name: string;
  /** Port on this host where all mail goes on to. */
  readonly nextPort: number;
  readonly certificate?: Certificate;
  /** Only who authenticates may send; over TLS only. */
  readonly login?: { readonly user: string; readonly password: string };
  /** The recipient that is refused, in two lines. */
  readonly refuses?: string;
  /** Further lines of main.cf. */
  readonly main?: Readonly<Record<string, string>>;
}

const untouched = {
  always_add_missing_headers: "no",
  disable_mime_output_conversion: "yes",
  header_size_limit: "100000000",
  local_header_rewrite_clients: "",
  message_drop_headers: "",
  message_size_limit: "200000000",
  smtp_line_length_limit: "0",
};

const alone = {
  alias_database: "",
  alias_maps: "",
  compatibility_level: "3.6",
  enable_long_queue_ids: "yes",
  inet_interfaces: "127.0.0.1",
  inet_protocols: "ipv4",
  local_recipient_maps: "",
  mailbox_size_limit: "0",
  mydestination: "",
  mynetworks: "127.0.0.0/8",
  smtp_destination_recipient_limit: "1000",
  smtpd_peername_lookup: "no",
  smtpd_relay_restrictions: "permit_mynetworks, permit_sasl_authenticated, reject",
};

const services = [
  "pickup unix n - n 1 1 pickup",
  "cleanup unix n - n - 0 cleanup",
  "qmgr unix n - n 300 1 qmgr",
  "tlsmgr unix - - n 1000? 1 tlsmgr",
  "rewrite unix - - n - - trivial-rewrite",
  "bounce unix - - n - 0 bounce",
  "defer unix - - n - 0 bounce",
  "trace unix - - n - 0 bounce",
  "verify unix - - n - 1 verify",
  "flush unix n - n 1000? 0 flush",
  "proxymap unix - - n - - proxymap",
  "smtp unix - - n - - smtp",
  "showq unix n - n - - showq",
  "error unix - - n - - error",
  "retry unix - - n - - error",
  "discard unix - - n - - discard",
  "anvil unix - - n - 1 anvil",
  "scache unix - - n - 1 scache",
  "postlog unix-dgram n - n - 1 postlogd",
];

const queueFolders = "active bounce corrupt defer deferred flush hold incoming private saved trace".split(
  " ",
);

export class Postfix {
  readonly name: string;
  readonly port: number;
  /** Configuration, "queue", "data" and "mail.log". */
  readonly folder: string;
  #program: Program | undefined;

  static async start(place: Workplace, settings: PostfixSettings): Promise<Postfix> {
    const postfix = new Postfix(settings.name, await freePort(), place.subfolder(settings.name));
    postfix.#configure(settings);
    place.onClose(() => postfix.stop());
    await postfix.start();
    return postfix;
  }

  private constructor(name: string, port: number, folder: string) {
    this.name = name;
    this.port = port;
    this.folder = folder;
  }

  async start(): Promise<void> {
    const daemons = run(["postconf", "-d", "-h", "daemon_directory"]).trim();
    this.#program = new Program({
      command: [join(daemons, "master"), "-c", this.folder, "-d"],
      logFile: join(this.folder, "master.log"),
    });
    await this.#program.untilGreets(this.port).catch((error: unknown) => {
      throw new Error(`${error}\n${this.log}`);
    });
  }

  async stop(): Promise<void> {
    await this.#program?.stop();
    this.#program = undefined;
  }

  /** Kills master and all its daemons, and starts nothing. */
  async crash(): Promise<void> {
    await this.#program?.crash();
    this.#program = undefined;
  }

  /** Of `master`, the parent of all daemons; undefined when it does not run. */
  get pid(): number | undefined {
    return this.#program?.pid;
  }

  get log(): string {
    const path = join(this.folder, "mail.log");
    return existsSync(path) ? readFileSync(path, "latin1") : "";
  }

  /** Queue ids of all messages that came in by SMTP so far, in order. */
  accepted(): string[] {
    return [...this.log.matchAll(/smtpd\[\d+\]: (\w+): client=/g)].flatMap(([, id]) => id ?? []);
  }

  /** Nothing waits in the queue. */
  isIdle(): boolean {
    return run([commandPath("postqueue") ?? "postqueue", "-c", this.folder, "-j"]) === "";
  }

  async untilIdle(withinMs = 60_000): Promise<void> {
    await eventually(
      () => this.isIdle(),
      () => `${this.name}'s queue is empty: ${this.log.slice(-4_000)}`,
      withinMs,
    );
  }

  /** As a program on this host sends mail. `from` "" is the null reverse-path. */
  sendmail(from: string, to: readonly string[], message: Buffer): void {
    const { exitCode, stderr } = Bun.spawnSync(
      [commandPath("sendmail") ?? "sendmail", "-C", this.folder, "-i", "-f", from, "--", ...to],
      { stdin: message },
    );
    if (exitCode !== 0) throw new Error(`sendmail: exit status ${exitCode}: ${stderr}`);
  }

  #configure({ name, nextPort, certificate, login, refuses, main }: PostfixSettings): void {
    const folder = this.folder;
    const queue = join(folder, "queue");
    const data = join(folder, "data");
    const owner = idOf("passwd", "postfix");
    const dropGroup = idOf("group", "postdrop");
    mkdirSync(queue, { mode: 0o755 });
    for (const name of [...queueFolders.map((sub) => join(queue, sub)), data]) {
      mkdirSync(name, { mode: 0o700 });
      chownSync(name, owner, 0);
    }
    mkdirSync(join(queue, "pid"), { mode: 0o755 });
    for (const [sub, mode] of [
      ["maildrop", 0o730],
      ["public", 0o710],
    ] as const) {
      mkdirSync(join(queue, sub));
      chownSync(join(queue, sub), owner, dropGroup);
      chmodSync(join(queue, sub), mode);
    }
    const lines = {
      ...alone,
      ...untouched,
      config_directory: folder,
      queue_directory: queue,
      data_directory: data,
      maillog_file: join(folder, "mail.log"),
      maillog_file_prefixes: folder,
      myhostname: name,
      relayhost: `[127.0.0.1]:${nextPort}`,
      ...(certificate === undefined ? {} : tls(certificate)),
      ...(login === undefined ? {} : sasl(folder, owner, login)),
      ...(refuses === undefined ? {} : refusal(refuses)),
      ...main,
    };
    writeFileSync(
      join(folder, "main.cf"),
      Object.entries(lines)
        .map(([key, value]) => `${key} = ${value}\n`)
        .join(""),
    );
    writeFileSync(join(folder, "master.cf"), "");
    const master = [`127.0.0.1:${this.port} inet n - n - - smtpd`, ...services];
    appendFileSync(join(folder, "master.cf"), `${master.join("\n")}\n`);
  }
}

function tls({ cert, key }: Certificate): Record<string, string> {
  return {
    smtpd_tls_cert_file: cert,
    smtpd_tls_key_file: key,
    smtpd_tls_security_level: "may",
    smtpd_tls_loglevel: "1",
  };
}

function refusal(recipient: string): Record<string, string> {
  return {
    smtpd_recipient_restrictions: `check_recipient_access inline:{{${recipient} = 550 5.7.25 not here}}, permit`,
    smtpd_reject_footer: "ask elsewhere",
  };
}

/** Cyrus SASL with a private sasldb. */
function sasl(
  folder: string,
  owner: number,
  { user, password }: { readonly user: string; readonly password: string },
): Record<string, string> {
  const database = join(folder, "sasldb2");
  run(
    [commandPath("saslpasswd2") ?? "saslpasswd2", "-c", "-p", "-f", database, "-u", "relay", user],
    password,
  );
  chownSync(database, owner, 0);
  const configuration = join(folder, "sasl");
  mkdirSync(configuration);
  writeFileSync(
    join(configuration, "smtpd.conf"),
    `pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: ${database}\nmech_list: PLAIN LOGIN\n`,
  );
  return {
    cyrus_sasl_config_path: configuration,
    mynetworks: "192.0.2.1/32",
    smtpd_sasl_auth_enable: "yes",
    smtpd_sasl_local_domain: "relay",
    smtpd_tls_auth_only: "yes",
  };
}

/** The number of a user ("passwd") or a group ("group"). */
function idOf(database: "passwd" | "group", name: string): number {
  const id = Number(run(["getent", database, name]).split(":")[2]);
  if (!Number.isInteger(id)) throw new Error(`no ${name} in ${database}`);
  return id;
}
