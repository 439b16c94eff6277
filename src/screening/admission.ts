/**
 * Who may open a session at all. Asked once a connection, before anything is said.
 * Not here: counting (net/server.ts); what is said (smtp/catalogue.ts).
 */
import { tooManyConnections } from "../smtp/catalogue.ts";
import type { Reply } from "../smtp/replies.ts";

export interface AdmissionLimits {
  readonly maxConnections: number;
}

/** The reply with which a further client is sent away; undefined: it may stay. `sessions`: those open now. */
export function refuseAdmission(sessions: number, limits: AdmissionLimits): Reply | undefined {
  return sessions >= limits.maxConnections ? tooManyConnections : undefined;
}
