"""Errors that nobody foresaw go to the Sentry server that the conf names; web neither needs it nor waits for it."""

import socket
import threading

import flask
import sentry_sdk
from insync_core import conf as conf_of
from insync_core import log
from insync_core.errors import Unavailable, reason
from sentry_sdk.transport import HttpTransport

NEEDS = {"host": str, "port": int, "project": str, "key": str, "environment": str}


class Transport(HttpTransport):
    """Sends in a thread of its own; what comes while a hundred wait is dropped."""

    TIMEOUT = 3


OPTIONS = {
    "transport": Transport,
    # Passwords are in variables, addresses in what is sent: neither leaves.
    "include_local_variables": False,
    "max_request_body_size": "never",
    "default_integrations": False,
    "auto_session_tracking": False,
    "send_client_reports": False,
}


class Reports:
    """
    Sends errors with the release and the server that they happened in.

    release (str): name and version. conf (Conf). ca_file (str): the authority that vouches for the Sentry server.
    """

    def __init__(self, release, conf, ca_file):
        self._options = {**OPTIONS, "release": release, "ca_certs": ca_file, "server_name": socket.gethostname()}
        self._conf = conf
        self._follows = None
        self._lock = threading.Lock()

    def send(self, exc):
        """Queue ``exc`` (Exception), which the request in hand ended with; never raises."""
        try:
            if self._is_on():
                with sentry_sdk.new_scope() as scope:
                    scope.set_transaction_name(f"{flask.request.method} {flask.request.path}")
                    scope.capture_exception(exc)
        except Exception as trouble:
            log.say("sentry", trouble=f"{type(trouble).__name__}: {reason(trouble)}")

    def _is_on(self):
        """Whether the conf names a server; what has changed there holds from now on."""
        try:
            wanted = self._conf.values().get("sentry")
        except Unavailable:
            return False
        with self._lock:
            if wanted != self._follows:
                self._follows = wanted
                self._follow(wanted)
        return sentry_sdk.is_initialized()

    def _follow(self, wanted):
        trouble = conf_of.problem(wanted, NEEDS, "sentry.") if wanted is not None else "the conf names none"
        if trouble:
            log.say("sentry", trouble=trouble)
        # Without an address nothing is sent.
        where = "" if trouble else "https://{key}@{host}:{port}/{project}".format(**wanted)
        environment = None if trouble else wanted["environment"]
        sentry_sdk.init(dsn=where, environment=environment, **self._options)
