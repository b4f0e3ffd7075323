"""A change of sshd is kept once it is confirmed, and else taken back: what the timer runs, and what confirms."""

import functools
import pathlib
import subprocess

import insync_sshd
import insync_systemd
import pytest

from tests.functional.private import command, private_world

CHANGE = pathlib.Path(__file__).resolve().parents[2] / "salt" / "sshd" / "files" / "change"
CONFIG, MORE = pathlib.Path("/etc/ssh/sshd_config"), pathlib.Path("/etc/ssh/sshd_config.d/more.conf")
FOLDER = pathlib.Path("/var/lib/insync/sshd")
# Of this world alone.
COMMAND = pathlib.Path("/etc/ssh/change")
RULES = """table inet insync {
  chain input {
    type filter hook input priority filter; policy drop;
    ip saddr 10.0.0.9 tcp dport 2022 accept comment "ssh"
  }
}
"""


@pytest.fixture
def change(tmp_path, monkeypatch):
    """Run the program, without a systemd and an sshd: ``change("begin", ...)`` returns what systemctl was asked."""
    log = tmp_path / "asked"
    for name, does in {"systemctl": f'echo "$@" >> {log}', "sshd": "! grep -q wrong $3"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def _change(*words):
        log.write_text("")
        done = subprocess.run(["sh", CHANGE, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return log.read_text().splitlines()

    return _change


def before(text="Port 22\n"):
    """A server with sshd and the firewall's rules of another port."""
    MORE.parent.mkdir(parents=True, exist_ok=True)
    CONFIG.write_text(text)
    MORE.write_text("LogLevel INFO\n")
    rules = pathlib.Path("/etc/nftables.conf")
    rules.write_text(RULES)
    command("nft", "-f", str(rules))


def replace(change, text, file=CONFIG):
    """Change ``file`` as the state does; return what systemctl was asked."""
    new = pathlib.Path("/etc/ssh/new")
    new.write_text(text)
    asked = change("begin", str(file), str(new))
    new.rename(file)
    return asked


@private_world
def test_what_nobody_confirms_is_taken_back_with_its_way_in(change):
    before()
    assert "restart insync-sshd-rollback.timer" in replace(change, "Port 2022\n")
    replace(change, "AllowTcpForwarding yes\n", MORE.with_name("added.conf"))
    assert insync_sshd.pending() and not insync_sshd.taken_back()
    assert change("roll-back")[-1] == "--no-block restart ssh"
    assert (CONFIG.read_text(), sorted(MORE.parent.iterdir())) == ("Port 22\n", [MORE])
    assert insync_sshd.taken_back() and not insync_sshd.pending()
    rules = command("nft", "list", "chain", "inet", "insync", "input")
    assert 'ip saddr 10.0.0.9 tcp dport 22 accept comment "ssh"' in rules
    assert change("roll-back") == [], "and nothing the second time"


@private_world
def test_what_is_confirmed_stays(change):
    before()
    replace(change, "Port 2022\n")
    assert change("confirm") == ["stop insync-sshd-rollback.timer"]
    change("roll-back")
    assert CONFIG.read_text() == "Port 2022\n"
    with pytest.raises(insync_sshd.SshdError, match="no change of sshd waits"):
        (FOLDER / "change").symlink_to(CHANGE)
        CHANGE.chmod(0o755)
        insync_sshd.confirm(str(FOLDER / "change"))


@private_world
def test_a_second_change_before_the_first_is_confirmed_keeps_what_was_before_both(change):
    before()
    replace(change, "Port 2022\n")
    assert "restart insync-sshd-rollback.timer" in replace(change, "Port 2023\n"), "with a full time of its own"
    change("roll-back")
    assert CONFIG.read_text() == "Port 22\n"


@private_world
def test_a_file_that_a_role_has_left_comes_back_unless_that_is_confirmed(change, single, monkeypatch):
    before()
    COMMAND.write_bytes(CHANGE.read_bytes())
    COMMAND.chmod(0o755)
    monkeypatch.setattr(insync_sshd, "remove", functools.partial(insync_sshd.remove, command=str(COMMAND)))
    name, text = str(MORE), MORE.read_text()
    result = single("insync_sshd.absent", name=name, test=True)
    assert (result["result"], result["changes"], MORE.exists()) == (None, {name: "remove"}, True)
    assert not insync_sshd.pending()
    result = single("insync_sshd.absent", name=name)
    assert (result["result"], result["changes"], MORE.exists()) == (True, {name: "remove"}, False)
    assert insync_sshd.pending()
    change("roll-back")
    assert MORE.read_text() == text
    single("insync_sshd.absent", name=name)
    change("confirm")
    change("roll-back")
    for test in (True, False):
        result = single("insync_sshd.absent", name=name, test=test)
        assert (result["result"], result["changes"], MORE.exists()) == (True, {}, False)


@private_world
def test_a_file_stays_if_what_was_there_cannot_be_kept(single, monkeypatch, tmp_path):
    before()
    refuses = tmp_path / "refuses"
    refuses.write_text("#!/bin/sh\necho no space left >&2\nexit 1\n")
    refuses.chmod(0o755)
    monkeypatch.setattr(insync_sshd, "remove", functools.partial(insync_sshd.remove, command=str(refuses)))
    result = single("insync_sshd.absent", name=str(MORE))
    assert (result["result"], result["changes"], MORE.exists()) == (False, {}, True)
    assert result["comment"] == f"{MORE}: no space left"


@private_world
def test_what_sshd_refuses_or_what_is_there_already_begins_nothing(change):
    before()
    assert replace(change, "Port 22\n") == []
    assert not insync_sshd.pending()
    with pytest.raises(AssertionError):
        replace(change, "wrong\n")
    assert not insync_sshd.pending()


KEYS = {"alice": ["ssh-ed25519 AAAA"], "bob": ["ssh-ed25519 BBBB"]}


@pytest.fixture
def server(monkeypatch):
    """What insync_sshd finds: ``server["refused"]`` are those who are not let in."""
    facts = {"pending": True, "taken_back": False, "refused": {}, "confirmed": 0, "asked": []}
    monkeypatch.setattr(insync_sshd, "pending", lambda: facts["pending"])
    monkeypatch.setattr(insync_sshd, "taken_back", lambda: facts["taken_back"])
    monkeypatch.setattr(insync_sshd, "refused", lambda address, port, operators: facts["refused"])
    monkeypatch.setattr(insync_systemd, "systemctl", lambda *words: facts["asked"].append(words))
    monkeypatch.setattr(insync_sshd, "confirm", lambda: facts.update(confirmed=1, pending=False))
    return facts


@pytest.fixture
def confirmed(single):
    def _confirmed(test=False):
        return single("insync_sshd.confirmed", name="10.0.0.2:22", operators=KEYS, test=test)

    return _confirmed


def test_a_change_that_lets_all_in_is_confirmed_once(confirmed, server, testmode):
    result = confirmed(testmode)
    assert result["result"] is (None if testmode else True)
    assert result["changes"] and bool(server["confirmed"]) is not testmode
    assert server["asked"] == ([] if testmode else [("restart", insync_sshd.TIMER)])
    assert bool(confirmed(testmode)["changes"]) is testmode


def test_a_change_that_locks_somebody_out_is_not_confirmed(confirmed, server):
    server["refused"] = {"bob": "Permission denied (publickey)."}
    result = confirmed()
    assert (result["result"], result["changes"], server["confirmed"]) == (False, {}, 0)
    assert "10.0.0.2:22 does not let in bob (Permission denied (publickey).)" in result["comment"]
    assert "salt web02 insync.confirm_sshd" in result["comment"]


def test_a_change_that_was_taken_back_is_an_error(confirmed, server):
    server["taken_back"] = True
    result = confirmed()
    assert (result["result"], result["changes"]) == (False, {})
    assert "taken back" in result["comment"]


def test_nothing_waits(confirmed, server, testmode):
    server.update(pending=False, refused={"bob": "no"})
    result = confirmed(testmode)
    assert (result["result"], result["changes"]) == (True, {})


def test_a_server_that_does_not_answer_lets_nobody_in():
    found = insync_sshd.refused("127.0.0.1", 1, KEYS, patience=0.1)
    assert sorted(found) == ["alice", "bob"]
    assert "Connection refused" in found["alice"]
