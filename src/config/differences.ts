/**
 * Which options have another value in one configuration than in another.
 * By the text that each kind has for its values; of secrets, which have none, by what they are.
 * Not here: contents of files that options name, other than the password's (commands/reload.ts).
 */
import { type Config, OPTIONS, type Option, PROPERTIES, type Property, type Values } from "./options.ts";

export function differences(a: Config, b: Config): readonly Property[] {
  return PROPERTIES.filter((property) => textOf(a, property) !== textOf(b, property));
}

function textOf<P extends Property>(config: Partial<Values>, property: P): string | undefined {
  if (property === "relayPassword") return config.relayPassword?.reveal();
  const option: Option<Values[P]> = OPTIONS[property];
  const value: Values[P] | undefined = config[property];
  return value === undefined ? undefined : option.kind.format(value);
}
