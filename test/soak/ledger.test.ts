/** The ledger can fail: each way in which the three stories may differ is found, and nothing else. */
import { expect, test } from "bun:test";
import { type Attempt, type Held, type Reckoning, reckon, type Stories, type Transaction } from "./ledger.ts";

const attempt = (id: string, more: Partial<Attempt> = {}): Attempt => ({
  id,
  from: `${id}@client.test`,
  to: ["reader-0@sink.test"],
  octets: 100,
  sha256: `digest of ${id}`,
  begun: true,
  dotSent: true,
  told: "250",
  reply: `250 2.0.0 Ok: queued as Q${id}`,
  beganAt: 1_000,
  endedAt: 1_100,
  ...more,
});

const held = (id: string, more: Partial<Held> = {}): Held => ({
  id,
  queueId: `Q${id}`,
  to: ["reader-0@sink.test"],
  sha256: `digest of ${id}`,
  ...more,
});

const logged = (id: string, outcome = "relayed", unheard = false): Transaction => ({
  id,
  outcome,
  unheard,
  line: `line of ${id}`,
});

/** A good mail, and beside it what the test gives. */
function reckoned(more: Partial<Stories>): Reckoning {
  return reckon({
    attempts: [attempt("m1"), ...(more.attempts ?? [])],
    transactions: [logged("m1"), ...(more.transactions ?? [])],
    held: [held("m1"), ...(more.held ?? [])],
    killedAt: more.killedAt ?? [],
  });
}

function found(more: Partial<Stories>): string[] {
  return reckoned(more).findings.map(({ violation, id }) => `${violation} ${id}`);
}

const unanswered = { told: "unknown", reply: undefined } as const;
const unsent = { ...unanswered, told: "not sent", dotSent: false } as const;
const delayed = { told: "4yz", reply: "451 4.4.2 later" } as const;
const noWindow = { unheard: 0, "on its way": 0, killed: 0, "relay cut off": 0 };
const m2 = { attempts: [attempt("m2")], transactions: [logged("m2")], held: [held("m2")] };

test("all is well", () => {
  expect(reckoned(m2)).toEqual({
    told: { "250": 2, "4yz": 0, "5yz": 0, unknown: 0, "not sent": 0 },
    held: 2,
    window: noWindow,
    linesKilled: 0,
    findings: [],
  });
});

test("lost: told 250, and not held", () => {
  expect(found({ ...m2, held: [] })).toEqual(["lost m2"]);
  expect(reckoned({ ...m2, held: [] }).findings[0]?.why).toBe(
    "told 250 2.0.0 Ok: queued as Qm2\n    line of m2",
  );
});

test("corrupted: other octets, or another trace", () => {
  expect(found({ ...m2, held: [held("m2", { sha256: "other" })] })).toEqual(["corrupted m2"]);
  expect(found({ ...m2, held: [held("m2", { sha256: undefined })] })).toEqual(["corrupted m2"]);
});

test("corrupted: also where the client was not told 250", () => {
  const attempts = [attempt("m2", unanswered)];
  expect(found({ ...m2, attempts, held: [held("m2", { sha256: "other" })] })).toEqual(["corrupted m2"]);
});

test("doubled: held twice", () => {
  expect(found({ ...m2, held: [held("m2"), held("m2", { queueId: "Q" })] })).toEqual(["doubled m2"]);
});

test("invented: held, and never sent to its end, or by nobody at all", () => {
  const abandoned = { ...m2, transactions: [logged("m2", "abandoned")] };
  expect(found({ ...abandoned, attempts: [attempt("m2", unsent)] })).toEqual(["invented m2"]);
  expect(found({ held: [held("m9")] })).toEqual(["invented m9"]);
  expect(found({ held: [held("m9", { id: undefined })] })).toEqual(["invented Qm9"]);
});

test("a transaction of nobody", () => {
  expect(found({ transactions: [logged("m9")] })).toEqual(["invented m9"]);
});

test("other recipients than those that were accepted", () => {
  expect(found({ ...m2, held: [held("m2", { to: ["stranger@sink.test"] })] })).toEqual([
    "wrong recipients m2",
  ]);
});

test("another mail's reply", () => {
  expect(found({ ...m2, attempts: [attempt("m2", { reply: "250 2.0.0 Ok: queued as Qm1" })] })).toEqual([
    "wrong queue id m2",
  ]);
});

test("a refusal for good", () => {
  const attempts = [attempt("m2", { told: "5yz", reply: "554 5.0.0 no" })];
  expect(found({ attempts, transactions: [logged("m2", "refused")] })).toEqual(["refused for good m2"]);
});

test("the window: the client did not hear the answer", () => {
  for (const unheard of [true, false]) {
    const attempts = [attempt("m2", unanswered)];
    const { findings, window } = reckoned({
      ...m2,
      attempts,
      transactions: [logged("m2", "relayed", unheard)],
    });
    expect(findings).toEqual([]);
    expect(window).toEqual({ ...noWindow, [unheard ? "unheard" : "on its way"]: 1 });
  }
});

test("the window: the proxy was killed with the answer in hand", () => {
  const attempts = [attempt("m2", unanswered)];
  const { findings, window } = reckoned({ ...m2, attempts, transactions: [], killedAt: [1_050] });
  expect(findings).toEqual([]);
  expect(window).toEqual({ ...noWindow, killed: 1 });
});

test("the window: the relay was gone before it answered", () => {
  for (const told of [delayed, unanswered]) {
    const attempts = [attempt("m2", told)];
    const { findings, window } = reckoned({ ...m2, attempts, transactions: [logged("m2", "unknown")] });
    expect(findings).toEqual([]);
    expect(window).toEqual({ ...noWindow, "relay cut off": 1 });
  }
});

test("held, and told 4yz, though the relay's answer was heard", () => {
  for (const outcome of ["deferred", "abandoned", "refused"]) {
    const attempts = [attempt("m2", delayed)];
    expect(found({ ...m2, attempts, transactions: [logged("m2", outcome)] })).toEqual(["told otherwise m2"]);
  }
  expect(found({ ...m2, attempts: [attempt("m2", delayed)] })).toEqual([
    "logged otherwise m2",
    "told otherwise m2",
  ]);
});

test("held, unanswered, and logged as if the dot had not been sent", () => {
  const attempts = [attempt("m2", unanswered)];
  expect(found({ ...m2, attempts, transactions: [logged("m2", "abandoned")] })).toEqual([
    "told otherwise m2",
  ]);
});

test("told 250, and logged otherwise", () => {
  expect(found({ ...m2, transactions: [logged("m2", "deferred")] })).toEqual(["logged otherwise m2"]);
});

test("logged as relayed, and not held", () => {
  expect(found({ ...m2, attempts: [attempt("m2", unanswered)], held: [] })).toEqual(["logged otherwise m2"]);
});

test("not held, and not told so: as it should be", () => {
  for (const [more, outcome] of [
    [delayed, "deferred"],
    [delayed, "unknown"],
    [unanswered, "unknown"],
    [unanswered, "abandoned"],
    [unsent, "abandoned"],
  ] as const) {
    expect(found({ attempts: [attempt("m2", more)], transactions: [logged("m2", outcome)] })).toEqual([]);
  }
});

test("each mail that was begun is logged once", () => {
  expect(found({ ...m2, transactions: [] })).toEqual(["not logged m2"]);
  expect(found({ ...m2, transactions: [logged("m2"), logged("m2")] })).toEqual(["logged twice m2"]);
  expect(found({ attempts: [attempt("m2", { ...unsent, begun: false })] })).toEqual([]);
});

test("a killed proxy takes the lines of its open mails along, and no others", () => {
  const killed = (at: number): Reckoning => reckoned({ ...m2, transactions: [], killedAt: [at] });
  for (const at of [1_000, 1_100, 1_350]) {
    expect(killed(at).findings).toEqual([]);
    expect(killed(at).linesKilled).toBe(1);
  }
  for (const at of [999, 1_351]) {
    expect(killed(at).findings.map(({ violation }) => violation)).toEqual(["not logged"]);
  }
});
