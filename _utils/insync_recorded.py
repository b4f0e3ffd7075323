"""A run of a verb on ct1 that leaves a record and an event, however it ends."""

import contextlib

import salt.utils.event

# The one exception that salt-run prints as a line, without a traceback, and with exit code 1.
from salt.exceptions import NotImplemented as Refused

# What of the record who typed the verb is told too.
_TOLD = ("by", "seconds", "phases", "unrecorded")


def recorded(journal, act, errors, tag, opts):
    """
    Call ``act`` (callable, which returns a dict); return that, and by whom, for how long and in which phases.

    journal (insync_journal.Journal): of this run. errors (tuple of exceptions): those with a message for who typed it.
    tag (str): of the event on the master's bus, if a record is kept. opts (dict): the master's configuration.
    Raises Refused with what one of ``errors`` says, in one line.
    """
    try:
        done = act()
    except errors as exc:
        said = "; ".join(str(exc).splitlines())
        _end(journal, said, tag, opts)
        raise Refused(said) from exc
    except BaseException as exc:
        _end(journal, f"ended by {type(exc).__name__}", tag, opts)
        raise
    record = _end(journal, "ok", tag, opts, **done)
    return {**done, **{key: record[key] for key in _TOLD if key in record}}


def _end(journal, end, tag, opts, **facts):
    record = journal.end(end, **facts)
    if journal.keep:
        with contextlib.suppress(OSError), salt.utils.event.get_event("master", opts=opts, listen=False) as bus:
            bus.fire_event(record, tag)
    return record
