"""What gunicorn serves: whether a license key is valid, from MySQL, kept in redis for a minute."""

import json
import re
import socket

import redis
from insync_core import application, cache, log, mysql, program, rest

from insync_license import _build

NEEDS = {"mysql": mysql.NEEDS, "redis": cache.NEEDS}
KEPT_SECONDS = 60
# The cache is to save time: it gets this much (seconds), and is left alone for a while where it takes more.
PATIENCE = 0.3
REST_SECONDS = 5
NOT_THERE = ({"error": "no such license"}, 404)
HOST = socket.gethostname()
_KEY = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)

conf = program.conf(NEEDS)
ca_file = conf.settings.ca_file
checks = {
    "mysql": lambda: mysql.check(conf.values()["mysql"], ca_file, "licenses"),
    "redis": lambda: cache.check(conf.values()["redis"], ca_file),
}
resting = rest.Rest(REST_SECONDS)
application = application.create("insync-license", _build, checks, conf, drills_below="/license", optional=["redis"])


@application.after_request
def served_by(response):
    """Say which server answers: the load balancer does not show it."""
    response.headers["X-Served-By"] = HOST
    return response


@application.get("/license/<key>")
def license_of(key):
    """{"valid": bool, "plan": str}, or 404."""
    if not _KEY.fullmatch(key):
        return NOT_THERE
    values = conf.values()
    if resting.over():
        try:
            found = _cached(values, key)
            resting.end()
            return found
        except redis.RedisError as exc:
            resting.begin()
            log.say("no-cache", reason=type(exc).__name__)
    # Slower, and as right.
    return _read(values, key) or NOT_THERE


def _cached(values, key):
    client, name = cache.client(values["redis"], ca_file, PATIENCE), f"license:{key}"
    kept = client.get(name)
    if kept:
        return json.loads(kept)
    found = _read(values, key)
    if found:
        client.set(name, json.dumps(found), ex=KEPT_SECONDS)
    return found or NOT_THERE


def _read(values, key):
    with mysql.transaction(values["mysql"], ca_file) as cursor:
        cursor.execute("SELECT valid, plan FROM licenses WHERE license_key = %s", (key,))
        row = cursor.fetchone()
    return {"valid": bool(row[0]), "plan": row[1]} if row else None
