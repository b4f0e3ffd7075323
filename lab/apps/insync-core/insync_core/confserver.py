"""One question to the conf server: HTTPS only, its certificate checked, a time limit, the token in a header."""

import http.client
import json
import ssl
import urllib.parse

SECONDS = 2


class Refused(Exception):
    """The conf server answered, but not with what was asked for; ``status`` is HTTP's."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Unreachable(Exception):
    """There was no answer that can be trusted."""


def ask(url, token, ca_file, *, method="GET", body=None, etag=None, seconds=SECONDS):
    """
    Return (answer, etag); the answer is None where ``etag`` still is right.

    body: what is sent as JSON.
    Raises Refused or Unreachable.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise Unreachable(f"{url}: not an https address")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    headers |= {"If-None-Match": etag} if etag else {}
    try:
        context = ssl.create_default_context(cafile=ca_file)
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=seconds, context=context)
        try:
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request(method, path, body=None if body is None else json.dumps(body), headers=headers)
            reply = connection.getresponse()
            return _answer(reply.status, reply.read()), reply.headers.get("ETag")
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as exc:
        raise Unreachable(f"{parts.netloc}: {exc or type(exc).__name__}") from exc


def _answer(status, content):
    if status == 304:
        return None
    document = json.loads(content) if status < 500 else {}
    if status in (200, 201):
        return document
    message = document.get("error") if isinstance(document, dict) else None
    raise Refused(status, message or f"the conf server answers {status}")
