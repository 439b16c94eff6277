/** What is made from the table: that it is complete, fresh, fits the screen, and that the example can be loaded. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { parseEnvFile } from "../../src/config/env-file.ts";
import { load, type Surroundings } from "../../src/config/load.ts";
import { flagOf, OPTIONS, type Option, PROPERTIES, SECTIONS } from "../../src/config/options.ts";
import {
  renderConfig,
  renderExample,
  renderHelp,
  renderTable,
  renewTable,
  TABLE_END,
  TABLE_START,
} from "../../src/config/render.ts";

const README = new URL("../../README.md", import.meta.url);
const EXAMPLE = new URL("../../example/defaults", import.meta.url);
const ROWS = PROPERTIES.map((property): Option<unknown> => OPTIONS[property]);
const stale = "is stale: run bun src/config/write-generated.ts";

function loadFile(content: string, environment: Surroundings["environment"]) {
  return load({ args: ["--config=f"], environment, hostName: "host.example", readFile: () => content });
}

test("example/defaults is fresh", () => {
  expect(readFileSync(EXAMPLE, "utf8") === renderExample() ? "fresh" : stale).toBe("fresh");
});

test("the README's table is fresh", () => {
  if (!existsSync(README)) return;
  const readme = readFileSync(README, "utf8");
  expect(readme).toContain(TABLE_START);
  expect(readme).toContain(TABLE_END);
  expect(renewTable(readme) === readme ? "fresh" : stale).toBe("fresh");
  for (const { name } of ROWS) expect(readme).toContain(`\`${name}\``);
});

test("help has every option, and fits 80 columns", () => {
  const help = renderHelp("Commands:\n\n  serve");
  for (const { name, kind, section } of ROWS) {
    expect(help).toContain(`\n  ${flagOf(name)} ${kind.placeholder}\n`);
    expect(help).toContain(`\n${section}:\n`);
  }
  for (const line of help.split("\n")) {
    expect(line.length).toBeLessThanOrEqual(80);
    expect(line).not.toMatch(/\s$/);
  }
  for (const status of ["  0 ", "  1 ", "  78 "]) expect(help).toContain(status);
  // A full stop behind a value is read as a part of it.
  for (const row of ROWS) {
    if (row.default !== undefined) expect(help).toContain(`(default ${row.default})\n`);
  }
  expect(help.indexOf("Commands:")).toBeLessThan(help.indexOf("\n  --"));
});

test("every section has options, and names are unique", () => {
  expect(SECTIONS.filter((heading) => !ROWS.some(({ section }) => section === heading))).toEqual([]);
  expect(new Set(ROWS.map(({ name }) => name)).size).toBe(ROWS.length);
  for (const { name } of ROWS) expect(name).toMatch(/^[A-Z]+(_[A-Z]+)*$/);
});

test("the example sets nothing as it is", () => {
  expect(parseEnvFile(renderExample())).toEqual({ entries: [], faults: [] });
});

test("each line of the example can be set, and a default set is the default", () => {
  const lines = renderExample().match(/^#[A-Z_]+=.*$/gm) ?? [];
  expect(lines).toHaveLength(ROWS.length);
  for (const [index, line] of lines.entries()) {
    const { entries, faults } = parseEnvFile(line.slice(1));
    const option = ROWS[index];
    const [entry] = entries;
    expect(faults).toEqual([]);
    expect(entry?.key).toBe(option?.name ?? "");
    expect(option?.kind.parse(entry?.value ?? "", () => undefined).ok).toBe(true);
    if (option?.default !== undefined) expect(entry?.value).toBe(option.default);
  }
});

test("the example with everything removed that excludes something else is a configuration", () => {
  const all = renderExample()
    .replace(/^#(?=[A-Z_]+=)/gm, "")
    .replace(/^RELAY_PASSWORD_FILE=.*$/m, "");
  const result = loadFile(all, {});
  expect(result.ok).toBe(true);
  if (result.ok) expect(result.config.relayPassword?.reveal()).toBe("correct horse battery staple");
});

test("a comment that ends in a backslash would swallow the next line in older systemd", () => {
  expect(renderExample()).not.toMatch(/^#.*\\$/m);
});

test("the table has one row an option, with three cells", () => {
  const rows = renderTable().split("\n").slice(3, -1);
  expect(rows).toHaveLength(ROWS.length + SECTIONS.length);
  for (const row of rows) expect(row.replaceAll("\\|", "").split("|")).toHaveLength(5);
});

test("renewing a table leaves the rest alone", () => {
  const readme = `# x\n\n${TABLE_START}\nold\n${TABLE_END}\n\nend ${TABLE_END}\n`;
  expect(renewTable(readme)).toBe(`# x\n\n${renderTable()}\n\nend ${TABLE_END}\n`);
  expect(renewTable(renewTable(readme))).toBe(renewTable(readme));
  expect(renewTable("nothing")).toBe("nothing");
});

test("the configuration in effect", () => {
  const result = loadFile("RELAY_HOST='a.example, [2001:db8::1]:587'\n", {
    RELAY_TLS: "verify",
    RELAY_USERNAME: "me",
    RELAY_PASSWORD: "hunter2",
    RELAY_TIMEOUT: "90",
    VALID_RECIPIENTS: "^a\n\u001b$",
  });
  if (!result.ok) throw new Error("must load");
  const text = renderConfig(result.config, result.sources);
  const lines = text.trimEnd().split("\n");
  expect(lines).toHaveLength(ROWS.length);
  expect(text).not.toContain("hunter2");
  for (const line of [
    "LISTEN_ADDRESS              :25  (default)",
    "SERVER_NAME                 host.example  (default)",
    "SERVER_CERT                 not set: no STARTTLS  (default)",
    "RELAY_HOST                  a.example:25 [2001:db8::1]:587  (file f:1)",
    "RELAY_PASSWORD              (hidden)  (environment)",
    "RELAY_TIMEOUT               90s  (environment)",
    "MAX_MESSAGE_SIZE            150M  (default)",
    "VALID_RECIPIENTS            ^a\\u{a}\\u{1b}$  (environment)",
  ]) {
    expect(lines).toContain(line);
  }
});
