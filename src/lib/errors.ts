/**
 * What the errors of the system and of the TLS library mean, in one clause for the operator that says what to do
 * where that is known: "nothing listens there (ECONNREFUSED)". The code stays at the end, for those who search for it.
 *
 * Pure: tables and text. Never throws. What is in no table is described by the error's own message, as one short line.
 * Not here: what is wrong with a certificate file (bun/tls.ts), replies to clients (relay/failures.ts).
 */

/** What was being done; the same code means something else then. */
export type Doing = "listen" | "dial" | "resolve" | "read" | "write" | "talk";

type Clauses = Readonly<Record<string, string>>;

const general: Clauses = {
  EACCES: "permission denied",
  EADDRINUSE: "another program uses this address already",
  EADDRNOTAVAIL: "no network interface of this host has this address",
  EAFNOSUPPORT: "this host has no addresses of this family: is IPv6 switched off?",
  EAI_AGAIN: "the name servers did not answer: see /etc/resolv.conf and the network",
  ECONNABORTED: "the connection was given up",
  ECONNREFUSED: "nothing listens there, a firewall refuses, or no route leads there",
  ECONNRESET: "the peer reset the connection",
  EHOSTDOWN: "the host is down",
  EHOSTUNREACH: "there is no route to this host, or a firewall refuses",
  EINVAL: "the system takes no such value",
  EIO: "the device failed",
  EISDIR: "it is a folder",
  ELOOP: "its symbolic links lead in a circle",
  EMFILE: "all descriptors of this process are in use: raise LimitNOFILE= or ulimit -n",
  ENAMETOOLONG: "the name is too long",
  ENETDOWN: "the network is down",
  ENETUNREACH: "this host has no route into that network",
  ENFILE: "all descriptors of this host are in use: raise fs.file-max",
  ENOBUFS: "the system is out of memory for sockets",
  ENODEV: "there is no such device",
  ENOENT: "there is no such file",
  ENOMEM: "the system is out of memory",
  ENOSPC: "the disk is full",
  ENOTDIR: "a part of the path is no folder",
  ENOTFOUND: "there is no such host name, or it has no address: is it misspelled?",
  ENXIO: "nothing is at its other end",
  EPERM: "not permitted",
  EPIPE: "the peer has closed the connection",
  EPROTO: "the peer does not keep to the protocol",
  ETIMEDOUT: "no answer: a firewall drops it, or the host is down",
};

const special: Readonly<Record<Doing, Clauses>> = {
  listen: {
    EACCES:
      "permission denied: ports below 1024 need root, CAP_NET_BIND_SERVICE or a systemd socket, and a unix socket a folder that may be written",
    ENOENT: "there is no such folder",
    EPERM: "not permitted: a firewall or the sandbox of the unit forbids it",
  },
  dial: {
    EACCES: "not permitted: a firewall or the sandbox of the unit forbids it",
    EADDRNOTAVAIL: "no free port or no fitting address on this host",
    ENOENT: "there is no such socket file",
    EPERM: "not permitted: a firewall or the sandbox of the unit forbids it",
  },
  resolve: {
    EMFILE: "all descriptors of this process are in use: raise LimitNOFILE= or ulimit -n",
  },
  read: {
    EACCES: "permission denied: the user that runs smtpproxy must be allowed to read it",
    EPERM: "not permitted: the sandbox of the unit forbids it",
  },
  write: {
    EFBIG: "the file would become larger than is allowed",
    EDQUOT: "the user's share of the disk is used up",
  },
  talk: { ETIMEDOUT: "the peer answers no more" },
};

/** The names of BoringSSL's errors, in lower case and with blanks. */
const tls: Clauses = {
  "wrong version number": "the peer does not speak TLS here",
  "http request": "the peer speaks HTTP, not TLS",
  "https proxy request": "the peer speaks HTTP, not TLS",
  "unsupported protocol": "the two sides have no TLS version in common",
  "tlsv1 alert protocol version": "the two sides have no TLS version in common",
  "no shared cipher": "the two sides have no cipher in common",
  "sslv3 alert handshake failure":
    "the peer refused the handshake: no cipher in common, or it wants a client certificate",
  "tlsv13 alert certificate required": "the peer wants a client certificate",
  "tlsv1 alert unknown ca": "the peer does not know the authority of the certificate",
  "sslv3 alert bad certificate": "the peer refused the certificate",
  "sslv3 alert certificate unknown": "the peer refused the certificate",
  "sslv3 alert certificate expired": "the peer finds the certificate expired",
  "tlsv1 alert internal error": "the peer failed",
  "tlsv1 alert access denied": "the peer refused the certificate",
  "tlsv1 unrecognized name": "the peer has no certificate for this name",
  "tlsv1 alert unrecognized name": "the peer has no certificate for this name",
  "unexpected message": "the peer does not keep to TLS",
  "key usage bit incorrect":
    "the key usage of its certificate does not allow TLS: its operator needs another one",
};

/** The `code` of a system's or OpenSSL's error. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/** An error's message as one short line. Certificates bring in text that the peer wrote. */
export function oneLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replaceAll(/\p{Cc}+/gu, " ").slice(0, 300);
}

/** One clause; of an error without a known code, its message. */
export function explainError(error: unknown, doing: Doing): string {
  const code = codeOf(error);
  if (code === undefined) return oneLine(error);
  const clause = clauseOf(code, doing);
  if (clause !== undefined) return `${clause} (${code})`;
  const text = oneLine(error);
  return text === "" || text === code ? `an error without explanation (${code})` : `${text} (${code})`;
}

/** The same for a code that came without its error. */
export function explainCode(code: string, doing: Doing): string {
  return `${clauseOf(code, doing) ?? "an error without explanation"} (${code})`;
}

/** `failure`: as OpenSSL has it, "error:100000f7:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER". */
export function explainTlsFailure(failure: string): string {
  const name = (/[A-Z0-9_]+$/.exec(failure)?.[0] ?? oneLine(failure)).toLowerCase().replaceAll("_", " ");
  return `${tls[name] ?? "the TLS handshake failed"} (EPROTO: ${name})`;
}

/** " after 30s", for what ended a wait that was noticed: under a second there is nothing to tell. */
export function afterWait(ms: number): string {
  return ms < 1_000 ? "" : ` after ${Math.round(ms / 100) / 10}s`;
}

function clauseOf(code: string, doing: Doing): string | undefined {
  return [special[doing], general].find((clauses) => Object.hasOwn(clauses, code))?.[code];
}
