"""Every function of our runners and modules refuses words that it does not take, in a line that says what it takes."""

import importlib.util
import inspect

import insync_verb
import pytest
import salt.minion
import salt.utils.args
from salt.exceptions import NotImplemented as Refused
from salt.exceptions import SaltInvocationError

from lab.paths import ROOT

PUBLISHED = {"user": "alice", "jid": "20261127000000000000", "fun": "insync.hosts"}


def public(folder, error, published):
    for path in sorted((ROOT / folder).glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"words_{folder}_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for name, function in vars(module).items():
            if inspect.isfunction(function) and not name.startswith("_") and function.__module__ == module.__name__:
                yield pytest.param(function, error, published, id=f"{folder[1:]}-{path.stem}.{name}")


# What a job of the master is tells a minion's function, if that takes it; a runner's is told nothing.
VERBS = [*public("_runners", Refused, None), *public("_modules", SaltInvocationError, PUBLISHED)]


def required(function):
    parameters = inspect.signature(function).parameters.values()
    return [one for one in parameters if one.default is one.empty and "VAR_" not in one.kind.name]


def any_number(function):
    return any(one.kind is one.VAR_POSITIONAL for one in inspect.signature(function).parameters.values())


def call(function, words, options, published):
    """Call it as Salt does, with its own look at the words before."""
    given = [*words, {"__kwarg__": True, **options}] if options else words
    args, kwargs = salt.minion.load_args_and_kwargs(function, given, data=published)
    return function(*args, **kwargs)


def refused(function, error, published, words=(), options=None):
    needed = required(function)
    named = {one.name: "x" for one in needed if one.kind is one.KEYWORD_ONLY}
    words = [*["x" for one in needed if one.name not in named], *words]
    with pytest.raises(error) as caught:
        call(function, words, named | (options or {}), published)
    (line,) = str(caught.value).splitlines()
    return line


def test_there_are_verbs_of_both_kinds():
    assert len(VERBS) > 60 and {one.id.split("-")[0] for one in VERBS} == {"runners", "modules"}


@pytest.mark.parametrize("function, error, published", VERBS)
def test_an_option_that_is_none_is_refused(function, error, published):
    line = refused(function, error, published, options={"unheard": "of"})
    assert line.startswith("unheard=of: no option; ")
    options = [
        one.name
        for one in inspect.signature(function).parameters.values()
        if one.default is not one.empty and one.kind is not one.VAR_KEYWORD
    ]
    assert all(option in line for option in options)


@pytest.mark.parametrize("function, error, published", [one for one in VERBS if not any_number(one.values[0])])
def test_a_word_too_many_is_refused(function, error, published):
    optional = [
        "x"
        for one in inspect.signature(function).parameters.values()
        if one.kind is one.POSITIONAL_OR_KEYWORD and one.default is not one.empty
    ]
    line = refused(function, error, published, words=[*optional, "superfluous"])
    assert line.startswith("superfluous: one word too many; ")


@pytest.mark.parametrize("function, error, published", [one for one in VERBS if required(one.values[0])])
def test_a_word_that_is_missing_is_told(function, error, published):
    first = required(function)[0].name
    with pytest.raises(error) as caught:
        call(function, [], {}, published)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{first}: is missing; ")


def verb(host, before=None, *, test=False):
    """What it does."""
    return host, before, test


def told(function, error=Refused, **options):
    return insync_verb.checked(error, **options)(function)


def test_what_is_taken_is_said():
    def said(*words, **options):
        with pytest.raises(Refused) as caught:
            told(verb)(*words, **options)
        return str(caught.value)

    assert said() == "host: is missing; it takes host, before"
    assert said("a", "b", "c") == "c: one word too many; it takes host, before; an option is written name=value"
    assert said("a", tset=True) == "tset=True: no option; there is before, test"
    assert said("a", host="b") == "host=b: is given twice"
    assert told(verb)("a", "b", test=True) == ("a", "b", True)
    assert told(verb)(host="a", __pub_user="alice") == ("a", None, False)


def test_one_that_takes_nothing_says_so():
    def nothing():
        return "done"

    for words, options, line in (
        (["foo"], {}, "foo: one word too many; it takes none"),
        ([], {"foo": 1}, "foo=1: no option; it has none"),
    ):
        with pytest.raises(Refused) as caught:
            told(nothing)(*words, **options)
        assert str(caught.value) == line
    assert told(nothing)() == "done"


def test_more_can_be_said_of_an_option_that_is_none():
    def update(*packages, test=False):
        return packages

    with pytest.raises(Refused) as caught:
        told(update, more="; a version is written {key}=={value}")(**{"insync-web": "2.4.0"})
    assert str(caught.value) == "insync-web=2.4.0: no option; there is test; a version is written insync-web==2.4.0"


def test_who_asks_for_what_the_job_is_gets_it_and_nothing_else():
    def asks(test=False, **kwargs):
        return kwargs

    assert told(asks)(test=True, __pub_user="alice") == {"__pub_user": "alice"}
    with pytest.raises(Refused, match="^tset=True: no option; there is test$"):
        told(asks)(tset=True)


def test_it_is_still_what_it_was_for_who_reads_of_it():
    wrapped = told(verb)
    spec = salt.utils.args.get_function_argspec(wrapped)
    assert (wrapped.__name__, wrapped.__doc__) == ("verb", "What it does.")
    assert (spec.args, spec.defaults) == (["host", "before", "test"], (None, False))
    # Or Salt refuses an option by itself: the runner's command prints the documentation then, and ends with 0.
    assert spec.keywords


def test_an_error_of_ours_is_not_taken_for_wrong_words():
    """Salt takes any TypeError for them: the runner's command prints the documentation then, and ends with 0."""

    def wrong():
        return "a" + 1

    def refusing():
        raise SaltInvocationError("kind=all: there is physical")

    with pytest.raises(RuntimeError, match="can only concatenate str"):
        told(wrong)()
    with pytest.raises(SaltInvocationError, match="^kind=all"):
        told(refusing)()
