/**
 * What a socket does about Bun's `write`, which takes what it likes, says -1, and drains unasked: against a socket of
 * Bun's whose every answer is the test's, as the kernel gives such answers when it wants to, and to no script.
 * Not here: that Bun behaves so (socket.test.ts).
 */
import { expect, test } from "bun:test";
import { BunSocket, type NativeSocket, type SocketSystem } from "../../src/bun/socket.ts";
import { congestedOctets } from "../../src/shell/network.ts";
import { Recorder } from "./support.ts";

/** As much of Bun's socket as writing and ending need. */
class Native {
  data: BunSocket | undefined;
  readonly calls: string[] = [];
  readonly taken: Buffer[] = [];
  /** How many octets the next writes take; all of them when it is empty. */
  readonly takes: number[] = [];

  /** What happens to the socket within its next write. */
  within: ((own: BunSocket) => void) | undefined;

  write(octets: Buffer): number {
    if (this.data !== undefined) this.within?.(this.data);
    const taken = Math.min(this.takes.shift() ?? octets.length, octets.length);
    if (taken > 0) this.taken.push(octets.subarray(0, taken));
    return taken;
  }
  pause(): void {}
  resume(): void {}
  upgradeTLS(): [Native, Native] {
    return [this, new Native()];
  }
  getCipher() {
    return { name: "TLS_AES_256_GCM_SHA384" };
  }
  getTLSVersion(): string {
    return "TLSv1.3";
  }
  shutdown(): void {
    this.calls.push("shutdown");
  }
  end(): void {
    this.calls.push("end");
  }
  terminate(): void {
    this.calls.push("terminate");
  }
}

function open() {
  const native = new Native();
  const timers: (() => void)[] = [];
  const system: SocketSystem = {
    closeMs: 1_000,
    onFault(error) {
      throw error;
    },
    timer(_delayMs, callback) {
      timers.push(callback);
      return { cancel() {} };
    },
    socketClosed() {},
    kernelQueuedOctets: () => 0,
  };
  const recorders: Recorder[] = [];
  const remote = { family: "ipv4" as const, address: "192.0.2.1" };
  // The boundary to Bun: a class of its own, of which a socket uses no more than is above.
  const socket = new BunSocket(native as unknown as NativeSocket, remote, system, (own) => {
    const recorder = new Recorder(own);
    recorders.push(recorder);
    return recorder;
  });
  return { native, timers, socket, events: () => recorders.flatMap(({ events }) => events) };
}

test("what a write did not take leaves behind the next drain, in order", () => {
  const { native, socket } = open();
  native.takes.push(3, 0, 2);
  socket.write(Buffer.from("abcdefgh"));
  socket.flush();
  socket.write(Buffer.from("ij"));
  socket.flush();
  expect(socket.queuedOctets).toBe(7);
  for (let drains = 0; drains < 4; drains += 1) socket.writable();
  expect(Buffer.concat(native.taken).toString()).toBe("abcdefghij");
  expect(socket.queuedOctets).toBe(0);
});

test("memory that is given back too early stops the socket, before anything behind it is written", () => {
  const { native, socket } = open();
  native.takes.push(10, 0);
  const chunk = Buffer.alloc(100_000, "x");
  socket.write(Buffer.from("0123456789"), chunk);
  socket.write(chunk.subarray(1));
  socket.write(Buffer.from(".\r\n"));
  socket.flush();
  const written = Buffer.concat(native.taken).length;
  expect(() => socket.writable()).toThrow("memory is given back when its octets are out");
  expect(Buffer.concat(native.taken).length).toBe(written);
});

test("-1: nothing is queued any more, and the socket is terminated if nothing closes it", () => {
  const { native, socket, timers } = open();
  native.takes.push(-1);
  socket.write(Buffer.from("lost"));
  socket.flush();
  socket.write(Buffer.from("lost too"));
  socket.flush();
  expect(socket.queuedOctets).toBe(0);
  expect(native.taken).toEqual([]);
  expect(timers.length).toBe(1);
  for (const fire of timers) fire();
  expect(native.calls).toEqual(["terminate"]);
});

test("`drained` is told once for each congestion, and not for a drain without one", () => {
  const { native, socket, events } = open();
  for (const waves of [1, 2]) {
    native.takes.push(1, 0);
    socket.write(Buffer.alloc(congestedOctets + 2));
    socket.flush();
    socket.writable();
    expect(events().length).toBe(waves - 1);
    socket.writable();
    expect(events()).toEqual(Array(waves).fill("drained"));
    native.takes.push(1);
    socket.write(Buffer.from("short"));
    socket.flush();
    socket.writable();
    socket.writable();
    expect(events()).toEqual(Array(waves).fill("drained"));
  }
});

test("a drain unasked changes nothing: FIN is sent once, and nothing is written behind it", () => {
  const { native, socket } = open();
  socket.write(Buffer.from("bye"));
  socket.close();
  socket.writable();
  socket.writable();
  expect(native.calls).toEqual(["shutdown"]);
  expect(Buffer.concat(native.taken).toString()).toBe("bye");
});

test("ciphertext beside TLS is dropped, and its memory given back; what was decrypted is not", () => {
  const { socket, events } = open();
  const ciphertext = Buffer.alloc(64 * 1024, 0x17);
  const plaintext = Buffer.alloc(64 * 1024, "x");
  const small = Buffer.from("half a record");
  socket.secure({ role: "server", context: {} });
  socket.received(ciphertext, false);
  socket.received(small, false);
  expect(ciphertext.length).toBe(0);
  expect(small.toString()).toBe("half a record");
  expect(events()).toEqual([]);
  socket.handshakeEnded({ role: "server", context: {} }, true, null);
  socket.received(plaintext, true);
  expect(plaintext.length).toBe(64 * 1024);
  socket.spent(plaintext);
  expect(plaintext.length).toBe(0);
  socket.terminate();
  const late = Buffer.alloc(64 * 1024, "x");
  socket.received(late, true);
  expect(late.length).toBe(0);
});

test.each([
  ["closed", (own: BunSocket) => own.nativeClosed(undefined)],
  ["reset", (own: BunSocket) => own.nativeFailed(Object.assign(new Error("reset"), { code: "ECONNRESET" }))],
])("what a socket that is %s within its write did not take goes to nobody else", (_how, within) => {
  const [one, other] = [open(), open()];
  one.native.takes.push(3);
  one.native.within = within;
  one.socket.write(Buffer.from("for one"));
  one.socket.flush();
  other.socket.flush();
  expect(other.native.taken).toEqual([]);
  expect([one.socket.queuedOctets, other.socket.queuedOctets]).toEqual([0, 0]);
});
