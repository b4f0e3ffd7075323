"""The private package index: devpi's JSON interface, and what differs between its settings and the declared ones."""

import ast
import base64
import http.client
import json
import pathlib
import time
import urllib.error
import urllib.request

ROOT = "root"
# How long a devpi that has just been started may take to answer.
SECONDS = 60
# What devpi itself gives the mirror that it makes; its address stands in devpi's code only.
_CODE = "lib/python3*/site-packages/devpi_server/main.py"
_DEFAULTS = "_pypi_ixconfig_default"


class DevpiError(ValueError):
    """devpi does not answer, or refuses, or a secret is missing; the message is one line that says what."""


class Api:
    """devpi's interface at ``url``, used as ``root``; only changes and ``accepts`` need the password."""

    def __init__(self, url, password="", seconds=30):
        self.url, self.password, self.seconds = url.rstrip("/"), password, seconds

    def wait(self):
        """Return once devpi answers; raises DevpiError if it does not within SECONDS."""
        deadline = time.monotonic() + SECONDS
        while not self.answers():
            if time.monotonic() > deadline:
                raise DevpiError(f"devpi does not answer on {self.url}; see 'journalctl -u devpi'")
            time.sleep(0.5)

    def answers(self):
        """Return whether devpi answers at all."""
        try:
            return self._call("GET", "/+api")[0] == 200
        except DevpiError:
            return False

    def accepts(self, user, password):
        """Return whether ``user`` gets in with ``password``."""
        status, answer = self._call("POST", "/+login", {"user": user, "password": password})
        if status not in (200, 401):
            raise DevpiError(f"login of {user}: {_reason(status, answer)}")
        return status == 200

    def users(self):
        """Return ``{user: [names of its indexes]}``."""
        answer = self._ok("GET", "/")
        return {user: sorted(entry.get("indexes", {})) for user, entry in answer["result"].items()}

    def index(self, name):
        """Return the settings of the index ``name``, ``user/index``; None if there is none."""
        status, answer = self._call("GET", f"/{name}?no_projects=")
        if status == 404:
            return None
        if status != 200:
            raise DevpiError(f"{name}: {_reason(status, answer)}")
        return {key: value for key, value in answer["result"].items() if key != "projects"}

    def make_user(self, name, password):
        """Make the user ``name``; with the password None nobody can log in as it."""
        self._ok("PUT", f"/{name}", {"password": password})

    def set_password(self, name, password):
        """Give the user ``name`` a new password."""
        self._ok("PATCH", f"/{name}", {"password": password})

    def remove_user(self, name):
        """Remove the user ``name``; devpi refuses if an index of it is there to be kept."""
        self._ok("DELETE", f"/{name}")

    def make_index(self, name, settings):
        """Make the index ``name`` with ``settings`` (dict)."""
        self._ok("PUT", f"/{name}", settings)

    def modify_index(self, name, changes):
        """Apply ``changes``, as ``index_changes`` returns them, to the index ``name``."""
        new = {key: change["new"] for key, change in changes.items()}
        self._ok("PATCH", f"/{name}", {key: value for key, value in new.items() if value is not None})
        dropped = [f"{key}-" for key, value in new.items() if value is None]
        if dropped:
            self._ok("PATCH", f"/{name}", dropped)

    def _ok(self, method, path, body=None):
        status, answer = self._call(method, path, body)
        if status not in (200, 201):
            raise DevpiError(f"{method} {path}: {_reason(status, answer)}")
        return answer

    def _call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if method not in ("GET", "POST"):
            headers["X-Devpi-Auth"] = base64.b64encode(f"{ROOT}:{self.password}".encode()).decode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        # It is on this machine: no proxy that the environment names is asked.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=self.seconds) as response:
                return response.status, _json(response.read())
        except urllib.error.HTTPError as exc:
            return exc.code, _json(exc.read())
        except (OSError, http.client.HTTPException) as exc:
            raise DevpiError(f"devpi does not answer on {self.url}: {exc}") from exc


def secret(where, secrets):
    """
    Return the secret (str) that ``where`` names.

    where (str): ``role:key``.
    secrets (dict): role -> key -> value.
    Raises DevpiError if it is missing or empty.
    """
    role, _, key = where.partition(":")
    value = secrets.get(role, {}).get(key)
    if not value:
        raise DevpiError(f"there is no secret {where}; see pillar/secrets/")
    return str(value)


def user_changes(there, passwords, accepted):
    """
    Return ``{user: {"old": ..., "new": ...}}``: what makes the users those of ``passwords``.

    there (dict): user -> its indexes, as ``Api.users`` returns it.
    passwords (dict): user -> password; None for one that nobody logs in as.
    accepted (callable): user, password -> whether devpi accepts it.
    Raises DevpiError if a user that is not declared has indexes: their packages would go with it.
    """
    changes = {}
    for user, password in passwords.items():
        if user not in there:
            changes[user] = {"old": "absent", "new": "present"}
        elif password is not None and not accepted(user, password):
            changes[user] = {"old": "another password", "new": "the declared password"}
    for user in sorted(there.keys() - passwords.keys()):
        if there[user]:
            indexes = ", ".join(f"{user}/{index}" for index in there[user])
            raise DevpiError(f"the user {user} is not declared, but has {indexes}; move the packages, then remove both")
        changes[user] = {"old": "present", "new": "absent"}
    return changes


def index_changes(there, declared):
    """
    Return ``{setting: {"old": ..., "new": ...}}`` between an index that is there and its declared settings.

    there (dict or None): as ``Api.index`` returns it.
    declared (dict): all settings; a setting that is there and not declared is dropped.
    Raises DevpiError if the type differs: devpi cannot change it.
    """
    there = there or {}
    if there and there["type"] != declared["type"]:
        raise DevpiError(f"it is a {there['type']}, and devpi cannot turn it into a {declared['type']}")
    keys = sorted(there.keys() | declared.keys())
    return {
        key: {"old": there.get(key), "new": declared.get(key)} for key in keys if there.get(key) != declared.get(key)
    }


def public_mirror(home):
    """
    Return the settings (dict) of the mirror of the public index that the devpi in the virtualenv ``home`` makes itself.

    Raises DevpiError if its code does not tell them.
    """
    for path in pathlib.Path(home).glob(_CODE):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == _DEFAULTS:
                return ast.literal_eval(node.value)
    raise DevpiError(f"{home}: its devpi does not tell where the public index is; declare devpi.upstream in pillar")


def _json(text):
    try:
        answer = json.loads(text)
    except ValueError:
        answer = {}
    return answer if isinstance(answer, dict) else {}


def _reason(status, answer):
    return f"HTTP {status}: {' '.join(str(answer.get('message', 'no reason is told')).split())[:300]}"
