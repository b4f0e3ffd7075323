"""
The stand-in applications: lab/apps built to wheels, and the locks that name what an application is installed from.

`python -m lab.standins` prints what lab/apps needs from elsewhere; lab/lock-requirements pins it.
"""

import functools
import hashlib
import importlib.metadata
import os
import pathlib
import re
import shutil
import sys
import tempfile
import tomllib

import yaml

from lab import shell
from lab.errors import LabError
from lab.paths import CACHE, LAB
from lab.settings import digest

SOURCE = LAB / "apps"
REQUIREMENTS = SOURCE / "requirements.txt"
CORE = "insync-core"
# App to package.
APPS = {
    "web": "insync-web",
    "license": "insync-license",
    "mailer": "insync-mailer",
    "periodic_mailer": "insync-mailer",
    "conf_server": "insync-conf-server",
    "radar": "insync-radar",
    "mrkr": "insync-mrkr",
}
# The time that every file in a wheel has: the same source gives the same hash.
EPOCH = "1700000000"


def packages():
    """Return the names of the packages, sorted."""
    return sorted({CORE, *APPS.values()})


def versions():
    """Return the versions that are built, the oldest first."""
    return list(_table())


def build(cache=CACHE):
    """
    Build every version of every package; return the wheels (list of pathlib.Path), sorted, all in one folder.

    cache (pathlib.Path): where the folder is kept; what is there already is not built again.
    Raises LabError.
    """
    name = f"standins-{digest(_content(), EPOCH, importlib.metadata.version('flit_core'))}"
    folder = pathlib.Path(cache) / name
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".standins-") as work:
            _build_all(pathlib.Path(work), folder)
    return sorted(folder.glob("*.whl"))


def sha256(wheel):
    """Return the hash (str) of the file ``wheel`` (pathlib.Path)."""
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def lock(app, version, cache=CACHE):
    """
    Return the lock (str) of ``app`` at ``version``: every distribution that it needs, pinned, with hashes, by name.

    Raises LabError.
    """
    if app not in APPS:
        raise LabError(f"lab/apps has no application {app}; it has {', '.join(APPS)}")
    if version not in versions():
        raise LabError(f"lab/apps has no version {version}; it has {', '.join(versions())}")
    built = {wheel.name.removesuffix("-py3-none-any.whl"): wheel for wheel in build(cache)}
    blocks = {name: _pin(name, version, built[f"{name.replace('-', '_')}-{version}"]) for name in (CORE, APPS[app])}
    blocks |= _third_party(needed(APPS[app]))
    return "".join(blocks[name] for name in sorted(blocks))


def needed(*names):
    """Return what packages (all without ``names``) need from elsewhere, as requirement lines, sorted."""
    lines = set()
    for name in names or packages():
        project = tomllib.loads((SOURCE / name / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        lines |= {line for line in project["dependencies"] if _name(line) != CORE}
    return sorted(lines, key=str.lower)


def _third_party(lines):
    """Return {name: pin with hashes} of the requirement ``lines`` and of all that they need in turn."""
    pins, needs = _pinned(REQUIREMENTS.read_text(encoding="utf-8"))
    wanted, waiting = set(), {_name(line) for line in lines}
    while waiting:
        wanted |= waiting
        waiting = {name for name, needed_by in needs.items() if needed_by & wanted} - wanted
    missing = wanted - pins.keys()
    if missing:
        raise LabError(f"{REQUIREMENTS.name} of lab/apps has no {', '.join(sorted(missing))}; run 'make lock'")
    return {name: pins[name] for name in wanted}


def _pinned(text):
    """Return ({name: pin}, {name: set of the names that need it}) of a requirements file with uv's `# via` comments."""
    pins, needs, name = {}, {}, None
    for line in text.splitlines(keepends=True):
        if re.match(r"[a-z0-9]", line):
            name = _name(line)
            pins[name], needs[name] = line, set()
        elif line.startswith("    --hash="):
            pins[name] += line
        elif line.startswith("    #"):
            needs[name] |= set(line.replace("# via", "").strip(" #\n").split())
    return pins, needs


def _pin(name, version, wheel):
    return f"{name}=={version} \\\n    --hash=sha256:{sha256(wheel)}\n"


def _name(requirement):
    return re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower().replace("_", "-").replace(".", "-")


def _build_all(work, folder):
    (work / "wheels").mkdir(mode=0o755)
    for version in versions():
        for package in packages():
            _build(package, version, work)
    try:
        (work / "wheels").rename(folder)
    except OSError as exc:
        # Somebody else was faster, with the same.
        if not folder.is_dir():
            raise LabError(f"{folder}: {exc.strerror}") from exc


def _build(package, version, work):
    module = package.replace("-", "_")
    tree = work / f"{package}-{version}"
    shutil.copytree(SOURCE / package, tree, ignore=shutil.ignore_patterns("__pycache__"))
    project = tree / "pyproject.toml"
    text = project.read_text(encoding="utf-8")
    project.write_text(text.replace('\nversion = "0"\n', f'\nversion = "{version}"\n'), encoding="utf-8")
    constants = {"VERSION": version, "NOTE": "", "FAULT": ""}
    constants |= {key.upper(): value for key, value in _table()[version].items()}
    lines = [f"{key} = {value!r}\n" for key, value in constants.items()]
    (tree / module / "_build.py").write_text("".join(lines), encoding="utf-8")
    command = [sys.executable, "-m", "flit_core.wheel", "--outdir", str(work / "wheels"), str(tree)]
    shell.run(command, env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH}, what=f"wheel of {package} {version}")


@functools.cache
def _table():
    return yaml.safe_load((SOURCE / "versions.yaml").read_text(encoding="utf-8"))


def _content():
    files = [path for name in packages() for path in (SOURCE / name).rglob("*") if path.is_file()]
    files = [path for path in files if "__pycache__" not in path.parts] + [SOURCE / "versions.yaml"]
    return sorted((str(path.relative_to(SOURCE)), path.read_text(encoding="utf-8")) for path in files)


if __name__ == "__main__":
    print("\n".join(needed()))
