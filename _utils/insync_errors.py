"""The one error that Salt tells in one line, through every channel, in the place of our own."""

import functools

import insync_verb
from salt.exceptions import CommandExecutionError, SaltInvocationError


def told(*kinds):
    """
    Return a decorator: what the function raises of ``kinds`` (exceptions), or an OSError, is a CommandExecutionError.

    The message stays; an OSError names its file. Other words than it takes are refused, as insync_verb.checked does.
    """

    def decorate(function):
        @insync_verb.checked(SaltInvocationError)
        @functools.wraps(function)
        def call(*args, **kwargs):
            try:
                return function(*args, **kwargs)
            except kinds as exc:
                raise CommandExecutionError(str(exc)) from exc
            except OSError as exc:
                raise CommandExecutionError(f"{exc.filename or function.__name__}: {exc.strerror or exc}") from exc

        return call

    return decorate
