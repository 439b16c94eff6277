/**
 * The table of fuzz targets: every parser that reads what others wrote. A new parser is one more row.
 * The program has no parser of PROXY headers (screening/first-words.ts only tells one from SMTP).
 */
import { configTargets } from "./config-targets.ts";
import { netTargets } from "./net-targets.ts";
import { smtpTargets } from "./smtp-targets.ts";
import { streamTargets } from "./stream-targets.ts";
import type { Target } from "./target.ts";

export const targets: readonly Target[] = [...streamTargets, ...smtpTargets, ...configTargets, ...netTargets];
