/**
 * The parameters of MAIL and RCPT: which there are, when they may be used, and what their values look like.
 *
 * In: what follows the path, as a wire string. Out: the parameters, or a fault. Values that go on to the relay (ENVID,
 * NOTIFY, ORCPT) are checked and kept as written; those that we act on are read.
 * A parameter that is unknown, or whose extension was not offered in this session, is a fault of kind "parameter"
 * (555); a value, a repetition or a shape that breaks the grammar is one of kind "syntax" (501).
 *
 * To add a parameter: one entry in a table below, one member in its interface.
 *
 * Not here: whether SIZE is too big or a UTF-8 address allowed (proxy), the sequence of commands (proxy).
 * Rejected: passing on what we do not know. We would answer for an extension that the relay may not have.
 * RFC 5321 §4.1.2, §4.1.1.11; RFC 1870 (SIZE); RFC 6152 (BODY); RFC 6531 (SMTPUTF8); RFC 3461 §4 (DSN); RFC 6533 §3.
 */
import { isAscii, isUtf8 } from "./paths.ts";

export interface MailParameters {
  /** Octets. A number too big to count with is `Number.MAX_SAFE_INTEGER`. */
  readonly size?: number;
  readonly body?: "7BIT" | "8BITMIME";
  readonly smtputf8: boolean;
  readonly ret?: "FULL" | "HDRS";
  /** xtext as written. */
  readonly envid?: string;
}

export interface RcptParameters {
  /** As written: NEVER, or a list of SUCCESS, FAILURE, DELAY, in any case. */
  readonly notify?: string;
  /** As written: addr-type ";" xtext. */
  readonly orcpt?: string;
}

/** What this session may use. */
export interface Offered {
  /** The client said EHLO. */
  readonly extended: boolean;
  readonly smtputf8: boolean;
  readonly dsn: boolean;
}

export interface ParameterFault {
  readonly defect: "syntax" | "parameter";
  /** Our own words, for the reply. */
  readonly detail: string;
}

interface Parameter<Parameters> {
  /** The extension it belongs to. */
  readonly extension: keyof Offered;
  /** What is expected, for the reply to a value that is wrong. */
  readonly shape: string;
  /** The value is undefined when there is no "=". Gives undefined when it is wrong. */
  read(value: string | undefined): Partial<Parameters> | "not-offered" | undefined;
}

type Table<Parameters> = ReadonlyMap<string, Parameter<Parameters>>;

/** RFC 3461 §5.4 and §4.2 with §5. */
const envidOctetsMax = 100;
const orcptOctetsMax = 500;

const parameterPattern = /^([\da-z][\da-z-]*)(?:=([!-<>-~\x80-\xff]+))?$/i;
const sizePattern = /^\d{1,20}$/;
/** RFC 3461 §4 wants the hex digits in upper case. Some write them otherwise, and no reader minds. */
const xtextPattern = /^(?:[!-*,-<>-~]|\+[\da-f]{2})+$/i;
const notifyPattern = /^(?:NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY))*)$/i;
/** An atom, ";", xtext. */
const orcptPattern = /^[\w!#$%&'*/?^`{|}~-]+;(?:[!-*,-<>-~]|\+[\da-f]{2})+$/i;
/** RFC 6533 §3: its address may be UTF-8 as such. */
const utf8OrcptPattern = /^utf-8;[!-*,-<>-~\x80-\xff]+$/i;

const mailTable: Table<MailParameters> = new Map<string, Parameter<MailParameters>>([
  [
    "SIZE",
    {
      extension: "extended",
      shape: "SIZE=<octets>",
      read: (value = "") =>
        sizePattern.test(value) ? { size: Math.min(Number(value), Number.MAX_SAFE_INTEGER) } : undefined,
    },
  ],
  [
    "BODY",
    {
      extension: "extended",
      shape: "BODY=7BIT or BODY=8BITMIME",
      read(value = "") {
        const body = value.toUpperCase();
        // A known value of BINARYMIME (RFC 3030), which is not offered.
        if (body === "BINARYMIME") return "not-offered";
        return body === "7BIT" || body === "8BITMIME" ? { body } : undefined;
      },
    },
  ],
  [
    "SMTPUTF8",
    {
      extension: "smtputf8",
      shape: "SMTPUTF8 has no value",
      read: (value) => (value === undefined ? { smtputf8: true } : undefined),
    },
  ],
  [
    "RET",
    {
      extension: "dsn",
      shape: "RET=FULL or RET=HDRS",
      read(value = "") {
        const ret = value.toUpperCase();
        return ret === "FULL" || ret === "HDRS" ? { ret } : undefined;
      },
    },
  ],
  [
    "ENVID",
    {
      extension: "dsn",
      shape: "ENVID=<xtext>",
      read: (value = "") =>
        value.length <= envidOctetsMax && xtextPattern.test(value) ? { envid: value } : undefined,
    },
  ],
]);

const rcptTable: Table<RcptParameters> = new Map<string, Parameter<RcptParameters>>([
  [
    "NOTIFY",
    {
      extension: "dsn",
      shape: "NOTIFY=NEVER or NOTIFY=SUCCESS,FAILURE,DELAY",
      read: (value = "") => (notifyPattern.test(value) ? { notify: value } : undefined),
    },
  ],
  [
    "ORCPT",
    {
      extension: "dsn",
      shape: "ORCPT=<type>;<xtext>",
      read: (value = "") => (value.length <= orcptOctetsMax && isOrcpt(value) ? { orcpt: value } : undefined),
    },
  ],
]);

/** `text` is empty or begins with a space. */
export function readMailParameters(text: string, offered: Offered): MailParameters | ParameterFault {
  return readParameters<MailParameters>(text, offered, mailTable, { smtputf8: false });
}

/** `text` is empty or begins with a space. */
export function readRcptParameters(text: string, offered: Offered): RcptParameters | ParameterFault {
  return readParameters<RcptParameters>(text, offered, rcptTable, {});
}

function readParameters<Parameters extends object>(
  text: string,
  offered: Offered,
  table: Table<Parameters>,
  defaults: Parameters,
): Parameters | ParameterFault {
  if (text === "") return defaults;
  let parameters = defaults;
  const seen = new Set<string>();
  for (const word of text.split(" ")) {
    if (word === "") continue;
    const [, keyword, value] = parameterPattern.exec(word) ?? [];
    if (keyword === undefined || !(offered.smtputf8 || isAscii(word))) {
      return { defect: "syntax", detail: "<keyword>=<value>" };
    }
    const name = keyword.toUpperCase();
    const parameter = table.get(name);
    if (parameter === undefined || !isOffered(parameter.extension, offered)) {
      return { defect: "parameter", detail: offeredNames(table, offered) };
    }
    if (seen.has(name)) return { defect: "syntax", detail: `${name} given twice` };
    seen.add(name);
    const read = parameter.read(value);
    if (read === undefined) return { defect: "syntax", detail: parameter.shape };
    if (read === "not-offered") return { defect: "parameter", detail: parameter.shape };
    parameters = { ...parameters, ...read };
  }
  return parameters;
}

function isOffered(extension: keyof Offered, offered: Offered): boolean {
  return offered.extended && offered[extension];
}

/** For the reply: "offered are SIZE BODY". */
function offeredNames<Parameters>(table: Table<Parameters>, offered: Offered): string {
  const names = [...table].filter(([, { extension }]) => isOffered(extension, offered)).map(([name]) => name);
  return names.length === 0 ? "none is offered" : `offered are ${names.join(" ")}`;
}

function isOrcpt(value: string): boolean {
  return isAscii(value) ? orcptPattern.test(value) : utf8OrcptPattern.test(value) && isUtf8(value);
}
