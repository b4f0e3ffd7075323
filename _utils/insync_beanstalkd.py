"""beanstalkd's protocol, as far as operators need it; the programs that queue and take jobs have their own clients."""

import contextlib
import re
import socket

SECONDS = 5
TUBE = re.compile(r"[A-Za-z0-9+/;.$_()][A-Za-z0-9+/;.$_()-]{0,199}", re.ASCII)
_WITH_BODY = ("OK", "FOUND")


class QueueError(Exception):
    """The queue does not answer, or not with what was asked for; the message says which."""


class NotFoundError(QueueError):
    """There is no such tube or job."""


class Queue:
    """A connection to beanstalkd."""

    def __init__(self, connection, name):
        self._connection, self._file, self._name = connection, connection.makefile("rb"), name

    def stats(self):
        """Return what the server says of itself (dict of str). Raises QueueError."""
        return _mapping(self._ask("stats", "OK"))

    def tubes(self):
        """Return the names of the tubes that there are (list of str), sorted. Raises QueueError."""
        lines = self._ask("list-tubes", "OK").decode().splitlines()
        return sorted(line[2:].strip().strip('"') for line in lines if line.startswith("- "))

    def tube(self, name):
        """Return what the server says of the tube ``name`` (dict of str). Raises QueueError."""
        return _mapping(self._ask(f"stats-tube {name}", "OK"))

    def age(self, name, kind):
        """Return for how many seconds the first job of the tube ``name`` that is ``kind`` (ready, buried) is there."""
        self._ask(f"use {name}", "USING")
        # It may be taken between the questions: the next one is asked for.
        for _ in range(20):
            with contextlib.suppress(NotFoundError):
                job = self._first(kind)
                return 0 if job is None else int(_mapping(self._ask(f"stats-job {job}", "OK"))["age"])
        return 0

    def kick(self, name, limit):
        """
        Let at most ``limit`` (int) buried jobs of the tube ``name`` be tried again; return how many they are.

        Raises QueueError.
        """
        self._ask(f"use {name}", "USING")
        kicked = 0
        # One by one: `kick`, where nothing is buried any more, would shorten the delay of others.
        while kicked < limit and (job := self._first("buried")) is not None:
            with contextlib.suppress(NotFoundError):
                self._ask(f"kick-job {job}", "KICKED")
                kicked += 1
        return kicked

    def takes(self, name):
        """Return whether it takes a job, into the tube ``name``, which nobody watches; it is deleted at once."""
        self._ask(f"use {name}", "USING")
        (said, *number), _ = self._answer("put 0 0 60 5\r\nprobe")
        # One that could not be written is left alone: beanstalkd 1.12 has it in two places, and deletes it from one.
        if said == "INSERTED":
            self._said(f"delete {number[0]}", "DELETED")
        return said == "INSERTED"

    def _first(self, kind):
        """The number of the first job that is ``kind``, of the tube in use, as text; None if there is none."""
        try:
            words, _ = self._answer(f"peek-{kind}")
        except NotFoundError:
            return None
        return words[1] if words[0] == "FOUND" else None

    def _ask(self, command, wanted):
        return self._said(command, wanted)[1]

    def _said(self, command, wanted):
        words, body = self._answer(command)
        if words[0] != wanted:
            raise QueueError(f"{self._name} answers {' '.join(words)} to {command.split()[0]}")
        return words, body

    def _answer(self, command):
        with _reached(self._name):
            self._connection.sendall(f"{command}\r\n".encode())
            line = self._file.readline()
            if not line.endswith(b"\r\n"):
                raise OSError("it ended the connection")
            words = line.decode("utf-8", "replace").split() or [""]
            body = self._file.read(int(words[-1]) + 2)[:-2] if words[0] in _WITH_BODY else b""
        if words[0] == "NOT_FOUND":
            raise NotFoundError(f"{self._name} knows nothing of {command}")
        return words, body


@contextlib.contextmanager
def connected(address, port):
    """Give a Queue of the server at ``address`` (str) and ``port`` (int). Raises QueueError."""
    name = f"beanstalkd at {address}:{port}"
    with _reached(name):
        connection = socket.create_connection((address, port), timeout=SECONDS)
    with connection:
        yield Queue(connection, name)


@contextlib.contextmanager
def _reached(name):
    try:
        yield
    except (OSError, ValueError) as exc:
        raise QueueError(f"{name} does not answer: {getattr(exc, 'strerror', None) or exc}") from exc


def _mapping(body):
    """What is in YAML, with one key a line."""
    pairs = (line.partition(": ") for line in body.decode("utf-8", "replace").splitlines())
    return {key: value.strip().strip('"') for key, separator, value in pairs if separator}
