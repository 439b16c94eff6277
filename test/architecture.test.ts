/**
 * The house rules that no compiler checks (src/ARCHITECTURE.md): imports run downwards only, the core has no I/O, no
 * clock, no randomness and no promises, every file tells its purpose and fits on a few screens, and what comments name
 * is there.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { Glob } from "bun";

const root = join(import.meta.dir, "../src");
const files = [...new Glob("**/*.ts").scanSync(root)].sort();
const linesMax = 450;
/** Of a table, each row is read by itself. */
const tables = ["config/options.ts"];

/** From the top to the bottom: each room may import from those below it, and from no other. */
const stairs = [
  ["main.ts"],
  ["commands"],
  ["dns"],
  ["bun"],
  ["host"],
  ["shell"],
  ["client"],
  ["mail"],
  ["relay"],
  ["smtp", "screening"],
  ["config", "ops"],
  ["lib", "version.ts"],
] as const;

const pureParts = ["client", "mail", "relay", "screening", "smtp", "lib"];
/** In code without comments and strings. */
const impure: readonly (readonly [string, RegExp])[] = [
  ["Bun", /\bBun\b|\bbun:/],
  ["Node's modules", /\bnode:|\brequire\b|\bimport\s*\(/],
  ["the clock", /\bDate\.now\b|\bnew Date\(\s*\)|\bDate\(\s*\)|\bperformance\b|\bhrtime\b/],
  ["randomness", /\bMath\.random\b|\bcrypto\b|\brandomUUID\b/],
  ["the process", /\bprocess\b|\bconsole\b|\bglobalThis\b/],
  ["timers", /\bset(?:Timeout|Interval|Immediate)\b|\bqueueMicrotask\b/],
  ["promises", /\bPromise\b|\basync\b|(?<!#)\bawait\b|\.then\(/],
  ["the network", /\bfetch\b|\bWebSocket\b/],
];
const unsafeTypes = /\bany\b|\bas unknown as\b|@ts-(?:ignore|expect-error|nocheck)/;
const mayCast = ["bun/socket.ts", "bun/network.ts"];

/** A few packages are pure: they compute and touch nothing. */
const purePackages = ["ipaddr.js"];

function read(file: string): string {
  return readFileSync(join(root, file), "utf8");
}

/** Comments, strings and expressions, whatever stands in them; import paths apart. */
const token =
  /\/\*[\s\S]*?\*\/|\/\/[^\n]*|(?<=from |import )"[^"\n]*"|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`|(?<=[=(,:?&|] *)\/(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/g;

/** The code without comments, and strings without their text; import paths are kept. */
function codeOf(text: string): string {
  return text.replace(token, (found, offset: number) => {
    if (/(?:from|import) $/.test(text.slice(Math.max(0, offset - 7), offset))) return found;
    if (found.startsWith("`")) return found.replace(/[^$\n{}]*(?:\$\{([^}]*)\})?/g, " $1 ");
    return " ";
  });
}

function importsOf(file: string): readonly { readonly path: string; readonly typesOnly: boolean }[] {
  const pattern = /^(?:import|export)\s+(type\s+)?(?:[^"';]*?\sfrom\s+)?"([^"]+)"/gm;
  return [...read(file).matchAll(pattern)].map(([, type, path = ""]) => ({
    path,
    typesOnly: type !== undefined,
  }));
}

function partOf(file: string): string {
  return file.split("/")[0] ?? file;
}

/** The step of the stairs on which a room is; -1: there is no such room. */
function stepOf(part: string): number {
  return stairs.findIndex((rooms) => rooms.some((room) => room === part));
}

function mayImport(file: string, target: string): boolean {
  const [from, to] = [partOf(file), partOf(target)];
  return from === to ? from !== "main.ts" : stepOf(from) < stepOf(to);
}

test("there is a house", () => {
  expect(files.length).toBeGreaterThan(30);
  expect(files.filter((file) => stepOf(partOf(file)) === -1)).toEqual([]);
});

describe.each(files)("%s", (file) => {
  const text = read(file);
  const code = codeOf(text);

  test("opens with its purpose", () => {
    expect(text.replace(/^#![^\n]*\n/, "")).toMatch(/^\/\*\*(?: |\n \* )\S/);
  });

  test(`has no more than ${linesMax} lines`, () => {
    if (tables.includes(file)) return;
    expect(text.split("\n").length - 1).toBeLessThanOrEqual(linesMax);
  });

  test("imports downwards only, with the file's ending", () => {
    const relative = importsOf(file).filter(({ path }) => path.startsWith("."));
    const targets = relative.map(({ path }) => normalize(join(dirname(file), path)));
    expect(targets.filter((target) => !mayImport(file, target) && target !== "../package.json")).toEqual([]);
    expect(targets.filter((target) => !/\.(?:ts|json)$/.test(target))).toEqual([]);
  });

  test("has no any and no double cast", () => {
    if (mayCast.includes(file)) return;
    expect(unsafeTypes.exec(code)?.[0]).toBeUndefined();
  });

  if (pureParts.includes(partOf(file))) {
    test.each(impure)("is pure: no %s", (_, pattern) => {
      expect(pattern.exec(code)?.[0]).toBeUndefined();
    });

    test("is pure: no package that is not", () => {
      const packages = importsOf(file).filter(({ path, typesOnly }) => !path.startsWith(".") && !typesOnly);
      expect(packages.map(({ path }) => path).filter((path) => !purePackages.includes(path))).toEqual([]);
    });

    test("is pure: of config and ops only types", () => {
      const outside = importsOf(file).filter(({ path }) => /^(?:\.\.\/)+(?:config|ops)\//.test(path));
      expect(outside.filter(({ typesOnly }) => !typesOnly)).toEqual([]);
    });
  }
});

describe("the check itself", () => {
  test("sees code and not what is said about it", () => {
    expect(codeOf(`// any\nconst a = "any"; /* any */ const b = \`any \${c} any\`;`)).not.toMatch(/\bany\b/);
    expect(codeOf(`const b = \`x \${Date.now()} y\`;`)).toMatch(/Date\.now/);
    expect(codeOf("const a: any = 1;")).toMatch(unsafeTypes);
    expect(codeOf('import { x } from "node:fs";')).toMatch(/node:/);
    expect(codeOf("x = /[\"'`]/; const a: any = 1;")).toMatch(unsafeTypes);
  });

  test("finds every import", () => {
    expect(importsOf("client/session.ts").length).toBeGreaterThan(5);
  });

  test("knows which way is down", () => {
    expect(mayImport("client/x.ts", "mail/y.ts")).toBe(true);
    expect(mayImport("mail/x.ts", "client/y.ts")).toBe(false);
    expect(mayImport("mail/x.ts", "relay/y.ts")).toBe(true);
    expect(mayImport("relay/x.ts", "mail/y.ts")).toBe(false);
    expect(mayImport("smtp/x.ts", "screening/y.ts")).toBe(false);
    expect(mayImport("shell/x.ts", "bun/y.ts")).toBe(false);
    expect(mayImport("host/x.ts", "dns/y.ts")).toBe(false);
    expect(mayImport("config/x.ts", "ops/log.ts")).toBe(false);
    expect(mayImport("config/x.ts", "lib/assert.ts")).toBe(true);
    expect(mayImport("lib/x.ts", "ops/y.ts")).toBe(false);
    expect(mayImport("commands/x.ts", "main.ts")).toBe(false);
  });
});

function commentsOf(text: string): string {
  return [...text.matchAll(token)].flatMap(([found]) => (/^\/[/*]/.test(found) ? [found] : [])).join("\n");
}

/** Files that a text of `folder` names and that are not where it says: there, in src, or in the whole. */
function missingFiles(text: string, folder: string): string[] {
  const named = [...text.matchAll(/(?<![\w./*-])(?:[\w-]+\/)*[\w-]+(?:\.[\w-]+)*\.(?:ts|wat|md)\b/g)].map(
    ([name]) => name,
  );
  const places = (name: string): string[] => [
    join(root, folder, name),
    join(root, name),
    join(root, "..", name),
  ];
  return named.filter((name) => !places(name).some((place) => existsSync(place)));
}

/** What each class and interface of src declares. */
const members = new Map<string, string>();
for (const file of files) {
  const declared = /^(?:export )?(?:abstract )?(?:class|interface) (\w+)[^{]*\{(.*?)^\}/gms;
  for (const [, name = "", body = ""] of codeOf(read(file)).matchAll(declared)) {
    members.set(name, `${members.get(name) ?? ""}${body}`);
  }
}

/** `Class.member` of a text where neither src nor the runtime has it. */
function missingMembers(text: string): string[] {
  const named = text.matchAll(/\b([A-Z]\w*[a-z]\w*)\.(#?[a-z]\w*)\b(?!\.)/g);
  return [...named].flatMap(([whole, name = "", member = ""]) => {
    const body = members.get(name);
    const modifiers = "(?:readonly|static|async|get|set)";
    const declaration = new RegExp(`^  (?:${modifiers} )*${member}\\??[(:;= <!]`, "m");
    const here = body === undefined ? runtimeHas(name, member) : declaration.test(body);
    return here ? [] : [whole];
  });
}

function runtimeHas(name: string, member: string): boolean {
  const known: unknown = Reflect.get(globalThis, name);
  if (known === null || (typeof known !== "object" && typeof known !== "function")) return false;
  const prototype: unknown = Reflect.get(known, "prototype");
  return member in known || (typeof prototype === "object" && prototype !== null && member in prototype);
}

describe("what comments name is there", () => {
  test.each(files)("%s", (file) => {
    const comments = commentsOf(read(file));
    expect(missingFiles(comments, dirname(file))).toEqual([]);
    expect(missingMembers(comments)).toEqual([]);
  });

  test("ARCHITECTURE.md", () => {
    const text = read("ARCHITECTURE.md");
    expect(missingFiles(text, "")).toEqual([]);
    expect(missingMembers(text)).toEqual([]);
    expect([...text.matchAll(/\b[A-Z]\w+\.#?[a-z]\w*/g)].length).toBeGreaterThan(10);
  });

  test("what is not there is found", () => {
    expect(missingFiles("see shell/server.ts, nobody.ts (shell/nowhere.ts) and lines.ts", "smtp")).toEqual([
      "nobody.ts",
      "shell/nowhere.ts",
    ]);
    const text = "`Server.#accept`, Server.listen, Server.#gone, Nobody.here, Buffer.indexOf, Buffer.nowhere";
    expect(missingMembers(text)).toEqual(["Server.#gone", "Nobody.here", "Buffer.nowhere"]);
  });
});
