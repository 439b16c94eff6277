/**
 * A private Exim: Debian's package conflicts with Postfix's, so .ci/install-peers unpacks it into a cache folder and
 * installs only the libraries it needs. Runs in the foreground with a configuration, spool and log of its own, with
 * GnuTLS (Postfix has OpenSSL), strict about a client that talks out of turn (smtp_enforce_sync).
 */
import { chownSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { Program } from "./process.ts";
import { command, type Need, root } from "./suite.ts";
import { type Certificate, freePort, run, type Workplace } from "./workplace.ts";

const { XDG_CACHE_HOME: cache = join(homedir(), ".cache") } = process.env;
/** As .ci/install-peers has it. */
const unpacked = join(cache, "smtpproxy-peers/exim/usr/sbin/exim4");
export const eximBinary = existsSync(unpacked) ? unpacked : "/usr/sbin/exim4";
export const eximUser = "Debian-exim";

export const needsExim: readonly Need[] = [
  root,
  command("openssl"),
  {
    missing: !existsSync(eximBinary)
      ? "exim is not installed (.ci/install-peers does it)"
      : userExists()
        ? undefined
        : `there is no user ${eximUser}`,
  },
];

export interface EximSettings {
  readonly name: string;
  /** Port on this host where all mail goes on to. */
  readonly nextPort: number;
  readonly certificate: Certificate;
  /** Only who authenticates may send, by LOGIN, which is all that is offered, and over TLS only. */
  readonly login: { readonly user: string; readonly password: string };
}

export class Exim {
  readonly port: number;
  readonly #folder: string;

  static async start(place: Workplace, settings: EximSettings): Promise<Exim> {
    const port = await freePort();
    const folder = place.subfolder(settings.name);
    const { owner, group } = eximOwner();
    for (const sub of ["spool", "log"]) {
      mkdirSync(join(folder, sub));
      chownSync(join(folder, sub), owner, group);
    }
    const file = place.file("exim.conf", configuration(settings, port, folder));
    const program = new Program({
      command: [eximBinary, "-C", file, "-bdf", "-q1h"],
      logFile: join(folder, "daemon.log"),
    });
    const exim = new Exim(port, folder);
    place.onClose(async () => void (await program.stop()));
    await program.untilGreets(port).catch((error: unknown) => {
      throw new Error(`${error}\n${exim.log}`);
    });
    return exim;
  }

  private constructor(port: number, folder: string) {
    this.port = port;
    this.#folder = folder;
  }

  get log(): string {
    const texts = ["main", "panic", "reject"].map((kind) => join(this.#folder, "log", `${kind}log`));
    return texts.flatMap((path) => (existsSync(path) ? readFileSync(path, "latin1") : [])).join("");
  }

  /** Message ids of all that came in so far. */
  accepted(): string[] {
    return [...this.log.matchAll(/^\S+ \S+ (\S+) <= /gm)].flatMap(([, id]) => id ?? []);
  }
}

/** Numbers of the user that it runs as. */
export function eximOwner(): { readonly owner: number; readonly group: number } {
  const [owner, group] = run(["getent", "passwd", eximUser]).split(":").slice(2, 4).map(Number);
  if (owner === undefined || group === undefined) throw new Error(`no user ${eximUser}`);
  return { owner, group };
}

function userExists(): boolean {
  return Bun.spawnSync(["getent", "passwd", eximUser]).exitCode === 0;
}

/** Octet for octet: no header is added, removed or folded anew, and no line is too long. */
function configuration(
  { name, nextPort, certificate, login }: EximSettings,
  port: number,
  folder: string,
): string {
  return `primary_hostname = ${name}
exim_user = ${eximUser}
never_users =
local_interfaces = 127.0.0.1
daemon_smtp_ports = ${port}
spool_directory = ${folder}/spool
log_file_path = ${folder}/log/%slog
pid_file_path = ${folder}/spool/exim.pid
keep_environment =
accept_8bitmime = true
smtputf8_advertise_hosts =
message_size_limit = 200M
return_path_remove = false
header_maxsize = 10M
header_line_maxsize = 10M
smtp_accept_queue_per_connection = 0
smtp_receive_timeout = 30s
rfc1413_query_timeout = 0s
host_lookup =
deliver_drop_privilege = true
tls_advertise_hosts = *
tls_certificate = ${certificate.cert}
tls_privatekey = ${certificate.key}
acl_smtp_rcpt = acl_rcpt
acl_smtp_data = acl_data

begin acl
acl_rcpt:
  accept authenticated = *
  deny message = authenticate first
acl_data:
  accept

begin routers
onward:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = onward

begin transports
onward:
  driver = smtp
  port = ${nextPort}
  allow_localhost
  message_linelength_limit = 1G
  max_rcpt = 1000
  hosts_try_fastopen =
  hosts_avoid_tls = *

begin authenticators
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = \${if and{{eq{$auth1}{${login.user}}}{eq{$auth2}{${login.password}}}}}
  server_set_id = $auth1
  server_advertise_condition = \${if def:tls_in_cipher}
`;
}
