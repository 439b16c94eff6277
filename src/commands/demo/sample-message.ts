/**
 * The message that the demo sends when it is given none, and the key that its DKIM signature verifies with.
 * Written by test/commands/sign-sample.ts; the private key is gone. test/messages/signed.eml is the same message.
 */
import type { DkimKeys } from "./dkim.ts";

const lines: readonly string[] = [
  "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=demo.example; s=throwaway;",
  "\th=from:to:subject:date:message-id:mime-version:content-type;",
  "\tbh=2h3MCsOfwUjvUsyZf30ytK/dfrJmzA4JrHiOip1nlUI=;",
  "\tb=ZMRsA+2x/CSWXS+qqMCOcJUAStvJ6ip2G3WFnOtbnxchlSsaO0xN/r+Polt+wTkYQyiFZP",
  "\t +hDOgTkV0WykSZvz11+2eoWrK37iFO/Kt0h9mD/EAr/6HDwWZsqlnVSxo7rP9NNWAQp7Kx",
  "\t jThR9uw2P0ZjZ7C3KI5gQ+yDhpGk3ApF0i/ylxu1ikkTnUcz8vhLDY0AndjggkbKQJ98OL",
  "\t MHlC7DFEaKWinr4z7efG6kNF85pTpT7SjorpxFzmDPDtmytGDYpSgWCjeyuk9YQwnhrU2w",
  "\t JYT2pFPLhZ128mLkMgU5aV1Sp0YAegguUsOZ/YuDu6VDAAs0GvMv+8n5ORTsSQ==",
  "From: =?utf-8?Q?Zo=C3=AB_Ackermann?= <zoe@demo.example>",
  "To: Postmaster <postmaster@recipient.example>",
  "Subject: The picture you asked for,",
  " and a line that begins with a dot",
  "Date: Mon, 23 Nov 2026 09:30:00 +0100",
  "Message-ID: <sample-1@demo.example>",
  "MIME-Version: 1.0",
  'Content-Type: multipart/mixed; boundary="=_sample_1"',
  "",
  "This is a message in several parts, as MIME has it.",
  "--=_sample_1",
  "Content-Type: text/plain; charset=utf-8",
  "Content-Transfer-Encoding: 8bit",
  "",
  "Guten Tag,",
  "",
  "the picture is attached. This text has octets beyond ASCII: äöü, 漢字, €.",
  "The next two lines begin with a dot, which SMTP has to double on its way:",
  ".",
  "..hidden",
  "",
  "White space at a line's end is kept too:  \t ",
  "Zoë",
  "--=_sample_1",
  'Content-Type: image/png; name="picture.png"',
  'Content-Disposition: attachment; filename="picture.png"',
  "Content-Transfer-Encoding: base64",
  "",
  "iVBORw0KGgoAAAANSUhEUgAAADAAAAAwCAAAAAByaaZbAAAA30lEQVR42pXK0UYDAABA0WsmmUkm",
  "yWSSJMkkySQzSZIkyWQmmSTJzEwmk2SSmSRJkmRmMjOTSaaP6xvueT4QCA4Nh8Ijo5Gx8YnoZGxq",
  "emZ2bn4hvri0vJJYXUum1jc2t7Z3dvf2D9KHmeyR/cfIn0P+E+Q/Rf4z5D9H/gvkzyN/AfmLyF9C",
  "/kvkLyP/FfJXkP8a+W+Q/xb5q8h/h/z3yF9D/jryPyD/I/I/If8z8r8g/yvyvyH/O/J/IP8n8jeQ",
  "v4n8LeT/Qv428neQv4v8PeT/Rv4+8v8g/y/yD5D/7x9gZE4uXI+RdgAAAABJRU5ErkJggg==",
  "--=_sample_1--",
  "",
];

export const sampleMessage: Buffer = Buffer.from(lines.join("\r\n"), "utf8");

const publicKey: readonly string[] = [
  "-----BEGIN PUBLIC KEY-----",
  "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAp40lZrOo627AZDazjTb1",
  "xWr904o82x4BMrTFXu2JJwmV/QiEbvppgrbehj2B10yELCZ91922TMITCZSFTBEE",
  "lGINZU2Asz96GEx5111F8Nbr+wfVe4c/Hk1QlhjngpjbdCePA9BIxaO9FmjemlBf",
  "8EkMJ3VjOYWTAfH/gZ9dB5bLRSwqhNgFbz0+YnlycOgj0szwrpDdLwChHTL9gMcR",
  "hR+agZIo/fzCfwRRXmqxDM2SDCmR2RbRN4wHsSDtJOi+3iuJf5Fyu4m46LML4lA0",
  "D20G/+Qz40qithi8oJHw+4KpNfROr/Fj3mJmsMsuL/1Bl9nWDBa11lP4Xmk7ZO7d",
  "BwIDAQAB",
  "-----END PUBLIC KEY-----",
];

export const sampleKeys: DkimKeys = new Map([["throwaway._domainkey.demo.example", publicKey.join("\n")]]);
