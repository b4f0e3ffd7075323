"""
What gunicorn serves: conf by namespace, to who has the token of it.

GET    /v1/conf/NS                {rev, conf}, with an ETag
PATCH  /v1/conf/NS                add and update the keys in the body, never remove one; ?prune=1 removes the others
DELETE /v1/conf/NS?key=K&prune=1  remove the named keys
GET    /v1/conf/NS/revs           the revisions
POST   /v1/conf/NS/revert/REV     a new revision like an older one
Changes are for `admin` only; with ?dry_run=1 they are only said.
"""

import hashlib
import hmac
import json
import sys

import flask
from insync_core import application, log, settings

from insync_conf_server import _build, values
from insync_conf_server.store import NoRevision, Store

ADMIN = "admin"


def _settings():
    try:
        found = settings.read()
        store = Store(settings.state() / "conf.db")
        namespaces, tokens = set(found["namespaces"]), dict(found["tokens"])
        hashes = {name: bytes.fromhex(text) for name, text in tokens.items()}
    except (settings.SettingsError, KeyError, TypeError, ValueError) as exc:
        sys.exit(f"settings: {type(exc).__name__}: {exc}")
    return store, namespaces, hashes


store, namespaces, hashes = _settings()
application = application.create("insync-conf-server", _build, {"store": store.check})


@application.before_request
def permit():
    """401 without a token that is known, 403 for what it does not open, 404 for a namespace that is not."""
    if not flask.request.path.startswith("/v1/"):
        return None
    who = _bearer()
    ns = (flask.request.view_args or {}).get("ns")
    if who is None:
        return {"error": "the token is missing or wrong"}, 401, {"WWW-Authenticate": "Bearer"}
    if who != ADMIN and not (who == ns and flask.request.endpoint == "read"):
        return {"error": "the token is not for this"}, 403
    if ns is not None and ns not in namespaces:
        return {"error": f"there is no namespace {ns}"}, 404
    return None


@application.get("/v1/conf/<ns>")
def read(ns):
    """{rev, conf}, or 304 where the client has it."""
    rev, conf = store.latest(ns)
    text = json.dumps([rev, conf], sort_keys=True)
    response = flask.jsonify(rev=rev, conf=conf)
    # Not the revision alone: a store that was lost counts from 1 again.
    response.set_etag(hashlib.sha256(text.encode()).hexdigest()[:24])
    response.headers["Cache-Control"] = "no-store"
    return response.make_conditional(flask.request)


@application.patch("/v1/conf/<ns>")
def load(ns):
    """Add and update."""
    try:
        new = values.parse(flask.request.get_data())
    except values.BadValues as exc:
        return {"error": str(exc)}, 400
    return _changed(ns, "load", store.merge(ns, new, prune=_flag("prune"), dry_run=_flag("dry_run")))


@application.delete("/v1/conf/<ns>")
def remove(ns):
    """Remove keys by name."""
    names = flask.request.args.getlist("key")
    if not names or not _flag("prune"):
        return {"error": "keys are removed by ?key=NAME&prune=1 only"}, 400
    return _changed(ns, "remove", store.remove(ns, names, dry_run=_flag("dry_run")))


@application.get("/v1/conf/<ns>/revs")
def revisions(ns):
    """The revisions, without their values."""
    return {"revs": store.revisions(ns)}


@application.post("/v1/conf/<ns>/revert/<int:rev>")
def revert(ns, rev):
    """Go back, as a new revision."""
    try:
        return _changed(ns, "revert", store.revert(ns, rev, dry_run=_flag("dry_run")))
    except NoRevision as exc:
        return {"error": str(exc)}, 404


def _changed(ns, verb, result):
    names = {key: result[key] for key in ("added", "updated", "removed")}
    if any(names.values()) and not _flag("dry_run"):
        log.say(verb, namespace=ns, rev=result["rev"], **names)
    return result


def _flag(name):
    return flask.request.args.get(name) == "1"


def _bearer():
    """Return whose token the request has; every hash is compared, in the same time whatever is wrong."""
    kind, _, token = flask.request.headers.get("Authorization", "").partition(" ")
    given = hashlib.sha256(token.strip().encode("utf-8", "replace")).digest()
    matches = [name for name, known in hashes.items() if hmac.compare_digest(given, known)]
    return matches[0] if matches and kind.lower() == "bearer" else None
