"""Surveys that are kept: which one a date means, and what two of them, or one and the inventory, say differently."""

import copy
import functools
import importlib.util
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


@pytest.mark.parametrize(
    "before, after, meant",
    [
        ("2026-11-26", "", ["2026-11-26T08:00:00Z", "2026-11-26T09:00:00Z"]),
        ("2026-11-26", "2026-11-26", ["2026-11-26T08:00:00Z", "2026-11-26T09:00:00Z"]),
        ("2026-11", "", ["2026-11-12T08:00:00Z", "2026-11-26T09:00:00Z"]),
        ("2026-11-12", "2026-11-26T08", ["2026-11-12T08:00:00Z", "2026-11-26T08:00:00Z"]),
        ("2026-11-26T09:00:00Z", "", "2026-11-26T09:00:00Z .* there is no other one since"),
        ("2026-11-12", "2026-11-12", "2026-11-12T08:00:00Z .* there is no other one since"),
        ("2026-11-26", "2026-11-12", "2026-11-26T08:00:00Z .* that of 2026-11-12T08:00:00Z: that is later"),
        ("2025", "", "no survey of 2025; there are those of"),
    ],
)
def test_of_two_surveys_the_first_that_begins_so_is_compared_with_the_last(folder, before, after, meant):
    if isinstance(meant, list):
        assert [one["when"] for one in records.pair("dev02", before, after, folder)] == meant
    else:
        with pytest.raises(records.RecordError, match=meant):
            records.pair("dev02", before, after, folder)


def test_two_surveys_of_one_second_are_two(folder):
    when = "2026-11-26T09:00:00Z"
    files = [records.keep("dev02", survey(when, failed=[{"unit": f"{number}"}]), folder) for number in range(2, 12)]
    assert [file.stem for file in files] == [f"{when}-{number}" for number in range(2, 12)]
    assert records.dates("dev02", folder)[-11:] == [when, *(file.stem for file in files)]
    assert records.read("dev02", "2026-11-26", folder)["found"]["failed"] == [{"unit": "11"}]
    assert records.read("dev02", when, folder)["found"]["failed"] == []
    before, after = records.pair("dev02", when, f"{when}-3", folder)
    assert records.differences(before, after) == [("new", "failed 3")]
    assert not list(folder.rglob("*.new"))


def test_a_survey_that_was_cut_off_is_told(folder):
    (folder / "dev02" / "2026-11-26T09:00:00Z.json").write_text('{"found"')
    with pytest.raises(records.RecordError, match="09:00:00Z.json cannot be read: JSONDecodeError"):
        records.read("dev02", "", folder)


@pytest.mark.parametrize("text", ["{}", "[]", "null", '"x"', '{"found": []}', '{"found": null}'])
def test_what_is_no_survey_is_told(folder, text):
    (folder / "dev02" / "2026-11-26T09:00:00Z.json").write_text(text)
    with pytest.raises(records.RecordError, match="09:00:00Z.json is no record of a survey"):
        records.read("dev02", "", folder)


@pytest.mark.parametrize("rows", [[{}], ["x"], 1, None, [{"address": "x", "by": ""}]])
@pytest.mark.parametrize("section", ["databases", "listeners", "virtualenvs"])
def test_a_survey_of_another_shape_is_told(inventory, section, rows):
    other = survey("1", **{section: rows})
    for compare in (
        lambda: records.differences(other, survey("2")),
        lambda: records.differences(survey("2"), other),
        lambda: records.against(inventory, "dev02", other),
    ):
        with pytest.raises(records.RecordError, match="a record is of another shape: "):
            compare()


def test_a_section_that_is_not_there_was_not_looked_at(inventory):
    old, new = survey("1", failed=[{"unit": "x"}]), survey("2", databases=[DATABASE], listeners=[SSH])
    del old["found"]["databases"], old["found"]["listeners"]
    told = [("unknown", "listeners: not looked at then"), ("unknown", "databases: not looked at then")]
    assert records.differences(old, new) == [("gone", "failed x"), *told]
    assert records.against(inventory, "dev02", old) == told


def test_the_oldest_surveys_give_way(folder, monkeypatch):
    monkeypatch.setattr(records, "KEPT", 3)
    records.keep("dev02", survey("2026-11-26T09:00:00Z"), folder)
    file = records.keep("dev02", survey("2026-11-27T08:00:00Z"), folder)
    assert records.dates("dev02", folder) == ["2026-11-26T09:00:00Z", "2026-11-26T09:00:00Z-2", file.stem]


@pytest.fixture
def runner(tmp_path, monkeypatch):
    """The verbs, of an installation in which two servers were surveyed."""
    spec = importlib.util.spec_from_file_location("insync_survey_runner", ROOT / "_runners" / "insync_survey.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.__opts__ = {"pillar_roots": {"base": [str(ROOT / "pillar")]}}
    for name in ("keep", "read", "pair"):
        monkeypatch.setattr(records, name, functools.partial(getattr(records, name), folder=tmp_path))
    for host, when in (("dev02", "2026-11-12T08:00:00Z"), ("dev02", "2026-11-26T08:00:00Z"), ("sendy", "2026-11-26")):
        found = {"databases": [DATABASE]} if when > "2026-11-13" else {}
        records.keep(host, survey(when, **found))
    return module


def test_a_server_that_is_named_twice_is_surveyed_once(runner, monkeypatch):
    class Client:
        def cmd(self, wanted, *words, **options):
            return {name: survey("2026-11-27T08:00:00Z") for name in wanted}

    monkeypatch.setattr(runner.salt.client, "get_local_client", lambda mopts: Client())
    rows = runner.survey("dev02", "sendy", "dev02")["data"]
    assert [(row["server"], row["record"].rpartition("/")[2]) for row in rows] == [
        ("dev02", "2026-11-27T08:00:00Z.json"),
        ("sendy", "2026-11-27T08:00:00Z.json"),
    ]


def test_a_server_that_was_never_surveyed_keeps_the_others_from_nothing(runner, inventory):
    told = runner.survey_diff("all")
    rows = {row["server"]: row for row in told["data"] if row["declared"] in ("nothing", "unknown")}
    assert (told["outputter"], told["retcode"], sorted(rows)) == ("insync_table", 1, sorted(inventory["hosts"]))
    found = {"declared": "nothing", "found": "database lists.db of sqlite, 10 B, /srv/lists.db"}
    never = {"declared": "unknown", "found": "no survey of any date; run 'salt-run insync.survey' first"}
    assert rows == {
        host: {"server": host, **(found if host in ("dev02", "sendy") else never)} for host in inventory["hosts"]
    }


def test_a_server_without_a_second_survey_keeps_the_others_from_nothing(runner):
    told = runner.survey_diff("all", "2026-11")
    rows = {row["server"]: row for row in told["data"]}
    assert told["retcode"] == 1 and {row["change"] for row in rows.values()} == {"new", "unknown"}
    assert rows["dev02"]["what"] == "database lists.db of sqlite, /srv/lists.db"
    assert rows["sendy"]["what"].endswith("there is no other one since")


def test_of_one_server_it_is_refused(runner):
    with pytest.raises(runner.Refused, match="dev: no survey of any date; run"):
        runner.survey_diff("dev")
    assert "retcode" not in runner.survey_diff("dev02", "2026-11-12")


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
