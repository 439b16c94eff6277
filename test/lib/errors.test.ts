/** What is told of an error: one clause that explains it, with the code for those who search for it. */
import { describe, expect, test } from "bun:test";
import { constants } from "node:os";
import { join } from "node:path";
import { Glob } from "bun";
import { afterWait, type Doing, explainCode, explainError, explainTlsFailure } from "../../src/lib/errors.ts";

const doings: readonly Doing[] = ["listen", "dial", "resolve", "read", "write", "talk"];
/** Those that sockets, files and names can bring (connect(2), bind(2), open(2), read(2), getaddrinfo(3)). */
const codes = [
  ..."EACCES EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT EAI_AGAIN ECONNABORTED ECONNREFUSED ECONNRESET".split(" "),
  ..."EHOSTDOWN EHOSTUNREACH EINVAL EIO EISDIR ELOOP EMFILE ENAMETOOLONG ENETDOWN ENETUNREACH ENFILE".split(
    " ",
  ),
  ..."ENOBUFS ENOENT ENOMEM ENOSPC ENOTDIR ENOTFOUND EPERM EPIPE EPROTO ETIMEDOUT".split(" "),
];

function failure(code: string, message = "Failed to connect"): Error {
  return Object.assign(new Error(message), { code });
}

describe.each(doings)("%s", (doing) => {
  test.each(codes)("%s is explained in one clause", (code) => {
    const text = explainError(failure(code), doing);
    expect(text).toEndWith(` (${code})`);
    const clause = text.slice(0, -code.length - 3);
    expect(clause).toMatch(/^[a-z][^\n]{8,160}[a-z.=]$|\?$/);
    expect(clause).not.toMatch(/\bE[A-Z]{3,}\b|without explanation/);
    expect(explainCode(code, doing)).toBe(text);
  });
});

test("the codes are the system's", () => {
  const names = new Set([...Object.keys(constants.errno), "ENOTFOUND", "EAI_AGAIN", "EHOSTDOWN"]);
  expect(codes.filter((code) => !names.has(code))).toEqual([]);
});

test("the same code means what was being done", () => {
  expect(explainCode("EACCES", "listen")).toMatch(/^permission denied: ports below 1024 need /);
  expect(explainCode("EACCES", "read")).toMatch(/must be allowed to read/);
  expect(explainCode("EACCES", "dial")).toMatch(/firewall/);
  expect(explainCode("ENOENT", "read")).toBe("there is no such file (ENOENT)");
  expect(explainCode("ENOENT", "dial")).toBe("there is no such socket file (ENOENT)");
});

test("what is in no table is told by its message, on one short line", () => {
  expect(explainError(failure("EWEIRD", "odd\r\nthing"), "dial")).toBe("odd thing (EWEIRD)");
  expect(explainError(failure("EWEIRD", "EWEIRD"), "dial")).toBe("an error without explanation (EWEIRD)");
  expect(explainError(failure("EWEIRD", ""), "dial")).toBe("an error without explanation (EWEIRD)");
  expect(explainCode("toString", "dial")).toBe("an error without explanation (toString)");
  expect(explainError(new Error(`a\n${"b".repeat(1_000)}`), "read")).toBe(`a ${"b".repeat(298)}`);
  expect(explainError("a text", "read")).toBe("a text");
  expect(explainError(Object.assign(new Error("numbered"), { code: 5 }), "read")).toBe("numbered");
});

test.each([
  ["WRONG_VERSION_NUMBER", "the peer does not speak TLS here (EPROTO: wrong version number)"],
  ["HTTP_REQUEST", "the peer speaks HTTP, not TLS (EPROTO: http request)"],
  [
    "KEY_USAGE_BIT_INCORRECT",
    "the key usage of its certificate does not allow TLS: its operator needs another one (EPROTO: key usage bit incorrect)",
  ],
  ["SOMETHING_NEW", "the TLS handshake failed (EPROTO: something new)"],
])("OpenSSL's %s", (name, text) => {
  expect(explainTlsFailure(`error:100000f7:SSL routines:OPENSSL_internal:${name}`)).toBe(text);
});

test("a TLS failure of an odd form", () => {
  expect(explainTlsFailure("odd\nthing")).toBe("the TLS handshake failed (EPROTO: odd thing)");
});

test("no message has a code in the place of a clause", async () => {
  const root = join(import.meta.dir, "../../src");
  const bare: string[] = [];
  for (const file of new Glob("**/*.ts").scanSync(root)) {
    const text = await Bun.file(join(root, file)).text();
    if (file === "lib/errors.ts") continue;
    if (/codeOf\([^)]*\)\)?\s*\?\?\s*(?:oneLine|error)|\$\{codeOf\(|\$\{error\.code/.test(text))
      bare.push(file);
  }
  expect(bare).toEqual([]);
});

test("how long was waited is told where it was noticed", () => {
  expect(afterWait(999)).toBe("");
  expect(afterWait(1_000)).toBe(" after 1s");
  expect(afterWait(12_345)).toBe(" after 12.3s");
});
