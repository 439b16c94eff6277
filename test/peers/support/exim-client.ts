/**
 * A private Exim as a client: no daemon, each call takes one message from its standard input and delivers it before
 * it ends (-odi). Configuration, spool and log are its own. It is told to leave the message alone, and puts exactly
 * one Received field in front. What needs to be there: needsExim in exim.ts.
 */
import { chownSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { execute } from "./clients.ts";
import { eximBinary, eximOwner, eximUser } from "./exim.ts";
import type { Workplace } from "./workplace.ts";

export interface EximClientSettings {
  readonly name: string;
  /** The smarthost: a port on this host. */
  readonly nextPort: number;
  /** The address of this host that it comes from. */
  readonly comesFrom: string;
  /** Authority for STARTTLS, which then must be; undefined: plain. */
  readonly authority: string | undefined;
}

export class EximClient {
  readonly #place: Workplace;
  readonly #folder: string;
  readonly #file: string;

  constructor(place: Workplace, settings: EximClientSettings) {
    const folder = place.subfolder(settings.name);
    const { owner, group } = eximOwner();
    for (const sub of ["spool", "log"]) {
      mkdirSync(join(folder, sub));
      chownSync(join(folder, sub), owner, group);
    }
    this.#place = place;
    this.#folder = folder;
    this.#file = place.file("exim-client.conf", configuration(settings, folder));
  }

  get log(): string {
    const texts = ["main", "panic"].map((kind) => join(this.#folder, "log", `${kind}log`));
    return texts.flatMap((path) => (existsSync(path) ? readFileSync(path, "latin1") : [])).join("");
  }

  /** Resolves when the smarthost has it, or has refused it: see `log`. */
  async send(from: string, to: readonly string[], message: Buffer): Promise<void> {
    // Programs hand over lines that end in LF.
    const text = message.toString("latin1").replaceAll("\r\n", "\n");
    const file = this.#place.file("message", Buffer.from(text, "latin1"));
    await execute([eximBinary, "-C", this.#file, "-odi", "-oi", "-f", from, "--", ...to], file);
  }
}

function configuration({ name, nextPort, comesFrom, authority }: EximClientSettings, folder: string): string {
  const tls =
    authority === undefined
      ? "hosts_avoid_tls = *"
      : `hosts_require_tls = *\n  tls_verify_certificates = ${authority}\n  tls_verify_hosts = *\n  tls_verify_cert_hostnames =`;
  return `primary_hostname = ${name}
exim_user = ${eximUser}
never_users =
spool_directory = ${folder}/spool
log_file_path = ${folder}/log/%slog
log_selector = +smtp_confirmation +outgoing_interface +deliver_time
keep_environment =
accept_8bitmime = true
message_size_limit = 200M
return_path_remove = false
header_maxsize = 10M
header_line_maxsize = 10M
host_lookup =
deliver_drop_privilege = true

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
  interface = ${comesFrom}
  allow_localhost
  message_linelength_limit = 1G
  hosts_try_fastopen =
  ${tls}
`;
}
