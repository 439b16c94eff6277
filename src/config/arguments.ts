/**
 * Reads the command line behind the subcommand: `--name value`, `--name=value`, `--config FILE`, positionals, and
 * `--`, after which everything is a positional. Never throws; everything wrong is collected.
 * A value that begins with "--" needs the form with "=", so that a forgotten value is noticed.
 * Not here: what values mean (load.ts), subcommands, --help and --version (main.ts).
 * Rejected: citty's own parser, which takes unknown flags and flags without a value.
 */
import type { Finding } from "./findings.ts";
import { quote } from "./kinds/values.ts";
import { flagOf, isSet, OPTIONS, PROPERTIES, type Property, propertyOf } from "./options.ts";
import { nearMiss } from "./spelling.ts";

export interface Arguments {
  readonly options: ReadonlyMap<Property, string>;
  readonly configFile: string | undefined;
  readonly positionals: readonly string[];
  readonly faults: readonly Finding[];
  /** Options that a fault may have kept from being given. */
  readonly doubtful: ReadonlySet<Property>;
}

const CONFIG_FLAG = "--config";

const BY_FLAG: ReadonlyMap<string, Property> = new Map(
  PROPERTIES.map((property) => [flagOf(OPTIONS[property].name), property]),
);

export function parseArguments(args: readonly string[], positionalsMax: number): Arguments {
  const options = new Map<Property, string>();
  const configFiles: string[] = [];
  const positionals: string[] = [];
  const faults: Finding[] = [];
  const doubtful = new Set<Property>();
  const fault = (option: string, reason: string) => faults.push({ option, source: "flag", reason });

  const rest = [...args];
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg === "--") {
      positionals.push(...rest.splice(0));
    } else if (!arg.startsWith("-") || arg === "-") {
      positionals.push(arg);
    } else {
      const equals = arg.indexOf("=");
      const flag = equals < 0 ? arg : arg.slice(0, equals);
      const property = BY_FLAG.get(flag);
      const known = property !== undefined || flag === CONFIG_FLAG;
      const value = equals < 0 ? takeValue(rest, known) : arg.slice(equals + 1);
      if (!known) {
        const near = meant(flag);
        fault(
          visibleFlag(flag),
          `is no option${near === undefined ? "" : `; did you mean ${flagOf(near)}?`}`,
        );
        doubt(doubtful, near === undefined ? [] : propertyOf(near));
      } else if (value === undefined || (property ? !isSet(OPTIONS[property], value) : value === "")) {
        fault(flag, "needs a value");
        doubt(doubtful, property ?? PROPERTIES);
      } else if (property ? options.has(property) : configFiles.length > 0) {
        fault(flag, "is given twice");
      } else if (property) {
        options.set(property, value);
      } else {
        configFiles.push(value);
      }
    }
  }
  for (const extra of positionals.slice(positionalsMax))
    fault(quoteArgument(extra), "is one argument too many");
  return { options, configFile: configFiles[0], positionals, faults, doubtful };
}

/** An option that was to stand in front of the command, RELAY_PASSWORD=… say: what it was set to is not shown. */
export function quoteArgument(argument: string): string {
  return quote(argument.replace(/=.*/s, "=…"));
}

/** An unknown flag probably had a value as well: it is taken away, and not reported as a fault of its own. */
function takeValue(rest: string[], known: boolean): string | undefined {
  const next = rest[0];
  if (next === undefined || next.startsWith("--") || (!known && next.startsWith("-"))) return undefined;
  return rest.shift();
}

function visibleFlag(flag: string): string {
  return /^--?[A-Za-z0-9_-]{1,60}$/.test(flag) ? flag : quote(flag);
}

function meant(flag: string): string | undefined {
  const name = flag.replace(/^-+/, "");
  return nearMiss(name) ?? (BY_FLAG.has(flagOf(name)) ? name : undefined);
}

/** What a fault may have kept from being set is not missing: its absence is no fault besides. */
export function doubt(doubtful: Set<Property>, properties: Property | readonly Property[] | undefined): void {
  for (const property of [properties ?? []].flat()) doubtful.add(property);
}
