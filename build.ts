/**
 * Compiles dist/smtpproxy, one self-contained binary: minified, with bytecode (37 instead of 112 ms to listening)
 * and source maps. It reads no .env and no bunfig.toml from the folder it starts in: by default Bun would run code
 * named there, as root.
 */
import { rm } from "node:fs/promises";
import { $ } from "bun";
import { version } from "./package.json";

const described = await $`git rev-parse --short=12 HEAD`.quiet().nothrow();
const commit = described.exitCode === 0 ? described.text().trim() : "unknown";

const result = await Bun.build({
  entrypoints: ["src/main.ts"],
  compile: { outfile: "dist/smtpproxy", autoloadDotenv: false, autoloadBunfig: false },
  format: "esm",
  minify: true,
  bytecode: true,
  sourcemap: "inline",
  define: {
    SMTPPROXY_VERSION: JSON.stringify(version),
    SMTPPROXY_COMMIT: JSON.stringify(commit),
  },
});
for (const message of result.logs) console.error(message);
if (!result.success) process.exit(1);
// The binary carries its source map within.
await rm("dist/smtpproxy.map", { force: true });
console.log(`dist/smtpproxy ${version} (${commit})`);
