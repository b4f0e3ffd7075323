"""A mail as a job: what producers put and what the mailer takes."""

import dataclasses
import email.utils
import json
import re

DOMAIN = "insynchq.com"
# What is sure to be an address; stricter than what may be one.
ADDRESS = re.compile(r"(?=.{3,254}\Z)[\w!#$%&'*+/=?^`{|}~.-]{1,64}@[a-z\d-]+(\.[a-z\d-]+)+", re.ASCII | re.IGNORECASE)
_ID = re.compile(r"[A-Za-z0-9._-]{1,100}", re.ASCII)


class Malformed(Exception):
    """Not a mail; the message says why."""


@dataclasses.dataclass(frozen=True)
class Mail:
    """One mail. ``id`` is the producer's, the same for the same mail; ``sender`` may have a name before <address>."""

    id: str
    to: str
    subject: str
    text: str
    sender: str = f"noreply@{DOMAIN}"

    @property
    def envelope(self):
        """The sender's bare address."""
        return email.utils.parseaddr(self.sender)[1]

    def job(self):
        """Return the job's body (bytes)."""
        document = {"id": self.id, "from": self.sender, "to": self.to, "subject": self.subject, "text": self.text}
        return json.dumps(document).encode()


def parse(body):
    """Return the Mail of a job's ``body`` (bytes). Raises Malformed."""
    try:
        found = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as exc:
        raise Malformed(f"not JSON: {exc}") from exc
    if not isinstance(found, dict):
        raise Malformed("not a JSON object")
    texts = {key: _text(found, key) for key in ("id", "to", "subject", "text")}
    texts["sender"] = _text({"from": Mail.sender} | found, "from")
    mailing = Mail(**texts)
    for key, value, shape in (
        ("id", mailing.id, _ID),
        ("to", mailing.to, ADDRESS),
        ("from", mailing.envelope, ADDRESS),
    ):
        if not shape.fullmatch(value):
            raise Malformed(f"{key} is not good: {value[:80]!r}")
    for key, value in (("subject", mailing.subject), ("from", mailing.sender)):
        if re.search(r"[\x00-\x1f\x7f]", value):
            raise Malformed(f"{key} has a line break or control character")
    return mailing


def _text(found, key):
    value = found.get(key)
    if not isinstance(value, str):
        raise Malformed(f"no {key}" if value is None else f"{key} is not a text")
    try:
        value.encode()
    except UnicodeEncodeError as exc:
        raise Malformed(f"{key} is not Unicode") from exc
    return value
