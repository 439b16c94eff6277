/** How many descriptors the options need, and the limit of the process, which is changed from outside by prlimit. */
import { afterAll, describe, expect, test } from "bun:test";
import {
  type DescriptorUsers,
  descriptorsNeeded,
  tooFewDescriptors,
} from "../../src/commands/descriptors.ts";
import { OPTIONS } from "../../src/config/options.ts";
import { raiseDescriptorLimit } from "../../src/host/libc.ts";

const defaults: DescriptorUsers = {
  clientsMax: Number(OPTIONS.maxConnections.default),
  relaysMax: Number(OPTIONS.relayMaxConnections.default),
  listeners: 1,
  dnsServers: 0,
};

describe("what is needed", () => {
  test("by each user of descriptors", () => {
    const needed = descriptorsNeeded(defaults);
    expect(needed).toBeGreaterThan(1_100);
    expect(descriptorsNeeded({ ...defaults, clientsMax: defaults.clientsMax + 7 })).toBe(needed + 7);
    expect(descriptorsNeeded({ ...defaults, relaysMax: defaults.relaysMax + 7 })).toBe(needed + 7);
    expect(descriptorsNeeded({ ...defaults, listeners: 8 })).toBe(needed + 7);
    expect(descriptorsNeeded({ ...defaults, dnsServers: 1 })).toBe(needed + 64 + 32);
    expect(descriptorsNeeded({ ...defaults, dnsServers: 3 })).toBe(needed + 3 * 64 + 32);
  });

  test("a warning from one too few on", () => {
    const needed = descriptorsNeeded(defaults);
    expect(tooFewDescriptors(defaults, needed)).toBeUndefined();
    expect(tooFewDescriptors(defaults, needed - 1)).toBe(
      `MAX_CONNECTIONS=1000 and RELAY_MAX_CONNECTIONS=50 may need ${needed} open files, and the limit is ${needed - 1}: ` +
        "before they run out, further clients are left waiting; raise LimitNOFILE= or lower MAX_CONNECTIONS",
    );
    expect(tooFewDescriptors(defaults, undefined)).toBeUndefined();
  });
});

const prlimit = Bun.which("prlimit");

describe.skipIf(prlimit === null)("the limit", () => {
  const own = (...words: string[]) => {
    const { exitCode, stdout, stderr } = Bun.spawnSync([String(prlimit), `--pid=${process.pid}`, ...words]);
    if (exitCode !== 0) throw new Error(String(stderr));
    return String(stdout).trim();
  };
  const [soft = "", hard = ""] = own("--nofile", "--raw", "--noheadings", "--output=SOFT,HARD").split(/\s+/);
  afterAll(() => void own(`--nofile=${soft}:${hard}`));

  test("is raised to the hard one", () => {
    own("--nofile=512:");
    expect(raiseDescriptorLimit()).toBe(Number(hard));
    expect(own("--nofile", "--raw", "--noheadings", "--output=SOFT")).toBe(hard);
    expect(raiseDescriptorLimit()).toBe(Number(hard));
  });
});
