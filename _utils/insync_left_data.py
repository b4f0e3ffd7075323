"""The data of roles that a server has left: what it is, as their states say, and its end."""

import dataclasses
import datetime
import os
import pathlib
import re
import shutil

import insync_chunks
import insync_data_copy
import insync_survey_lines


class LeftError(Exception):
    """It cannot be removed; the message says why, and what to do."""


@dataclasses.dataclass(frozen=True)
class Left:
    """What roles have left: paths, folders that go only if no file is in them, users with their paths, packages."""

    paths: tuple
    folders: tuple
    users: dict
    packages: tuple

    @property
    def any(self):
        """Whether there may be something (bool)."""
        return bool(self.paths or self.folders or self.users or self.packages)


def of_states(chunks):
    """
    Return what the states of roles that have left say of what they leave (Left); not all of it has to be there.

    chunks (list of dict): the server's states, as ``state.show_lowstate`` returns them. A package that another state
    installs is none that is left, nor is the user that such a package needs. Raises LeftError for what a state of
    another role names too.
    """
    left = [chunk for chunk in chunks if chunk["__sls__"].endswith(".absent")]
    others = [chunk for chunk in chunks if chunk not in left]
    wanted = insync_chunks.installs(others)
    kept = [chunk for chunk in insync_chunks.of(left, "insync_data", "kept") if chunk.get("package") not in wanted]
    folders = {chunk["name"] for chunk in kept if chunk.get("if_empty")}
    paths, users = {chunk["name"] for chunk in kept} - folders, {}
    for chunk in insync_chunks.of(left, "insync_user", "absent"):
        data = list(chunk.get("data", ()))
        paths.update(data)
        if chunk.get("package") not in wanted:
            users.setdefault(chunk["name"], []).extend(data)
    packages = {name for chunk in insync_chunks.of(left, "insync_package", "absent") for name in chunk["pkgs"]}
    _check(paths, users, others)
    return Left(tuple(sorted(paths)), tuple(sorted(folders)), users, tuple(sorted(packages - wanted)))


def _check(paths, users, others):
    """Raise LeftError for a path or a user of the roles that have left which a state of ``others`` (chunks) names."""
    for chunk in others:
        owners = {chunk.get("user"), chunk.get("group"), chunk["name"] if chunk["state"] in ("user", "group") else None}
        inside = {chunk["name"] for path in paths if chunk["name"].startswith("/") and _within(chunk["name"], path)}
        for name in inside | (owners & set(users)):
            told = f"{chunk['__id__']} of a role that stays needs {name}"
            raise LeftError(f"{told}: the role that left cannot be told from it. Nothing was removed")


def _within(name, path):
    return pathlib.PurePath(name).is_relative_to(path)


def there(paths, folders=()):
    """
    Return what is there: of ``paths`` (str), with what a restore has moved aside, and ``folders`` (str) without files.

    It is a list of pathlib.Path. Raises LeftError for one that is only a link to where the data is, or in which
    something is mounted.
    """
    found = []
    for path in map(pathlib.Path, paths):
        found += [path] if os.path.lexists(path) else []
        found += [one for one in sorted(path.parent.glob(f"{path.name}.*")) if _aside(one)]
    mounted = _mounted()
    for one in found:
        if one.is_symlink():
            raise LeftError(f"{one}: is a link to {os.readlink(one)}; remove both by hand. Nothing was removed")
        for place in mounted:
            if _within(place, one):
                raise LeftError(f"{place}: is mounted; unmount it, and take it off fstab, first. Nothing was removed")
    return found + [one for one in map(pathlib.Path, folders) if _is_bare(one, mounted)]


def _aside(path):
    """Whether ``path`` is a folder that a restore has moved aside."""
    return path.is_dir() and bool(re.search(rf"\.{insync_data_copy.ASIDE}\d{{8}}t\d{{6}}$", path.name))


def _is_bare(folder, mounted):
    """Whether nothing but folders is in ``folder``, none of them mounted or a link."""
    inside = any(_within(place, folder) for place in mounted)
    return folder.is_dir() and not folder.is_symlink() and not inside and not _files(folder)


def _mounted():
    """Where something is mounted (list of str)."""
    lines = pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    # Blanks and the like stand there in octal.
    return [re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), line.split()[4]) for line in lines]


def told(folder):
    """Return how much is in ``folder`` (pathlib.Path), and how old it is, as a text."""
    found = [path.lstat() for path in _files(folder)]
    last = max([folder.lstat().st_mtime, *(one.st_mtime for one in found)])
    size = insync_survey_lines.size(sum(one.st_size for one in found))
    when = datetime.datetime.fromtimestamp(last, datetime.UTC)
    return f"{len(found)} files, {size}, last changed {when:%Y-%m-%d %H:%M} UTC"


def _files(folder):
    found = [pathlib.Path(parent, name) for parent, folders, names in os.walk(folder) for name in [*folders, *names]]
    return [path for path in found if path.is_symlink() or not path.is_dir()]


def remove(folder):
    """Remove ``folder`` (pathlib.Path) with all that is in it, unless it is gone already."""
    if folder.exists():
        shutil.rmtree(folder)
