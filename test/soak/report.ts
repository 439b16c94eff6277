/** What a soak tells people: a table, and one closing line. */
import { spread } from "./gauge.ts";
import { violations } from "./ledger.ts";
import type { Result } from "./soak.ts";

const minuteMs = 60_000;

export function table(result: Result): string {
  const { reckoning, rests, samples, troubles } = result;
  const { told, window } = reckoning;
  const rows: (readonly [string, string])[] = [
    ["attempts", `${result.attempts}, ${megabytes(result.octets)} MB delivered`],
    ["told", countsOf(Object.entries(told))],
    ["held by the relay", `${reckoning.held}`],
    ["held, the answer to the dot lost", countsOf(Object.entries(window))],
    ["log lines lost with a killed proxy", `${reckoning.linesKilled}`],
    ...violations.map((name) => [name, `${count(result, name)}`] as const),
    ["troubles", countsOf([...troubles])],
    ...rests.map(
      ({ mails, rssKiB, descriptors }) =>
        [`at rest after ${mails} mails`, `RSS ${mebibytes(rssKiB)} MiB, ${descriptors} descriptors`] as const,
    ),
    ...Map.groupBy(samples, ({ atMs }) => Math.floor(atMs / minuteMs) + 1)
      .entries()
      .map(([minute, readings]) => {
        const rss = spread(readings.map(({ rssKiB }) => rssKiB));
        const open = spread(readings.map(({ descriptors }) => descriptors));
        const memory = `RSS ${mebibytes(rss.min)}/${mebibytes(rss.median)}/${mebibytes(rss.max)} MiB`;
        return [
          `minute ${minute}, min/median/max`,
          `${memory}, ${open.min}/${open.median}/${open.max} descriptors`,
        ] as const;
      }),
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join("\n");
}

export function verdict(result: Result): string {
  const { delivered, seconds, findings, reckoning } = result;
  const inWindow = Object.values(reckoning.window).reduce((sum, number) => sum + number, 0);
  const counts = ["lost", "corrupted", "doubled", "invented"] as const;
  return (
    `${delivered} mails in ${Math.round(seconds)} s: ` +
    `${counts.map((name) => `${count(result, name)} ${name}`).join(", ")}, ` +
    `${inWindow} in the one window, ${findings.length} violations in all`
  );
}

function count({ findings }: Result, name: (typeof violations)[number]): number {
  return findings.filter(({ violation }) => violation === name).length;
}

const countsOf = (counts: readonly (readonly [string, number])[]): string =>
  counts.map(([name, number]) => `${name}: ${number}`).join(", ");
const megabytes = (octets: number): string => (octets / 1e6).toFixed(0);
const mebibytes = (kibibytes: number): string => (kibibytes / 1024).toFixed(1);
