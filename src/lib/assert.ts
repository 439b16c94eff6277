/**
 * The one way to say that something is our own fault.
 * Throws `AssertionFault`; whoever runs the machine ends that session with 421 4.3.0 and logs the stack.
 * Not here: peers' faults (smtp/catalogue.ts) and the environment's (relay/failures.ts).
 */
export class AssertionFault extends Error {
  override readonly name = "AssertionFault";
}

/** Throws when an invariant of ours does not hold. `message` says what should have been true. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionFault(message);
}

/** Marks the place that no member of a closed union may reach; the compiler checks that it is closed. */
export function unreachable(value: never): never {
  throw new AssertionFault(`not a member of the union: ${JSON.stringify(value)}`);
}
