"""One SMTP session, told by lines of JSON on stdin: [from, [to...], file, [MAIL parameters...]].

Answers on stdout, a line each: the greeting's stage, then for every mail the replies to MAIL, to each RCPT and to the
end of mail data (an empty one where it did not come to that). Each begins with "+", so that an empty one is a line too.
"""

import json
import smtplib
import ssl
import sys


def tell(reply):
    code, text = reply
    sys.stdout.write("+%d %s\n" % (code, text.decode("latin1").replace("\n", " / ")))
    sys.stdout.flush()


def main():
    port, authority = int(sys.argv[1]), sys.argv[2]
    smtp = smtplib.SMTP("localhost", port, local_hostname="client.test", timeout=20)
    if authority:
        smtp.starttls(context=ssl.create_default_context(cafile=authority))
    tell(smtp.ehlo())
    for line in sys.stdin:
        reverse_path, forward_paths, path, parameters = json.loads(line)
        tell(smtp.mail(reverse_path, parameters))
        accepted = 0
        for forward_path in forward_paths:
            reply = smtp.rcpt(forward_path)
            accepted += reply[0] // 100 == 2
            tell(reply)
        if accepted:
            with open(path, "rb") as file:
                try:
                    tell(smtp.data(file.read()))
                except smtplib.SMTPDataError as error:
                    tell((error.smtp_code, error.smtp_error))
        else:
            smtp.rset()
            tell((0, b""))
    smtp.quit()


main()
