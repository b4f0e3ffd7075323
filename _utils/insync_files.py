"""Files that are there whole: the old one or the new one, whenever it ends."""

import os
import pathlib


def replace(path, text):
    """
    Let ``text`` (str) be what is in the file ``path`` (str or pathlib.Path); its owner and mode stay, if it is there.

    Raises OSError; the file is as it was then.
    """
    path = pathlib.Path(path)
    new, had = path.with_name(f"{path.name}.new"), path.stat() if path.exists() else None
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    if had:
        os.chown(new, had.st_uid, had.st_gid)
        new.chmod(had.st_mode & 0o7777)
    os.replace(new, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
