"""The operators' verbs for the apt and yum repositories, on the server that holds them."""

import contextlib

import insync_errors
import insync_fresh_pillar
import insync_lock
import insync_publisher
import insync_verb

__virtualname__ = "insync"

_told = insync_errors.told(*insync_publisher.ERRORS, insync_lock.Held)


def __virtual__():
    return __virtualname__


@_told
def check_client(version, **kwargs):
    """
    Look whether a version of the desktop client can be released: builds of all platforms, keys, disk, store.

    version (str): such as 3.9.7.60031.

    Returns a dict: builds (file -> size in bytes), platforms (name -> download), signing_key_days (until it expires,
    None if never), suites (apt and yum -> how many would get it), live (whether customers are offered it everywhere),
    and warning if the key expires soon. Raises CommandExecutionError naming everything that is missing or wrong.

    CLI Example:

    .. code-block:: bash

        salt ct1 insync.check_client 3.9.7.60031
    """
    with _run(f"insync.check_client {version}", kwargs, test=True) as publisher:
        return publisher.check(version)


@_told
def update_apt_repo(version, *, backport=False, partial=False, test=False, **kwargs):
    """
    Add a version of the desktop client to all suites of the local apt repositories; ``insync.sync_repos`` publishes it.

    version (str): such as 3.9.7.60031; taken from the release source, and verified.
    backport (bool): although it is lower than the newest.
    partial (bool): although builds of some packages are missing.
    test (bool): only verify, and tell what would be done.

    Returns a dict: changes (suite -> old and new serial; none if the version is there already), added and dropped
    (files). Raises CommandExecutionError naming everything that is wrong; the repositories are as they were then.

    CLI Example:

    .. code-block:: bash

        salt ct1 insync.update_apt_repo 3.9.7.60031
        salt ct1 insync.update_apt_repo 3.8.9.60012 backport=True test=True
    """
    return _update("apt", version, backport, partial, test, kwargs)


@_told
def update_yum_repo(version, *, backport=False, partial=False, test=False, **kwargs):
    """
    Add a version of the desktop client to all local yum repositories; otherwise like ``insync.update_apt_repo``.

    version, backport, partial, test: as there.

    CLI Example:

    .. code-block:: bash

        salt ct1 insync.update_yum_repo 3.9.7.60031
    """
    return _update("yum", version, backport, partial, test, kwargs)


@_told
def sync_repos(*names, repair=False, test=False, **kwargs):
    """
    Publish what differs between the local repositories and S3, in an order in which no customer sees a half.

    names (str): apt, yum; both if none is named.
    repair (bool): look at every object in the store, and mend what somebody else did there.
    test (bool): only look at the store, and tell what would be sent.

    Returns a dict: apt and yum -> changes (suite -> serial), uploaded (number of objects), requests; in test mode also
    keys. Called again after a run that was cut short it completes it. Raises CommandExecutionError naming the cause.

    CLI Example:

    .. code-block:: bash

        salt ct1 insync.sync_repos
        salt ct1 insync.sync_repos apt test=True
    """
    test, repair = insync_verb.flag(test=test), insync_verb.flag(repair=repair)
    verb = " ".join(["insync.sync_repos", *map(str, names), *["repair=True"] * repair])
    with _run(verb, kwargs, test) as publisher:
        return publisher.sync(names, repair, test)


@_told
def verify_repos(version=None):
    """
    Look at the published repositories as a customer does, with apt and dnf.

    version (str): has to be on offer everywhere; without it each has to offer what the local one does.

    Returns a dict: apt and yum -> suite -> the newest version on offer. Raises CommandExecutionError naming the suites
    that differ.

    CLI Example:

    .. code-block:: bash

        salt ct1 insync.verify_repos 3.9.7.60031
    """
    return _publisher().verify(version)


@_told
def rollback_repos(*suites, serial=None, leaving=None, test=False, **kwargs):
    """
    Let suites offer the packages of an earlier serial again; ``insync.sync_repos`` publishes that.

    suites (str): such as ``ubuntu/noble``, ``fedora/41``, or ``apt``, ``yum``; all if none is named.
    serial (int): of one suite, the serial to come back to; without it the one before.
    leaving (str): only suites that offer this version: they lose it, and get back what made room for it.
    test (bool): only tell what would be done.

    Who has installed a newer version keeps it: apt and dnf do not go back by themselves.

    Returns a dict: changes (suite -> old and new serial, and like: whose packages it has), added and dropped (files).
    Raises CommandExecutionError naming what there is to come back to.

    CLI Example:

    .. code-block:: bash

        salt ct1 insync.rollback_repos test=True
        salt ct1 insync.rollback_repos ubuntu/noble serial=12
        salt ct1 insync.rollback_repos leaving=3.9.7.60031
    """
    test = insync_verb.flag(test=test)
    words = [f"serial={serial}"] if serial is not None else []
    words += [f"leaving={leaving}"] if leaving is not None else []
    verb = " ".join(["insync.rollback_repos", *map(str, suites), *words])
    with _run(verb, kwargs, test) as publisher:
        return publisher.roll_back(suites, serial, leaving, test)


@_told
def repo_status():
    """
    Tell what each suite offers here and in the store, and where the store differs from what was published.

    Returns a dict: apt and yum -> suites (suite -> serial, version, since, by, published), drift (what is wrong in the
    store -> keys), and signing_key_days (until it expires, None if never, or what is wrong with it). Raises
    CommandExecutionError if the store does not answer.

    CLI Example:

    .. code-block:: bash

        salt ct1 insync.repo_status
    """
    return _publisher().status()


@_told
def gc_repos(*, test=True, **kwargs):
    """
    Remove what no retained serial names, here and in the store; by default only tell what that is.

    test (bool): False removes it.

    Returns a dict: apt and yum -> local, published (keys). What is younger than the retention of the pillar stays.
    Raises CommandExecutionError if what is live is not what this server has published.

    CLI Example:

    .. code-block:: bash

        salt ct1 insync.gc_repos
        salt ct1 insync.gc_repos test=False
    """
    test = insync_verb.flag(test=test)
    with _run("insync.gc_repos", kwargs, test) as publisher:
        return publisher.collect(test)


def _update(root, version, backport, partial, test, told):
    test = insync_verb.flag(test=test)
    backport, partial = insync_verb.flag(backport=backport), insync_verb.flag(partial=partial)
    words = ["backport=True"] * backport + ["partial=True"] * partial
    verb = " ".join([f"insync.update_{root}_repo", str(version), *words])
    with _run(verb, told, test) as publisher:
        return publisher.update(root, version, backport, partial, test)


@contextlib.contextmanager
def _run(verb, told, test):
    """One at a time, and on record."""
    run = insync_verb.called("repos", verb, told, __grains__["id"], test, insync_verb.PATIENCE)
    publisher = _publisher()
    with run as (journal, done):
        publisher.begin(journal, insync_verb.by(told), done)
        yield publisher


def _publisher():
    return insync_publisher.Publisher(insync_fresh_pillar.compile(__opts__, __grains__.value()))
