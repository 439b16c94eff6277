/**
 * STARTTLS for the bench's own load, relay and bare peer: no authority is asked, and no session is resumed, so that
 * every connection is a full handshake.
 */
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";

/** What bun-types lacks of the options that `upgradeTLS` takes. */
interface UpgradeOptions extends Bun.TLSOptions {
  readonly secureContext: object;
}

export const clientOptions: UpgradeOptions = {
  secureContext: createSecureContext({ minVersion: "TLSv1.2" }).context,
  rejectUnauthorized: false,
  serverName: "localhost",
};

/** Both are paths of PEM files. */
export function serverOptions(cert: string, key: string): UpgradeOptions {
  const pem = { cert: readFileSync(cert, "latin1"), key: readFileSync(key, "latin1") };
  return { secureContext: createSecureContext({ ...pem, minVersion: "TLSv1.2" }).context };
}
