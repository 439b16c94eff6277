/**
 * The client's octets as commands, one at a time: what is read ahead stays octets until its turn, so that a STARTTLS
 * or a DATA among it decides how the rest is read.
 * Not here: when a command's turn has come (session.ts); the format (smtp/lines.ts, smtp/commands.ts).
 */
import { type Command, type CommandDefect, parseCommand } from "../smtp/commands.ts";
import { type LineDefect, LineReader } from "../smtp/lines.ts";
import { CommandMask } from "../smtp/masking.ts";
import type { Offered } from "../smtp/parameters.ts";

/** RFC 5321 §4.5.3.1.4 asks for 512 and more with extensions; 2048 has room for all of them. */
export const commandOctetsMax = 2048;

export interface MalformedCommand {
  readonly verb: "malformed";
  readonly defect: CommandDefect | LineDefect;
  readonly detail: string;
}

export interface ReadCommand {
  readonly command: Command | MalformedCommand;
  /** For the log: without passwords. */
  readonly shown: string;
}

export class CommandReader {
  readonly #lines = new LineReader(commandOctetsMax);
  readonly #mask = new CommandMask();
  #head: ReadCommand | undefined;

  push(octets: Buffer): void {
    this.#lines.push(octets);
  }

  /** Octets that no command was made of. */
  get pendingOctets(): number {
    return this.#lines.pendingOctets;
  }

  /** Everything behind the last command taken: mail data. Not to be called with a command at the head. */
  takeRest(): Buffer {
    return this.#lines.takeRest();
  }

  /** The next whole command, read by what is offered now; it stays at the head until `shift`. */
  peek(offered: Offered): ReadCommand | undefined {
    if (this.#head !== undefined) return this.#head;
    const line = this.#lines.next();
    if (line === undefined) return undefined;
    const { text, defect } = line;
    const command =
      defect === undefined ? parseCommand(text, offered) : { verb: "malformed" as const, defect, detail: "" };
    this.#head = { command, shown: this.#mask.show(text) };
    return this.#head;
  }

  shift(): void {
    this.#head = undefined;
  }
}
