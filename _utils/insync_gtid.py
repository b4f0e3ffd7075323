"""Positions in MariaDB's binary logs, and whether one server's history is part of another's."""

import re

_ONE = re.compile(r"(\d+)-(\d+)-(\d+)")


class GtidError(ValueError):
    """What is no position; the message shows it."""


def parse(text):
    """
    Return ``{(domain, server): sequence number}`` (ints) of a position (str) such as ``0-17-4711,1-18-3``.

    Of two with the same domain and server the later one counts. Raises GtidError.
    """
    found = {}
    for one in filter(None, (part.strip() for part in text.split(","))):
        match = _ONE.fullmatch(one)
        if not match:
            raise GtidError(f"'{one[:60]}' is no GTID")
        domain, server, number = map(int, match.groups())
        found[domain, server] = max(number, found.get((domain, server), 0))
    return found


def later(one, other):
    """Return that of two positions (str) of one history that is the later one; ``one`` if none is."""
    first, second = _ends(one), _ends(other)
    return other if any(number > first.get(domain, 0) for domain, number in second.items()) else one


def ahead(position, reached):
    """
    Return the GTIDs (list of str) of ``position`` that come after ``reached``, another position of one history.

    Numbers go on in a domain whoever writes there: once a server has taken over, the last of the one before is part of
    all that it has written, even if ``reached`` does not name it, as @@gtid_slave_pos does not. Raises GtidError.
    """
    ends = _ends(reached)
    return [
        f"{domain}-{server}-{number}"
        for (domain, server), number in sorted(parse(position).items())
        if ends.get(domain, 0) < number
    ]


def _ends(position):
    found = {}
    for (domain, _), number in parse(position).items():
        found[domain] = max(number, found.get(domain, 0))
    return found


def missing(position, history):
    """
    Return the GTIDs (list of str) of ``position`` that are no part of ``history``; [] if all are.

    position (str): where a server is, as @@gtid_current_pos says.
    history (str): the last of each server that another one has logged, as its @@gtid_binlog_state says.
    Raises GtidError.
    """
    known = parse(history)
    return [
        f"{domain}-{server}-{number}"
        for (domain, server), number in sorted(parse(position).items())
        if known.get((domain, server), 0) < number
    ]


def text(position):
    """Return ``position`` (str) as it may stand in a statement, without anything else. Raises GtidError."""
    return ",".join(f"{domain}-{server}-{number}" for (domain, server), number in parse(position).items())


def before(lacking, own, history):
    """
    Return where what is only in one history begins: the last GTIDs (str) that both have, of the domains of ``lacking``.

    lacking (list of str): of ``missing``. own, history (str): the @@gtid_binlog_state of that one, and of the other.
    "" if they share nothing there. Raises GtidError.
    """
    here, there, found = parse(own), parse(history), {}
    for domain in sorted({next(iter(parse(one)))[0] for one in lacking}):
        shared = [
            (min(number, there[key]), key[1]) for key, number in here.items() if key[0] == domain and key in there
        ]
        if shared:
            number, server = max(shared)
            found[domain] = f"{domain}-{server}-{number}"
    return ",".join(found.values())
