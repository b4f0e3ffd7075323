"""The Salt release on a server, and restarts of Salt's own services that lose no job."""

import os
import pathlib

from salt.exceptions import CommandExecutionError, SaltException

__virtualname__ = "insync_salt"

_INSTALLER = "salt://salt_release/files/install-salt"


def __virtual__():
    return __virtualname__


def installed(name, release, source):
    """
    Make the link ``name`` lead to the virtualenv of ``release``, installed from the wheelhouse ``source``.

    name (str): path of the link; the virtualenv is ``<name>-<release>``.
    release (str): id of the release, the hash of its requirements.
    source (str): ``salt://`` address of the wheelhouse, fetched only if the release is not there yet.

    .. code-block:: yaml

        salt-release:
          insync_salt.installed:
            - name: /opt/salt
            - release: 0123456789ab
            - source: salt://salt_release/files/salt-0123456789ab.tar
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": f"Salt release {release} is installed"}
    old = _installed(name)
    if old == release:
        return ret
    changes = {"release": {"old": old, "new": release}}
    if __opts__["test"]:
        return {**ret, "changes": changes, "result": None, "comment": f"release {release} would be installed"}
    try:
        _install(name, source)
    except SaltException as exc:
        return {**ret, "result": False, "comment": str(exc)}
    return {**ret, "changes": changes}


def restarted_when_idle(name, **kwargs):
    """
    Restart the service ``name`` when a state that this one watches has changed, once no job runs any more.

    name (str): ``salt-minion`` or ``salt-master``. One that does not run is left to ``service.running``.

    .. code-block:: yaml

        salt-minion-restart:
          insync_salt.restarted_when_idle:
            - name: salt-minion
            - watch:
              - file: salt-minion-config
    """
    return {"name": name, "changes": {}, "result": True, "comment": f"{name} needs no restart"}


def mod_watch(name, **kwargs):
    """Schedule the restart of ``name``; a job that still runs, this one too, ends and returns first."""
    ret = {
        "name": name,
        "changes": {name: "restart when idle"},
        "result": True,
        "comment": f"{name} restarts when idle",
    }
    if not __salt__["service.status"](name):
        return {**ret, "changes": {}, "comment": f"{name} does not run; it starts with the new files"}
    if __opts__["test"]:
        return {**ret, "result": None, "comment": f"{name} would restart when idle"}
    try:
        _run(["/usr/bin/systemctl", "start", "--no-block", f"insync-restart@{name}.service"])
    except SaltException as exc:
        return {**ret, "changes": {}, "result": False, "comment": str(exc)}
    return ret


def _installed(name):
    target = pathlib.Path(os.path.realpath(name))
    return target.name.partition("-")[2] if (target / ".complete").exists() else None


def _install(name, source):
    wheelhouse = __salt__["cp.cache_file"](source)
    installer = __salt__["cp.cache_file"](_INSTALLER)
    if not wheelhouse or not installer:
        raise CommandExecutionError(f"the master does not serve {source}; deploy the checkout on ct1 again")
    try:
        _run(["/bin/sh", installer, wheelhouse, name])
    finally:
        os.unlink(wheelhouse)


def _run(command):
    result = __salt__["cmd.run_all"](command, python_shell=False, ignore_retcode=True)
    if result["retcode"] != 0:
        raise CommandExecutionError(f"{' '.join(command)}: {result['stderr'] or result['stdout']}")
