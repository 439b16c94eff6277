/**
 * Who may open a session at all: so many clients together, and so many connections from one client.
 *
 * Contract: `admit` once a connection, before anything is said; if it was admitted, `left` once when it is gone.
 * Trusted clients have no limit of their own, but count in the sum: descriptors run out for everybody.
 * A client is an IPv4 address or an IPv6 /64. Memory: one entry for each client that is here.
 * Not here: what is said (smtp/catalogue.ts), who is trusted (addresses.ts, TRUSTED_CLIENTS).
 */
import { assert } from "../lib/assert.ts";
import { type AddressSet, clientKey, isTrusted } from "./addresses.ts";

/** Which limit is reached: MAX_CONNECTIONS or MAX_CONNECTIONS_PER_CLIENT. */
export type AdmissionRefusal = "total" | "per-client";

export interface AdmissionRules {
  readonly maxConnections: number;
  readonly maxConnectionsPerClient: number;
  readonly trusted: AddressSet;
}

export class Admission {
  readonly #rules: AdmissionRules;
  readonly #connectionsOf = new Map<string, number>();
  #connections = 0;

  constructor(rules: AdmissionRules) {
    this.#rules = rules;
  }

  /** Those that were admitted and have not left. */
  get connections(): number {
    return this.#connections;
  }

  /** Undefined: it may stay, and is counted. */
  admit(address: string): AdmissionRefusal | undefined {
    if (this.#connections >= this.#rules.maxConnections) return "total";
    if (!isTrusted(this.#rules.trusted, address)) {
      const key = clientKey(address);
      const here = this.#connectionsOf.get(key) ?? 0;
      if (here >= this.#rules.maxConnectionsPerClient) return "per-client";
      this.#connectionsOf.set(key, here + 1);
    }
    this.#connections += 1;
    return undefined;
  }

  left(address: string): void {
    assert(this.#connections > 0, "nobody leaves who was not admitted");
    this.#connections -= 1;
    if (isTrusted(this.#rules.trusted, address)) return;
    const key = clientKey(address);
    const here = this.#connectionsOf.get(key) ?? 0;
    assert(here > 0, "no client leaves that was not admitted");
    if (here === 1) this.#connectionsOf.delete(key);
    else this.#connectionsOf.set(key, here - 1);
  }
}
