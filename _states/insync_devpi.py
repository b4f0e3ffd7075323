"""
The private package index: its data, its users and its indexes. No password ever is in changes or comments, nor in
arguments, which Salt's debug log and job cache keep: states get ``role:key``, where it is below ``secrets`` in pillar.
"""

import pathlib

import insync_devpi
from salt.exceptions import CommandExecutionError, SaltException

__virtualname__ = "insync_devpi"

# Both run as the user whose data it is and read the password from standard input: a command line is seen by everybody.
_INIT = """
import os, shutil, sys
from devpi_server.init import init
data = sys.argv[1]
shutil.rmtree(data + ".new", ignore_errors=True)
if init(argv=["devpi-init", "--serverdir", data + ".new", "--root-passwd", sys.stdin.read()]):
    sys.exit(1)
os.rename(data + ".new", data)
"""
_PASSWD = """
import getpass, sys
from devpi_server.passwd import passwd
password = sys.stdin.read()
getpass.getpass = lambda prompt: password
sys.argv = ["devpi-passwd", "--serverdir", sys.argv[1], "root"]
sys.exit(passwd())
"""


def __virtual__():
    return __virtualname__


def initialised(name, program, user, password):
    """
    Make devpi's data in the folder ``name``, with root's password from the first moment; what is there is left alone.

    name (str): the folder; the one that it is in belongs to ``user``.
    program (str): devpi's virtualenv.
    user (str): the user that devpi runs as.
    password (str): where root's is in the secrets.

    .. code-block:: yaml

        devpi-data:
          insync_devpi.initialised:
            - name: /var/lib/devpi/server
            - program: /opt/devpi
            - user: devpi
            - password: pypi_server:root_password  # a place in the secrets
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": f"{name} holds devpi's data"}
    if pathlib.Path(name).exists():
        return ret
    changes = {"data": {"old": "absent", "new": "present"}}
    try:
        secret = _secret(password)
        if __opts__["test"]:
            return {**ret, "changes": changes, "result": None, "comment": f"{name} would be made"}
        _run(program, _INIT, name, user, secret)
    except (SaltException, insync_devpi.DevpiError) as exc:
        return {**ret, "result": False, "comment": str(exc)}
    return {**ret, "changes": changes}


def users(name, passwords, data, program):
    """
    Make the users of devpi exactly those of ``passwords``; what is tested is whether devpi lets them in.

    name (str): devpi's URL on this server.
    passwords (dict): user -> where its password is in the secrets, root among them; None for a user that nobody logs
        in as.
    data (str): the folder with devpi's data; with it even root's password is mended.
    program (str): devpi's virtualenv.

    .. code-block:: yaml

        devpi-users:
          insync_devpi.users:
            - name: http://127.0.0.1:3141
            - passwords: {root: 'pypi_server:root_password', insync: null}
            - data: /var/lib/devpi/server
            - program: /opt/devpi
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "the users are those declared"}
    try:
        passwords = {user: where if where is None else _secret(where) for user, where in passwords.items()}
        api = insync_devpi.Api(name, passwords[insync_devpi.ROOT])
        if __opts__["test"] and not api.answers():
            fresh = {user: {"old": "absent", "new": "present"} for user in passwords if user != insync_devpi.ROOT}
            return _unanswered(ret, data, fresh)
        api.wait()
        changes = insync_devpi.user_changes(api.users(), passwords, api.accepts)
        if not changes:
            return ret
        listed = ", ".join(changes)
        if __opts__["test"]:
            return {**ret, "changes": changes, "result": None, "comment": f"would be changed: {listed}"}
        if insync_devpi.ROOT in changes:
            _mend_root(api, data, program)
        for user in changes.keys() - {insync_devpi.ROOT}:
            _change(api, user, changes[user], passwords.get(user))
    except (SaltException, insync_devpi.DevpiError, OSError) as exc:
        return {**ret, "result": False, "comment": str(exc)}
    return {**ret, "changes": changes, "comment": f"changed: {listed}"}


def index(name, url, password, settings, data, program):
    """
    Give the index ``name`` exactly the declared settings; it is made if it is missing. Packages are not touched.

    name (str): ``user/index``.
    url (str): devpi's URL on this server.
    password (str): where root's is in the secrets.
    settings (dict): every setting, as devpi's interface names it. A mirror without ``mirror_url`` is one of the public
        index, where devpi itself knows it.
    data (str): the folder with devpi's data.
    program (str): devpi's virtualenv.

    .. code-block:: yaml

        devpi-index-stable:
          insync_devpi.index:
            - name: insync/stable
            - url: http://127.0.0.1:3141
            - password: pypi_server:root_password  # a place in the secrets
            - settings: {type: stage, bases: [root/pypi], volatile: False, acl_upload: [uploader], ...}
            - data: /var/lib/devpi/server
            - program: /opt/devpi
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": f"{name} is as declared"}
    try:
        api = insync_devpi.Api(url, _secret(password))
        if __opts__["test"] and not api.answers():
            return _unanswered(ret, data, insync_devpi.index_changes(None, settings))
        api.wait()
        there = api.index(name)
        declared = _with_public_mirror(settings, program)
        changes = insync_devpi.index_changes(there, declared)
        if not changes:
            return ret
        if __opts__["test"]:
            return {**ret, "changes": changes, "result": None, "comment": f"{name} would be changed"}
        if there is None:
            api.make_index(name, declared)
        else:
            api.modify_index(name, changes)
    except (SaltException, insync_devpi.DevpiError, OSError) as exc:
        return {**ret, "result": False, "comment": f"{name}: {exc}"}
    return {**ret, "changes": changes}


def _secret(where):
    return insync_devpi.secret(where, __pillar__.get("secrets", {}))


def _run(program, script, data, user, password):
    become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--no-new-privs", "--reset-env"]
    result = __salt__["cmd.run_all"](
        [*become, f"{program}/bin/python", "-B", "-W", "ignore", "-c", script, data],
        stdin=password,
        cwd="/",
        python_shell=False,
        ignore_retcode=True,
        output_loglevel="quiet",
    )
    if result["retcode"] != 0:
        said = (result["stderr"] or result["stdout"]).strip().splitlines() or ["no reason is told"]
        raise CommandExecutionError(f"{data}: {said[-1]}")


def _mend_root(api, data, program):
    """Nobody else may change root's password: it is written where devpi keeps it, which takes effect at once."""
    _run(program, _PASSWD, data, pathlib.Path(data).owner(), api.password)
    if not api.accepts(insync_devpi.ROOT, api.password):
        raise CommandExecutionError("devpi still refuses root's declared password; see 'journalctl -u devpi'")


def _change(api, user, change, password):
    if change["new"] == "absent":
        api.remove_user(user)
    elif change["old"] == "absent":
        api.make_user(user, password)
    else:
        api.set_password(user, password)


def _unanswered(ret, data, fresh):
    """In test mode: what a blank server will get; where there are data already, only a running devpi knows."""
    if pathlib.Path(data).exists():
        return {**ret, "result": None, "comment": "devpi does not run; what differs is seen once it does"}
    return {**ret, "changes": fresh, "result": None, "comment": "would be made"}


def _with_public_mirror(settings, program):
    if settings["type"] != "mirror" or "mirror_url" in settings:
        return settings
    return {**insync_devpi.public_mirror(program), **settings}
