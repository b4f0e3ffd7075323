"""hgweb behind nginx, which has asked for a password and says whose it was. Managed by Salt."""

from mercurial.hgweb import hgwebdir_mod

_CONFIG = b"/etc/hg/hgweb.config"
_hgweb = hgwebdir_mod.hgwebdir(_CONFIG)


def application(environ, start_response):
    """Answer a request as WSGI says. Only nginx can reach the socket, and it sets this header in every request."""
    environ["REMOTE_USER"] = environ.pop("HTTP_X_REMOTE_USER", "")

    def start(status, headers, exc_info=None):
        # They are known, and may not: with 401 hg would hide the reason and ask for another password.
        if status.startswith("401 "):
            status = f"403 {status[4:]}"
        return start_response(status, headers, exc_info)

    return _hgweb(environ, start)
