/** A client for what no decent client sends: raw octets over one connection. */
import { connect, type Socket } from "node:net";
import { eventually } from "./workplace.ts";

const lastLine = /^\d{3}(?: .*)?\r\n$/m;

/** Sends each part once the reply to the one before is there. Gives the replies, the greeting first. */
export async function talk(port: number, parts: readonly string[]): Promise<string[]> {
  const socket = connect(port, "127.0.0.1");
  let heard = "";
  socket.on("data", (octets: Buffer) => {
    heard += octets.toString("latin1");
  });
  socket.on("error", () => {});
  const replies: string[] = [];
  for (const part of [undefined, ...parts]) {
    heard = "";
    if (part !== undefined) socket.write(part, "latin1");
    await eventually(
      () => lastLine.test(heard) || isOver(socket),
      () => `a reply to ${JSON.stringify(part)}: ${heard}`,
    );
    replies.push(heard);
  }
  socket.destroy();
  return replies;
}

function isOver(socket: Socket): boolean {
  return socket.destroyed || socket.readableEnded;
}
