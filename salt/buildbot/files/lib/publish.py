"""
Usage: publish.py WHEELS PACKAGE INDEX USER PASSWORD_FILE CA

Upload the wheel in the folder WHEELS, which has to be of PACKAGE, to the index at the URL INDEX. Ends with 3, and
uploads nothing, if its version is there already: what has been published is never replaced.
"""

import email.parser
import os
import pathlib
import re
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile

THERE = 3


class Refused(Exception):
    """The wheel is not one to publish; the message is one line that says why."""


def wheel_of(folder, package):
    """
    Return the only wheel (pathlib.Path) in ``folder`` (pathlib.Path); raises Refused if it is not one of ``package``.

    The sources decide what is in it. They do not decide whose name it takes in the index.
    """
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise Refused(f"{len(wheels)} wheels were built, and one is wanted")
    name, version = wheels[0].name.split("-")[:2]
    facts = _metadata(wheels[0])
    if _normal(name) != _normal(package) or _normal(str(facts["Name"])) != _normal(package):
        raise Refused(f"{wheels[0].name} is no wheel of {package}: its metadata say {facts['Name']}")
    if _normal(version) != _normal(str(facts["Version"])):
        raise Refused(f"{wheels[0].name}: its metadata say version {facts['Version']}")
    return wheels[0]


def _metadata(wheel):
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
            if len(names) != 1:
                raise Refused(f"{wheel.name}: it has {len(names)} files with metadata")
            return email.parser.BytesParser().parsebytes(archive.read(names[0]), headersonly=True)
    except zipfile.BadZipFile as exc:
        raise Refused(f"{wheel.name}: {exc}") from exc


def _normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def is_there(wheel, package, index, ca):
    """Return whether the index at the URL ``index`` (str) has the file of the name of ``wheel`` (pathlib.Path)."""
    context = ssl.create_default_context(cafile=ca) if ca else None
    try:
        with urllib.request.urlopen(f"{index}/+simple/{_normal(package)}/", timeout=60, context=context) as answer:
            return f">{wheel.name}<" in answer.read().decode()
    except urllib.error.HTTPError as exc:
        if exc.code == 404:
            return False
        raise


def main(folder, package, index, user, password_file, ca):
    """Return the status to end with."""
    try:
        wheel = wheel_of(pathlib.Path(folder), package)
        if is_there(wheel, package, index, ca):
            print(f"{wheel.name} is in {index} already; a change needs another version to be published")
            return THERE
        password = pathlib.Path(password_file).read_text(encoding="utf-8").rstrip("\n")
    except (Refused, OSError) as exc:
        print(f"not published: {exc}")
        return 1
    # Not in the arguments, which everybody sees.
    environment = {**os.environ, "TWINE_USERNAME": user, "TWINE_PASSWORD": password, "NO_COLOR": "1"}
    twine = [sys.executable, "-m", "twine", "upload", "--non-interactive", "--disable-progress-bar"]
    return subprocess.call([*twine, "--cert", ca, "--repository-url", f"{index}/", str(wheel)], env=environment)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
