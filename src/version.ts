/** Version and commit, put in by build.ts. Run from source they are unknown. */
declare const SMTPPROXY_VERSION: string | undefined;
declare const SMTPPROXY_COMMIT: string | undefined;

export const version: string = typeof SMTPPROXY_VERSION === "string" ? SMTPPROXY_VERSION : "development";
export const commit: string = typeof SMTPPROXY_COMMIT === "string" ? SMTPPROXY_COMMIT : "unknown";
