/**
 * What each command writes into a file, with > and with >>, on stdout and on stderr: all of it, once, behind what was
 * in the file before, and no octet else.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FakeRelay } from "./fake-relay.ts";
import { bareEnvironment, binary, cleanUp, temporaryFolder } from "./support.ts";

const folder = temporaryFolder();
let relay: FakeRelay;
/** Of a port that cannot be had. */
let occupant: FakeRelay;

beforeAll(() => {
  binary();
  relay = new FakeRelay();
  occupant = new FakeRelay();
}, 60_000);
afterAll(() => {
  relay[Symbol.dispose]();
  occupant[Symbol.dispose]();
  cleanUp();
});

const before = "@@@ line of before @@@\n";
/** Longer than anything that is printed: what is cut off or left over shows. */
const long = before.repeat(5_000);

interface Command {
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** First and last words of what it says. */
  readonly first: RegExp;
  readonly last: RegExp;
  readonly on: "stdout" | "stderr";
}

const commands: Readonly<Record<string, () => Command>> = {
  check: () => ({
    args: ["check"],
    environment: { RELAY_HOST: relay.host, RELAY_TLS: "off", SERVER_NAME: "proxy.test" },
    first: /^\S/,
    last: /\S\n$/,
    on: "stdout",
  }),
  demo: () => ({ args: ["demo"], environment: {}, first: /^\S/, last: /\S\n$/, on: "stdout" }),
  "--help": () => ({ args: ["--help"], environment: {}, first: /^\S/, last: /\S\n$/, on: "stdout" }),
  help: () => ({ args: ["help"], environment: {}, first: /^\S/, last: /\S\n$/, on: "stdout" }),
  version: () => ({
    args: ["version"],
    environment: {},
    first: /^smtpproxy \d/,
    last: /\)\n$/,
    on: "stdout",
  }),
  "--version": () => ({
    args: ["--version"],
    environment: {},
    first: /^smtpproxy \d/,
    last: /\)\n$/,
    on: "stdout",
  }),
  "the faults of check": () => ({
    args: ["check"],
    environment: { RELAY_TLS: "perhaps", MAX_HOPS: "-1" },
    first: /^smtpproxy: /,
    last: /\S\n$/,
    on: "stderr",
  }),
  "the faults of serve": () => ({
    args: [],
    environment: { RELAY_TLS: "perhaps" },
    first: /^smtpproxy: /,
    last: /\S\n$/,
    on: "stderr",
  }),
  "the log of a start that fails": () => ({
    args: ["serve"],
    environment: { RELAY_HOST: relay.host, LISTEN_ADDRESS: occupant.host, SERVER_NAME: "proxy.test" },
    first: /^time="/,
    last: /cannot listen on .*\n$/,
    on: "stderr",
  }),
  "an unknown command": () => ({
    args: ["frobnicate"],
    environment: {},
    first: /^smtpproxy: there is no command/,
    last: /\n$/,
    on: "stderr",
  }),
};

/** What it said, and what then stands in the file. */
async function runInto(command: Command, redirect: ">" | ">>"): Promise<string> {
  const file = join(folder, "file");
  writeFileSync(file, long);
  const script = `"$0" "$@" ${command.on === "stdout" ? "2>/dev/null" : ">/dev/null 2"}${redirect} "${file}"`;
  const child = Bun.spawn(["sh", "-c", script, binary(), ...command.args], {
    env: { ...bareEnvironment, ...command.environment },
    cwd: folder,
    stdio: ["ignore", "ignore", "ignore"],
    timeout: 20_000,
  });
  await child.exited;
  return readFileSync(file, "latin1");
}

describe.each(Object.keys(commands))("%s", (name) => {
  const command = (): Command => {
    const made = commands[name];
    if (made === undefined) throw new Error(name);
    return made();
  };

  test("> FILE", async () => {
    const text = await runInto(command(), ">");
    expect(text).not.toContain("@@@");
    expect(text).not.toContain("\0");
    expect(text).toMatch(command().first);
    expect(text).toMatch(command().last);
  }, 20_000);

  test(">> FILE", async () => {
    const text = await runInto(command(), ">>");
    expect(text.slice(0, long.length)).toBe(long);
    const added = text.slice(long.length);
    expect(added).not.toContain("\0");
    expect(added).toMatch(command().first);
    expect(added).toMatch(command().last);
  }, 20_000);
});

test("a full disk is told, and is a failure", async () => {
  const child = Bun.spawn(["sh", "-c", '"$0" --help >/dev/full', binary()], {
    env: bareEnvironment,
    stdio: ["ignore", "ignore", "pipe"],
  });
  expect(await new Response(child.stderr).text()).toMatch(
    /^smtpproxy: cannot write to stdout: .*ENOSPC.*\n$/,
  );
  expect(await child.exited).toBe(1);
});
