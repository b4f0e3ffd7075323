"""The wiki's database: made once, empty, and never touched again."""

import os
import pathlib
import secrets
import tempfile

from salt.exceptions import CommandExecutionError, SaltException

__virtualname__ = "insync_mediawiki"

OURS = "Managed by Salt"
# Nobody ever logs in to a wiki that is only read: the password of this account is made up, and kept nowhere.
ADMINISTRATOR = "Archivist"


def __virtual__():
    return __virtualname__


def installed(name, program, settings, user, sitename, server):
    """
    Make an empty wiki in the folder ``name`` where there is none; what is there is left alone.

    name (str): the folder with the SQLite database.
    program (str): where MediaWiki is installed.
    settings (str): its LocalSettings.php; one that somebody wrote by hand stops everything: there is a wiki that nobody
        has taken over yet.
    user (str): the user that it runs as, who owns the database.
    sitename, server (str): its name, and the URL of its web server.

    .. code-block:: yaml

        mediawiki-database:
          insync_mediawiki.installed:
            - name: /var/lib/mediawiki/data
            - program: /usr/share/mediawiki
            - settings: /etc/mediawiki/LocalSettings.php
            - user: www-data
            - sitename: Insync wiki
            - server: https://wiki.insynchq.com
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": f"{name} holds the wiki's pages"}
    try:
        if _by_hand(settings):
            raise CommandExecutionError(f"{settings} was written by hand: see docs/roles/wiki.md, how to take it over")
        if os.path.lexists(name):
            return ret
        changes = {"wiki": {"old": "absent", "new": "empty"}}
        if __opts__["test"]:
            return {**ret, "changes": changes, "result": None, "comment": f"an empty wiki would be made in {name}"}
        _install(pathlib.Path(name), program, user, sitename, server)
    except (SaltException, OSError) as exc:
        return {**ret, "result": False, "comment": str(exc)}
    return {**ret, "changes": changes, "comment": f"an empty wiki was made in {name}"}


def _by_hand(settings):
    path = pathlib.Path(settings)
    return path.exists() and OURS not in path.read_text(encoding="utf-8", errors="replace")


def _install(folder, program, user, sitename, server):
    """Beside its place, and then moved there: what is in place is complete."""
    new = folder.with_name(f"{folder.name}.new")
    with tempfile.TemporaryDirectory(prefix="insync-wiki-") as work:
        password = pathlib.Path(work, "password")
        password.touch(0o600)
        password.write_text(secrets.token_urlsafe(32), encoding="ascii")
        __salt__["file.remove"](str(new))
        new.mkdir(0o700)
        for path in (work, password, new):
            __salt__["file.chown"](str(path), user, user)
        # A password on a command line is seen by everybody. The settings that it writes are not used.
        command = ["php", f"{program}/maintenance/install.php", "--confpath", work, "--passfile", str(password)]
        command += ["--dbtype", "sqlite", "--dbname", "wiki", "--dbpath", str(new), "--server", server]
        _run([*command, "--scriptpath", "", sitename, ADMINISTRATOR], user)
    new.rename(folder)


def _run(command, user):
    become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--no-new-privs", "--reset-env"]
    done = __salt__["cmd.run_all"]([*become, *command], cwd="/", python_shell=False, ignore_retcode=True, umask="077")
    if done["retcode"] != 0:
        said = (done["stderr"] or done["stdout"]).strip().splitlines() or ["no reason is told"]
        raise CommandExecutionError(f"MediaWiki's installer: {said[-1]}")
