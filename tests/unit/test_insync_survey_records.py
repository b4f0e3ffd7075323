"""Surveys that are kept: which one a date means, and what two of them, or one and the inventory, say differently."""

import copy
import json
import pathlib
import stat

import insync_inventory
import insync_survey
import insync_survey_records as records
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LISTENER = {"protocol": "tcp", "address": "10.132.1.15", "port": 8111, "process": "/x", "user": "u", "package": ""}
SERVED = {**LISTENER, "unit": "license@blue.service", "deleted": False, "peers": {}, "by": "service license-blue"}
SSH = {**SERVED, "port": 22, "unit": "ssh.service", "by": "service ssh"}
NOTHING = {section: [] for section in insync_survey.SECTIONS}


def survey(when, **found):
    return {"when": when, "found": {**copy.deepcopy(NOTHING), **found}, "unknown": [], "missing": [], "incomplete": []}


@pytest.fixture
def folder(tmp_path):
    for when in ("2026-11-12T08:00:00Z", "2026-11-26T08:00:00Z", "2026-11-26T09:00:00Z"):
        records.keep("dev02", survey(when), tmp_path / "survey")
    return tmp_path / "survey"


def test_only_the_master_reads_what_is_kept(folder):
    (file, *_) = folder.rglob("*.json")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (file, file.parent)] == [0o600, 0o700]
    assert not list(folder.rglob("*.new"))
    assert json.loads(file.read_text())["found"] == NOTHING


@pytest.mark.parametrize(
    "date, meant",
    [("", "2026-11-26T09:00:00Z"), ("2026-11-26", "2026-11-26T09:00:00Z"), ("2026-11-1", "2026-11-12T08:00:00Z")],
)
def test_a_date_means_the_last_survey_that_begins_so(folder, date, meant):
    assert records.read("dev02", date, folder)["when"] == meant


def test_a_survey_that_there_is_not(folder):
    with pytest.raises(
        records.RecordError, match="dev02: no survey of 2025; there are those of 2026-11-12T08:00:00Z, "
    ):
        records.read("dev02", "2025", folder)
    with pytest.raises(records.RecordError, match="sendy: no survey of any date; run 'salt-run insync.survey' first"):
        records.read("sendy", "", folder)


UNIT = {"unit": "x.service", "path": "/etc/systemd/system/x.service", "kind": "unit", "enabled": True, "runs": True}
DATABASE = {"engine": "sqlite", "name": "lists.db", "path": "/srv/lists.db", "bytes": 10, "by": ""}
VENV = {"path": "/srv/venv", "packages": ["flask==2", "six==1"], "by": ""}


def test_two_surveys_differ_in_what_is_there_and_who_is_connected_and_not_in_sizes():
    before = survey("1", units=[{**UNIT, "commands": ["/x"], "by": ""}], databases=[DATABASE], virtualenvs=[VENV])
    after = survey(
        "2",
        databases=[{**DATABASE, "bytes": 99}],
        virtualenvs=[{**VENV, "packages": ["flask==3", "six==1"]}],
        listeners=[{**SERVED, "peers": {"10.132.1.13": 4, "10.9.9.9": 1}}],
        disks=[{"mount": "/", "bytes": 10, "used": 50}],
        failed=[{"unit": "old.service"}],
    )
    assert records.differences(before, before) == []
    assert records.differences(before, after, {"10.132.1.13": "web-lb02"}) == [
        ("gone", "unit /etc/systemd/system/x.service: runs, starts at boot, /x"),
        ("gone", "virtualenv /srv/venv: flask==2"),
        ("new", "listener tcp 10.132.1.15:8111: /x (unit license@blue.service, of no package, user u)"),
        ("new", "virtualenv /srv/venv: flask==3"),
        ("new", "failed old.service"),
        ("new", "connection of web-lb02 to tcp/8111 of license@blue.service"),
        ("new", "connection of 10.9.9.9 to tcp/8111 of license@blue.service"),
    ]
    assert len(records.differences(after, before)) == 7


@pytest.fixture(scope="module")
def inventory():
    return insync_inventory.load(ROOT / "pillar" / "inventory")


def listening(rules, everywhere=False):
    """The listeners of a server that serves ``rules``: each service at its own address, or all at every one."""
    rows = []
    for rule in rules:
        shown = {key: rule[key] for key in ("protocol", "port", "unit", "address")}
        rows.append({**SERVED, **shown, **({"address": "0.0.0.0"} if everywhere else {}), "by": ""})
    return rows


@pytest.mark.parametrize("everywhere", [False, True])
def test_no_server_as_declared_differs_in_anything(inventory, everywhere):
    assert len(inventory["hosts"]) == 21
    for host in inventory["hosts"]:
        found = survey("1", listeners=listening(insync_inventory.allow(inventory, host), everywhere))
        assert records.against(inventory, host, found) == [], host


def test_a_service_at_the_address_of_another_one_is_missing_and_what_is_there_unknown(inventory):
    rules = [rule for rule in insync_inventory.allow(inventory, "dev") if rule["service"] != "hg-https"]
    (row,) = records.against(inventory, "dev", survey("1", listeners=listening(rules)))
    assert row == ("tcp/443 of hg-https: nginx.service does not listen", "nothing")
    (stray,) = listening([{**rules[0], "address": "10.9.9.9"}])
    assert [found for _, found in records.against(inventory, "dev", survey("1", listeners=[stray]))][-1] == (
        f"listener tcp 10.9.9.9:22: /x (unit {rules[0]['unit']}, of no package, user u)"
    )


def test_what_is_missing_and_what_nobody_declares(inventory):
    stranger = {**SERVED, "port": 9000, "unit": "old.service", "by": ""}
    found = survey("1", listeners=[SSH, stranger], databases=[DATABASE])
    assert records.against(inventory, "license01", found) == [
        ("tcp/8111 of license-blue: license@blue.service does not listen", "nothing"),
        ("tcp/8112 of license-green: license@green.service does not listen", "nothing"),
        ("nothing", "listener tcp 10.132.1.15:9000: /x (unit old.service, of no package, user u)"),
        ("nothing", "database lists.db of sqlite, 10 B, /srv/lists.db"),
    ]


def test_what_was_declared_when_it_was_found_may_not_be_any_more(inventory):
    changed = copy.deepcopy(inventory)
    changed["hosts"]["license01"]["roles"] = []
    (row,) = records.against(changed, "license01", survey("1", listeners=[SSH, SERVED]))
    assert row[0] == "nothing" and "license@blue.service" in row[1]
