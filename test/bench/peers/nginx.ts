/**
 * nginx with one worker, twice: the stream module copies octets; the mail module speaks SMTP up to the first RCPT,
 * asks a web service where to go, and copies octets from then on. That service is here; its cost is not nginx's.
 */
import { existsSync, writeFileSync } from "node:fs";
import { commandPath } from "../../peers/support/suite.ts";
import type { PeerSettings } from "./peer.ts";
import { programPeer } from "./program-peer.ts";

const modules = "/usr/lib/nginx/modules";

function missing(module: string): string | undefined {
  if (commandPath("nginx") === undefined) return "nginx is not installed";
  return existsSync(`${modules}/${module}`) ? undefined : `nginx has no ${module}`;
}

function invocation(folder: string, module: string, sessions: number, block: string): string[] {
  const file = `${folder}/nginx.conf`;
  writeFileSync(
    file,
    `load_module ${modules}/${module};
daemon off;
user root;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events { worker_connections ${2 * sessions + 300}; }
${block}
`,
  );
  return [commandPath("nginx") ?? "nginx", "-c", file, "-e", `${folder}/error.log`];
}

export const nginxStream = programPeer({
  name: "nginx-stream",
  missing: () => missing("ngx_stream_module.so"),
  speaks: ["none"],
  binary: () => commandPath("nginx") ?? "",
  invoke: ({ relayPort, sessions }, port, folder) => {
    const server = `listen 127.0.0.1:${port}; proxy_pass 127.0.0.1:${relayPort}; proxy_timeout 1h;`;
    return {
      command: invocation(folder, "ngx_stream_module.so", sessions, `stream { server { ${server} } }`),
    };
  },
});

export const nginxMail = programPeer({
  name: "nginx-mail",
  missing: () => missing("ngx_mail_module.so"),
  speaks: ["none", "in"],
  binary: () => commandPath("nginx") ?? "",
  invoke: (settings, port, folder) => {
    const service = whereTo(settings.relayPort);
    const command = invocation(
      folder,
      "ngx_mail_module.so",
      settings.sessions,
      mailBlock(settings, port, service.port ?? 0),
    );
    return { command, stop: () => service.stop(true) };
  },
});

function mailBlock({ tls, certificate }: PeerSettings, port: number, servicePort: number): string {
  const starttls = `starttls on; ssl_certificate ${certificate.cert}; ssl_certificate_key ${certificate.key};`;
  return `mail {
  server_name proxy.test;
  auth_http 127.0.0.1:${servicePort}/;
  proxy_pass_error_message on;
  timeout 1h;
  proxy_timeout 1h;
  server {
    listen 127.0.0.1:${port};
    protocol smtp;
    smtp_auth none;
    smtp_capabilities PIPELINING 8BITMIME "SIZE 200000000";
    xclient off;
    ${tls === "in" ? starttls : ""}
  }
}`;
}

/** nginx's auth_http: every mail goes to the relay. */
function whereTo(relayPort: number) {
  const headers = { "Auth-Status": "OK", "Auth-Server": "127.0.0.1", "Auth-Port": `${relayPort}` };
  return Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response(null, { headers }) });
}
