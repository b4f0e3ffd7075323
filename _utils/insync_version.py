"""A version of Insync, such as 3.9.7.60031: what is one, and which of two is the higher."""

import dataclasses
import re

_NUMBER = r"(?:0|[1-9][0-9]{0,8})"
_FORM = re.compile(rf"{_NUMBER}(?:\.{_NUMBER}){{0,3}}")


class VersionError(ValueError):
    """This is no version, or none that can be current; the message names it and says why."""


@dataclasses.dataclass(frozen=True, order=True)
class Version:
    """A version; one compares with another as apt and rpm compare them. Its text is what it was made of."""

    numbers: tuple

    def __str__(self):
        return ".".join(map(str, self.numbers))


def parse(text):
    """
    Return the Version that ``text`` (str) names.

    Raises VersionError for what is not one to four numbers with dots between them, and for what is no text.
    """
    if isinstance(text, str) and _FORM.fullmatch(text):
        return Version(tuple(int(number) for number in text.split(".")))
    # YAML reads 3.10 as the number 3.1, on a command line too.
    remedy = "" if isinstance(text, str) else "; one of one or two numbers is quoted twice: '\"3.10\"'"
    raise VersionError(f"{text!r}: is no version, which is one to four numbers such as 3.9.7.60031{remedy}")
