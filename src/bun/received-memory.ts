/**
 * Keeps the memory of received octets near what is in use. Bun delivers octets in Buffers of up to 512 KiB, which
 * live outside the JavaScript heap, so the garbage collector does not see how much there is to gain and lets them
 * lie. So the last user of such a Buffer gives its memory back at once (`giveBack`): to receive and drop 3 GB took
 * 0.74 s of CPU and 10 MB with it, 1.34 s and 41 MB without, 1.87 s and 22 MB with a collection every 8 MB. The rest
 * is left to the collector, which is called when there is much of it. A collection is synchronous and takes 0.5 to 2
 * ms in a process of this size, so there are at most four a second.
 * Rejected: `Bun.gc(false)`, which changed nothing; `--smol`, likewise.
 */
const collectEveryOctets = 8 * 1024 * 1024;
const collectEveryMs = 250;
/** Smaller ones cost little. */
const givenBackOctetsMin = 4 * 1024;

let receivedOctets = 0;
let collectedAt = 0;

/** Octets were received into a Buffer of Bun's. */
export function noteReceived(octets: number): void {
  receivedOctets += octets;
  if (receivedOctets < collectEveryOctets) return;
  const now = performance.now();
  if (now - collectedAt < collectEveryMs) return;
  receivedOctets = 0;
  collectedAt = now;
  Bun.gc(true);
}

/**
 * Frees the memory behind `octets`: it is empty afterwards, and so is each slice of it. What is itself a slice is left
 * alone, since others may be of the same memory, as all small Buffers are.
 */
export function giveBack(octets: Buffer): void {
  const { buffer, length } = octets;
  if (length < givenBackOctetsMin || length !== buffer.byteLength || !(buffer instanceof ArrayBuffer)) return;
  buffer.transfer(0);
  receivedOctets = Math.max(0, receivedOctets - length);
}
