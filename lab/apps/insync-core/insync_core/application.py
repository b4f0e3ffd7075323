"""The Flask application that every HTTP service begins with."""

import flask
import werkzeug.exceptions

from insync_core import drills, faults, log
from insync_core.errors import Unavailable, reason
from insync_core.identity import Identity
from insync_core.readiness import Readiness


def create(name, build, checks, conf=None, drills_below=None, optional=(), report=None):
    """
    Return a Flask application with /healthz, /readyz, /version and errors as JSON.

    name (str): of the distribution.
    build (module): its _build.
    checks (dict): what Readiness asks, beside the conf.
    conf (Conf): the application's, if it has one.
    drills_below (str): the path before /slow, /receipt and /boom; None where none is answered.
    optional (collection of str): the checks of what it can do without.
    report (callable): gets an exception that nobody foresaw.
    """
    faults.imported(build.FAULT)
    app = flask.Flask(name)
    app.config["MAX_CONTENT_LENGTH"] = 1 << 20
    app.json.sort_keys = False
    checks = {**({"conf": conf.check} if conf else {}), **checks}
    readiness = Readiness(checks, build.FAULT, optional)
    identity = Identity(name, build, readiness, (lambda: conf.current().rev) if conf else _none)
    app.add_url_rule("/healthz", "healthz", lambda: _reply(identity.healthz(flask.request.args.get("release"))))
    app.add_url_rule("/readyz", "readyz", lambda: _reply(identity.readyz()))
    app.add_url_rule("/version", "version", lambda: _reply(identity.version()))
    if drills_below is not None:
        app.add_url_rule(f"{drills_below}/slow", "slow", _slow)
        app.add_url_rule(f"{drills_below}/receipt", "receipt", _receipt, methods=["POST"])
        app.add_url_rule(f"{drills_below}/boom", "boom", drills.boom)
    app.register_error_handler(Unavailable, _missing)
    app.register_error_handler(werkzeug.exceptions.HTTPException, _http)

    @app.errorhandler(Exception)
    def unexpected(exc):
        log.say("error", type=type(exc).__name__, reason=reason(exc), path=flask.request.path)
        if report:
            report(exc)
        return {"error": "internal error"}, 500

    @app.before_request
    def fail():
        if faults.answered(build.FAULT, flask.request.path):
            flask.abort(500)

    @app.after_request
    def stamp(response):
        response.headers["X-Insync-Release"] = identity.stamp
        return response

    return app


def _reply(answer):
    status, document = answer
    response = flask.jsonify(document)
    response.status_code = status
    response.headers["Cache-Control"] = "no-store"
    return response


def _slow():
    return drills.slow(flask.request.args.get("seconds", "1"))


def _receipt():
    return drills.receipt(flask.request.get_json(silent=True))


def _missing(exc):
    log.say("missing", name=exc.name, reason=exc.reason, path=flask.request.path)
    return {"error": str(exc), "missing": exc.name}, 503


def _http(exc):
    if exc.code is None or exc.code < 400:
        return exc
    return {"error": exc.description}, exc.code


def _none():
    return None
