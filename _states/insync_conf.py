"""The applications' settings on the conf server, as pillar declares them."""

import json
import os

import insync_conf
from salt.exceptions import CommandExecutionError, SaltException

__virtualname__ = "insync_conf"

# What the exit codes of `jt sconf load` mean.
_NOT_THERE, _BAD_INPUT, _UNREACHABLE, _REFUSED = 1, 2, 3, 4
_REMEDIES = {
    _NOT_THERE: "; the conf server learns of a new one when it starts: 'salt-run insync.restart conf_server'",
    _BAD_INPUT: "; mend pillar/role/conf_server.sls, nothing was loaded",
}


class NotYet(CommandExecutionError):
    """The conf server does not answer, or does not let us in."""


def __virtual__():
    return __virtualname__


def loaded(name, declared, command, environment, numbers=None):
    """
    Load what differs between the declared settings of an application and what the conf server holds.

    name (str): the namespace.
    declared (dict): the settings, with references as ``insync_conf.resolve`` knows them; the secrets come from pillar.
    command (list of str): how ``jt`` is called; it reads JSON from standard input.
    environment (dict): what ``jt`` finds in its environment.
    numbers (dict): which of them are numbers, and from where to where, as ``insync_conf.check`` takes it.

    Nothing is removed. Changes name the keys and never their values, which may be secrets.

    .. code-block:: yaml

        conf-web:
          insync_conf.loaded:
            - name: web
            - declared: {greeting: Hello, mysql: {connect: mysql, password: {secret: 'mysql_primary:web_password'}}}
            - command: [/insync/venv/conf_server_bin/bin/jt, sconf, load, '-', --ns, web, --json]
            - environment: {INSYNC_SETTINGS: /etc/insync/jt/settings.json, JT_TOKEN_FILE: /etc/insync/jt/token}
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": f"the conf server holds the {name} settings"}
    try:
        values = insync_conf.resolve(declared, __pillar__["endpoints"], __pillar__["secrets"])
        insync_conf.check(values, numbers or {})
        changes = _planned(command, environment, values)
        if not changes:
            return ret
        if __opts__["test"]:
            return {**ret, "changes": changes, "result": None, "comment": f"{name}: would be loaded"}
        done = _jt(command, environment, values)
    except NotYet as exc:
        # In test mode a run would start it, and write our token, first.
        return {**ret, "result": None if __opts__["test"] else False, "comment": f"{name}: {exc}"}
    except (insync_conf.ConfError, SaltException) as exc:
        return {**ret, "result": False, "comment": f"{name}: {exc}"}
    return {**ret, "changes": changes, "comment": f"revision {done['rev']} is loaded"}


def _planned(command, environment, values):
    """{"added": [...], "updated": [...]}, without what is empty."""
    if __opts__["test"] and not os.path.exists(command[0]):
        # The run installs jt first, and finds a conf server without any value.
        return {"added": sorted(values)}
    planned = _jt([*command, "--dry-run"], environment, values)
    return {key: planned[key] for key in ("added", "updated") if planned[key]}


def _jt(command, environment, values):
    done = __salt__["cmd.run_all"](
        command,
        stdin=json.dumps(values, sort_keys=True),
        env=environment,
        python_shell=False,
        ignore_retcode=True,
        timeout=60,
        # Values are secrets; the call is logged without them.
        output_loglevel="quiet",
    )
    if done["retcode"] == 0:
        return _answer(done["stdout"])
    said = " ".join((done["stderr"] or done["stdout"]).split())[:400]
    error = NotYet if done["retcode"] in (_UNREACHABLE, _REFUSED) else CommandExecutionError
    raise error(f"{said or 'jt said nothing'}{_REMEDIES.get(done['retcode'], '')}")


def _answer(said):
    try:
        answer = json.loads(said)
        return {key: answer[key] for key in ("added", "updated", "rev")}
    except (ValueError, KeyError, TypeError) as exc:
        raise CommandExecutionError(f"jt answers something else than what would change: {said[:100]}") from exc
