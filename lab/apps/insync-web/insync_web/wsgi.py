"""What gunicorn serves: a page with the greeting of the conf, sign-ups, and the current versions."""

import html

import flask
from insync_core import application, cache, mysql, outbox, program

from insync_web import _build, reports, signup

NEEDS = {
    "greeting": str,
    "mail_from": str,
    "mysql": mysql.NEEDS,
    "redis": cache.NEEDS,
}
PAGE = """<!doctype html>
<html lang="en">
<title>Insync</title>
<h1>{greeting}</h1>
<form method="post" action="/signup"><input name="email" type="email" required> <button>Sign up</button></form>
<footer>{note}version {version}, a LAB STAND-IN</footer>
</html>
"""

conf = program.conf(NEEDS)
ca_file = conf.settings.ca_file
checks = {
    "mysql": lambda: outbox.check(conf.values()["mysql"], ca_file, "users"),
    "redis": lambda: cache.check(conf.values()["redis"], ca_file),
}
report = reports.Reports(f"insync-web@{_build.VERSION}", conf, ca_file).send
application = application.create("insync-web", _build, checks, conf, drills_below="", report=report)


@application.get("/")
def page():
    """The page, with what the conf says."""
    greeting = html.escape(conf.values()["greeting"])
    note = f"{html.escape(_build.NOTE)} " if _build.NOTE else ""
    return PAGE.format(greeting=greeting, note=note, version=html.escape(_build.VERSION))


@application.post("/signup")
def sign_up():
    """{"email": ...}, as JSON or as a form: 201, 400, 409, or 503 that names what is missing."""
    document = flask.request.get_json(silent=True) if flask.request.is_json else flask.request.form
    email = document.get("email") if hasattr(document, "get") else None
    try:
        return signup.sign_up(conf.values(), ca_file, email), 201
    except signup.BadAddress as exc:
        return {"error": str(exc)}, 400
    except signup.Taken as exc:
        return {"error": str(exc)}, 409


@application.get("/api/current-versions")
def current_versions():
    """The newest versions of the applications on the desktop, as the conf says."""
    versions = conf.values().get("current_versions")
    if not isinstance(versions, dict):
        return {"error": "the conf has no current_versions"}, 404
    return versions
