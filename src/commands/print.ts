/**
 * What a command writes for people, on stdout.
 * Awaited, because a text that is left to process.stdout is cut off at the exit that follows when a pipe reads slowly.
 * A reader that left (`| head`) is no fault; a full disk is, and throws.
 * Not here: faults, which go to stderr (settings.ts); the log (ops/log.ts).
 */
import { visible } from "../config/values.ts";

export async function print(text: string): Promise<void> {
  try {
    await Bun.write(Bun.stdout, text);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EPIPE") return;
    throw error;
  }
}

/** A peer's words, a wire string, fit for a terminal. A tab is shown as a space. */
export function shown(wire: string): string {
  return visible(Buffer.from(wire, "latin1").toString("utf8").replaceAll("\t", " "));
}
