/**
 * Everything about options that people read, made from the table: --help, example/defaults, the README's table, and
 * the configuration as `smtpproxy check` shows it. Pure; a secret's text appears nowhere.
 * Not here: writing files (write-generated.ts), help of the other subcommands (main.ts).
 */

import { visible } from "./kinds/values.ts";
import type { Sources } from "./load.ts";
import type { Values } from "./options.ts";
import { type Config, flagOf, OPTIONS, type Option, PROPERTIES, type Property, SECTIONS } from "./options.ts";

const WIDTH_COLUMNS = 80;
const NO_BREAK = "\u00A0";

/** The markers between which the README has `renderTable()`. */
export const TABLE_START = "<!-- options -->";
export const TABLE_END = "<!-- /options -->";

/** The options by section, both in the table's order. */
function sections(): readonly { readonly heading: string; readonly options: readonly Option<unknown>[] }[] {
  const all = PROPERTIES.map((property): Option<unknown> => OPTIONS[property]);
  return SECTIONS.map((heading) => ({
    heading,
    options: all.filter(({ section }) => section === heading),
  }));
}

/** The text of --help. `commands`: what there is besides options, as it is to be shown. */
export function renderHelp(commands: string): string {
  const introduction = paragraphs([
    "smtpproxy accepts mail and relays it, in the same SMTP session, to a relay host. It stores nothing.",
    "Usage: smtpproxy [COMMAND] [--config FILE] [OPTION...]",
  ]);
  const explanations = paragraphs([
    "Each option is a flag, an environment variable (--relay-host is RELAY_HOST), or a line such as " +
      "RELAY_HOST=smtp.example.com in FILE, which has the syntax of systemd's EnvironmentFile. " +
      "A flag takes precedence over the environment, and that over the file. " +
      "An invalid value, an unknown flag and an unknown line of FILE prevent the start; all faults are " +
      "reported together. A variable whose name is nearly an option's is a warning.",
    "A DURATION is written as 500ms, 5s, 1m30s, 1.5h, 1d or in plain seconds; a SIZE in octets or as 64K, " +
      "25M, 25MB, 25MiB or 1.5G (powers of 1024). Items of a list are separated by spaces or commas.",
  ]);
  const options = sections().map(
    ({ heading, options }) => `${heading}:\n\n${options.map(helpOf).join("\n")}`,
  );
  const statuses = [
    "Exit status:\n",
    "  0   success",
    "  1   failure at the start or later; with check: mail cannot be relayed",
    "  78  the configuration is at fault; nothing was started",
  ];
  return `${[introduction, commands, explanations, ...options, statuses.join("\n")].join("\n\n")}\n`;
}

function helpOf(option: Option<unknown>): string {
  const fallback = option.default === undefined ? withoutValue(option) : `(default ${option.default})`;
  const meaning = wrap(`${option.meaning} ${unbroken(fallback)}`, "      ");
  return `  ${flagOf(option.name)} ${option.kind.placeholder}\n${meaning}`;
}

/** What holds for an option without a default. */
function withoutValue(option: Exclude<Option<unknown>, { default: string }>): string {
  return option.required === true ? "(required)" : `(not set: ${option.unset})`;
}

/** The content of example/defaults: every option commented out, with its default or an example. */
export function renderExample(): string {
  const head = [
    "# Options of smtpproxy. Remove the “#” before a line to set it.",
    "# Use it with smtpproxy --config FILE, as smtpproxy.service does, or as EnvironmentFile= of a systemd unit.",
    "# In single quotes everything stands for itself; outside of them a backslash keeps the next character.",
  ];
  const body = sections().flatMap(({ heading, options }) => [
    "",
    `## ${heading}`,
    ...options.flatMap(exampleOf),
  ]);
  return `${[...head, ...body].join("\n")}\n`;
}

function exampleOf(option: Option<unknown>): readonly string[] {
  const [value, fallback] =
    option.default === undefined
      ? [option.example, ` ${unbroken(withoutValue(option))}`]
      : [option.default, ""];
  return ["", wrap(option.meaning + fallback, "# "), `#${option.name}=${quoteForFile(value)}`];
}

/** Only texts without single quotes are examples, and single quotes keep everything else. */
function quoteForFile(text: string): string {
  return /^[A-Za-z0-9_.:/@,+-]*$/.test(text) ? text : `'${text}'`;
}

/** The README's table, in Markdown, between its markers. */
export function renderTable(): string {
  const rows = sections().flatMap(({ heading, options }) => [
    `| **${heading}** | | |`,
    ...options.map((option) => `| \`${option.name}\` | ${defaultCell(option)} | ${cell(option.meaning)} |`),
  ]);
  return [TABLE_START, "| Option | Default | Meaning |", "|---|---|---|", ...rows, TABLE_END].join("\n");
}

function defaultCell(option: Option<unknown>): string {
  if (option.default !== undefined) return `\`${cell(option.default)}\``;
  return option.required === true ? "required" : cell(option.unset);
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}

/** `text` with the table between its markers renewed; without markers, unchanged. */
export function renewTable(text: string): string {
  const start = text.indexOf(TABLE_START);
  const end = text.indexOf(TABLE_END, start);
  if (start < 0 || end < 0) return text;
  return text.slice(0, start) + renderTable() + text.slice(end + TABLE_END.length);
}

/** One line an option: its name, the value in effect, and where that came from. */
export function renderConfig(config: Config, sources: Sources): string {
  const rows = PROPERTIES.map((property) => ({
    name: OPTIONS[property].name,
    value: shownValue(config, property),
    source: sources.get(property) ?? "default",
  }));
  const nameColumns = Math.max(...rows.map(({ name }) => name.length));
  const lines = rows.map(({ name, value, source }) => `${name.padEnd(nameColumns)}  ${value}  (${source})`);
  return `${lines.join("\n")}\n`;
}

function shownValue<P extends Property>(config: Partial<Values>, property: P): string {
  const option: Option<Values[P]> = OPTIONS[property];
  const value: Values[P] | undefined = config[property];
  if (value !== undefined) return visible(option.kind.format(value)) || "(empty)";
  return "unset" in option ? `not set: ${option.unset}` : "not set";
}

function paragraphs(texts: readonly string[]): string {
  return texts.map((text) => wrap(text, "")).join("\n\n");
}

/** Breaks at spaces, so that no line is wider than the screen unless a single word is. */
function wrap(text: string, indent: string): string {
  const lines: string[] = [];
  let current = indent;
  for (const word of text.split(" ")) {
    const longer = current === indent ? indent + word : `${current} ${word}`;
    if (longer.length > WIDTH_COLUMNS && current !== indent) {
      lines.push(current);
      current = indent + word;
    } else {
      current = longer;
    }
  }
  return [...lines, current].join("\n").replaceAll(NO_BREAK, " ");
}

/** What `wrap` keeps on one line. */
function unbroken(text: string): string {
  return text.replaceAll(" ", NO_BREAK);
}
