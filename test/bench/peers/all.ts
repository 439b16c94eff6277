/** All peers, in the order in which tables and plots have them. */
import { bareTcp, bareTls } from "./bare.ts";
import { direct } from "./direct.ts";
import { haproxy } from "./haproxy.ts";
import { nginxMail, nginxStream } from "./nginx.ts";
import type { Peer } from "./peer.ts";
import { postfix } from "./postfix.ts";
import { smtpproxy } from "./smtpproxy.ts";

export const allPeers: readonly Peer[] = [
  direct,
  smtpproxy,
  haproxy,
  nginxStream,
  bareTcp,
  bareTls,
  nginxMail,
  postfix,
];
