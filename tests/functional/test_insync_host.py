"""The name of a server: new, the same, half changed, and where it cannot be changed."""

import pathlib
import socket

import pytest

from tests.functional.private import private_world, read_only

FILE = pathlib.Path("/etc/hostname")


def be_named(kernel, file):
    socket.sethostname(kernel)
    FILE.unlink(missing_ok=True)
    if file:
        FILE.write_text(file)


@pytest.mark.parametrize("kernel, file", [("old", "old\n"), ("old", None), ("web02", "old\n"), ("old", "web02\n")])
@private_world
def test_another_name(single, testmode, kernel, file):
    be_named(kernel, file)
    result = single("insync_host.named", name="web02", test=testmode)
    assert result["result"] is (None if testmode else True)
    stated = {"kernel": kernel, "file": file and file.strip()}
    assert result["changes"] == {key: {"old": old, "new": "web02"} for key, old in stated.items() if old != "web02"}
    found = (socket.gethostname(), FILE.read_text() if FILE.exists() else None)
    assert found == ((kernel, file) if testmode else ("web02", file if file == "web02\n" else "web02\n"))
    again = single("insync_host.named", name="web02", test=testmode)
    assert bool(again["changes"]) is testmode


@pytest.mark.parametrize("file", ["web02\n", "web02"])
@private_world
def test_the_same_name(single, testmode, file):
    be_named("web02", file)
    result = single("insync_host.named", name="web02", test=testmode)
    assert (result["result"], result["changes"]) == (True, {})
    assert FILE.read_text() == file


@private_world
def test_a_name_that_cannot_be_written(single):
    be_named("old", "old\n")
    read_only("/etc")
    result = single("insync_host.named", name="web02")
    assert (result["result"], result["changes"]) == (False, {})
    assert "cannot name the server web02" in result["comment"]
    assert socket.gethostname() == "old", "half a change is none"
