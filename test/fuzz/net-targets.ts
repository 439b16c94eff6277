/** Targets of the network's edge: DNS answers, a zone's texts, resolv.conf, the sockets that systemd hands over. */
import { isIP, isIPv4 } from "node:net";
import type { LookupAnswer } from "../../src/client/messages.ts";
import { readAnswer } from "../../src/dns/answer.ts";
import { serversOf } from "../../src/dns/resolv-conf.ts";
import { isAnswerTo } from "../../src/dns/transport.ts";
import { inheritedSockets } from "../../src/host/systemd.ts";
import { explanation } from "../../src/screening/dnsbl-zones.ts";
import { fitsOnLine } from "../../src/smtp/lines.ts";
import * as dns from "../dns/server.ts";
import { wire } from "../smtp/generators.ts";
import { environmentOf, hold, holdClean, type Json, same, type Target } from "./target.ts";

const name = "name.test";
const query = dns.messageOf(dns.say({})).fill(0, 2, 4);
const head = "\0\0\x81\x80\0\x01\0\x01\0\0\0\0\x04name\x04test\0";

const answers: readonly string[] = [
  dns.messageOf(dns.addresses(["127.0.0.2", "127.0.0.3"])),
  dns.messageOf(dns.aliased(["a.test", "b.test"], ["127.0.0.2"])),
  dns.messageOf(dns.texts([["a", "b"], ["c"]]), { type: "TXT" }),
  dns.messageOf(dns.nxdomain(dns.soa(300))),
].map((message) => message.toString("latin1"));

const dnsAnswers: Target = {
  name: "dns-answers",
  reads: "octets",
  words: [
    ...answers,
    `${head}\0\x01\0\x01`,
    `${head}\0\x10\0\x01`,
    "\xc0\x0c\0\x01\0\x01\0\0\x01\x2c\0\x04\x7f\0\0\x02",
    "\xc0\x0c\0\x10\0\x01\0\0\x01\x2c\0\x02\x01a",
    "\xc0\x0c\0\x05\0\x01\0\0\x01\x2c\0\x02",
    "\0\0\x06\0\x01",
    "\xc0\x0c",
    "\xc0\x1b",
    "\x04name\x04test\0",
    "\xff\xff\xff\xff",
    "\0\x04\x7f\0\0\x02",
    "\0",
    "\x01",
    "\x3f",
    "\xff",
  ],
  beginnings: ["", `${head}\0\x01\0\x01`, `${head.replace("\x01\0\x01\0", "\x01\0\xff\0")}\0\x10\0\x01`],
  read(input) {
    const message = wire(input);
    const [a, txt] = [readAnswer(message, name, "A"), readAnswer(message, name, "TXT")];
    same(message.toString("latin1"), input, "a message is not written to");
    for (const answer of [a, txt]) holdSound(answer, input);
    hold(a.kind !== "texts" && txt.kind !== "found", "what was asked for is answered", [a, txt]);
    const gives = { a: gist(a), txt: gist(txt), answersUs: isAnswerTo(message, query) };
    return { gives, shape: `${shapeOf(a)} ${shapeOf(txt)} ${gives.answersUs}` };
  },
};

function holdSound(answer: LookupAnswer, input: string): void {
  if (answer.kind === "trouble") {
    hold(/^[A-Za-z0-9 ]+$/.test(answer.reason), "trouble is told in our words", answer.reason);
    return;
  }
  if (answer.kind === "busy") throw new Error("reading waits for no room");
  hold(answer.ttlMs >= 60_000 && answer.ttlMs <= 3_600_000, "it holds for some time", answer.ttlMs);
  if (answer.kind === "found") {
    hold(answer.addresses.length * 15 <= input.length, "no more addresses than there is room for", answer);
    for (const address of answer.addresses) {
      const octets = String.fromCharCode(...address.split(".").map(Number));
      hold(isIPv4(address) && input.includes(`\0\x04${octets}`), "an address is a record's", address);
    }
  } else if (answer.kind === "texts") {
    hold(answer.texts.join("").length <= input.length, "texts are bounded", answer.texts.length);
    hold(
      answer.texts.every((text) => /^[\0-\xff]*$/.test(text)),
      "texts are octets",
      answer.texts,
    );
  }
}

function gist(answer: LookupAnswer): Json {
  if (answer.kind === "found") return answer.addresses;
  if (answer.kind === "texts") return answer.texts;
  return answer.kind === "none" ? null : answer.reason;
}

function shapeOf(answer: LookupAnswer): string {
  if (answer.kind === "trouble" || answer.kind === "busy") return answer.reason;
  if (answer.kind === "none") return `none ${answer.ttlMs === 60_000}`;
  return `${answer.kind} ${answer.kind === "found" ? Math.min(answer.addresses.length, 2) : answer.texts.length > 1}`;
}

const zone = { zone: "k3y.zen.example", shownName: "zen.example" };

const texts: Target = {
  name: "zone-texts",
  reads: "octets",
  words: [
    "k3y",
    "K3Y.ZEN.example",
    ".",
    "zen.example",
    "https://",
    "see ",
    " ",
    "\r\n",
    "\0",
    "\xe9",
    "x".repeat(90),
  ],
  beginnings: [""],
  read(input) {
    const told = explanation(input, zone);
    const text = told ?? "-";
    hold(/^[ -~]{1,200}$/.test(text) && fitsOnLine(text), "a reply line has room for it", text);
    hold(!text.toLowerCase().includes("k3y"), "the key is told to nobody", text);
    return {
      gives: told ?? null,
      shape: `${told === undefined} ${text.includes("(key)")} ${text.includes("?")} ${text.length === 200}`,
    };
  },
};

const resolvConf: Target = {
  name: "resolv-conf",
  reads: "text",
  words: [
    "nameserver ",
    "nameserver\t",
    "\n",
    " ",
    "#",
    ";",
    "192.0.2.1",
    "2001:db8::1",
    "fe80::1%eth0",
    "options ",
    "01",
    "\r",
    "é",
  ],
  beginnings: ["", "nameserver "],
  read(input) {
    const servers = serversOf(input);
    hold(servers.length >= 1 && servers.length <= 3, "there is one, and there are few", servers);
    hold(
      servers.every(({ address, port }) => isIP(address) !== 0 && port === 53),
      "they can be asked",
      servers,
    );
    const written = servers.map(({ address }) => `nameserver ${address}\n`).join("");
    same(serversOf(written), servers, "written again, they are read the same");
    const gives = servers.map(({ address }) => address);
    return { gives, shape: gives.map((address) => `${isIP(address)} ${address.includes("%")}`).join(", ") };
  },
};

const pid = 4711;

const systemd: Target = {
  name: "systemd",
  reads: "text",
  words: [
    `\0LISTEN_PID=${pid}`,
    "\0LISTEN_PID=",
    "\0LISTEN_FDS=1",
    "\0LISTEN_FDS=",
    "\0LISTEN_FDNAMES=",
    "2",
    "256",
    "257",
    "-1",
    "a:b",
    ":",
    "\x1b",
    "\x9b",
    "\u2028",
  ],
  beginnings: ["", "LISTEN_PID="],
  read(input) {
    const found = inheritedSockets(environmentOf(input), pid);
    if (found.ok) {
      same(found.sockets, [], "this process has no listening socket");
      return { gives: "not activated", shape: "not activated" };
    }
    holdClean(found.fault);
    // What our own descriptors are depends on who runs us.
    const gives = found.fault.replace(/^descriptor .*/s, "descriptor");
    return { gives, shape: gives.replaceAll(/"[^"]*"|\d+/g, "…") };
  },
};

export const netTargets: readonly Target[] = [dnsAnswers, texts, resolvConf, systemd];
