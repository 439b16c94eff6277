/**
 * Tries one address of one relay for `smtpproxy check`: dial, EHLO, TLS, AUTH, then MAIL FROM:<>, RSET and QUIT, by the
 * very code that does it for a mail, so that what works here works there. No mail is sent by that: MAIL shows whether
 * the relay wants TLS or a login of us, which no step before it does.
 * Contract: resolves, never rejects, within `addressMsMax`. A relay's name is resolved within `resolveMsMax`.
 * Not here: what is made of the results (check.ts).
 * Rejected: a session of its own, written for checking. It would agree with the real one until it mattered.
 */

import type { LogEvent } from "../../ops/events.ts";
import { describeFailure } from "../../relay/failures.ts";
import { addressesMax, type RelayHost } from "../../relay/route.ts";
import type {
  Dial,
  DialHandler,
  DialTarget,
  Listener,
  Network,
  SocketHandler,
  TlsFacts,
} from "../../shell/network.ts";
import type { RelayConnection } from "../../shell/relay-connection.ts";
import { type PoolSettings, RelayPool } from "../../shell/relay-pool.ts";
import { stackOf } from "../../shell/shell.ts";
import type { RelayOffer } from "../../smtp/ehlo.ts";
import { describeReply, type Reply } from "../../smtp/replies.ts";

/** For all that happens with one address. */
const addressMsMax = 60_000;
const resolveMsMax = 15_000;
/** The operator waits: no single step is waited for longer, whatever the options grant a mail. */
const stepMsMax = 30_000;
/** For the relay's part in a good end. */
const closeMsMax = 1_000;

export interface Probe {
  readonly address: string;
  /** "> EHLO …" is ours, "< 250 …" the relay's; wire strings, secrets left out. */
  readonly dialogue: readonly string[];
  readonly result: ProbeSuccess | { readonly ok: false; readonly reason: string };
}

export interface ProbeSuccess {
  readonly ok: true;
  readonly offer: RelayOffer;
  /** undefined: plaintext. */
  readonly tls: TlsFacts | undefined;
  /** Why it is plaintext, where TLS was wished for. */
  readonly whyPlaintext: string | undefined;
  /** What the relay said to MAIL FROM:<>, if it refused it. */
  readonly bounceRefusal: string | undefined;
  readonly readyMs: number;
}

/** The addresses that a mail would try, or why there are none. */
export async function relayAddresses(
  network: Network,
  host: string,
): Promise<{ readonly addresses: readonly string[] } | { readonly failure: string }> {
  let timer: { cancel(): void } | undefined;
  const late = new Promise<{ readonly failure: string }>((resolve) => {
    const reason = `no answer after ${resolveMsMax / 1000}s`;
    timer = network.timer(resolveMsMax, () => resolve({ failure: reason }));
  });
  const found = await Promise.race([network.resolve(host), late]);
  timer?.cancel();
  return "addresses" in found ? { addresses: found.addresses.slice(0, addressesMax) } : found;
}

export function probe(
  network: Network,
  settings: PoolSettings,
  relay: RelayHost,
  address: string,
): Promise<Probe> {
  return new Promise((resolve) => {
    const startedAt = network.now();
    const dialogue: string[] = [];
    const faults: string[] = [];
    let whyPlaintext: string | undefined;
    let advice: string | undefined;
    let result: Probe["result"] | undefined;
    const log = (event: LogEvent): void => {
      if (event.event === "dialogue") dialogue.push(`${event.direction} ${event.text}`);
      else if (event.event === "relay-plaintext") whyPlaintext = event.reason;
      else if (event.event === "relay-demands") advice = `${event.reply}: ${event.advice}`;
      else if (event.event === "fault") faults.push(`internal error: ${event.stack}`);
    };
    const settle = (): void => {
      limit.cancel();
      resolve({ address, dialogue, result: result ?? { ok: false, reason: faults[0] ?? "internal error" } });
    };
    const fail = (reason: string): void => {
      result = { ok: false, reason };
      settle();
    };
    const oneAddress = new OneAddress(network, address, () => {
      if (result !== undefined) settle();
    });
    const patience: PoolSettings = {
      ...settings,
      relays: [relay],
      connectionsMax: 1,
      connectTimeoutMs: Math.min(settings.connectTimeoutMs, stepMsMax),
      replyTimeoutMs: Math.min(settings.replyTimeoutMs, stepMsMax),
      // Not kept: a release is answered by QUIT.
      idleTimeoutMs: 0,
      logDialogue: true,
    };
    const shell = { network: oneAddress, log, newSessionId: () => "check" };
    const pool = new RelayPool(shell, patience);
    const limit = network.timer(addressMsMax, () => {
      request.cancel();
      fail(`gave up after ${addressMsMax / 1000}s`);
    });
    const isReady = (connection: RelayConnection, offer: RelayOffer): void => {
      const readyMs = Math.round(network.now() - startedAt);
      const mailAnswered = (reply: Reply): void => {
        result =
          advice === undefined
            ? {
                ok: true,
                offer,
                tls: connection.tls,
                whyPlaintext,
                bounceRefusal: reply.code < 300 ? undefined : describeReply(reply),
                readyMs,
              }
            : { ok: false, reason: `relay refused MAIL: ${advice}` };
        pool.takeBack(connection, offer, "check");
        connection.order({ order: "release" });
        network.timer(closeMsMax, settle);
      };
      connection.use({
        session: "check",
        report: (report) => {
          if (report.type === "demanded") pool.demanded(connection, report.reply);
          else if (report.type === "reply") mailAnswered(report.reply);
          else if (report.type === "lost") fail(describeFailure(report.failure));
        },
      });
      connection.order({ order: "mail", path: "null", parameters: { smtputf8: false }, traceOctets: 0 });
    };
    const request = pool.acquire(
      {
        session: "check",
        network: undefined,
        pressed: () => {},
        attached: isReady,
        unavailable: (failure) => fail(describeFailure(failure)),
        report: () => {},
      },
      true,
    );
  });
}

/** The network with one address for every name, which tells when a socket that was dialled is closed. */
class OneAddress implements Network {
  readonly #network: Network;
  readonly #address: string;
  readonly #closed: () => void;

  constructor(network: Network, address: string, closed: () => void) {
    this.#network = network;
    this.#address = address;
    this.#closed = closed;
  }

  dial(target: DialTarget, timeoutMs: number, handler: DialHandler): Dial {
    return this.#network.dial(target, timeoutMs, {
      opened: (socket) => this.#watch(handler.opened(socket)),
      failed: (reason) => handler.failed(reason),
    });
  }

  #watch(handler: SocketHandler): SocketHandler {
    return {
      octets: (octets) => handler.octets(octets),
      ended: () => handler.ended(),
      drained: () => handler.drained(),
      secured: (facts) => handler.secured(facts),
      handshakeFailed: (reason) => handler.handshakeFailed(reason),
      closed: (reason) => {
        handler.closed(reason);
        this.#closed();
      },
    };
  }

  listen(): Listener {
    throw new Error("nothing listens while a relay is checked");
  }

  async resolve(): Promise<{ readonly addresses: readonly string[] }> {
    return { addresses: [this.#address] };
  }

  now(): number {
    return this.#network.now();
  }

  get unixEpochMs(): number {
    return this.#network.unixEpochMs;
  }

  timer(delayMs: number, callback: () => void): { cancel(): void } {
    return this.#network.timer(delayMs, callback);
  }
}

/** One line for a throw in a socket's handler. */
export function describeFault(error: unknown): string {
  return `internal error: ${stackOf(error)}`;
}
