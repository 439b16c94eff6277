/**
 * Turns flags, environment and file into the frozen `Config`, or into every fault at once.
 * Flag beats environment beats file beats default. Unknown flags and keys of a file are faults. The environment is
 * shared with others, so a variable that nearly has an option's name is a warning. Only the value that wins is read; an
 * empty one counts as not set.
 * One cause is one fault: what a fault may have kept from being set is not reported as missing, and warnings about
 * a configuration that is at fault are left out, but for those that may explain the fault.
 * Never throws: even what `readFile` throws becomes a fault. Touches nothing but what it is given.
 * Not here: how flags and files are written (arguments.ts, env-file.ts), kinds (config/kinds/values.ts, config/kinds/hosts.ts), rules between options
 * (checks.ts), and the exit status 78 (commands/settings.ts).
 */

import { assert } from "../lib/assert.ts";
import { explainError } from "../lib/errors.ts";
import { doubt, parseArguments } from "./arguments.ts";
import { checkTogether } from "./checks.ts";
import { parseEnvFile } from "./env-file.ts";
import type { Finding } from "./findings.ts";
import { domainName } from "./kinds/hosts.ts";
import { isMisread, quote, secret, visible } from "./kinds/values.ts";
import {
  type Config,
  isComplete,
  isSet,
  OPTIONS,
  type Option,
  PROPERTIES,
  type Property,
  propertyOf,
  type Values,
} from "./options.ts";
import { nearMiss } from "./spelling.ts";

/** Everything of the process that loading looks at. */
export interface Surroundings {
  /** Behind the subcommand. */
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** As os.hostname() tells it. */
  readonly hostName: string;
  /** May throw. */
  readFile(path: string): string;
  /** How many arguments may be no flags; 0 unless given. */
  readonly positionals?: number;
}

/** Where each value came from: "flag", "environment", "file NAME:line", "RELAY_PASSWORD_FILE" or "default". */
export type Sources = ReadonlyMap<Property, string>;

export type Loaded =
  | {
      readonly ok: true;
      readonly config: Config;
      readonly sources: Sources;
      readonly warnings: readonly Finding[];
      readonly positionals: readonly string[];
    }
  | {
      readonly ok: false;
      readonly faults: readonly Finding[];
      readonly warnings: readonly Finding[];
      /** How faults are told; undefined: LOG_FORMAT is at fault itself. */
      readonly logFormat: Values["logFormat"] | undefined;
      /** Nothing at all was given: no arguments, and no option in the environment. */
      readonly isBare: boolean;
    };

/** A text on its way to be a value. */
interface Given {
  readonly text: string;
  readonly source: string;
}

type Givens = ReadonlyMap<Property, Given>;

/** What one place has to say. */
interface Gathered {
  readonly givens: Givens;
  readonly faults: readonly Finding[];
  readonly warnings: readonly Finding[];
  /** Options that a fault may have kept from being set here. */
  readonly doubtful: ReadonlySet<Property>;
}

/** A file that is none of ours, a binary say, is at fault in every line. */
const fileFaultsMax = 20;

const NOTHING: ReadonlySet<Property> = new Set();

export function load(surroundings: Surroundings): Loaded {
  const args = parseArguments(surroundings.args, surroundings.positionals ?? 0);
  const flags = new Map([...args.options].map(([property, text]) => [property, { text, source: "flag" }]));
  const environment = fromEnvironment(surroundings.environment);
  const file = fromFile(args.configFile, surroundings);
  const host = hostNameDefault(surroundings.hostName);
  const givens = new Map([...file.givens, ...environment.givens, ...flags]);

  const draft: Partial<Values> = {};
  const doubtful = new Set([...args.doubtful, ...file.doubtful]);
  const values = readAll(draft, givens, doubtful, host.text);
  const password = readPassword(draft, givens, surroundings);
  const givenSources = new Map([...givens].map(([property, { source }]) => [property, source]));
  const together = checkTogether(draft, givenSources, doubtful);

  const faults = [...args.faults, ...file.faults, ...values, ...password, ...together.faults];
  const spelling = [...environment.warnings, ...file.warnings];
  if (faults.length > 0) {
    const isBare = surroundings.args.length === 0 && givens.size === 0;
    return { ok: false, faults, warnings: spelling, logFormat: draft.logFormat, isBare };
  }
  const hostWarning = givens.has("serverName") ? [] : host.warnings;
  const warnings = [...spelling, ...hostWarning, ...together.warnings];
  assert(isComplete(draft), "without a fault, every option has its value");

  const sources = new Map(PROPERTIES.map((property) => [property, givenSources.get(property) ?? "default"]));
  if (draft.relayPasswordFile !== undefined) sources.set("relayPassword", OPTIONS.relayPasswordFile.name);
  return { ok: true, config: Object.freeze(draft), sources, warnings, positionals: args.positionals };
}

/** A service of Docker or Kubernetes named "relay" puts RELAY_PORT=tcp://… here, which is nobody's typing error. */
const CONTAINER_LINK = /^(?:tcp|udp|sctp):\/\//;

function fromEnvironment(environment: Surroundings["environment"]): Gathered {
  const givens = new Map<Property, Given>();
  const warnings: Finding[] = [];
  for (const [name, text] of Object.entries(environment)) {
    if (text === undefined) continue;
    const property = propertyOf(name);
    const near = property === undefined && !CONTAINER_LINK.test(text) ? nearMiss(name) : undefined;
    if (near !== undefined) {
      warnings.push({
        option: visible(name),
        source: "environment",
        reason: `is no option; did you mean ${near}?`,
      });
    }
    if (property !== undefined && isSet(OPTIONS[property], text)) {
      givens.set(property, { text, source: "environment" });
    }
  }
  return { givens, faults: [], warnings, doubtful: NOTHING };
}

/** As with systemd, the last of several lines with one key counts; that is worth a warning. */
function fromFile(path: string | undefined, surroundings: Surroundings): Gathered {
  const givens = new Map<Property, Given>();
  const faults: Finding[] = [];
  const warnings: Finding[] = [];
  const doubtful = new Set<Property>();
  if (path === undefined) return { givens, faults, warnings, doubtful };
  const file = read(surroundings, path);
  if (!file.ok) {
    faults.push({ option: "--config", source: "flag", reason: file.fault });
    doubt(doubtful, PROPERTIES);
    return { givens, faults, warnings, doubtful };
  }

  const sourceAt = (line: number) => `file ${visible(path)}:${line}`;
  const parsed = parseEnvFile(file.value);
  for (const { line, reason } of parsed.faults) {
    faults.push({ option: `line ${line}`, source: sourceAt(line), reason });
    doubt(doubtful, PROPERTIES);
  }
  const seen = new Set<Property>();
  for (const { key, value, line } of parsed.entries) {
    const source = sourceAt(line);
    const property = propertyOf(key);
    if (property === undefined) {
      const near = nearMiss(key);
      const suggestion = near === undefined ? "" : `; did you mean ${near}?`;
      const option = /^[\w ]{1,60}$/.test(key) ? key : quote(key);
      faults.push({ option, source, reason: `is no option${suggestion}` });
      doubt(doubtful, near === undefined ? [] : propertyOf(near));
      continue;
    }
    if (seen.has(property))
      warnings.push({ option: key, source, reason: "takes the place of an earlier line" });
    seen.add(property);
    if (isSet(OPTIONS[property], value)) givens.set(property, { text: value, source });
    else givens.delete(property);
  }
  const more = faults.splice(fileFaultsMax).length;
  if (more > 0) {
    faults.push({ option: "--config", source: "flag", reason: `${quote(path)} has ${more} further faults` });
  }
  return { givens, faults, warnings, doubtful };
}

function read(
  { readFile }: Surroundings,
  path: string,
): { readonly ok: true; readonly value: string } | { readonly ok: false; readonly fault: string } {
  try {
    return { ok: true, value: withoutMark(readFile(path)) };
  } catch (error) {
    const reason = visible(explainError(error, "read"));
    return { ok: false, fault: `cannot read ${quote(path)}: ${reason}` };
  }
}

/** Editors of other systems put a byte order mark in front, which is no part of what was written. */
function withoutMark(text: string): string {
  return text.startsWith("\uFEFF") ? text.slice(1) : text;
}

/** The name this host has for itself, if it is fit to be SERVER_NAME. */
function hostNameDefault(hostName: string): { readonly text: string; readonly warnings: readonly Finding[] } {
  const good = domainName.parse(hostName, () => undefined).ok;
  if (good && hostName.includes(".")) return { text: hostName, warnings: [] };
  const text = good ? hostName : "localhost";
  const reason = `the host's name ${quote(hostName)} is no full domain name; ${quote(text)} is used`;
  return { text, warnings: [{ option: OPTIONS.serverName.name, source: "default", reason }] };
}

/** Reads the text of every option into `draft`; returns the faults. */
function readAll(
  draft: Partial<Values>,
  givens: Givens,
  doubtful: ReadonlySet<Property>,
  hostName: string,
): readonly Finding[] {
  const textOf = (property: Property): string | undefined =>
    givens.get(property)?.text ?? (property === "serverName" ? hostName : OPTIONS[property].default);
  const textOfName = (name: string) => {
    const property = propertyOf(name);
    return property === undefined ? undefined : textOf(property);
  };
  const faults: Finding[] = [];
  const readOne = <P extends Property>(property: P) => {
    const option: Option<Values[P]> = OPTIONS[property];
    const source = givens.get(property)?.source;
    const text = textOf(property);
    if (text === undefined) {
      if (option.required !== true || doubtful.has(property)) return;
      faults.push({
        option: option.name,
        source: "not set",
        reason: `must be set, such as ${option.example}`,
      });
      return;
    }
    const parsed = option.kind.parse(text, textOfName);
    if (parsed.ok) draft[property] = parsed.value;
    else faults.push({ option: option.name, source: source ?? "default", reason: parsed.fault });
  };
  for (const property of PROPERTIES) readOne(property);
  return faults;
}

/** The password from its file, which may end in one newline and may have no other. */
function readPassword(
  draft: Partial<Values>,
  givens: Givens,
  surroundings: Surroundings,
): readonly Finding[] {
  const path = draft.relayPasswordFile;
  const { name } = OPTIONS.relayPasswordFile;
  const source = givens.get("relayPasswordFile")?.source ?? "default";
  if (path === undefined) return [];
  const file = read(surroundings, path);
  if (!file.ok) return [{ option: name, source, reason: file.fault }];
  if (isMisread(file.value)) return [{ option: name, source, reason: `${quote(path)} must be in UTF-8` }];
  const parsed = secret.parse(file.value.replace(/\r?\n$/, ""), () => undefined);
  if (!parsed.ok) {
    return [
      { option: name, source, reason: `must have the password on its only line: ${quote(path)} has not` },
    ];
  }
  draft.relayPassword = parsed.value;
  return [];
}
