/**
 * `smtpproxy serve`: the proxy, until a signal ends it.
 * SIGHUP takes over a renewed certificate, for further sessions, and reports what else has changed. SIGTERM and SIGINT
 * stop listening and let transactions in progress end within SHUTDOWN_GRACE; a second one ends that grace.
 * Exit status: 0 after a signal, 1 if it could not listen, 78 if the configuration is at fault.
 */

import { collectYoung } from "../bun/collector.ts";
import { BunNetwork } from "../bun/network.ts";
import { type LoadedServerTls, loadServerTls } from "../bun/tls.ts";
import { describe } from "../config/findings.ts";
import { apart } from "../config/listening.ts";
import type { Config } from "../config/options.ts";
import { raiseDescriptorLimit } from "../host/libc.ts";
import { logSink } from "../host/log-sink.ts";
import { newSessionId } from "../host/session-id.ts";
import { forgetInheritedSockets, inheritedSockets } from "../host/systemd.ts";
import { EventLog } from "../ops/event-log.ts";
import type { LogEvent } from "../ops/events.ts";
import { Log } from "../ops/log.ts";
import { clientKey } from "../screening/addresses.ts";
import type { ListenTarget } from "../shell/network.ts";
import { Server } from "../shell/server.ts";
import { type Shell, stackOf } from "../shell/shell.ts";
import { commit, version } from "../version.ts";
import { CertificateWatch, lookMs } from "./certificate-watch.ts";
import { descriptorReserve, tooFewDescriptors } from "./descriptors.ts";
import { addressesOfThisHost, findOwnRelays } from "./own-relay.ts";
import { type Running, reload } from "./reload.ts";
import { exitConfig, explainStart, loadOrLog, nameServers, resolverOf, serverSettings } from "./settings.ts";

const stderr = 2;
/** How long the relays are asked at the start what they offer. */
const askRelaysMsMax = 5_000;
/** How often the count of lines that were left out is written. */
const settleMs = 60_000;

/** What the signals do at the moment. */
interface Signals {
  reload: () => void;
  stop: (signal: string) => void;
  /** A SIGHUP came before the start was over. */
  isReloadDue: boolean;
}

/**
 * Before the start is over a SIGTERM has nothing to wait for. A SIGHUP waits for its end: configuration and certificate
 * may have been read before they were renewed, and relays are asked for seconds after that.
 */
function catchSignals(): Signals {
  const signals: Signals = {
    reload: () => {
      signals.isReloadDue = true;
    },
    stop: () => process.exit(0),
    isReloadDue: false,
  };
  process.on("SIGTERM", () => signals.stop("SIGTERM"));
  process.on("SIGINT", () => signals.stop("SIGINT"));
  process.on("SIGHUP", () => signals.reload());
  return signals;
}

export async function serve(args: readonly string[]): Promise<number> {
  const signals = catchSignals();
  const loaded = loadOrLog(args);
  if (loaded === undefined) return exitConfig;
  const { config } = loaded;
  const settings = serverSettings(config);
  const certificate = readCertificate(config);
  const inherited = inheritedSockets(process.env, process.pid);
  const faults = [
    ...(settings.ok ? [] : [`${settings.option}: ${settings.fault}`]),
    ...[certificate, inherited].flatMap((result) =>
      result === undefined || result.ok ? [] : [result.fault],
    ),
  ];
  if (!settings.ok || !inherited.ok || certificate?.ok === false) {
    explainStart(faults, config.logFormat);
    return exitConfig;
  }
  forgetInheritedSockets(process.env);

  const log = new Log(config.logFormat, config.logLevel, logSink(stderr));
  const events = new EventLog(log, {
    network: clientKey,
    now: () => performance.now(),
    date: () => Date.now(),
  });
  const shell = makeShell(events);
  // Whatever throws outside of a session is logged, and mail goes on.
  for (const uncaught of ["uncaughtException", "unhandledRejection"]) {
    process.on(uncaught, (error) => {
      shell.log({ event: "fault", session: undefined, stack: stackOf(error) });
    });
  }
  const relay = config.relayHosts.map(({ text }) => text).join(", ");
  shell.log({ event: "start", version: `${version} (${commit})`, relay });
  for (const warning of loaded.warnings) {
    shell.log({ event: "configuration", warning: describe(warning) });
  }
  const watch = watchOf(config, certificate);
  for (const event of watch?.introduce(Date.now()) ?? []) shell.log(event);
  const targets: readonly ListenTarget[] =
    inherited.sockets.length > 0 ? inherited.sockets : apart(config.listenAddresses);
  checkDescriptors(shell, config, targets.length);

  const ownRelays = await findOwnRelays(shell.network, config.relayHosts, targets, addressesOfThisHost());
  for (const warning of ownRelays.warnings) shell.log({ event: "configuration", warning });
  if (ownRelays.faults.length > 0) {
    log.flush();
    explainStart(ownRelays.faults, config.logFormat);
    return exitConfig;
  }

  const resolver = resolverOf(config, () => shell.network.now());
  const server = new Server(shell, settings.settings, resolver, certificate?.tls);
  // Before anything listens: who connected now would not be offered what the relay offers, and has to bounce mail that
  // needs it. Without a relay nobody can be served anyway, and under systemd's socket clients wait meanwhile.
  await server.askRelays(askRelaysMsMax);
  try {
    for (const target of targets) server.listen(target);
  } catch (error) {
    log.flush();
    explainStart([error instanceof Error ? error.message : String(error)], config.logFormat);
    return 1;
  }
  const { authorities } = settings.settings.pool;
  const running = { args, config, authorities, certificate: watch };
  const chores = [
    setInterval(() => events.settle(), settleMs),
    setInterval(() => {
      for (const event of watch?.look(Date.now()) ?? []) shell.log(event);
    }, lookMs),
  ];
  await untilSignal(shell, running, server, signals);
  for (const chore of chores) clearInterval(chore);
  events.settle(true);
  log.flush();
  return 0;
}

function makeShell(events: EventLog): Shell & { readonly network: BunNetwork } {
  const write = (event: LogEvent): void => events.write(event);
  const network = new BunNetwork((error) =>
    write({ event: "fault", session: undefined, stack: stackOf(error) }),
  );
  return { network, log: write, newSessionId, collectYoung };
}

/** Raises the limit as far as it goes, tells if that is not far enough for the options, and has it kept. */
function checkDescriptors(
  { network, log }: ReturnType<typeof makeShell>,
  config: Config,
  listeners: number,
): void {
  const users = {
    clientsMax: config.maxConnections,
    relaysMax: config.relayMaxConnections,
    listeners,
    dnsServers: config.dnsblZones === undefined ? 0 : nameServers(config).length,
  };
  const limit = raiseDescriptorLimit();
  const warning = tooFewDescriptors(users, limit);
  if (warning !== undefined) log({ event: "configuration", warning });
  if (limit === undefined) return;
  network.limitDescriptors({
    limit,
    reserve: descriptorReserve(users, limit),
    changed: (isScarce, open) =>
      log({ event: "descriptors", state: isScarce ? "scarce" : "enough again", open, limit }),
  });
}

/** Resolves when the server has been shut down. A second signal ends what is waited for. */
function untilSignal(shell: Shell, start: Running, server: Server, signals: Signals): Promise<void> {
  return new Promise((resolve) => {
    let running = start;
    let stopping = false;
    signals.reload = () => {
      const { config, report } = reload(running, Date.now());
      running = { ...running, config };
      const { certificate } = running;
      if (report.outcome === "done" && certificate !== undefined) {
        server.replaceTls(certificate.tls);
        for (const event of certificate.introduce(Date.now())) shell.log(event);
      }
      shell.log(report);
    };
    signals.stop = (signal) => {
      if (stopping) {
        server.hurry();
        return;
      }
      stopping = true;
      shell.log({ event: "shutdown", signal, sessions: server.sessions });
      void server.shutdown(start.config.shutdownGraceMs).then((cut) => {
        shell.log({ event: "stopped", cut });
        resolve();
      });
    };
    if (signals.isReloadDue) signals.reload();
  });
}

/** undefined: none is configured. */
function readCertificate({ serverCert, serverKey }: Config): LoadedServerTls | undefined {
  if (serverCert === undefined || serverKey === undefined) return undefined;
  return loadServerTls(serverCert, serverKey);
}

function watchOf(
  { serverCert, serverKey }: Config,
  certificate: LoadedServerTls | undefined,
): CertificateWatch | undefined {
  if (serverCert === undefined || serverKey === undefined || certificate?.ok !== true) return undefined;
  return new CertificateWatch({ cert: serverCert, key: serverKey }, certificate);
}
