"""Release verbs that were called on servers: what the master believes of them."""

import threading
import time

import insync_request
import pytest

NOW = time.mktime(time.strptime("20261125220000", "%Y%m%d%H%M%S"))
JOB = {
    "jid": "20261125220000123456",
    "Function": "insync.update_in_web",
    "Arguments": ["insync-web==2.4.0", "insync-core", {"__kwarg__": True, "test": True}],
    "Minions": ["web-lb02", "web02"],
    "User": "sudo_alice",
}


def test_the_record_of_the_job_tells_what_was_asked_for():
    found = insync_request.find(JOB, "web02", NOW + 5)
    expected = (
        "update_in",
        "web",
        ("insync-web==2.4.0", "insync-core"),
        {"test": True},
        ("web-lb02", "web02"),
        "sudo_alice",
    )
    assert found == insync_request.Request(*expected)
    assert insync_request.find({**JOB, "Arguments": []}, "web02", NOW).options == {}


@pytest.mark.parametrize(
    "job, server",
    [
        (JOB, "db"),
        ({**JOB, "Function": "test.ping"}, "web02"),
        ({**JOB, "Function": "insync.rollback_web"}, "web02"),
        ({**JOB, "Function": "insync.restart_web; id"}, "web02"),
        ({**JOB, "jid": "20261125215800123456"}, "web02"),
        ({**JOB, "jid": "20271125220000123456"}, "web02"),
        ({**JOB, "jid": "../../etc/passwd"}, "web02"),
        ({"jid": JOB["jid"], "Error": "Cannot contact returner or no job with this jid"}, "web02"),
        ({}, "web02"),
    ],
)
def test_nothing_is_done_for_what_no_operator_has_just_asked_for(job, server):
    assert insync_request.find(job, server, NOW) is None


def test_the_first_who_says_so_counts(tmp_path):
    assert insync_request.first(tmp_path / "taken", JOB["jid"])
    assert not insync_request.first(tmp_path / "taken", JOB["jid"])
    assert insync_request.first(tmp_path / "taken", JOB["jid"][:-1] + "7")


def test_an_answer_comes_to_the_job_that_waits_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr(insync_request, "ANSWERS", tmp_path / "answers")
    threading.Timer(0.1, insync_request.put, ("web", JOB["jid"], {"done": {"release": "a"}})).start()
    assert insync_request.wait("web", JOB["jid"], 5) == {"done": {"release": "a"}}
    assert insync_request.wait("web", JOB["jid"], 0.1) is None, "it is read once"
    insync_request.put("web", JOB["jid"], {"error": "no"})
    assert insync_request.wait("license", JOB["jid"], 0.1) is None


def test_a_version_with_one_sign_too_few_and_a_misspelt_option_are_told():
    options = insync_request.find(
        {**JOB, "Arguments": [{"__kwarg__": True, "insync-web": "2.4.0"}]}, "web02", NOW
    ).options
    assert "insync-web==2.4.0" in insync_request.unknown("update_in", options)
    assert insync_request.unknown("restart", {"tset": True}).startswith("tset=True: no option; there is test")
    assert insync_request.unknown("restart", {"watch": 1}).startswith("watch=1: no option")
    assert insync_request.unknown("update_in", {"watch": 1, "test": True, "__pub_jid": "1"}) == ""
