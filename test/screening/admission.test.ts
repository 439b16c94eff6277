/** Admission: both limits, who is exempt from which, and that the counts are right for any order of coming and going. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { AssertionFault } from "../../src/lib/assert.ts";
import { AddressSet, clientKey } from "../../src/screening/addresses.ts";
import { Admission } from "../../src/screening/admission.ts";

const trusted = new AddressSet([{ octets: [127, 0, 0, 0], prefixBits: 8 }]);

test("the limit of one client", () => {
  const admission = new Admission({ maxConnections: 10, maxConnectionsPerClient: 2, trusted });
  expect(admission.admit("192.0.2.1")).toBeUndefined();
  expect(admission.admit("::ffff:192.0.2.1")).toBeUndefined();
  expect(admission.admit("192.0.2.1")).toBe("per-client");
  expect(admission.admit("192.0.2.2")).toBeUndefined();
  admission.left("192.0.2.1");
  expect(admission.admit("192.0.2.1")).toBeUndefined();
  expect(admission.connections).toBe(3);
});

test("an IPv6 /64 is one client", () => {
  const admission = new Admission({ maxConnections: 10, maxConnectionsPerClient: 1, trusted });
  expect(admission.admit("2001:db8::1")).toBeUndefined();
  expect(admission.admit("2001:db8::ffff")).toBe("per-client");
  expect(admission.admit("2001:db8:0:1::1")).toBeUndefined();
});

test("trusted clients, and those on a unix socket, count in the sum alone", () => {
  const admission = new Admission({ maxConnections: 3, maxConnectionsPerClient: 1, trusted });
  expect(["127.0.0.1", "127.0.0.1", ""].map((address) => admission.admit(address))).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
  expect(admission.admit("127.0.0.1")).toBe("total");
  expect(admission.admit("192.0.2.1")).toBe("total");
  admission.left("");
  expect(admission.admit("192.0.2.1")).toBeUndefined();
});

test("without trust a unix socket is one client", () => {
  const admission = new Admission({
    maxConnections: 3,
    maxConnectionsPerClient: 1,
    trusted: new AddressSet([]),
  });
  expect([admission.admit(""), admission.admit("")]).toEqual([undefined, "per-client"]);
});

test("nobody leaves who is not here", () => {
  const admission = new Admission({ maxConnections: 3, maxConnectionsPerClient: 1, trusted });
  expect(() => admission.left("192.0.2.1")).toThrow(AssertionFault);
  admission.admit("192.0.2.1");
  expect(() => admission.left("192.0.2.2")).toThrow(AssertionFault);
});

test("counts, against a list of who is here", () => {
  const addresses = [
    "192.0.2.1",
    "::ffff:192.0.2.1",
    "192.0.2.2",
    "2001:db8::1",
    "2001:db8::2",
    "127.0.0.1",
    "",
  ];
  const steps = fc.array(fc.tuple(fc.boolean(), fc.constantFrom(...addresses)), { maxLength: 80 });
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 4 }), (all, most, each) => {
      const admission = new Admission({ maxConnections: most, maxConnectionsPerClient: each, trusted });
      const here: string[] = [];
      for (const [comes, address] of all) {
        if (comes) {
          const same = here.filter((other) => clientKey(other) === clientKey(address)).length;
          const exempt = address === "" || address === "127.0.0.1";
          const full = !exempt && same >= each ? "per-client" : undefined;
          const expected = here.length >= most ? "total" : full;
          expect(admission.admit(address)).toBe(expected);
          if (expected === undefined) here.push(address);
        } else if (here.includes(address)) {
          admission.left(address);
          here.splice(here.indexOf(address), 1);
        }
        expect(admission.connections).toBe(here.length);
      }
    }),
  );
});
