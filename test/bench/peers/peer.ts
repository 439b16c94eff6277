/** What stands between the load and the relay: the proxy, others of its kind, or nothing. */
import type { Certificate, Workplace } from "../../peers/support/workplace.ts";

/** Which sides speak STARTTLS: that of the client (in), that of the relay (out), or both. */
export type Tls = "none" | "in" | "out" | "both";

export interface PeerSettings {
  readonly place: Workplace;
  readonly relayPort: number;
  readonly tls: Tls;
  readonly certificate: Certificate;
  /** So many at once, and not more. */
  readonly sessions: number;
}

export interface RunningPeer {
  readonly name: string;
  readonly port: number;
  /** The session (setsid(2)) that all its processes are in; undefined: there is no process. */
  readonly session: number | undefined;
  /** From exec to 220; undefined where it cannot be told. */
  readonly greetedMs?: number;
  stop(): Promise<void>;
}

export interface Peer {
  readonly name: string;
  /** Why it cannot run here. */
  readonly missing: () => string | undefined;
  readonly speaks: readonly Tls[];
  /** The program that runs, for its size. */
  readonly binary: (() => string) | undefined;
  readonly start: (settings: PeerSettings) => Promise<RunningPeer>;
}
