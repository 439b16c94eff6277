/** Listen addresses beside each other: a socket for each family where somebody wants that. */
import { expect, test } from "bun:test";
import { listenAddress } from "../../src/config/kinds/hosts.ts";
import { listOf } from "../../src/config/kinds/values.ts";
import { apart } from "../../src/config/listening.ts";

const kind = listOf(listenAddress);

function alone(text: string): string[] {
  const parsed = kind.parse(text, () => undefined);
  if (!parsed.ok) throw new Error(parsed.fault);
  const places = apart(parsed.value);
  expect(places.map((place) => listenAddress.format(place)).join(" ")).toBe(text);
  return places.flatMap((place) => ("ipv6Only" in place ? listenAddress.format(place) : []));
}

test.each([
  ["0.0.0.0:25 [::]:25", ["[::]:25"]],
  ["[::]:25 127.0.0.1:25", ["[::]:25"]],
  ["[::]:25 localhost:25", ["[::]:25"]],
  ["[0:0::0]:25 192.0.2.1:25", ["[0:0::0]:25"]],
  ["[::]:25", []],
  [":25", []],
  ["[::]:25 0.0.0.0:587", []],
  ["[::]:0 0.0.0.0:0", []],
  ["[::1]:25 127.0.0.1:25", []],
  ["[::]:25 unix:/s", []],
])("of %s IPv6 alone is %j", (text, expected) => expect(alone(text)).toEqual(expected));
