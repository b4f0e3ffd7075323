"""Connections to beanstalkd, with short time limits."""

import contextlib
import socket

import greenstalk

from insync_core.errors import needed

NEEDS = {"host": str, "port": int, "tube": str}
SECONDS = 2
# What may take a mailer so long: ten answers of the SMTP server, ten seconds each.
TTR = 120


def connect(conf, wait=0):
    """
    Return a greenstalk.Client that uses the tube; job bodies are bytes.

    conf (dict): what NEEDS names.
    wait (int): seconds that it will reserve for; without, it is none of the tube's workers, and does not watch it.
    Raises Unavailable.
    """
    with needed("beanstalkd", greenstalk.Error):
        connection = socket.create_connection((conf["host"], conf["port"]), timeout=SECONDS)
        try:
            connection.settimeout(SECONDS + wait)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            watch = conf["tube"] if wait else "default"
            return greenstalk.Client(connection, encoding=None, use=conf["tube"], watch=watch)
        except BaseException:
            connection.close()
            raise


def check(conf):
    """Return a detail for readiness. Raises Unavailable."""
    with contextlib.closing(connect(conf)):
        return f"{conf['host']} tube {conf['tube']}"
