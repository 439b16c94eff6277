/**
 * The collector of young garbage, which JavaScriptCore runs on demand (bun:jsc).
 * Not here: when it is worth while (shell/session-memory.ts).
 */
export { edenGC as collectYoung } from "bun:jsc";
