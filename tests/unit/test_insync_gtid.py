"""GTIDs: read, and one history compared with another."""

import insync_gtid
import pytest


@pytest.mark.parametrize(
    "text, found",
    [
        ("", {}),
        ("0-17-4711", {(0, 17): 4711}),
        ("0-17-4711, 1-18-3", {(0, 17): 4711, (1, 18): 3}),
        ("0-17-4,0-17-9,0-18-2", {(0, 17): 9, (0, 18): 2}),
    ],
)
def test_positions(text, found):
    assert insync_gtid.parse(text) == found


@pytest.mark.parametrize("text", ["0-17", "x", "0-17-4711;1", "0--1-4"])
def test_what_is_no_position(text):
    with pytest.raises(insync_gtid.GtidError, match="is no GTID"):
        insync_gtid.parse(text)


@pytest.mark.parametrize(
    "one, other, later",
    [
        ("", "0-1-7", "0-1-7"),
        ("0-1-7", "", "0-1-7"),
        # What a server was as the replica of another, before it became the primary.
        ("0-2-5", "0-1-7", "0-1-7"),
        ("0-1-9", "0-2-7", "0-1-9"),
        ("0-1-9", "0-1-9,1-1-1", "0-1-9,1-1-1"),
    ],
)
def test_the_later_of_two(one, other, later):
    assert insync_gtid.later(one, other) == later


@pytest.mark.parametrize(
    "position, history, lacking",
    [
        ("", "", []),
        ("0-17-5", "0-17-5,0-18-9", []),
        ("0-17-5", "0-17-4,0-18-9", ["0-17-5"]),
        ("0-18-1", "0-17-400", ["0-18-1"]),
        ("0-17-5,2-17-1", "0-17-9", ["2-17-1"]),
    ],
)
def test_what_another_history_lacks(position, history, lacking):
    assert insync_gtid.missing(position, history) == lacking


@pytest.mark.parametrize(
    "position, reached, after",
    [
        ("", "", []),
        ("0-17-5", "", ["0-17-5"]),
        ("0-17-5", "0-17-5", []),
        ("0-17-6", "0-17-5", ["0-17-6"]),
        # Another server has taken over, or has for a while.
        ("0-17-5", "0-18-6", []),
        ("0-18-6,0-17-9", "0-17-9", []),
        ("0-18-6,0-17-9", "0-17-8", ["0-17-9"]),
        ("0-17-5,2-17-1", "0-18-9", ["2-17-1"]),
    ],
)
def test_what_comes_after_a_position(position, reached, after):
    assert insync_gtid.ahead(position, reached) == after
