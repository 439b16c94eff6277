/**
 * The certificate in use: read at the start and at each reload, and looked at every hour, since nobody looks at the
 * log of a start three months ago. Warns when 14, 7, 3, 2 and 1 days are left, and every day once it has expired.
 * A certificate that cannot be used now (expired, or not valid yet) does not take the place of one that can. At the
 * start there is none to keep, and mail without a valid certificate is still better encrypted than not: a warning.
 * Not here: reading and matching the files (bun/tls.ts); when a reload is due (serve.ts).
 */

import { type CertificateFacts, type LoadedServerTls, loadServerTls } from "../bun/tls.ts";
import type { LogEvent } from "../ops/events.ts";
import type { ServerTls } from "../shell/network.ts";

const dayMs = 86_400_000;
export const lookMs = 3_600_000;
/** Days left at which a warning is due, once each. */
const warningDays = [14, 7, 3, 2, 1];

export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
}

export type Usable = LoadedServerTls & { readonly ok: true };

export class CertificateWatch {
  #files: CertificateFiles;
  #inUse: Usable;
  /** The last warning's days; after that only fewer are worth another. */
  #warnedDays = Number.POSITIVE_INFINITY;
  #warnedExpiredDate = Number.NEGATIVE_INFINITY;

  constructor(files: CertificateFiles, inUse: Usable) {
    this.#files = files;
    this.#inUse = inUse;
  }

  get tls(): ServerTls {
    return this.#inUse.tls;
  }

  /** Reads the files again; a fault, and the one in use stays. */
  reload(files: CertificateFiles, date: number): string | undefined {
    const loaded = loadServerTls(files.cert, files.key);
    if (!loaded.ok) return loaded.fault;
    const fault = unusable(loaded.certificate, date);
    if (fault !== undefined && unusable(this.#inUse.certificate, date) === undefined) {
      return `${files.cert} ${fault}; the certificate in use stays`;
    }
    this.#files = files;
    this.#inUse = loaded;
    this.#warnedDays = Number.POSITIVE_INFINITY;
    this.#warnedExpiredDate = Number.NEGATIVE_INFINITY;
    return undefined;
  }

  /** What is logged when it comes into use. */
  introduce(date: number): readonly LogEvent[] {
    const { names, notAfter } = this.#inUse.certificate;
    const file = this.#files.cert;
    const introduction: LogEvent = {
      event: "certificate",
      file,
      names: names.join(", "),
      expires: notAfter.toISOString(),
    };
    return [introduction, ...this.look(date)];
  }

  /** The warning that is due, if one is. */
  look(date: number): readonly LogEvent[] {
    const text = this.#due(date);
    if (text === undefined) return [];
    return [{ event: "configuration", warning: `SERVER_CERT: ${text}${this.#advice(date)}` }];
  }

  #due(date: number): string | undefined {
    const { notBefore, notAfter } = this.#inUse.certificate;
    const leftMs = notAfter.getTime() - date;
    if (leftMs <= 0) {
      if (date - this.#warnedExpiredDate < dayMs) return undefined;
      this.#warnedExpiredDate = date;
      return `the certificate expired on ${notAfter.toISOString()}`;
    }
    if (notBefore.getTime() > date && this.#warnedDays === Number.POSITIVE_INFINITY) {
      this.#warnedDays = Math.max(...warningDays) + 1;
      return `the certificate is not valid before ${notBefore.toISOString()}`;
    }
    const days = warningDays.findLast((limit) => leftMs <= limit * dayMs);
    if (days === undefined || days >= this.#warnedDays) return undefined;
    this.#warnedDays = days;
    return `the certificate expires on ${notAfter.toISOString()}, ${remaining(leftMs)}`;
  }

  /** Renewed without a reload: the usual cause. */
  #advice(date: number): string {
    const found = loadServerTls(this.#files.cert, this.#files.key);
    const isRenewed =
      found.ok &&
      found.certificate.notAfter > this.#inUse.certificate.notAfter &&
      unusable(found.certificate, date) === undefined;
    return isRenewed ? `; ${this.#files.cert} has a newer one, which a reload (SIGHUP) takes over` : "";
  }
}

function unusable({ notBefore, notAfter }: CertificateFacts, date: number): string | undefined {
  if (notAfter.getTime() <= date) return `expired on ${notAfter.toISOString()}`;
  if (notBefore.getTime() > date) return `is not valid before ${notBefore.toISOString()}`;
  return undefined;
}

function remaining(leftMs: number): string {
  const days = Math.floor(leftMs / dayMs);
  if (days < 1) return "in less than a day";
  return days === 1 ? "in 1 day" : `in ${days} days`;
}
