"""The applications' settings on the conf server, as pillar declares them."""

import os

import insync_conf
import insync_jt
import insync_lock
import insync_verb
import insync_version
import insync_versions

__virtualname__ = "insync_conf"

_ERRORS = (insync_conf.ConfError, insync_jt.JtError, insync_lock.Held, insync_version.VersionError, OSError)


def __virtual__():
    return __virtualname__


def loaded(name, declared, command, environment, numbers=None, current_versions=None):
    """
    Load what differs between the declared settings of an application and what the conf server holds.

    name (str): the namespace.
    declared (dict): the settings, with references as ``insync_conf.resolve`` knows them; the secrets come from pillar.
    command (list of str): how ``jt`` is called; it reads JSON from standard input.
    environment (dict): what ``jt`` finds in its environment.
    numbers (dict): which of them are numbers, and from where to where, as ``insync_conf.check`` takes it.
    current_versions (dict): platform -> version, as declared; one that was set since then holds, and a newly declared
        one is recorded.

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
    verb = f"insync_conf.loaded {name}"
    try:
        # Nobody sets a version between what is read here and what is loaded.
        with insync_verb.alone("conf", verb, "the highstate", insync_verb.PATIENCE):
            server, test = __grains__["id"], __opts__["test"]
            versions = insync_versions.kept(current_versions or {}, verb, "the highstate", server, test)
            values = insync_conf.resolve(declared, __pillar__["endpoints"], __pillar__["secrets"], versions)
            insync_conf.check(values, numbers or {})
            jt = insync_jt.Jt(command, environment)
            changes = _planned(command[0], jt, values)
            if not changes:
                return ret
            if test:
                return {**ret, "changes": changes, "result": None, "comment": f"{name}: would be loaded"}
            done = jt.load(values)
    except insync_jt.NotYet as exc:
        # In test mode a run would install jt, start the server, and write our token, first.
        return {**ret, "result": None if __opts__["test"] else False, "comment": f"{name}: {exc}"}
    except _ERRORS as exc:
        return {**ret, "result": False, "comment": f"{name}: {exc}"}
    return {**ret, "changes": changes, "comment": f"revision {done['rev']} is loaded"}


def _planned(program, jt, values):
    """{"added": [...], "updated": [...]}, without what is empty."""
    if __opts__["test"] and not os.path.exists(program):
        raise insync_jt.NotYet(f"there is no {program} yet; what differs is seen once it is installed")
    planned = jt.load(values, dry_run=True)
    return {key: planned[key] for key in ("added", "updated") if planned[key]}
