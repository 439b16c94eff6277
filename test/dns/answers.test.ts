/** What the stub resolver is made of, without a socket: reading answers, whole and broken, the cache, resolv.conf. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { LookupAnswer } from "../../src/client/messages.ts";
import { readAnswer } from "../../src/dns/answer.ts";
import { DnsCache } from "../../src/dns/cache.ts";
import { serversOf } from "../../src/dns/resolv-conf.ts";
import { isAnswerTo } from "../../src/dns/transport.ts";
import * as dns from "./server.ts";

const listed = dns.addresses(["127.0.0.2"]);
const foundListed = { kind: "found", addresses: ["127.0.0.2"], ttlMs: 300_000 } as const;

describe("broken messages", () => {
  const good: readonly Buffer[] = [
    dns.messageOf(listed),
    dns.messageOf(dns.aliased(["a.test", "b.test"], ["127.0.0.2", "127.0.0.3"])),
    dns.messageOf(dns.texts([["a", "b"], ["c"]]), { type: "TXT" }),
    dns.messageOf(dns.nxdomain(dns.soa(300))),
  ];
  /** Octets overwritten, cut off, or put in twice. */
  const mutated = fc
    .record({
      message: fc.constantFrom(...good),
      writes: fc.array(
        fc.tuple(fc.nat(120), fc.oneof(fc.nat(255), fc.constantFrom(0, 0xc0, 0xff, 12, 1, 16))),
        {
          maxLength: 6,
        },
      ),
      cut: fc.option(fc.nat(120)),
      doubled: fc.boolean(),
    })
    .map(({ message, writes, cut, doubled }) => {
      const octets = Buffer.from(message);
      for (const [place, octet] of writes) if (place < octets.length) octets.writeUInt8(octet, place);
      const end = octets.subarray(0, cut ?? octets.length);
      return doubled ? Buffer.concat([end, octets.subarray(12)]) : end;
    });
  const octets = fc.oneof(
    mutated,
    fc.uint8Array({ maxLength: 600 }).map((array) => Buffer.from(array)),
    fc
      .uint8Array({ maxLength: 300 })
      .map((array) => Buffer.concat([Buffer.from([0, 0, 0x81, 0x80, 0, 1]), array])),
  );

  function isSound(answer: LookupAnswer): boolean {
    if (answer.kind === "busy") return false;
    if (answer.kind === "trouble") return /^[A-Za-z0-9 ]+$/.test(answer.reason);
    if (answer.ttlMs < 60_000 || answer.ttlMs > 3_600_000) return false;
    if (answer.kind === "none") return true;
    if (answer.kind === "texts") return answer.texts.every((text) => /^[\0-\xff]*$/.test(text));
    return (
      answer.addresses.length > 0 &&
      answer.addresses.every((address) => /^(\d{1,3}\.){3}\d{1,3}$/.test(address))
    );
  }

  test("reading never throws, and says nothing that is no address, text or trouble", () => {
    const type = fc.constantFrom("A" as const, "TXT" as const);
    fc.assert(
      fc.property(octets, type, (message, asked) => {
        const untouched = Buffer.from(message);
        expect(isSound(readAnswer(message, "name.test", asked))).toBe(true);
        expect(message.equals(untouched)).toBe(true);
      }),
      { numRuns: 20_000 },
    );
  });

  test("a message cut anywhere is malformed", () => {
    for (const message of good.slice(0, 3)) {
      const type = message === good[2] ? "TXT" : "A";
      expect(readAnswer(message, "name.test", type).kind).toBe(type === "A" ? "found" : "texts");
      for (let end = 0; end < message.length; end += 1) {
        expect(readAnswer(message.subarray(0, end), "name.test", type).kind).toBe("trouble");
      }
    }
  });

  test("a record type that nobody knows, behind the answer, spoils nothing", () => {
    const message = dns.messageOf(listed);
    const odd = Buffer.concat([message, Buffer.from([0, 0, 44, 0, 1, 0, 0, 0, 0, 0, 2, 99, 99])]);
    odd.writeUInt16BE(1, 10);
    expect(readAnswer(odd, "name.test", "A")).toEqual(foundListed);
  });

  test("counts that the message cannot hold cost nothing", () => {
    const message = dns.messageOf(listed);
    for (const place of [4, 6, 8]) {
      const lying = Buffer.from(message);
      lying.writeUInt16BE(0xffff, place);
      expect(readAnswer(lying, "name.test", "A").kind).toBe("trouble");
    }
  });

  test("only the same question is the same", () => {
    const query = dns.messageOf(dns.say({})).fill(0, 2, 4);
    fc.assert(
      fc.property(octets, (message) => {
        const isResponse = message.length >= 12 && (message.readUInt8(2) & 0xf8) === 0x80;
        const isBareError =
          isResponse && message.readUInt16BE(4) === 0 && [1, 2, 4, 5].includes(message.readUInt8(3) & 15);
        const same = message.subarray(12, query.length).toString("latin1").toLowerCase();
        const isSame =
          isResponse &&
          message.length >= query.length &&
          message.readUInt16BE(4) === 1 &&
          same === query.toString("latin1", 12);
        expect(isAnswerTo(message, query)).toBe(isBareError || isSame);
      }),
      { numRuns: 5_000 },
    );
    expect(isAnswerTo(dns.messageOf(listed), query)).toBe(true);
  });

  test("an error needs no question; nothing else may lack it", () => {
    const query = dns.messageOf(dns.say({})).fill(0, 2, 4);
    const codes = Array.from({ length: 16 }, (_, code) => code);
    const accepted = codes.filter((code) => isAnswerTo(dns.messageOf(dns.headerAlone(code)), query));
    expect(accepted).toEqual([1, 2, 4, 5]);
    const question = dns.messageOf(dns.headerAlone(5));
    question.writeUInt8(0, 2);
    expect(isAnswerTo(question, query)).toBe(false);
  });
});

test("a full cache forgets the oldest", () => {
  const cache = new DnsCache(3);
  for (const key of ["a", "b", "c", "a", "d"]) cache.put(key, { kind: "none", ttlMs: 60_000 }, 0);
  expect(["a", "b", "c", "d"].map((key) => cache.get(key, 1)?.kind ?? "-")).toEqual([
    "none",
    "-",
    "none",
    "none",
  ]);
  expect(cache.size).toBe(3);
});

describe("resolv.conf", () => {
  const at = (...addresses: readonly string[]) => addresses.map((address) => ({ address, port: 53 }));
  const cases: readonly (readonly [string, ReturnType<typeof at>])[] = [
    ["", at("127.0.0.1")],
    ["search a.test\noptions edns0\n", at("127.0.0.1")],
    ["nameserver 192.0.2.1\nnameserver\t2001:db8::1 \r\n", at("192.0.2.1", "2001:db8::1")],
    ["# nameserver 192.0.2.1\n;nameserver 192.0.2.2\n nameserver 192.0.2.3\n", at("127.0.0.1")],
    ["nameserver dns.test\nnameserver 192.0.2.999\nnameserver 192.0.2.1 # ours", at("192.0.2.1")],
    ["nameserver192.0.2.1\nnameservers 192.0.2.1", at("127.0.0.1")],
    [
      "nameserver 1.0.0.1\nnameserver 1.0.0.2\nnameserver 1.0.0.3\nnameserver 1.0.0.4",
      at("1.0.0.1", "1.0.0.2", "1.0.0.3"),
    ],
  ];
  test.each(cases)("%j", (text, expected) => expect(serversOf(text)).toEqual(expected));
});
