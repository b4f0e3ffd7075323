"""Data of a role that has left: it stays until somebody removes it on purpose, with ``insync.remove_data``."""

import os

__virtualname__ = "insync_data"


def __virtual__():
    return __virtualname__


def kept(name, if_empty=False, package=""):
    """
    Leave ``name`` as it is, and say so; ``insync.remove_data`` knows by this what is data of the role.

    name (str): path of a folder.
    package (str): with whose purge it goes; while another role needs that package, it stays.
    if_empty (bool): what is in it is somebody else's: only a folder without any file is removed.

    .. code-block:: yaml

        repos-absent-data:
          insync_data.kept:
            - name: /srv/repos
    """
    there = "stays; insync.remove_data removes it" if os.path.lexists(name) else "is not there"
    return {"name": name, "changes": {}, "result": True, "comment": f"{name} {there}"}
