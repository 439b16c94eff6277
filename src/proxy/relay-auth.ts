/**
 * AUTH towards the relay, step by step: PLAIN with its initial response, or LOGIN.
 * Not here: that it happens over TLS only (relay-session.ts). RFC 4954, RFC 4616; LOGIN has no RFC.
 */
import type { AuthMechanism } from "../smtp/ehlo.ts";
import type { Reply } from "../smtp/replies.ts";

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

export type AuthStep = "AUTH" | "AUTH user name" | "AUTH password";

export type AuthMove =
  | { readonly move: "send"; readonly step: AuthStep; readonly line: string; readonly shown: string }
  | { readonly move: "done" }
  | { readonly move: "refused" };

export function startAuth(mechanism: AuthMechanism, { username, password }: Credentials): AuthMove {
  if (mechanism === "LOGIN") return { move: "send", step: "AUTH", line: "AUTH LOGIN", shown: "AUTH LOGIN" };
  const line = `AUTH PLAIN ${base64(`\0${username}\0${password}`)}`;
  return { move: "send", step: "AUTH", line, shown: "AUTH PLAIN (hidden)" };
}

/** What follows the relay's reply to `step`. */
export function continueAuth(
  mechanism: AuthMechanism,
  step: AuthStep,
  { code }: Reply,
  { username, password }: Credentials,
): AuthMove {
  const last = mechanism === "PLAIN" || step === "AUTH password";
  if (last) return code === 235 ? { move: "done" } : { move: "refused" };
  if (code !== 334) return { move: "refused" };
  return step === "AUTH"
    ? { move: "send", step: "AUTH user name", line: base64(username), shown: "(hidden)" }
    : { move: "send", step: "AUTH password", line: base64(password), shown: "(hidden)" };
}

function base64(text: string): string {
  return Buffer.from(text, "utf8").toString("base64");
}
