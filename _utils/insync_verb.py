"""What every verb that runs on one server does around its work: one at a time, told while it runs, kept afterwards."""

import contextlib
import pathlib

import insync_journal
import insync_lock
import salt.utils.user

RECORDS = pathlib.Path("/var/lib/insync")
LOCKS = pathlib.Path("/run/lock")


def unknown(told, known, more=""):
    """
    Return what is wrong with ``told`` (dict), the keywords of a call, as a line (str); "" if nothing.

    Salt adds some of its own, and takes each word with one ``=`` for one. known (iterable of str): what there is.
    more (str): what else is to be said, with ``{key}`` and ``{value}``.
    """
    for key, value in told.items():
        if key not in known and not key.startswith("__"):
            return f"{key}={value}: no option; there is {', '.join(known)}{more.format(key=key, value=value)}"
    return ""


def by(told):
    """Return who (str) called a verb with ``told`` (dict), its keywords: the operator, or on the server itself root."""
    return told.get("__pub_user") or salt.utils.user.get_specific_user()


@contextlib.contextmanager
def run(area, verb, by, server, test=False):
    """
    Keep everybody else out of ``area`` (str) while the block runs, and leave a record of it.

    verb (str): what was typed. by (str): by whom. server (str): where. test (bool): it only looks: no record.
    Yields (insync_journal.Journal, dict): what is put into the dict goes into the record.
    Raises insync_lock.Held if somebody else is at it.
    """
    folder, facts = RECORDS / area, {}
    with insync_lock.held(LOCKS / f"insync-{area}.lock", verb, by=by):
        if not test:
            folder.mkdir(parents=True, exist_ok=True)
        journal = insync_journal.Journal(folder, verb, by, [server], keep=not test)
        try:
            yield journal, facts
        except BaseException as exc:
            journal.end(str(exc) or type(exc).__name__, **facts)
            raise
        journal.end("ok", **facts)
