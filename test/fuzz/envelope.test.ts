/**
 * The envelope of one transaction against a list of its recipients: each RCPT is answered once, by the rule or by the
 * answer that is its own, and what the transaction is told of its recipients is what the client was told.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { SessionPolicy } from "../../src/client/messages.ts";
import { Envelope } from "../../src/mail/envelope.ts";
import type { Slot, TransactionOrigin } from "../../src/mail/messages.ts";
import {
  recipientNotOurs,
  relayLost,
  tooManyRecipients,
  utf8AddressRefused,
} from "../../src/smtp/catalogue.ts";
import { type Mailbox, parseForwardPath } from "../../src/smtp/paths.ts";
import { type Reply, reply } from "../../src/smtp/replies.ts";

interface Settings {
  readonly maxRecipients: number;
  readonly override: boolean;
  readonly smtputf8: boolean;
}

/** One RCPT. `asked`: the number of the RCPT to the relay whose answer is its own. */
interface Rcpt {
  readonly address: string;
  readonly asked: number | undefined;
  reply: Reply | undefined;
}

interface Model {
  readonly settings: Settings;
  readonly rcpts: Rcpt[];
  /** The relay's answers, in order, and how many RCPT it was sent. */
  readonly answers: Reply[];
  asked: number;
  over: boolean;
  /** In the order in which they were answered. */
  readonly accepted: string[];
  readonly refused: Rcpt[];
}

interface Real {
  readonly envelope: Envelope;
  readonly slots: Slot[];
  readonly log: string[];
}

type Step = fc.Command<Model, Real>;

const origin: TransactionOrigin = {
  session: "s1",
  id: "s1-1",
  address: "192.0.2.1",
  isTrusted: false,
  heloName: "c.example",
  extended: true,
  tls: undefined,
  unixEpochMs: 0,
};

function policyOf({ maxRecipients, override }: Settings): SessionPolicy {
  return {
    validRecipients: { test: (address) => address.endsWith("@ours.example") },
    overrideRecipient: override ? "one@ours.example" : undefined,
    maxRecipients,
    serverName: "mx.example",
    starttlsOffered: false,
    bareNewline: "reject",
    maxMessageOctets: 1000,
    maxErrors: 10,
    maxHops: 10,
    commandTimeoutMs: 1000,
    dataTimeoutMs: 1000,
    minDataRate: 0,
    logDialogue: false,
    loopMark: "MARK0123",
  };
}

function begin(settings: Settings): { model: Model; real: Real } {
  const log: string[] = [];
  const host = {
    logRefusal({ to }: { readonly to: string }): void {
      log.push(to);
    },
    overshot(): void {},
    fill(slot: Slot, answer: Reply): void {
      expect(slot.reply).toBeUndefined();
      slot.reply = answer;
    },
  };
  const mail = { path: "null", parameters: { smtputf8: settings.smtputf8 } } as const;
  const envelope = new Envelope(host, policyOf(settings), origin, mail);
  const model: Model = { settings, rcpts: [], answers: [], asked: 0, over: false, accepted: [], refused: [] };
  return { model, real: { envelope, slots: [], log } };
}

function settle(model: Model, rcpt: Rcpt, answer: Reply): void {
  rcpt.reply = answer;
  if (answer.code < 400) model.accepted.push(rcpt.address);
  else model.refused.push(rcpt);
}

function compare({ rcpts, accepted, refused, answers, asked }: Model, { envelope, slots, log }: Real): void {
  expect(slots.map((slot) => slot.reply)).toEqual(rcpts.map((rcpt) => rcpt.reply));
  expect(envelope.accepted).toEqual(accepted);
  expect(envelope.refused).toBe(refused.length);
  expect(envelope.lastRefusal).toEqual(refused.at(-1)?.reply);
  expect(log).toEqual(refused.map(({ address }) => address));
  expect(envelope.recipients.length).toBe(asked);
  expect(envelope.recipients.flatMap(({ answer }) => answer ?? [])).toEqual(answers);
}

function rcpt(path: Mailbox, verdict: Reply | undefined): Step {
  const rule = (model: Model): Reply | undefined => {
    if (path.utf8 && !model.settings.smtputf8) return utf8AddressRefused;
    if (path.domain !== "" && !path.address.endsWith("@ours.example")) return recipientNotOurs(path);
    const ours = model.rcpts.filter(({ asked }) => asked !== undefined).length;
    return verdict ?? (ours >= model.settings.maxRecipients ? tooManyRecipients : undefined);
  };
  return {
    check: ({ over }) => !over,
    run(model, real) {
      const refusal = rule(model);
      const isFirst = model.asked === 0 || !model.settings.override;
      const asked = isFirst ? model.asked : 0;
      const added: Rcpt = {
        address: path.address,
        asked: refusal === undefined ? asked : undefined,
        reply: undefined,
      };
      model.rcpts.push(added);
      const isAsked = refusal === undefined && isFirst;
      if (isAsked) model.asked += 1;
      const answer = refusal ?? model.answers[asked];
      if (answer !== undefined) settle(model, added, answer);

      const slot: Slot = { reply: undefined };
      real.slots.push(slot);
      const recipient = real.envelope.rcpt(
        path,
        {},
        slot,
        verdict === undefined ? undefined : { reply: verdict },
      );
      expect(recipient?.relayAddress).toBe(
        !isAsked ? undefined : model.settings.override ? "one@ours.example" : path.address,
      );
      compare(model, real);
    },
    toString: () => `rcpt ${path.address}${verdict === undefined ? "" : " of an offender"}`,
  };
}

function answered(answer: Reply): Step {
  return {
    check: ({ over, answers, asked }) => !over && answers.length < asked,
    run(model, real) {
      const own = model.rcpts.filter(({ asked }) => asked === model.answers.length);
      model.answers.push(answer);
      for (const one of own) settle(model, one, answer);
      real.envelope.answered(answer);
      compare(model, real);
    },
    toString: () => `answered ${answer.code}`,
  };
}

const lost: Step = {
  check: ({ over }) => !over,
  run(model, real) {
    model.over = true;
    for (const one of model.rcpts) if (one.reply === undefined) settle(model, one, relayLost);
    real.envelope.refuseWaiting(relayLost, "relay trouble");
    compare(model, real);
    expect(real.slots.every((slot) => slot.reply !== undefined)).toBe(true);
  },
  toString: () => "the relay is lost",
};

const paths = [
  "<a@ours.example>",
  "<b@ours.example>",
  "<x@theirs.example>",
  "<postmaster>",
  "<\xc3\xa9@ours.example>",
];
const mailboxes = paths.flatMap((text) => parseForwardPath(text)?.path ?? []);
const verdict = fc.oneof(
  { weight: 6, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: fc.constant(reply(554, "5.7.1", "listed")) },
);
const codes = fc.constantFrom(250, 250, 251, 450, 550);

test("every recipient is told once what became of it, and the transaction the same", () => {
  const steps = fc.commands(
    [
      fc.tuple(fc.constantFrom(...mailboxes), verdict).map(([path, judged]) => rcpt(path, judged)),
      codes.map((code) => answered(reply(code, `${Math.floor(code / 100)}.1.5`, "relay"))),
      fc.constant(lost),
    ],
    { maxCommands: 40 },
  );
  const settings = fc.record({
    maxRecipients: fc.integer({ min: 1, max: 4 }),
    override: fc.boolean(),
    smtputf8: fc.boolean(),
  });
  expect(mailboxes.length).toBe(paths.length);
  fc.assert(
    fc.property(settings, steps, (chosen, all) => {
      fc.modelRun(() => begin(chosen), all);
    }),
    { numRuns: 2000 },
  );
});
