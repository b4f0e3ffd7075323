"""The data of roles that a server has left: what it is, as their states say, and its end."""

import datetime
import itertools
import os
import pathlib
import shutil

import insync_data_copy
import insync_survey_lines


class LeftError(Exception):
    """It cannot be removed; the message says why, and what to do."""


def of_states(chunks):
    """
    Return what the states of roles that have left keep: paths (list of str), and users (dict: name -> their paths).

    chunks (list of dict): the server's states, as ``state.show_lowstate`` returns them. Paths of users are among the
    paths; not all have to be there.
    """
    left = [chunk for chunk in chunks if chunk["__sls__"].endswith(".absent")]
    named = [chunk["name"] for chunk in left if (chunk["state"], chunk["fun"]) == ("insync_data", "kept")]
    users = [chunk for chunk in left if (chunk["state"], chunk["fun"]) == ("insync_user", "absent")]
    paths = {chunk["name"]: list(chunk["data"]) if "data" in chunk else [] for chunk in users}
    return sorted({*named, *itertools.chain(*paths.values())}), paths


def there(paths):
    """
    Return which of ``paths`` (list of str) are there, and what a restore has moved aside of them: list of pathlib.Path.

    Raises LeftError for one that is only a link to where the data is.
    """
    found = []
    for path in map(pathlib.Path, paths):
        found += [path, *sorted(path.parent.glob(f"{path.name}.{insync_data_copy.ASIDE}*"))]
    found = [one for one in found if os.path.lexists(one)]
    for one in found:
        if one.is_symlink():
            raise LeftError(f"{one}: is a link to {os.readlink(one)}; remove both by hand. Nothing was removed")
    return found


def told(folder):
    """Return how much is in ``folder`` (pathlib.Path), and how old it is, as a text."""
    files, size, last = 0, 0, folder.lstat().st_mtime
    for parent, _, names in os.walk(folder):
        for name in names:
            found = pathlib.Path(parent, name).lstat()
            files, size, last = files + 1, size + found.st_size, max(last, found.st_mtime)
    when = datetime.datetime.fromtimestamp(last, datetime.UTC)
    return f"{files} files, {insync_survey_lines.size(size)}, last changed {when:%Y-%m-%d %H:%M} UTC"


def remove(folder):
    """Remove ``folder`` (pathlib.Path) with all that is in it; of a mounted volume only what is in it."""
    if not os.path.ismount(folder):
        shutil.rmtree(folder)
        return
    for one in folder.iterdir():
        shutil.rmtree(one) if one.is_dir() and not one.is_symlink() else one.unlink()
