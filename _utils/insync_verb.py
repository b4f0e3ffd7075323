"""What every verb that runs on one server does around its work: one at a time, told while it runs, kept afterwards."""

import contextlib
import pathlib

import insync_journal
import insync_lock
import salt.utils.user
from salt.exceptions import SaltInvocationError

RECORDS = pathlib.Path("/var/lib/insync")
LOCKS = pathlib.Path("/run/lock")
# For how many seconds one that goes on by itself waits for another.
PATIENCE = 60


def unknown(told, known, more=""):
    """
    Return what is wrong with ``told`` (dict), the keywords of a call, as a line (str); "" if nothing.

    Salt adds some of its own, and takes each word with one ``=`` for one. known (iterable of str): what there is.
    more (str): what else is to be said, with ``{key}`` and ``{value}``.
    """
    for key, value in told.items():
        if key not in known and not key.startswith("__"):
            there = f"there is {', '.join(known)}" if known else "it has none"
            return f"{key}={value}: no option; {there}{more.format(key=key, value=value)}"
    return ""


def refuse(told, known):
    """Raise SaltInvocationError for an option of ``told`` (dict) that is none of ``known`` (iterable of str)."""
    wrong = unknown(told, known)
    if wrong:
        raise SaltInvocationError(wrong)


def flag(**options):
    """
    Return what the one option (name=value) says (bool); Salt leaves a text a text, and any of them would be taken.

    Raises SaltInvocationError for what is neither true nor false.
    """
    ((name, value),) = options.items()
    if str(value).lower() not in ("true", "false"):
        raise SaltInvocationError(f"{name}={value}: is neither True nor False")
    return str(value).lower() == "true"


def nothing_more(words):
    """Raise SaltInvocationError naming the first of ``words`` (tuple), which the verb does not take."""
    if words:
        raise SaltInvocationError(f"{words[0]}: one word too many; an option is written name=value")


def by(told):
    """Return who (str) called a verb with ``told`` (dict), its keywords: the operator, or on the server itself root."""
    return told.get("__pub_user") or salt.utils.user.get_specific_user()


def alone(area, verb, by="", wait=0):
    """
    Return a context manager that keeps everybody else out of ``area`` (str), and leaves no record.

    verb, by (str): what, and who, as they are told to who is refused. wait (float): for how many seconds to wait.
    It raises insync_lock.Held if somebody else is still at it then.
    """
    return insync_lock.held(LOCKS / f"insync-{area}.lock", verb, by, wait)


@contextlib.contextmanager
def run(area, verb, by, server, test=False, wait=0):
    """
    Keep everybody else out of ``area`` (str) while the block runs, and leave a record of it.

    verb (str): what was typed. by (str): by whom. server (str): where. test (bool): it only looks: no record.
    wait (float): for how many seconds to wait for somebody else.
    Yields (insync_journal.Journal, dict): what is put into the dict goes into the record.
    Raises insync_lock.Held if somebody else is at it.
    """
    folder, facts = RECORDS / area, {}
    with alone(area, verb, by, wait):
        if not test:
            folder.mkdir(parents=True, exist_ok=True)
        journal = insync_journal.Journal(folder, verb, by, [server], keep=not test)
        try:
            yield journal, facts
        except BaseException as exc:
            journal.end(str(exc) or type(exc).__name__, **facts)
            raise
        journal.end("ok", **facts)


def called(area, verb, told, known, server, test=False, wait=0):
    """
    Return ``run`` of the same for a verb that was called with ``told`` (dict), its keywords.

    known (iterable of str): the options that it has. area, verb, server, test, wait: as for ``run``.
    Raises SaltInvocationError for an option that it has not.
    """
    refuse(told, known)
    return run(area, verb, by(told), server, test, wait)
