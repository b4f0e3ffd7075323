"""What an application is told by its unit: files and environment, no setting of its work."""

import dataclasses
import json
import os
import pathlib


class SettingsError(Exception):
    """The unit is wrong; the application does not start. The message says what, and where."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Where the conf server is, what proves who asks, and where the last answer is kept."""

    conf_url: str
    namespace: str
    ca_file: str
    token: str = dataclasses.field(repr=False)
    state: pathlib.Path


def load():
    """Return the Settings of this process. Raises SettingsError."""
    found = read()
    try:
        values = [found[key] for key in ("conf_url", "namespace", "ca_file")]
    except KeyError as exc:
        raise SettingsError(f"{os.environ['INSYNC_SETTINGS']}: no {exc.args[0]}") from None
    token = _text(pathlib.Path(_environment("CREDENTIALS_DIRECTORY"), "conf_token")).strip()
    return Settings(*values, token=token, state=state())


def read():
    """Return the object in the file that INSYNC_SETTINGS names. Raises SettingsError."""
    path = _environment("INSYNC_SETTINGS")
    try:
        found = json.loads(_text(path))
    except ValueError as exc:
        raise SettingsError(f"{path}: not JSON: {exc}") from None
    if not isinstance(found, dict):
        raise SettingsError(f"{path}: not a JSON object")
    return found


def state():
    """Return the folder that the application may write into. Raises SettingsError."""
    return pathlib.Path(_environment("STATE_DIRECTORY").split(":")[0])


def _environment(name):
    if not os.environ.get(name):
        raise SettingsError(f"{name} is not set; the unit sets it")
    return os.environ[name]


def _text(path):
    try:
        return pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as exc:
        raise SettingsError(f"{path}: {getattr(exc, 'strerror', None) or exc}") from None
