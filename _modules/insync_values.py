"""The operators' verbs for what applications and customers are told, on the server that tells it."""

import insync_conf
import insync_current_versions
import insync_declared_conf
import insync_errors
import insync_fresh_pillar
import insync_jt
import insync_lock
import insync_verb
import insync_version
import insync_versions

__virtualname__ = "insync"

_told = insync_errors.told(insync_conf.ConfError, insync_jt.JtError, insync_lock.Held, insync_version.VersionError)


def __virtual__():
    return __virtualname__


@_told
def conf_load(*namespaces, prune=False, test=False, **kwargs):
    """
    Load what differs between the values that pillar declares for the applications and what the conf server holds.

    namespaces (str): such as ``web``; all if none is named.
    prune (bool): also remove what nobody has declared; otherwise that is only named.
    test (bool): only tell what would be done.

    Returns a dict: namespace -> changes (name -> old and new value, secrets masked), undeclared (names) and revision.
    The applications take new values within seconds, without a restart. Raises CommandExecutionError saying what is
    wrong; the namespaces before that one are loaded then.

    CLI Example:

    .. code-block:: bash

        salt ct1 insync.conf_load test=True
        salt ct1 insync.conf_load web prune=True
    """
    test, prune = insync_verb.flag(test=test), insync_verb.flag(prune=prune)
    verb = " ".join(["insync.conf_load", *map(str, namespaces), *(["prune=True"] if prune else [])])
    with insync_verb.called("conf", verb, kwargs, __grains__["id"], test) as (journal, done):
        pillar = _pillar()
        declared = pillar["current_versions"]["declared"] if "current_versions" in pillar else {}
        versions = insync_versions.kept(declared, verb, insync_verb.by(kwargs), __grains__["id"], test)
        server = insync_declared_conf.DeclaredConf(pillar, versions)
        for namespace in server.namespaces(namespaces):
            with journal.phase(namespace):
                done[namespace] = server.load(namespace, prune, test)
    return done


@_told
def set_current_version(platform, version, *, backport=False, test=False, **kwargs):
    """
    Tell clients on a platform that a version of Insync is the current one.

    platform (str): ``mac`` or ``windows``.
    version (str): such as ``3.9.7.60031``; what it is downloaded from has to be there.
    backport (bool): it may be lower than the current one.
    test (bool): only check, and tell what would be done.

    Returns a dict: platform -> old and new, if that changes, and clients_see: what clients are told then. Raises
    CommandExecutionError, with the former one current, if it cannot be downloaded or clients are not told it in time.

    CLI Example:

    .. code-block:: bash

        salt ct1 insync.set_current_version mac 3.9.7.60031 test=True
        salt ct1 insync.set_current_version windows 3.9.7.60031
    """
    insync_version.parse(version)
    test, backport = insync_verb.flag(test=test), insync_verb.flag(backport=backport)
    verb = " ".join(["insync.set_current_version", str(platform), version, *(["backport=True"] if backport else [])])
    with insync_verb.called(insync_versions.AREA, verb, kwargs, __grains__["id"], test) as run:
        return _current_versions(insync_verb.by(kwargs)).set(run, str(platform), version, backport, test)


@_told
def rollback_version(platform, version=None, *, leaving=None, test=False, **kwargs):
    """
    Tell clients on a platform that a version which was current before is it again.

    platform, test: as for ``insync.set_current_version``.
    version (str): one of the former ones; without it, the last one before the current.
    leaving (str): only if this is the current one, and another was before.

    Returns and raises as ``insync.set_current_version``.

    CLI Example:

    .. code-block:: bash

        salt ct1 insync.rollback_version mac
        salt ct1 insync.rollback_version mac leaving=3.9.7.60031
    """
    for named in (version, leaving):
        if named is not None:
            insync_version.parse(named)
    test = insync_verb.flag(test=test)
    words = [*([version] if version else []), *([f"leaving={leaving}"] if leaving else [])]
    verb = " ".join(["insync.rollback_version", str(platform), *words])
    with insync_verb.called(insync_versions.AREA, verb, kwargs, __grains__["id"], test) as run:
        return _current_versions(insync_verb.by(kwargs)).roll_back(run, str(platform), version, test, leaving)


@_told
def current_versions():
    """
    Tell which version of Insync is current on each platform, and what clients are told.

    Returns a dict: platform -> version, declared, since, by, download (URL), clients_see, and seen, whether that is the
    version. Raises CommandExecutionError on a server that tells none.

    CLI Example:

    .. code-block:: bash

        salt ct1 insync.current_versions
    """
    return _current_versions().table()


def _current_versions(by=""):
    pillar = _pillar()
    return insync_current_versions.CurrentVersions(pillar, pillar["public_names"]["https"][0], by)


def _pillar():
    return insync_fresh_pillar.compile(__opts__, __grains__.value())
