/**
 * Keeps the memory of received octets near what is in use. Bun delivers octets in Buffers of up to 512 KiB, which
 * live outside the JavaScript heap, so the garbage collector does not see how much there is to gain and lets them
 * lie: 200 MB passed on to a relay that reads 10 MB/s left the process 32.5 MiB over its idle size, with this 12.2;
 * to a relay that reads as fast as it can, 38 and 25 (test/shell/memory.test.ts prints these figures).
 * A collection is synchronous and takes 0.5 to 2 ms in a process of this size, so there are at most four a second.
 * Rejected: `Bun.gc(false)`, which changed nothing; `--smol`, likewise.
 */
const collectEveryOctets = 8 * 1024 * 1024;
const collectEveryMs = 250;

let receivedOctets = 0;
let collectedAt = 0;

/** Octets were received into Buffers of Bun's. */
export function noteReceived(octets: number): void {
  receivedOctets += octets;
  if (receivedOctets < collectEveryOctets) return;
  const now = performance.now();
  if (now - collectedAt < collectEveryMs) return;
  receivedOctets = 0;
  collectedAt = now;
  Bun.gc(true);
}
