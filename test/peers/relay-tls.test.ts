/**
 * Relays whose TLS is OpenSSL's and breaks: one that wants a client certificate, under TLS 1.2 and 1.3, one whose
 * certificate may not be used for what it is used for, and one that speaks no TLS where TLS is expected. Opportunistic
 * TLS sends the mail without, at once, and says why; the other modes send nothing.
 */
import { afterAll, expect, test } from "bun:test";
import { connect, createServer, type Server, type Socket } from "node:net";
import { ScriptedRelay } from "../shell/scripted-relay.ts";
import { headed } from "./support/messages.ts";
import { Program } from "./support/process.ts";
import { ProxyUnderTest } from "./support/proxy.ts";
import { needsPython, sendOne } from "./support/smtplib.ts";
import { command, withPeers } from "./support/suite.ts";
import { freePort, run, Workplace } from "./support/workplace.ts";

const message = headed("hello", "hello\r\n");
const keyUsage = "keyUsage=critical,keyEncipherment";

interface Broken {
  readonly name: string;
  /** Further arguments of `openssl s_server`. */
  readonly server: readonly string[];
  readonly extension?: string;
  readonly reason: RegExp;
}

const broken: readonly Broken[] = [
  {
    name: "wants a client certificate, under TLS 1.3",
    server: ["-tls1_3", "-Verify", "1", "-verify_return_error"],
    reason: /^TLS with the relay failed right behind the handshake, as if it wanted a client certificate: /,
  },
  {
    name: "wants a client certificate, under TLS 1.2",
    server: ["-tls1_2", "-Verify", "1", "-verify_return_error"],
    reason: /^TLS handshake with the relay failed: .*client certificate \(EPROTO: /,
  },
  {
    name: "has a certificate that may not sign",
    server: [],
    extension: keyUsage,
    reason:
      /^TLS handshake with the relay failed: .* \(EPROTO: key usage bit incorrect\): it lacks digitalSignature/,
  },
];

withPeers("relays whose TLS breaks", [command("openssl"), ...needsPython], () => {
  const place = new Workplace();
  afterAll(() => place.close());

  /** A relay that offers STARTTLS; what follows its 220 is `openssl s_server`'s. */
  async function relayWith({
    server,
    extension,
  }: Broken): Promise<ScriptedRelay & { readonly front: number }> {
    const folder = place.subfolder("tls");
    const [cert, key] = [`${folder}/cert.pem`, `${folder}/key.pem`];
    run([
      ...["openssl", "req", "-x509", "-nodes", "-days", "30", "-subj", "/CN=relay.test"],
      ...["-newkey", "rsa:2048", "-keyout", key, "-out", cert],
      ...["-addext", "subjectAltName=DNS:relay.test,IP:127.0.0.1"],
      ...(extension === undefined ? [] : ["-addext", extension]),
    ]);
    const port = await freePort();
    const openssl = new Program({
      command: [
        "openssl",
        "s_server",
        "-www",
        "-accept",
        `127.0.0.1:${port}`,
        "-cert",
        cert,
        "-key",
        key,
        ...server,
      ],
      logFile: `${folder}/log`,
    });
    place.onClose(async () => void (await openssl.stop()));
    await openssl.until(() => openssl.output.includes("ACCEPT"), "openssl listens");
    const relay = await ScriptedRelay.start({ keywords: ["PIPELINING", "STARTTLS"] });
    place.onClose(async () => relay.stop());
    const front = await splice(relay.port, port);
    place.onClose(async () => void front.close());
    const address = front.address();
    if (address === null || typeof address === "string") throw new Error("nothing listens");
    return Object.assign(relay, { front: address.port });
  }

  for (const peer of broken) {
    test(`opportunistic: a relay that ${peer.name} gets the mail without TLS, at once`, async () => {
      const relay = await relayWith(peer);
      const proxy = await ProxyUnderTest.start(place, { RELAY_HOST: `127.0.0.1:${relay.front}` });
      for (let mail = 0; mail < 2; mail += 1) {
        const answers = await sendOne(place, proxy, { from: "a@client.test", to: ["b@relay.test"], message });
        expect(answers.data).toStartWith("250 ");
      }
      expect(relay.mails.map(({ secured }) => secured)).toEqual([false, false]);
      expect(proxy.transactions().map((fields) => fields.get("relay_tls"))).toEqual(["none", "none"]);
      const [failed, ...others] = proxy.events("relay-failed");
      expect(failed?.get("reason")).toMatch(peer.reason);
      expect(others).toEqual([]);
      expect(proxy.events("relay-plaintext").map((fields) => fields.get("reason"))).toEqual([
        failed?.get("reason"),
      ]);
    });

    test(`required: a relay that ${peer.name} gets nothing`, async () => {
      const relay = await relayWith(peer);
      const proxy = await ProxyUnderTest.start(place, {
        RELAY_HOST: `127.0.0.1:${relay.front}`,
        RELAY_TLS: "required",
      });
      const answers = await sendOne(place, proxy, { from: "a@client.test", to: ["b@relay.test"], message });
      expect(answers.rcpt).toEqual([expect.stringMatching(/^451 4\.4\.1 /)]);
      expect(relay.mails).toEqual([]);
      expect(proxy.events("relay-failed")[0]?.get("reason")).toMatch(peer.reason);
      expect(relay.talks.flatMap(({ lines }) => lines).filter((line) => line.startsWith("MAIL"))).toEqual([]);
    });
  }

  test("implicit TLS where the relay speaks none: the reason says what is set wrong", async () => {
    const relay = await ScriptedRelay.start();
    place.onClose(async () => relay.stop());
    const proxy = await ProxyUnderTest.start(place, {
      RELAY_HOST: `127.0.0.1:${relay.port}`,
      RELAY_TLS: "implicit",
    });
    const answers = await sendOne(place, proxy, { from: "a@client.test", to: ["b@relay.test"], message });
    expect(answers.rcpt).toEqual([expect.stringMatching(/^451 4\.4\.1 /)]);
    expect(proxy.events("relay-failed")[0]?.get("reason")).toBe(
      "TLS handshake with the relay failed: the peer does not speak TLS here (EPROTO: wrong version number): the relay does not speak TLS at this port; RELAY_TLS=opportunistic or required uses STARTTLS",
    );
  });
});

/** Passes everything on to `plainPort`, but for STARTTLS: it is answered here, and what follows goes to `tlsPort`. */
function splice(plainPort: number, tlsPort: number): Promise<Server> {
  const server = createServer((client) => {
    let behind = connected(client, plainPort);
    let isPlain = true;
    client.on("data", (octets: Buffer) => {
      if (!isPlain || !octets.toString("latin1").startsWith("STARTTLS\r\n")) {
        behind.write(octets);
        return;
      }
      isPlain = false;
      behind.removeAllListeners("end");
      behind.destroy();
      behind = connected(client, tlsPort);
      client.write("220 2.0.0 go ahead\r\n");
    });
    client.on("error", () => behind.destroy());
    client.on("close", () => behind.destroy());
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

function connected(client: Socket, port: number): Socket {
  const behind = connect(port, "127.0.0.1");
  behind.on("data", (octets: Buffer) => void client.write(octets));
  behind.on("end", () => void client.end());
  behind.on("error", () => client.destroy());
  return behind;
}
