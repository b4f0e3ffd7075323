"""Sending one mail by SMTP: STARTTLS, AUTH, and what the server's refusal means."""

import contextlib
import email.message
import email.utils
import smtplib
import ssl

from insync_core import mail
from insync_core.errors import Unavailable, needed, reason

NEEDS = {"host": str, "port": int, "user": str, "password": str}
SECONDS = 10
# These are about the service or about who we are, not about this mail.
_OF_THE_SERVICE = {421, 454, 530, 534, 535, 538}


class Later(Exception):
    """The server does not take this mail now (4xx)."""


class HungUp(Exception):
    """The server ended at this mail: that may be the mail's fault or not."""


class Never(Exception):
    """The server does not take this mail (5xx), or it cannot be sent at all."""


def send(conf, mailing):
    """
    Send ``mailing`` (insync_core.mail.Mail).

    conf (dict): what NEEDS names.
    Raises Later, Never, HungUp, or Unavailable where it is not about this mail.
    """
    try:
        message = compose(mailing)
    except ValueError as exc:
        raise Never(f"cannot be written as a mail: {reason(exc)}") from exc
    with session(conf) as server:
        try:
            server.send_message(message, mailing.envelope, [mailing.to])
        except smtplib.SMTPRecipientsRefused as exc:
            raise _refused(*exc.recipients[mailing.to]) from exc
        except smtplib.SMTPResponseException as exc:
            raise _refused(exc.smtp_code, exc.smtp_error) from exc
        except (smtplib.SMTPServerDisconnected, OSError) as exc:
            raise HungUp(reason(exc)) from exc


def check(conf):
    """Return a detail for readiness: the server takes our name and password. Raises Unavailable."""
    with session(conf):
        return f"{conf['host']} as {conf['user']}"


def compose(mailing):
    """Return the message; its Message-ID follows from the mail's id."""
    message = email.message.EmailMessage()
    message["From"] = mailing.sender
    message["To"] = mailing.to
    message["Subject"] = mailing.subject
    message["Date"] = email.utils.localtime()
    message["Message-ID"] = f"<{mailing.id}@{mail.DOMAIN}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mailing.text, cte="quoted-printable")
    return message


@contextlib.contextmanager
def session(conf):
    """Give a session that is encrypted and logged in. Raises Unavailable."""
    with needed("smtp", smtplib.SMTPException):
        server = smtplib.SMTP(conf["host"], conf["port"], timeout=SECONDS)
        try:
            with _said():
                server.starttls(context=ssl.create_default_context())
                server.login(conf["user"], conf["password"])
            yield server
            # The server has answered for the mail already: how it says goodbye changes nothing.
            with contextlib.suppress(OSError, smtplib.SMTPException):
                server.quit()
        finally:
            server.close()


@contextlib.contextmanager
def _said():
    """The server's own words are bytes; the error is to be text."""
    try:
        yield
    except smtplib.SMTPResponseException as exc:
        raise Unavailable("smtp", _words(exc.smtp_code, exc.smtp_error)) from exc


def _refused(code, said):
    words = _words(code, said)
    if code in _OF_THE_SERVICE or not 400 <= code < 600:
        return Unavailable("smtp", words)
    return Later(words) if code < 500 else Never(words)


def _words(code, said):
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return reason(Exception(f"{code} {text}"))
