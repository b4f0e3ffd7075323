"""What the stand-ins answer so that a release can be measured."""

import json
import socket
import types

import pytest
from insync_core import application, drills, log
from insync_core.identity import Identity

BUILD = types.SimpleNamespace(VERSION="1.0.0", NOTE="", FAULT="")


def test_a_slow_answer_takes_as_long_as_it_was_asked_to(monkeypatch):
    slept = []
    monkeypatch.setattr(drills.time, "sleep", slept.append)
    assert drills.slow("2") == ({"seconds": 2.0}, 200)
    assert slept == [2]


@pytest.mark.parametrize("wanted", ["", "x", "-1", "5.1", "nan", "inf"])
def test_a_slow_answer_has_its_limits(wanted):
    assert drills.slow(wanted)[1] == 400


def test_a_receipt_is_in_the_log_once_for_each_time_it_ran(capsys):
    for _ in range(2):
        assert drills.receipt({"id": "a-1"}) == ({"id": "a-1"}, 201)
    lines = capsys.readouterr().err.splitlines()
    assert [json.loads(line) for line in lines] == [{"event": "receipt", "id": "a-1"}] * 2


@pytest.mark.parametrize("document", [None, [], "a-1", {}, {"id": 1}, {"id": ""}, {"id": "a b"}, {"id": "x" * 65}])
def test_what_is_no_receipt_is_refused_and_not_in_the_log(document, capsys):
    assert drills.receipt(document)[1] == 400
    assert capsys.readouterr().err == ""


def test_a_line_of_the_log_is_written_in_one_piece(monkeypatch):
    """Threads write at the same time, and none cuts into another's line."""
    pieces = []
    monkeypatch.setattr(log.sys, "stderr", types.SimpleNamespace(write=pieces.append, flush=lambda: None))
    log.say("receipt", id="a-1")
    assert pieces == ['{"event": "receipt", "id": "a-1"}\n']


def test_every_reply_says_which_release_in_which_slot_on_which_server(monkeypatch):
    monkeypatch.setenv("RELEASE", "0d2c")
    monkeypatch.setenv("SLOT", "green")
    identity = Identity("insync-web", BUILD, None, lambda: 1)
    assert identity.stamp == f"0d2c/green/{socket.gethostname()}"
    assert identity.version()[1]["host"] == socket.gethostname()


def test_an_error_that_nobody_foresaw_is_told_in_no_detail_logged_and_reported(capsys):
    reported = []
    app = application.create("insync-web", BUILD, {}, drills_below="", report=reported.append)
    reply = app.test_client().get("/boom")
    assert (reply.status_code, reply.json) == (500, {"error": "internal error"})
    assert [type(exc) for exc in reported] == [drills.Boom]
    assert json.loads(capsys.readouterr().err)["type"] == "Boom"
    assert app.test_client().get("/nosuch").status_code == 404
    assert len(reported) == 1, "what the client did wrong is no error of ours"
