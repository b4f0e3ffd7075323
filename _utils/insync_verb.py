"""What every verb does around its work: refuse words that are not its own; one at a time, told while it runs, kept."""

import contextlib
import functools
import inspect
import pathlib

import insync_journal
import insync_lock
import salt.utils.user
from salt.exceptions import SaltInvocationError

RECORDS = pathlib.Path("/var/lib/insync")
LOCKS = pathlib.Path("/run/lock")
# For how many seconds one that goes on by itself waits for another.
PATIENCE = 60
# What states are told as ``queue`` to wait for as many other runs; True would leave them for later, and answer at once.
QUEUE = 100
_OPTIONS = "; an option is written name=value"


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


def checked(error, more=""):
    """
    Return a decorator: called with other words than it takes, the function raises ``error`` (exception), with one line.

    more (str): as for ``unknown``.

    Salt looks at the words too: of one that is none of a runner's, salt-run prints the documentation, and ends with 0.
    So each function seems to take every option here. What Salt adds to them (``__pub_user``) gets who has ``**kwargs``.
    """

    def decorate(function):
        signature = inspect.signature(function)
        takes_all = any(one.kind is one.VAR_KEYWORD for one in signature.parameters.values())

        @functools.wraps(function)
        def call(*args, **kwargs):
            wrong = _wrong(signature.parameters.values(), args, kwargs, more)
            if wrong:
                raise error(" ".join(wrong.split()))
            taken = {key: value for key, value in kwargs.items() if takes_all or not key.startswith("__")}
            try:
                return function(*args, **taken)
            except TypeError as exc:
                # Salt takes any for wrong words, and its own word for these is one, too.
                if isinstance(exc, SaltInvocationError):
                    raise
                raise RuntimeError(f"{function.__name__}: {exc}") from exc

        # Salt looks through a wrapper, by this.
        del call.__wrapped__
        call.__signature__ = signature if takes_all else _with_options(signature)
        return call

    return decorate


def _with_options(signature):
    options = inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)
    return signature.replace(parameters=[*signature.parameters.values(), options])


def _wrong(parameters, args, kwargs, more):
    """What is wrong with the words of a call, as a line; "" if nothing."""
    words = [one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    options = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]
    needed = [one.name for one in parameters if one.name in [*words, *options] and one.default is one.empty]
    any_number = [one.name for one in parameters if one.kind is one.VAR_POSITIONAL]
    takes = f"it takes {', '.join([*words, *any_number]) or 'none'}"
    if len(args) > len(words) and not any_number:
        return f"{args[len(words)]}: one word too many; {takes}{_OPTIONS if options else ''}"
    given = words[: len(args)]
    twice = next((f"{name}={kwargs[name]}: is given twice" for name in given if name in kwargs), "")
    missing = next((f"{name}: is missing; {takes}" for name in needed if name not in {*given, *kwargs}), "")
    optional = [name for name in [*words, *options] if name not in needed]
    known = {name: value for name, value in kwargs.items() if name not in needed}
    return unknown(known, optional, more) or twice or missing


def flag(**options):
    """
    Return what the one option (name=value) says (bool); Salt leaves a text a text, and any of them would be taken.

    Raises SaltInvocationError for what is neither true nor false.
    """
    ((name, value),) = options.items()
    if str(value).lower() not in ("true", "false"):
        raise SaltInvocationError(f"{name}={value}: is neither True nor False")
    return str(value).lower() == "true"


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


def called(area, verb, told, server, test=False, wait=0):
    """
    Return ``run`` of the same for a verb that was called with ``told`` (dict), its keywords.

    area, verb, server, test, wait: as for ``run``.
    """
    return run(area, verb, by(told), server, test, wait)
