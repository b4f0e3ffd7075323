"""Who may enter a server: leavers are removed, nobody else is."""

import pathlib
import pwd

import pytest

from tests.functional.private import command, private_world, read_only

ARGUMENTS = {"name": "operators", "users": ["alice", "bob"]}


def hire(*names):
    command("groupadd", "--gid", "2000", "operators")
    for name in names:
        command("useradd", "--gid", "operators", "--home-dir", f"/mnt/{name}", "--create-home", name)


def people():
    return {user.pw_name for user in pwd.getpwall()}


@pytest.mark.parametrize("hired", [None, [], ["alice"], ["alice", "bob"]])
@private_world
def test_nobody_has_left(single, testmode, hired):
    if hired is not None:
        hire(*hired)
    before = people()
    result = single("insync_operators.only", test=testmode, **ARGUMENTS)
    assert (result["result"], result["changes"]) == (True, {})
    assert people() == before


@private_world
def test_leavers_go_and_their_homes_stay(single, testmode):
    hire("alice", "mallory", "zoe")
    before = people()
    result = single("insync_operators.only", test=testmode, **ARGUMENTS)
    assert result["result"] is (None if testmode else True)
    assert sorted(result["changes"]) == ["mallory", "zoe"]
    assert before - people() == (set() if testmode else {"mallory", "zoe"})
    assert pathlib.Path("/mnt/mallory").is_dir()
    again = single("insync_operators.only", test=testmode, **ARGUMENTS)
    assert bool(again["changes"]) is testmode


@private_world
def test_who_is_a_member_by_hand_leaves_the_groups_and_stays_a_user(single, testmode):
    hire("alice")
    command("groupadd", "admin")
    command("useradd", "--user-group", "--groups", "operators,admin", "--no-create-home", "guest")
    arguments = {**ARGUMENTS, "groups": ["ops", "admin"]}
    result = single("insync_operators.only", test=testmode, **arguments)
    assert result["result"] is (None if testmode else True)
    assert result["changes"] == {"guest": {"old": "in operators, admin", "new": "in none of them"}}
    assert "guest" in people()
    again = single("insync_operators.only", test=testmode, **arguments)
    assert bool(again["changes"]) is testmode


@private_world
def test_a_leaver_who_cannot_be_removed(single):
    hire("mallory")
    read_only("/etc")
    result = single("insync_operators.only", **ARGUMENTS)
    assert (result["result"], result["changes"]) == (False, {})
    assert "cannot remove the user mallory" in result["comment"]
    assert "mallory" in people()
