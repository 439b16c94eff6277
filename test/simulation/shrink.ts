/**
 * Takes away of a scenario what is not needed for its violation: clients, faults, zones, options, misdeeds, conditions,
 * steps, sizes. Each candidate is played; one that violates the same invariant is taken, until none is left or the
 * time is over. Not here: what a scenario is (scenario.ts).
 */
import { type Conditions, calm } from "./network.ts";
import type { ClientScript, ClientStep, RelayConnectionScript, RelayScript, Scenario } from "./scenario.ts";

/** `fails`: whether a scenario violates what is looked for. */
export function shrink(
  scenario: Scenario,
  fails: (scenario: Scenario) => boolean,
  limitMs: number,
): Scenario {
  const until = performance.now() + limitMs;
  let smallest = scenario;
  for (let found = true; found; ) {
    found = false;
    for (const candidate of candidates(smallest)) {
      if (performance.now() > until) return smallest;
      if (!fails(candidate)) continue;
      smallest = candidate;
      found = true;
      break;
    }
  }
  return smallest;
}

/** Scenarios that are a little less than this one, the boldest first. */
function* candidates(scenario: Scenario): Generator<Scenario> {
  for (const clients of without(scenario.clients)) yield { ...scenario, clients };
  for (const faults of without(scenario.faults)) yield { ...scenario, faults };
  for (const zones of without(scenario.zones)) {
    const entries = zones.map(({ entry }) => entry).join(" ");
    const { DNSBL_DOMAINS: _, DNSBL_TIMEOUT: __, ...others } = scenario.options;
    yield {
      ...scenario,
      zones,
      options: entries === "" ? others : { ...scenario.options, DNSBL_DOMAINS: entries },
    };
  }
  for (const relays of without(scenario.relays)) {
    if (relays.length === 0) continue;
    const hosts = relays.map(({ host, port }) => `${host}:${port}`).join(" ");
    yield { ...scenario, relays, options: { ...scenario.options, RELAY_HOST: hosts } };
  }
  for (const clients of each(scenario.clients, lessOfClient)) yield { ...scenario, clients };
  for (const relays of each(scenario.relays, lessOfRelay)) yield { ...scenario, relays };
  for (const name of Object.keys(scenario.options)) {
    const others = Object.entries(scenario.options).filter(
      ([other]) => other !== name && !goesWith(other, name),
    );
    if (name !== "RELAY_HOST") yield { ...scenario, options: Object.fromEntries(others) };
  }
}

/** Options that are of no use alone. */
function goesWith(one: string, other: string): boolean {
  const pairs = [
    ["SERVER_CERT", "SERVER_KEY"],
    ["RELAY_USERNAME", "RELAY_PASSWORD"],
    ["DNSBL_DOMAINS", "DNSBL_TIMEOUT"],
  ];
  return pairs.some((pair) => pair.includes(one) && pair.includes(other));
}

function* lessOfClient(client: ClientScript): Generator<ClientScript> {
  for (const steps of without(client.steps)) yield { ...client, steps };
  for (const conditions of calmer(client.conditions)) yield { ...client, conditions };
  const { pace, vanishes, holdsOn, ...plain } = client;
  const optional = { pace, vanishes, holdsOn };
  if (Object.values(optional).some((value) => value !== undefined)) yield plain;
  if (client.atMs > 0) yield { ...client, atMs: 0 };
  for (const steps of each(client.steps, lessOfStep)) yield { ...client, steps };
}

function* lessOfStep(step: ClientStep): Generator<ClientStep> {
  if (step.step === "wait" && step.ms > 0) yield { ...step, ms: Math.floor(step.ms / 2) };
  if (step.step !== "mail") return;
  const { mail } = step;
  const { body } = mail;
  if (mail.to.length > 1) yield { ...step, mail: { ...mail, to: mail.to.slice(0, 1) } };
  if (mail.parameters !== "") yield { ...step, mail: { ...mail, parameters: "" } };
  if (body.hops > 0) yield { ...step, mail: { ...mail, body: { ...body, hops: 0 } } };
  if (body.flavour !== "text") yield { ...step, mail: { ...mail, body: { ...body, flavour: "text" } } };
  if (body.bareLfEvery !== undefined) {
    const { bareLfEvery: _, ...proper } = body;
    yield { ...step, mail: { ...mail, body: proper } };
  }
  for (const key of ["lines", "lineOctets"] as const) {
    if (body[key] > 0)
      yield { ...step, mail: { ...mail, body: { ...body, [key]: Math.floor(body[key] / 2) } } };
  }
}

function* lessOfRelay(relay: RelayScript): Generator<RelayScript> {
  for (const addresses of without(relay.addresses)) if (addresses.length > 0) yield { ...relay, addresses };
  for (const connections of without(relay.connections)) {
    if (connections.length > 0) yield { ...relay, connections };
  }
  for (const connections of each(relay.connections, lessOfConnection)) yield { ...relay, connections };
  for (const addresses of each(relay.addresses, function* (address) {
    for (const conditions of calmer(address.conditions)) yield { ...address, conditions };
  })) {
    yield { ...relay, addresses };
  }
}

function* lessOfConnection(connection: RelayConnectionScript): Generator<RelayConnectionScript> {
  for (const deeds of without(connection.deeds)) yield { ...connection, deeds };
  for (const offers of without(connection.offers)) yield { ...connection, offers };
  if (connection.replyMs > 0) yield { ...connection, replyMs: 0 };
  const { pieces, multiLine, ...plain } = connection;
  if (pieces !== undefined || multiLine !== undefined) yield plain;
}

function* calmer(conditions: Conditions): Generator<Conditions> {
  if (JSON.stringify(conditions) === JSON.stringify(calm)) return;
  yield calm;
  for (const [key, value] of Object.entries(calm)) {
    const eased = { ...conditions, [key]: value };
    if (JSON.stringify(eased) !== JSON.stringify(conditions)) yield eased;
  }
}

/** The list without each of its members. */
function* without<T>(list: readonly T[]): Generator<readonly T[]> {
  if (list.length > 3) {
    const middle = list.length >> 1;
    yield list.slice(0, middle);
    yield list.slice(middle);
  }
  for (const index of list.keys()) yield list.filter((_, at) => at !== index);
}

/** The list with one member made less. */
function* each<T>(list: readonly T[], less: (member: T) => Iterable<T>): Generator<readonly T[]> {
  for (const [index, member] of list.entries()) {
    for (const smaller of less(member)) yield list.with(index, smaller);
  }
}
