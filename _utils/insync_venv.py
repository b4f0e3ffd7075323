"""Virtualenvs out of a lock: built once at their final path, complete or not there, never changed afterwards."""

import contextlib
import filecmp
import hashlib
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import insync_lock

COMPLETE = ".complete"
CACHE = pathlib.Path("/var/cache/insync/uv")
LOCKS = pathlib.Path("/run/lock")
PYTHON = "/usr/bin/python3"
SECONDS = 600
DOWNLOADS = 8


class VenvError(ValueError):
    """A virtualenv cannot be built; the message is one line that says why."""


def release_id(lock):
    """Return the id of the release that ``lock`` (str) pins: 12 hex digits."""
    return hashlib.sha256(lock.encode()).hexdigest()[:12]


def is_complete(home):
    """Return whether the virtualenv ``home`` (str or pathlib.Path) was built to its end."""
    return pathlib.Path(home, COMPLETE).exists()


def build(home, lock, *, former=None, index=None, ca=None, proxy=None, seconds=SECONDS):
    """
    Build the virtualenv ``home`` from ``lock`` unless it is complete; return whether it was built.

    home (str or pathlib.Path): its final path.
    lock (str): requirements, each with ``==`` and hashes.
    former (str or pathlib.Path): a virtualenv that has much of the same, whose bytecode is taken over.
    index (str): URL of the package index; without it, uv's own default.
    ca (str): file with the certificate of the authority that vouches for the index; without it, the system's.
    proxy (str): URL of the way out, if there is one.
    seconds (int): after which the build is given up.
    Raises VenvError in one line; nothing half built stays.
    """
    home = pathlib.Path(home)
    with _alone(home):
        if is_complete(home):
            return False
        shutil.rmtree(home, ignore_errors=True)
        try:
            _build(home, lock, former, index, _environment(ca, proxy), seconds)
        except BaseException:
            shutil.rmtree(home, ignore_errors=True)
            requirements(home).unlink(missing_ok=True)
            raise
        return True


def resolve(pins, root, wanted, *, index=None, ca=None, proxy=None, seconds=60):
    """
    Return the lock (str) in which ``wanted`` are updated and all else stays, as far as they fit together.

    pins (str): the lock to start from.
    root (str): the package that needs all the others.
    wanted (dict): name -> version, "" for the newest.
    index, ca, proxy, seconds: as for ``build``.
    Raises VenvError in one line that says what does not exist, or does not fit together.
    """
    with tempfile.TemporaryDirectory(prefix="insync-lock-") as folder:
        asked, lock = pathlib.Path(folder, "asked.txt"), pathlib.Path(folder, "lock.txt")
        lines = [root, *(f"{name}=={version}" for name, version in wanted.items() if version)]
        asked.write_text("\n".join(lines) + "\n", encoding="utf-8")
        # What is in the file that uv writes to stays as it is, unless it has to move.
        lock.write_text(pins, encoding="utf-8")
        options = ["--generate-hashes", "--no-emit-index-url", "--no-header", "--no-annotate", "--only-binary=:all:"]
        options += [f"--upgrade-package={name}" for name in wanted]
        options += [f"--index-url={index}"] if index else []
        options += [f"--python={PYTHON}", f"--output-file={lock}", str(asked)]
        _uv(["pip", "compile", *options], _environment(ca, proxy), seconds)
        return lock.read_text(encoding="utf-8")


def remove(home):
    """Remove the virtualenv ``home`` (pathlib.Path) and its lock; where that is ended early, it is not complete."""
    (home / COMPLETE).unlink(missing_ok=True)
    shutil.rmtree(home)
    requirements(home).unlink(missing_ok=True)


def requirements(home):
    """Return the file (pathlib.Path) with the lock that the virtualenv ``home`` (pathlib.Path) is built from."""
    return home.with_name(f"{home.name}.lock")


def switch(link, home):
    """Let ``link`` (str or pathlib.Path) lead to ``home``; at no moment is there no link."""
    link, new = pathlib.Path(link), pathlib.Path(f"{link}.new")
    new.unlink(missing_ok=True)
    os.symlink(pathlib.Path(home).name, new)
    os.replace(new, link)


@contextlib.contextmanager
def _alone(home):
    try:
        with insync_lock.held(LOCKS / f"insync-venv-{home.name}.lock", f"the build of {home.name}"):
            yield
    except insync_lock.Held as exc:
        raise VenvError(f"{home} is being built by another run ({exc}); wait until that has ended") from exc


def _build(home, lock, former, index, environment, seconds):
    home.parent.mkdir(parents=True, exist_ok=True)
    pins = requirements(home)
    pins.write_text(lock, encoding="utf-8")
    where = ["--index-url", index] if index else []
    _uv(["venv", "--python", PYTHON, str(home)], environment, seconds)
    # Without --no-build the code of a source distribution would run here, as root.
    options = ["--require-hashes", "--no-build", "--link-mode=copy"]
    python = home / "bin" / "python"
    _uv(["pip", "sync", *options, *where, "--python", str(python), str(pins)], environment, seconds)
    if former and is_complete(former):
        _take_bytecode(home / "lib", pathlib.Path(former, "lib"))
    done = _quietly([str(python), "-m", "compileall", "-qq", str(home / "lib")], environment, seconds)
    # 1 is what it says of files that are no Python, as some packages' templates: that is no fault.
    if done.returncode not in (0, 1):
        raise VenvError(_reason(done.stderr) or f"compileall ended with {done.returncode}")
    # Whoever reads it trusts the rest: the rest has to be on the disk first.
    os.sync()
    (home / COMPLETE).write_text(release_id(lock), encoding="utf-8")


def _take_bytecode(libraries, former):
    """Spare compiling what ``former`` has compiled from the same source; it is most of a build's work."""
    for source in libraries.rglob("*.py"):
        same = former / source.relative_to(libraries)
        compiled = pathlib.Path(importlib.util.cache_from_source(str(same)))
        if compiled.is_file() and same.is_file() and filecmp.cmp(source, same, shallow=False):
            # Bytecode counts as long as its source has the time that is written in it.
            os.utime(source, ns=(same.stat().st_atime_ns, same.stat().st_mtime_ns))
            folder = source.parent / compiled.parent.name
            folder.mkdir(exist_ok=True)
            shutil.copymode(compiled.parent, folder)
            shutil.copy(compiled, folder)


def _environment(ca, proxy):
    kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
    own = {"UV_CACHE_DIR": str(CACHE), "UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never", "HOME": "/nonexistent"}
    # Certificates are checked against this file only: the system's, or that of the fleet's own authority.
    own["SSL_CERT_FILE"] = str(ca or "/etc/ssl/certs/ca-certificates.crt")
    own |= {"HTTPS_PROXY": proxy, "HTTP_PROXY": proxy} if proxy else {}
    # A new mirror that several servers ask at once answers late; given up, it would be asked once more for what it is
    # still at. So uv waits as long as nginx does in front of the index, and asks for a few things at a time.
    own |= {"UV_HTTP_TIMEOUT": "120", "UV_CONCURRENT_DOWNLOADS": str(DOWNLOADS)}
    # One processor at most: the others are for who is served meanwhile.
    return {**kept, **own, "UV_CONCURRENT_INSTALLS": "1"}


def _uv(arguments, environment, seconds):
    uv = pathlib.Path(sys.executable).with_name("uv")
    done = _quietly([str(uv), "--quiet", "--color=never", *arguments], environment, seconds)
    if done.returncode != 0:
        raise VenvError(_reason(done.stderr or done.stdout) or f"uv {arguments[0]} ended with {done.returncode}")


def _quietly(command, environment, seconds):
    """Run ``command`` so that what serves beside it notices nothing; return what subprocess.run does."""
    options = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "check": False, "umask": 0o022}
    try:
        return subprocess.run(["nice", *command], env=environment, timeout=seconds, **options)
    except subprocess.TimeoutExpired as exc:
        raise VenvError(f"{pathlib.Path(command[0]).name}: no end after {seconds} s") from exc
    except OSError as exc:
        raise VenvError(f"{command[0]}: {exc.strerror}") from exc


def _reason(said):
    """What uv says over several lines, with drawings, as one line."""
    words = re.sub(r"[×╰─▶├│╭╮╯·]", " ", said)
    return " ".join(words.replace("error:", " ").split())[:500]
