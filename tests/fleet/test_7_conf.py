"""Values that are loaded on ct1: what was typed there by hand, and what customers see of it."""

import json

import pytest

from tests.fleet import web


def verb(fleet, name, *arguments):
    """What a verb on ct1 returns; it has to succeed."""
    done = fleet.run("ct1", "salt", "ct1", f"insync.{name}", *arguments, "--static", "--out=json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)["ct1"]


def refused(fleet, name, *arguments):
    """The one line with which a verb on ct1 ends, and exit code 1."""
    done = fleet.run("ct1", "salt", "ct1", f"insync.{name}", *arguments)
    assert (done.returncode, "Traceback" in done.stdout) == (1, False), done.stdout + done.stderr
    return done.stdout


def conf(fleet, namespace="web"):
    return json.loads(web.jt(fleet, "dump", "--ns", namespace))


def test_values_that_somebody_typed_are_told_and_put_back_in_front_of_customers(fleet):
    before = conf(fleet)
    typed = {"greeting": "Typed by hand", "of_nobody": "kept"}
    web.jt(fleet, "load", "-", "--ns", "web", stdin=json.dumps(typed))
    fleet.eventually(lambda: "Typed by hand" in web.get(fleet, "/")[1], 15)
    greeting = {"greeting": {"old": "Typed by hand", "new": before["greeting"]}}
    for test in ("True", "False"):
        done = verb(fleet, "conf_load", f"test={test}")
        assert set(done) == {"web", "license", "mailer", "periodic_mailer"}
        assert (done["web"]["changes"], done["web"]["undeclared"]) == (greeting, ["of_nobody"])
        assert conf(fleet) == ({**before, **typed} if test == "True" else {**before, "of_nobody": "kept"})
    fleet.eventually(lambda: before["greeting"] in web.get(fleet, "/")[1], 15, why="web takes it without a restart")
    assert verb(fleet, "conf_load", "web")["web"]["changes"] == {}
    removed = verb(fleet, "conf_load", "web", "prune=True")["web"]["changes"]
    assert (removed, conf(fleet)) == ({"of_nobody": {"old": "***", "new": None}}, before)


def test_secrets_are_told_by_name_only_and_who_did_it_is_kept(fleet):
    right = conf(fleet, "mailer")
    wrong = {"smtp": {**right["smtp"], "password": "typed-s3cret"}}
    web.jt(fleet, "load", "-", "--ns", "mailer", stdin=json.dumps(wrong))
    said = fleet.ok("ct1", "runuser", "-u", "alice", "--", "sudo", "salt", "ct1", "insync.conf_load", "mailer")
    assert conf(fleet, "mailer") == right
    line = fleet.ok("ct1", "tail", "-n", "1", "/var/lib/insync/conf/history.jsonl")
    record = json.loads(line)
    told = {key: record[key] for key in ("verb", "by", "end", "hosts")}
    assert told == {"verb": "insync.conf_load mailer", "by": "sudo_alice", "end": "ok", "hosts": ["ct1"]}
    assert record["mailer"]["changes"] == {"smtp.password": {"old": "***", "new": "***"}}
    for text in (said, line):
        assert right["smtp"]["password"] not in text and "typed-s3cret" not in text


@pytest.mark.parametrize(
    "call, said",
    [
        (["conf_load", "webb"], "webb: no namespace is declared; did you mean 'web'?"),
        (["conf_load", "prun=True"], "prun=True: no option; there is prune, test"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_moves(fleet, call, said):
    before = conf(fleet)
    assert said in refused(fleet, *call)
    assert conf(fleet) == before


@pytest.mark.alone
def test_the_conf_server_is_down(fleet):
    fleet.ok("ct1", "systemctl", "stop", "conf_server")
    try:
        assert "conf server unreachable" in refused(fleet, "conf_load", "web")
    finally:
        fleet.ok("ct1", "systemctl", "start", "conf_server")
    fleet.eventually(lambda: fleet.run("ct1", "salt", "ct1", "insync.conf_load", "web").returncode == 0, 30)


def test_the_commands_of_old_are_jobs_of_who_types_them(fleet):
    said = fleet.ok("ct1", "runuser", "-u", "alice", "--", "conf_load", "web", "test=True")
    assert "revision" in said
    jobs = json.loads(fleet.ok("ct1", "salt-run", "jobs.list_jobs", "search_function=insync.conf_load", "--out=json"))
    assert jobs[max(jobs)]["User"] == "sudo_alice"
    done = fleet.run("ct1", "runuser", "-u", "alice", "--", "conf_load", "webb")
    assert done.returncode == 1 and "webb: no namespace is declared" in done.stdout
    done = fleet.run("ct1", "runuser", "-u", "alice", "--", "update_in_web", "insync-nosuch", "test=True")
    assert done.returncode == 1 and "insync-nosuch" in done.stdout
    assert "changes" in fleet.ok("ct1", "runuser", "-u", "alice", "--", "restart_web", "test=True")
