/**
 * Replays a transcript in a world and compares all that both peers heard, octet for octet.
 *
 * Whatever a step makes the machines say has to be told by the transcript before the next thing happens; nothing may
 * be left over. So a transcript also shows what is *not* said, and when.
 * `Cutting` says how the packets are cut: as they are, octet by octet, or one of them in two. Throws
 * `TranscriptFault`. The record it returns is the same for every cutting.
 */
import type { LogEvent } from "../../src/ops/events.ts";
import { type LoggedField, type Peer, type Step, type Transcript, TranscriptFault } from "./language.ts";
import type { Output } from "./outbox.ts";
import { World } from "./world.ts";

export type Cutting =
  | { readonly cut: "nowhere" }
  | { readonly cut: "everywhere" }
  | { readonly cut: "once"; readonly step: number; readonly at: number };

export interface Replay {
  /** What the client heard, and all log events in order. */
  readonly record: string;
}

/** Packets longer than this are cut in two within this many octets of their ends, and not in between. */
const edgeOctets = 5_000;

/** Of these events every one has to be told, in their order. */
const toldInOrder: ReadonlySet<string> = new Set(
  "transaction screening tarpit dnsbl-unusable dnsbl-silent dnsbl-back dnsbl-overload".split(" "),
);

export function replay(transcript: Transcript, cutting: Cutting): Replay {
  return new Run(transcript, cutting).run();
}

/** Every way to cut one packet of the transcript in two. */
export function* cuttings({ steps }: Transcript): Generator<Cutting> {
  for (const [index, step] of steps.entries()) {
    if (step.does !== "sends" || step.atOnce) continue;
    for (let at = 1; at < step.octets.length; at += 1) {
      if (at > edgeOctets && at < step.octets.length - edgeOctets) continue;
      yield { cut: "once", step: index, at };
    }
  }
}

class Run {
  readonly #transcript: Transcript;
  readonly #cutting: Cutting;
  readonly #world: World;
  readonly #heardByClient: string[] = [];
  /** All that each client heard, by its place among them. */
  readonly #heardBy = new Map<number, string>();
  /** Clients that may not have heard all that was said to them. */
  readonly #cutOff = new Set<number>();
  /** Up to here the log events were told. */
  readonly #told = new Map<string, number>();
  /** Relays whose next octets begin a message. */
  readonly #tracesDue = new Set<Peer>();

  constructor(transcript: Transcript, cutting: Cutting) {
    this.#transcript = transcript;
    this.#cutting = cutting;
    this.#world = new World(transcript.options);
  }

  run(): Replay {
    const { steps } = this.#transcript;
    for (const [index, step] of steps.entries()) {
      if (step.does === "sends" || step.does === "acts" || step.does === "waits" || step.does === "is-told") {
        this.#nothingLeft(step);
      }
      this.#take(step, index);
      if (step.does !== "waits" || !step.late) this.#world.endTurn();
    }
    const last = steps.at(-1);
    if (last !== undefined) this.#nothingLeft(last);
    // The record of every other cutting is compared with these.
    if (this.#cutting.cut !== "once") this.#sameInTheLog();
    const { now, logs } = this.#world;
    // The lines of the dialogue stand in the order in which both sides' packets came, so they are left out.
    const events = logs.filter(({ event }) => event !== "dialogue");
    return { record: JSON.stringify([now, this.#heardByClient, events]) };
  }

  /**
   * The `>` lines of the log's dialogue are what each client heard: all of it, or, of a client that was cut off or left,
   * a beginning.
   */
  #sameInTheLog(): void {
    for (const index of this.#world.clients.keys()) {
      const wire = this.#heardBy.get(index) ?? "";
      // The tarpit may have been left in the middle of a line.
      const end = wire.lastIndexOf("\r\n") + 2;
      const heard = linesOf(end < 2 ? [] : wire.slice(0, end - 2).split("\r\n"));
      const logged = this.#world.logs.flatMap((event) =>
        event.event === "dialogue" && event.direction === ">" && event.session === `s${index + 1}`
          ? linesOf([event.text])
          : [],
      );
      const isCutOff = this.#cutOff.has(index) || end < wire.length;
      const expected = isCutOff ? logged.slice(0, heard.length) : logged;
      if (heard.join("\n") !== expected.join("\n")) {
        throw new Error(
          `client ${index + 1} heard\n${heard.join("\n")}\nand the log has\n${logged.join("\n")}`,
        );
      }
    }
  }

  #take(step: Step, index: number): void {
    switch (step.does) {
      case "sends":
        for (const octets of this.#pieces(step.octets, index, step.atOnce)) this.#send(step, octets);
        break;
      case "acts":
        this.#act(step);
        break;
      case "hears":
        this.#hear(step);
        break;
      case "hears-trace":
        this.#hearTrace(step);
        break;
      case "sees":
        this.#see(step);
        break;
      case "waits":
        if (step.late) this.#world.passUnnoticed(step.ms);
        else this.#world.pass(step.ms);
        break;
      case "moves":
        this.#world.clientAddress = step.address;
        break;
      case "tells":
        this.#world.dns.tell(step.name, step.record, step.told);
        break;
      case "is-told":
        if (step.event === "shutdown" || step.event === "grace-over" || step.event === "fault") {
          for (const peer of this.#world.clients) {
            if (!peer.session.isOver) peer.run({ type: step.event });
          }
        } else {
          this.#fail(step, `the proxy cannot be told (${step.event})`);
        }
        break;
      case "logs":
        this.#findLogged(step);
        break;
    }
  }

  #pieces(octets: Buffer, index: number, atOnce: boolean): readonly Buffer[] {
    // A copy each time: whoever keeps a piece must not see the next one.
    if (this.#cutting.cut === "once" && this.#cutting.step === index) {
      const { at } = this.#cutting;
      return [Buffer.from(octets.subarray(0, at)), Buffer.from(octets.subarray(at))];
    }
    if (this.#cutting.cut === "everywhere" && !atOnce) return Array.from(octets, (octet) => Buffer.of(octet));
    return [Buffer.from(octets)];
  }

  #send(step: Extract<Step, { does: "sends" }>, octets: Buffer): void {
    (step.peer <= 0 ? this.#client(step, step.peer) : this.#relay(step, step.peer)).send(octets);
    this.#world.endTurn();
  }

  #act(step: Extract<Step, { does: "acts" }>): void {
    const { peer, event } = step;
    if (peer === 0 && event === "connects") {
      this.#world.connect();
      return;
    }
    const actor = peer <= 0 ? this.#client(step, peer) : this.#relay(step, peer);
    if (actor.outbox.closed) this.#fail(step, "that connection is closed");
    if (peer <= 0 && (event === "resets" || event === "ends")) this.#cutOff.add(this.#placeOf(peer));
    if (!actor.act(event)) this.#fail(step, `no such event: (${event})`);
  }

  // --- What is heard -------------------------------------------------------------------------------------------

  #hear(step: Extract<Step, { does: "hears" }>): void {
    if (this.#tracesDue.has(step.peer)) this.#hearTrace({ ...step, does: "hears-trace" });
    const heard = this.#heard(step, step.peer);
    const octets = heard[0];
    const { octets: expected, how } = step;
    if (typeof octets !== "object") {
      if (how !== "prefix") this.#fail(step, show(octets));
      return;
    }
    const taken = how === "start" ? lineLength(octets) : how === "all" ? expected.length : octets.length;
    const said = octets.subarray(0, taken);
    const right =
      how === "start"
        ? said.subarray(0, expected.length).equals(expected)
        : how === "all"
          ? said.equals(expected)
          : expected.subarray(0, taken).equals(said);
    if (!right) this.#fail(step, show(octets));
    this.#consume(heard, step.peer, taken);
  }

  /** The trace comes with the first octets of the message, which may be a later step's doing. */
  #hearTrace(step: Extract<Step, { does: "hears-trace" }>): void {
    const heard = this.#heard(step, step.peer);
    const octets = heard[0];
    if (typeof octets !== "object") {
      this.#tracesDue.add(step.peer);
      return;
    }
    this.#tracesDue.delete(step.peer);
    const trace = /^Received: from [^\r\n]+\r\n(?:\t[^\r\n]+\r\n)+/.exec(octets.toString("latin1"))?.[0];
    if (trace === undefined) this.#fail(step, show(octets));
    else this.#consume(heard, step.peer, trace.length);
  }

  #see(step: Extract<Step, { does: "sees" }>): void {
    const heard = this.#heard(step, step.peer);
    const event = heard[0];
    if (step.event === "nothing") {
      if (event !== undefined) this.#fail(step, show(event));
      return;
    }
    const isIt = event === step.event || (event?.toString().startsWith(`dials `) && step.event === "dials");
    if (!isIt) this.#fail(step, show(event));
    if (step.peer <= 0 && event === "terminates") this.#cutOff.add(this.#placeOf(step.peer));
    heard.shift();
  }

  #consume(heard: Output[], peer: Peer, taken: number): void {
    const octets = heard[0];
    if (typeof octets !== "object") return;
    if (peer <= 0) {
      const text = octets.toString("latin1", 0, taken);
      this.#heardByClient.push(text);
      const place = this.#placeOf(peer);
      this.#heardBy.set(place, (this.#heardBy.get(place) ?? "") + text);
    }
    if (taken === octets.length) heard.shift();
    else heard[0] = octets.subarray(taken);
  }

  #nothingLeft(step: Step): void {
    const { clients, relays, logs } = this.#world;
    const peers: [Peer, (typeof clients | typeof relays)[number]][] = [
      ...clients.map((peer, index): [Peer, typeof peer] => [-index - 1, peer]),
      ...relays.map((peer, index): [Peer, typeof peer] => [index + 1, peer]),
    ];
    for (const [peer, { outbox }] of peers) {
      const [left] = outbox.heard;
      if (left !== undefined) this.#fail(step, `before this, ${name(peer)} heard ${show(left)}`);
    }
    const untold = logs.find(
      ({ event }, place) => toldInOrder.has(event) && place >= (this.#told.get(event) ?? 0),
    );
    if (untold !== undefined) this.#fail(step, `before this, it was logged: ${JSON.stringify(untold)}`);
  }

  // --- The log -------------------------------------------------------------------------------------------------

  #findLogged(step: Extract<Step, { does: "logs" }>): void {
    const { logs } = this.#world;
    const from = this.#told.get(step.event) ?? 0;
    const index = logs.findIndex(
      (event, place) =>
        place >= from &&
        event.event === step.event &&
        (toldInOrder.has(step.event) || step.fields.every((field) => agrees(event, field))),
    );
    const event = logs[index];
    if (event === undefined) {
      this.#fail(step, `no such event in the log: ${JSON.stringify(logs.slice(from))}`);
    }
    this.#told.set(step.event, index + 1);
    const wrong = step.fields.find((field) => !agrees(event, field));
    if (wrong !== undefined) this.#fail(step, `${wrong.key} is otherwise in ${JSON.stringify(event)}`);
  }

  /** A client's place among all. */
  #placeOf(peer: Peer): number {
    return peer === 0 ? this.#world.clients.length - 1 : -peer - 1;
  }

  // --- Who -----------------------------------------------------------------------------------------------------

  #client(step: Step, peer: Peer): World["clients"][number] {
    const { clients } = this.#world;
    return clients.at(peer === 0 ? -1 : -peer - 1) ?? this.#fail(step, `${name(peer)} is not connected`);
  }

  #relay(step: Step, peer: Peer): World["relays"][number] {
    return this.#world.relays[peer - 1] ?? this.#fail(step, `${name(peer)} was not dialled`);
  }

  #heard(step: Step, peer: Peer): Output[] {
    return (peer <= 0 ? this.#client(step, peer) : this.#relay(step, peer)).outbox.heard;
  }

  #fail(step: Step, found: string): never {
    const { cutting, expected } = { cutting: this.#cutting, expected: describe(step) };
    const how = cutting.cut === "once" ? this.#describeCut(cutting) : cutting.cut;
    throw new TranscriptFault(step.place, `${expected}\n  found: ${found}\n  cut: ${how}`);
  }

  #describeCut({ step, at }: Extract<Cutting, { cut: "once" }>): string {
    const packet = this.#transcript.steps[step];
    if (packet?.does !== "sends") return "";
    const { octets, place } = packet;
    return `packet of line ${place.line}: ${show(octets.subarray(0, at))} + ${show(octets.subarray(at))}`;
  }
}

/** A key that the event does not have is as good as an empty value. */
function agrees(event: LogEvent, { key, operator, value }: LoggedField): boolean {
  const logged = String(new Map(Object.entries(event)).get(key) ?? "");
  return operator === "=" ? logged === value : logged.includes(value);
}

/** Lines of replies, from the wire or the log, as code and text; the log joins the lines of a reply by " / ". */
function linesOf(replies: readonly string[]): string[] {
  return replies
    .filter((text) => text !== "")
    .flatMap((text) =>
      text
        .slice(4)
        .split(" / ")
        .map((line) => `${text.slice(0, 3)} ${line}`),
    );
}

function lineLength(octets: Buffer): number {
  return octets.indexOf("\r\n") + 2;
}

function name(peer: Peer): string {
  if (peer === 0) return "the client";
  return peer < 0 ? `client ${-peer}` : `relay ${peer}`;
}

function describe(step: Step): string {
  switch (step.does) {
    case "hears":
      return `${name(step.peer)} should hear ${show(step.octets)}`;
    case "hears-trace":
      return `${name(step.peer)} should hear the trace`;
    case "sees":
      return `${name(step.peer)} should see (${step.event})`;
    default:
      return `at "${step.does}"`;
  }
}

function show(output: Output | undefined): string {
  if (output === undefined) return "nothing";
  return typeof output === "string" ? `(${output})` : JSON.stringify(output.toString("latin1").slice(0, 600));
}
