/**
 * The command line: `smtpproxy [COMMAND] [OPTION...]`. Dispatch only; each command reads its own arguments, since
 * citty takes unknown flags and flags without a value in silence.
 */
import { defineCommand, runCommand } from "citty";
import { complain, print } from "./commands/print.ts";
import { quoteArgument } from "./config/arguments.ts";
import { renderHelp } from "./config/render.ts";
import { commit, version } from "./version.ts";

type Run = (args: readonly string[]) => Promise<number>;

/** Each is loaded when it is run: what only the demo needs (mailparser) would be a tenth of what the proxy weighs. */
const commands: Readonly<Record<string, () => Promise<Run>>> = {
  serve: async () => (await import("./commands/serve.ts")).serve,
  check: async () => (await import("./commands/check/check.ts")).check,
  demo: async () => (await import("./commands/demo/demo.ts")).demo,
  help: async () => () => tell(renderHelp(commandsHelp)),
  version: async () => () => tell(`smtpproxy ${version} (${commit})\n`),
};

const commandsHelp = `Commands:

  serve             Relays mail until a signal ends it. This is what smtpproxy
                    does without a command.
  check             Tries certificate, relay and DNSBL zones, shows the
                    configuration, and says whether mail can be relayed: exit
                    status 0, or 1 if it cannot.
  demo [FILE.eml]   Sends a message through the proxy to a relay of its own, on
                    this machine, and shows what was said and what arrived.
  help, version     Also --help and --version.`;

/** Flags that stand for a command, wherever they are. */
const flags: Readonly<Record<string, string>> = {
  "--help": "help",
  "-h": "help",
  "--version": "version",
  "-V": "version",
};

async function tell(text: string): Promise<number> {
  print(text);
  return 0;
}

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

/** The arguments with a command in front. */
function withCommand(args: readonly string[]): readonly [command: string, ...rest: string[]] {
  const byFlag = args.map((arg) => flags[arg]).find((command) => command !== undefined);
  if (byFlag !== undefined) return [byFlag];
  const [first = "serve", ...rest] = args;
  return first.startsWith("-") ? ["serve", ...args] : [first, ...rest];
}

const [command, ...rest] = withCommand(process.argv.slice(2));
if (!Object.hasOwn(commands, command)) {
  complain(`smtpproxy: there is no command ${quoteArgument(command)}; see smtpproxy --help\n`);
  process.exit(78);
}
await runCommand(main, { rawArgs: [command, ...rest] });
process.exit(exitStatus);
