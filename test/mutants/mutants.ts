/** All deliberate faults, in the order in which the table of test/README.md has them. */
import type { Mutant } from "./mutant.ts";
import { netMutants } from "./mutants-net.ts";
import { programMutants } from "./mutants-program.ts";
import { proxyMutants } from "./mutants-proxy.ts";
import { screeningMutants } from "./mutants-screening.ts";
import { smtpMutants } from "./mutants-smtp.ts";

export const mutants: readonly Mutant[] = [
  ...smtpMutants,
  ...proxyMutants,
  ...screeningMutants,
  ...netMutants,
  ...programMutants,
];
