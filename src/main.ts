/**
 * The command line: `smtpproxy [serve|check|demo]`. Dispatch only; each command reads its own arguments, since citty
 * takes unknown flags and flags without a value in silence.
 */
import { defineCommand, runCommand } from "citty";
import { renderHelp } from "./config/render.ts";
import { commit, version } from "./version.ts";

type Run = (args: readonly string[]) => Promise<number>;

/** Each is loaded when it is run: what only the demo needs (mailparser) would be a tenth of what the proxy weighs. */
const commands: Readonly<Record<string, () => Promise<Run>>> = {
  serve: async () => (await import("./commands/serve.ts")).serve,
  check: async () => (await import("./commands/check.ts")).check,
  demo: async () => (await import("./commands/demo.ts")).demo,
};

const commandsHelp = `
Commands:

  serve             Relays mail until a signal ends it; also without a word.
  check             Shows the configuration, and tries certificate, relay and
                    DNSBL zones.
                    Exit status 0: mail can be relayed; 1: it cannot.
  demo [FILE.eml]   Sends a message through the proxy to a relay of its own,
                    on this machine, and shows what was said and what arrived.
`;

let exitStatus = 0;

const main = defineCommand({
  meta: { name: "smtpproxy", version, description: "relays mail in the same SMTP session, without a spool" },
  subCommands: Object.fromEntries(
    Object.entries(commands).map(([name, load]) => [
      name,
      defineCommand({
        meta: { name },
        run: async ({ rawArgs }) => {
          exitStatus = await (await load())(rawArgs);
        },
      }),
    ]),
  ),
});

const args = process.argv.slice(2);
if (args.includes("--help") || args.includes("-h")) {
  process.stdout.write(renderHelp() + commandsHelp);
} else if (args.includes("--version") || args.includes("-V")) {
  process.stdout.write(`smtpproxy ${version} (${commit})\n`);
} else {
  const [first = "serve", ...rest] = args;
  const named = first.startsWith("-") ? ["serve", ...args] : [first, ...rest];
  if (commands[named[0] ?? ""] === undefined) {
    process.stderr.write(`smtpproxy: there is no command “${first}”; see smtpproxy --help\n`);
    process.exit(78);
  }
  await runCommand(main, { rawArgs: named });
  process.exit(exitStatus);
}
