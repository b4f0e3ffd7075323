"""Asking an application on this network over plain HTTP, until it answers as it should."""

import http.client
import time
import urllib.parse

SECONDS = 5


class NotReady(ValueError):
    """It does not answer as it should; the message says what it was asked and what it answered."""


def wait_for(url, deadline, answers=1):
    """
    Return when ``url`` (str) was answered with 200, ``answers`` (int) times in a row.

    deadline (float): time.monotonic() at which it is given up; one that has passed allows one attempt.
    Raises NotReady with the last answer.
    """
    good = 0
    while True:
        status, said = _get(url)
        good = good + 1 if status == 200 else 0
        if good >= answers:
            return
        if not good and time.monotonic() >= deadline:
            raise NotReady(f"GET {url}: {said}")
        time.sleep(0.05)


def _get(url):
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=SECONDS)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}" if parts.query else parts.path)
        answer = connection.getresponse()
        return answer.status, f"{answer.status} {' '.join(answer.read(2000).decode(errors='replace').split())[:1000]}"
    except (OSError, http.client.HTTPException) as exc:
        return 0, str(exc) or type(exc).__name__
    finally:
        connection.close()
