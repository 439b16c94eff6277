/**
 * AUTH towards the relay, step by step: PLAIN with its initial response, or LOGIN, or LOGIN where the relay offers PLAIN
 * and then does not have it.
 * Not here: that it happens over TLS only (session.ts). RFC 4954, RFC 4616; LOGIN has no RFC.
 */
import type { AuthMechanism } from "../smtp/ehlo.ts";
import { enhancedCode, type Reply } from "../smtp/replies.ts";

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

export type AuthStep = "AUTH" | "AUTH user name" | "AUTH password";

export type AuthMove =
  | { readonly move: "send"; readonly step: AuthStep; readonly line: string; readonly shown: string }
  | { readonly move: "done" }
  | { readonly move: "refused" }
  /** It does not have this mechanism: no word about the credentials, and the next mechanism may be tried. */
  | { readonly move: "not-available" };

/** RFC 4954 §4, RFC 5248 §2.4: "unrecognized authentication type", "security features not supported". */
const mechanismMissing = /^5\.(?:5\.4|7\.4)$/;

export function startAuth(mechanism: AuthMechanism, { username, password }: Credentials): AuthMove {
  if (mechanism === "LOGIN") return { move: "send", step: "AUTH", line: "AUTH LOGIN", shown: "AUTH LOGIN" };
  const line = `AUTH PLAIN ${base64(`\0${username}\0${password}`)}`;
  return { move: "send", step: "AUTH", line, shown: "AUTH PLAIN (hidden)" };
}

/** What follows the relay's reply to `step`. */
export function continueAuth(
  mechanism: AuthMechanism,
  step: AuthStep,
  reply: Reply,
  { username, password }: Credentials,
): AuthMove {
  const { code } = reply;
  if (step === "AUTH" && isMechanismMissing(reply)) return { move: "not-available" };
  const last = mechanism === "PLAIN" || step === "AUTH password";
  if (last) return code === 235 ? { move: "done" } : { move: "refused" };
  if (code !== 334) return { move: "refused" };
  return step === "AUTH"
    ? { move: "send", step: "AUTH user name", line: base64(username), shown: "(hidden)" }
    : { move: "send", step: "AUTH password", line: base64(password), shown: "(hidden)" };
}

/** 535 is about the credentials: to send them once more would be a second failed login. */
function isMechanismMissing(reply: Reply): boolean {
  if (reply.code === 504 || reply.code === 534) return true;
  return reply.code >= 500 && reply.code !== 535 && mechanismMissing.test(enhancedCode(reply) ?? "");
}

function base64(text: string): string {
  return Buffer.from(text, "utf8").toString("base64");
}
