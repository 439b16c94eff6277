/**
 * Clients by the thousand that nobody wants, as a process of their own: what they cost must not be measured along
 * with what they cost others. Started and ordered about by crowd.ts; independent of src.
 *
 * Orders on standard input, one a line, each answered by one line on standard output:
 *
 *     join KIND COUNT PORT   so many more of a kind; answers “ok” when each of them is where it wants to be
 *     tell                   answers “OPEN HEARD”: connections that are open, and octets heard by all so far
 *     leave fin|rst          ends them all, and answers when they are gone
 *
 * They come from 500 addresses in turn, 127.0.0.10 to 127.0.2.109: few enough from each that every one has its lines in
 * the log, which are bounded for a client.
 */
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";

/** `ready`: by what it has heard, it is where it wants to be. `speak`: is called then, once. */
interface Kind {
  readonly opensWith: string;
  readonly ready: RegExp;
  readonly speak: (socket: Socket) => (() => void) | undefined;
}

/** Far more than anybody should take; what is not taken stays with the kernel and with us. */
const flood = Buffer.alloc(256 * 1024, "spam\r\n");
const trickle = Buffer.alloc(1024, "spam\r\n");

const ticking = (ms: number, say: () => void): (() => void) => {
  const timer = setInterval(say, ms);
  return () => clearInterval(timer);
};

const kinds: Readonly<Record<string, Kind>> = {
  /** Is tarpitted, and waits. */
  early: { opensWith: "EHLO spam.test\r\n", ready: /^220-/, speak: () => undefined },
  /** Is tarpitted, and goes on as fast as it is read. */
  flood: {
    opensWith: "EHLO spam.test\r\n",
    ready: /^220-/,
    speak(socket) {
      const pour = (): void => {
        while (!socket.destroyed && socket.write(flood)) {}
      };
      socket.on("drain", pour);
      pour();
      return undefined;
    },
  },
  /** Is tarpitted, and says 1 KiB every 200 ms, as far as it is read. */
  trickle: {
    opensWith: "EHLO spam.test\r\n",
    ready: /^220-/,
    speak: (socket) =>
      ticking(200, () => {
        if (socket.writableLength < flood.length) socket.write(trickle);
      }),
  },
  /** Is greeted, and then says EHLO an octet at a time. */
  slowloris: {
    opensWith: "",
    ready: /^220 /m,
    speak(socket) {
      const command = "EHLO a-name-that-takes-its-time.spam.test\r\n";
      let said = 0;
      return ticking(500, () => {
        socket.write(command.charAt(said));
        said = Math.min(said + 1, command.length - 3);
      });
    },
  },
  /** Is greeted, says EHLO, and then nothing more. */
  idle: {
    opensWith: "",
    ready: /^220 /m,
    speak: (socket) => {
      socket.write("EHLO idle.spam.test\r\n");
      return undefined;
    },
  },
};

const sources = 500;
const sourcesPerNetwork = 200;
/** Fewer than the listener's backlog. */
const atOnce = 200;

class Member {
  readonly ready: Promise<void>;
  readonly gone: Promise<void>;
  readonly #socket: Socket;
  #heard = "";
  heardOctets = 0;
  open = true;

  constructor(kind: Kind, port: number, number: number) {
    const source = number % sources;
    const localAddress = `127.0.${Math.floor(source / sourcesPerNetwork)}.${10 + (source % sourcesPerNetwork)}`;
    const socket = connect({ port, host: "127.0.0.1", localAddress, allowHalfOpen: true, noDelay: true });
    this.#socket = socket;
    const ready = Promise.withResolvers<void>();
    const gone = Promise.withResolvers<void>();
    this.ready = ready.promise;
    this.gone = gone.promise;
    let stop: (() => void) | undefined;
    let isReady = false;
    if (kind.opensWith !== "") socket.on("connect", () => socket.write(kind.opensWith));
    socket.on("data", (octets: Buffer) => {
      this.heardOctets += octets.length;
      if (isReady) return;
      this.#heard += octets.toString("latin1");
      if (!kind.ready.test(this.#heard)) return;
      isReady = true;
      stop = kind.speak(socket);
      ready.resolve();
    });
    socket.on("error", () => {});
    socket.on("end", () => socket.end());
    socket.on("close", () => {
      this.open = false;
      stop?.();
      ready.resolve();
      gone.resolve();
    });
  }

  leave(how: string): Promise<void> {
    if (!this.open) return this.gone;
    if (how === "rst") this.#socket.resetAndDestroy();
    else this.#socket.destroy();
    return this.gone;
  }
}

const members: Member[] = [];

async function join(name: string, count: number, port: number): Promise<string> {
  const kind = kinds[name];
  if (kind === undefined) return `there is no kind ${name}`;
  const readies: Promise<void>[] = [];
  for (let joined = 0; joined < count; joined += 1) {
    const member = new Member(kind, port, members.length);
    members.push(member);
    readies.push(member.ready);
    // Those that wait for their greeting together are greeted together.
    if (joined % atOnce === atOnce - 1) await Bun.sleep(50);
  }
  await Promise.all(readies);
  return "ok";
}

async function obey(order: string): Promise<string> {
  const [verb, ...words] = order.split(" ");
  if (verb === "join") return join(words[0] ?? "", Number(words[1]), Number(words[2]));
  if (verb === "tell") {
    const open = members.filter((member) => member.open).length;
    return `${open} ${members.reduce((sum, { heardOctets }) => sum + heardOctets, 0)}`;
  }
  if (verb === "leave") {
    await Promise.all(members.splice(0).map((member) => member.leave(words[0] ?? "")));
    return "ok";
  }
  return `what is “${order}”?`;
}

for await (const order of createInterface({ input: process.stdin })) {
  process.stdout.write(`${await obey(order)}\n`);
}
process.exit(0);
