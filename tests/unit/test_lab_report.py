"""The table, its last line, and the record."""

import json

from lab import report
from lab.converge import Result

ROLES = {"ct1": ["base", "salt_master"], "web02": ["base"], "db": ["base"], "redis": ["base"]}
RESULTS = {
    "ct1": Result(40, 2, (), 3.25),
    "web02": Result(30, 0, (("sshd-config", "sshd -t says no"),), 2.0),
    "db": Result(problem="Minion did not return. [No response]"),
}


def test_a_row_for_each_server_and_a_line_for_each_failure():
    assert report.table(ROLES, RESULTS) == [
        "server  roles              states  changed  failed  seconds",
        "ct1     base, salt_master      40        2       0      3.2",
        "web02   base                   30        0       1      2.0",
        "db      base                    -        -       -        -",
        "redis   base                    -        -       -        -",
        "web02: sshd-config failed: sshd -t says no",
        "db: Minion did not return. [No response]",
        "redis: did not return",
    ]


def test_the_summary_counts_servers_that_did_not_return_as_failures():
    assert report.summary(ROLES, RESULTS) == "4 servers, 70 states, 2 changed, 1 failed; 3 servers with a failure"


def test_the_record_says_what_happened(tmp_path):
    report.write(tmp_path / "runs", ["up"], {"boot": 1.5}, "ok", {"ct1": RESULTS["ct1"]})
    (path,) = (tmp_path / "runs").iterdir()
    record = json.loads(path.read_text())
    assert (record["what"], record["outcome"], record["seconds"]) == (["up"], "ok", {"boot": 1.5})
    assert record["servers"]["ct1"]["states"] == 40
