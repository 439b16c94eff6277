import { expect, test } from "bun:test";
import { join } from "node:path";
import { Glob } from "bun";
import { formatHostPort } from "../../src/lib/host-port.ts";

test.each([
  ["mail.example", 25, "mail.example:25"],
  ["192.0.2.1", 587, "192.0.2.1:587"],
  ["2001:db8::1", 25, "[2001:db8::1]:25"],
  ["::ffff:192.0.2.1", 25, "[::ffff:192.0.2.1]:25"],
  ["", 25, ":25"],
])("%j and %i", (host, port, text) => {
  expect(formatHostPort(host, port)).toBe(text);
});

test("nobody else writes a host and a port together", async () => {
  const root = join(import.meta.dir, "../../src");
  const byHand: string[] = [];
  for (const file of new Glob("**/*.ts").scanSync(root)) {
    const text = await Bun.file(join(root, file)).text();
    if (file !== "lib/host-port.ts" && /\}\]?:\$\{[^}]*\bport\b/i.test(text)) byHand.push(file);
  }
  expect(byHand).toEqual([]);
});
