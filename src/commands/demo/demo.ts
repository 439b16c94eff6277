/**
 * `smtpproxy demo [FILE.eml]`: a message goes through the proxy, before the reader's eyes.
 * A relay of our own (relay.ts) and the real proxy (shell/server.ts) listen on free loopback ports, a client
 * (client.ts) sends the message, and what was said and what arrived is printed. Nothing leaves the machine,
 * nothing touches the disk, and no configuration is read but the defaults.
 * The last line is the verdict: `ok` with exit status 0 if the octets that arrived are those that were sent, but for
 * one Received field; else `FAILED`, with 1. Exit status 78 for arguments that are wrong.
 * Not here: the message's own wire form (message.ts), what is told of the arrival (report.ts).
 */

import { BunNetwork } from "../../bun/network.ts";
import { load } from "../../config/load.ts";
import { OPTIONS } from "../../config/options.ts";
import { newSessionId } from "../../host/session-id.ts";
import { assert } from "../../lib/assert.ts";
import { type LogEvent, logLine } from "../../ops/events.ts";
import { formatLine } from "../../ops/log.ts";
import type { Network } from "../../shell/network.ts";
import { Server } from "../../shell/server.ts";
import { type Shell, stackOf } from "../../shell/shell.ts";
import { commit, version } from "../../version.ts";
import { formatVerdict } from "../check/finding.ts";
import { print } from "../print.ts";
import { exitConfig, explain, resolverOf, serverSettings } from "../settings.ts";
import { fold } from "../terminal.ts";
import { type Sent, sendMessage } from "./client.ts";
import { Dialogue } from "./dialogue.ts";
import { type DemoMessage, readMessage } from "./message.ts";
import { type ArrivedMessage, DemoRelay } from "./relay.ts";
import { reportArrival } from "./report.ts";
import { sampleKeys, sampleMessage } from "./sample-message.ts";

/** For the whole of it; a message of the largest size takes seconds. */
const demoMsMax = 120_000;
const graceMs = 2_000;
const proxyName = "proxy.demo.example";

export async function demo(args: readonly string[]): Promise<number> {
  const [path, ...more] = args.filter((arg) => arg !== "--");
  const flag = args.find((arg) => arg.startsWith("-") && arg !== "--");
  if (flag !== undefined || more.length > 0) {
    explain(["demo takes one file and no options: smtpproxy demo [FILE.eml]"]);
    return exitConfig;
  }
  const read = path === undefined ? undefined : readMessage(path);
  if (read?.ok === false) {
    explain([`cannot send ${path}: ${read.fault}`]);
    return 1;
  }
  const sample: DemoMessage = { octets: sampleMessage, changes: [] };
  return show(path ?? "a sample message", read?.message ?? sample);
}

async function show(name: string, message: DemoMessage): Promise<number> {
  const { octets, changes } = message;
  print(
    fold(
      `smtpproxy ${version} (${commit}): the demo sends ${name}, ${octets.length} octets\n` +
        changes.map((change) => `Of the file, ${change}.\n`).join(""),
      "  ",
    ),
  );
  const passage = await passThrough(octets);
  print(`\nWhat was said\n\n${indent(passage.dialogue)}`);
  print(`\nThe proxy's log\n\n${fold(indent(passage.log), "      ")}\n`);
  const [arrived, ...others] = passage.arrived;
  if (!passage.sent.ok || arrived === undefined || others.length > 0) {
    const fault = passage.sent.ok
      ? `${passage.arrived.length} messages arrived instead of one`
      : passage.sent.fault;
    return conclude("FAILED", fault);
  }
  const report = await reportArrival(octets, arrived.octets, sampleKeys);
  print(`${report.text}\n`);
  return report.same
    ? conclude("ok", "the message arrived as it was sent, octet for octet")
    : conclude("FAILED", "the message that arrived is not the one that was sent");
}

/** The last line. */
async function conclude(verdict: "ok" | "FAILED", text: string): Promise<number> {
  print(`${formatVerdict(verdict)}${text}\n`);
  return verdict === "ok" ? 0 : 1;
}

interface Passage {
  readonly sent: Sent;
  readonly arrived: readonly ArrivedMessage[];
  readonly dialogue: string;
  readonly log: string;
}

/** Relay, proxy and client, from the first listener to the last connection. */
async function passThrough(message: Buffer): Promise<Passage> {
  const dialogue = new Dialogue();
  const log: string[] = [];
  const write = (event: LogEvent): void => {
    const line = logLine(event);
    // The dialogue is shown from outside.
    if (line.level !== "debug") log.push(`${formatLine("text", line, Date.now())}\n`);
  };
  const network = new BunNetwork((error) =>
    write({ event: "fault", session: undefined, stack: stackOf(error) }),
  );
  const relay = new DemoRelay(network, dialogue);
  const relayPort = relay.listen();
  const shell: Shell = { network, log: write, newSessionId };
  const { settings, config } = demoSettings(relayPort);
  const server = new Server(
    shell,
    settings,
    resolverOf(config, () => network.now()),
    undefined,
  );
  const { port } = server.listen({ host: "127.0.0.1", port: 0 });
  const sent = await within(network, sendMessage(network, port, message, dialogue));
  await server.shutdown(graceMs);
  await relay.stop(graceMs);
  return { sent, arrived: relay.messages, dialogue: dialogue.text, log: log.join("") };
}

/** The configuration that an operator gets who sets only what he must. */
function demoSettings(relayPort: number) {
  const loaded = load({
    args: [
      `--relay-host=127.0.0.1:${relayPort}`,
      "--relay-tls=off",
      `--server-name=${proxyName}`,
      "--listen-address=127.0.0.1:0",
    ],
    environment: {},
    hostName: proxyName,
    readFile: (path) => {
      throw new Error(`the demo reads no file, and not ${path}`);
    },
  });
  assert(loaded.ok, `the demo's configuration is good, ${OPTIONS.relayHosts.name} included`);
  const settings = serverSettings(loaded.config);
  assert(settings.ok, "the demo's configuration names no file");
  return { config: loaded.config, settings: settings.settings };
}

function within(network: Network, sending: Promise<Sent>): Promise<Sent> {
  const late = new Promise<Sent>((resolve) => {
    const fault = `not through after ${demoMsMax / 1000}s`;
    network.timer(demoMsMax, () => resolve({ ok: false, fault }));
  });
  return Promise.race([sending, late]);
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, "  ");
}
