"""Asking an application on this network over HTTP, until it answers as it should."""

import http.client
import ssl
import time
import urllib.parse

SECONDS = 5


class NotReady(ValueError):
    """It does not answer as it should; the message says what it was asked and what it answered."""


def wait_for(url, deadline, answers=1, ca=None):
    """
    Return when ``url`` (str) was answered with 200, ``answers`` (int) times in a row.

    deadline (float): time.monotonic() at which it is given up; one that has passed allows one attempt.
    ca (str): file with the certificate of the authority that vouches for an https URL.
    Raises NotReady with the last answer.
    """
    good = 0
    while True:
        status, said = get(url, ca)
        good = good + 1 if status == 200 else 0
        if good >= answers:
            return
        if not good and time.monotonic() >= deadline:
            told = " ".join(said.split())[:1000]
            raise NotReady(f"GET {url}: {status or ''} {told}".replace(":  ", ": "))
        time.sleep(0.05)


def get(url, ca=None):
    """
    Ask ``url`` (str) once; return (status, text) of the answer (int, str), (0, why not) if none comes.

    ca: as for ``wait_for``. The text is what the first 2000 bytes say.
    """
    return _asked("GET", url, ca)


def post(url, form, ca=None):
    """Send ``form`` (dict of str) to ``url`` (str) once; otherwise as ``get``."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return _asked("POST", url, ca, urllib.parse.urlencode(form), headers)


def _asked(method, url, ca, body=None, headers=None):
    parts = urllib.parse.urlsplit(url)
    connection = _connection(parts, ca)
    try:
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read(2000).decode(errors="replace")
    except (OSError, http.client.HTTPException) as exc:
        return 0, str(exc) or type(exc).__name__
    finally:
        connection.close()


def _connection(parts, ca):
    if parts.scheme != "https":
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=SECONDS)
    context = ssl.create_default_context(cafile=ca)
    return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=SECONDS, context=context)
