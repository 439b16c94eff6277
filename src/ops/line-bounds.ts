/**
 * How many lines of each event are written: one table for all that there are, so that nobody forgets to ask whether a
 * stranger can cause them at will.
 * Not here: the counting (log-limits.ts); which events there are, and their keys (events.ts); lines of one session
 * (client/tally.ts).
 */
import { isMail, type KeysOf, type LogEvent, type LogEventsWithTheName } from "./events.ts";

/** How many lines of one kind are written; the others are counted (log-limits.ts). */
export interface LineBound<Key extends string = string> {
  /** The key whose values are told apart: each client, relay or zone has its own bound. */
  readonly by: Key;
  /** Written at once. */
  readonly first: number;
  /** Written after those. */
  readonly perMinute: number;
  /** What the count is reported for, if not the event: where that has more than one bound. */
  readonly name?: string;
}

/** One line an hour, for what lasts until the operator does something about it. */
const hourly = 1 / 60;

/**
 * For each event, so that nobody forgets to ask: can a stranger cause it at will? A mail server that writes to us all
 * day stays within the bounds for what has to do with mail; what only a broken or hostile client causes is written
 * once, and then as a count. `undefined`: no stranger can; or the operator has asked for every one (debug); or see
 * lineBound.
 */
const bounds: {
  readonly [N in LogEvent["event"]]: LineBound<KeysOf<LogEventsWithTheName<N>>[number] & string> | undefined;
} = {
  transaction: undefined,
  start: undefined,
  "start-failed": undefined,
  listening: undefined,
  configuration: undefined,
  certificate: undefined,
  reload: undefined,
  shutdown: undefined,
  stopped: undefined,
  "log-lines-dropped": undefined,
  "log-lines-left-out": undefined,
  "look-up": undefined,
  dialogue: undefined,
  "connection-refused": { by: "client", first: 1, perMinute: 1 },
  session: { by: "client", first: 600, perMinute: 600 },
  "recipient-refused": { by: "client", first: 100, perMinute: 60 },
  "command-refused": { by: "client", first: 20, perMinute: 5 },
  screening: { by: "client", first: 10, perMinute: 1 },
  tarpit: { by: "client", first: 10, perMinute: 1 },
  "relay-plaintext": { by: "relay", first: 1, perMinute: hourly },
  "relay-demands": { by: "relay", first: 1, perMinute: hourly },
  "relay-failed": { by: "relay", first: 3, perMinute: 1 },
  "relay-loop": { by: "relay", first: 1, perMinute: hourly },
  "relay-recovered": { by: "relay", first: 3, perMinute: 1 },
  "relay-pressure": { by: "connectionsMax", first: 1, perMinute: 1 },
  "relay-pressure-over": { by: "connectionsMax", first: 1, perMinute: 1 },
  "dnsbl-unusable": { by: "zone", first: 2, perMinute: 1 },
  "dnsbl-silent": { by: "zone", first: 2, perMinute: 1 },
  "dnsbl-back": { by: "zone", first: 2, perMinute: 1 },
  "dnsbl-overload": { by: "reason", first: 1, perMinute: 1 },
  descriptors: { by: "state", first: 1, perMinute: 1 },
  fault: { by: "stack", first: 5, perMinute: 1 },
};
/** Connected and left: scans, monitors, HAProxy's health checks. */
const idleSession: LineBound = { by: "client", first: 10, perMinute: 1, name: "session without mail" };
/** Nothing was accepted, and nothing comes again: no mail is missed for want of its line. */
const emptyTransaction: LineBound = {
  by: "client",
  first: 100,
  perMinute: 60,
  name: "transaction without recipient",
};

/**
 * A mail whose message did not come to its end: deferred, or given up by its client behind a recipient. A client can cause
 * as many as it likes, but no honest one comes near this, whatever time the relay is out.
 */
const mailWithoutEnd: LineBound = {
  by: "client",
  first: 2_000,
  perMinute: 600,
  name: "transaction without message",
};

/** undefined: every one is written. That holds for each message that the relay has, or may have, or has refused. */
export function lineBound(event: LogEvent): LineBound | undefined {
  if (event.event === "transaction") {
    if (!isMail(event)) return emptyTransaction;
    return event.outcome === "deferred" || event.outcome === "abandoned" ? mailWithoutEnd : undefined;
  }
  if (event.event === "session" && event.transactions === 0) return idleSession;
  return bounds[event.event];
}
