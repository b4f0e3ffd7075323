"""
Which of the files that a unit reads at its start are newer than that.

Salt restarts what watches a file in the run that changed the file, and in no other: if something else of that run
failed, or the run was killed, the restart would be owed for ever.
"""

import os
import pathlib
import time

import insync_systemd


def files(low, chunks):
    """
    Return the paths (list of str) that the state ``low`` (dict, as Salt's ``__low__``) watches.

    chunks (list of dict): all states of the run, as Salt's ``__lowstate__``.
    """
    watched = {(kind, wanted) for one in low.get("watch", ()) for kind, wanted in one.items()}
    called = [(chunk["name"], {(chunk["state"], chunk["__id__"]), (chunk["state"], chunk["name"])}) for chunk in chunks]
    return sorted({name for name, names in called if names & watched and str(name).startswith("/")})


def newer(paths, unit, reloads=False):
    """
    Return those of ``paths`` (list of str) that ``unit`` (str) has not read yet, as it runs; [] if it does not run.

    reloads (bool): whether it reads them at a reload too.
    """
    read = insync_systemd.read_at(unit, reloads)
    # What is from the future, by a clock that was wrong, would be newer than any start for as long.
    return [path for path in paths if read and read < _changed(pathlib.Path(path)) <= time.time()]


def _changed(path):
    """When ``path``, or what is in it, was written last; 0 if it is not there. Links are not followed."""
    if path.is_dir() and not path.is_symlink():
        found = [pathlib.Path(folder, name) for folder, _, names in os.walk(path) for name in names]
        return max((_changed(one) for one in found), default=0)
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return 0
