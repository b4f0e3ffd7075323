"""A redis that ran alone goes on as an instance: its data moves along, and none is ever lost."""

import insync_systemd
import pytest

UNIT = "redis-server"


@pytest.fixture
def folders(tmp_path):
    """Return (the former folder, that of the instance)."""
    (tmp_path / "redis" / "main").mkdir(parents=True)
    return tmp_path / "redis", tmp_path / "redis" / "main"


@pytest.fixture
def former(monkeypatch, folders):
    """The unit that ran alone, without a systemd: ``former(running)``; it writes a snapshot when it is stopped."""
    unit = {"active": "inactive", "enabled": "disabled", "stopped": False}

    def systemctl(verb, *arguments):
        assert (verb, arguments) == ("disable", ("--now", "--quiet", UNIT))
        unit.update(active="inactive", enabled="disabled", stopped=True)
        (folders[0] / "dump.rdb").write_text("at its end")
        return ""

    monkeypatch.setattr(insync_systemd, "state", lambda name: {"active": unit["active"], "pid": "0"})
    monkeypatch.setattr(insync_systemd, "enabled", lambda name: unit["enabled"])
    monkeypatch.setattr(insync_systemd, "systemctl", systemctl)

    def _former(running=True):
        unit.update({"active": "active", "enabled": "enabled"} if running else {})
        return unit

    return _former


@pytest.fixture
def adopted(single, folders):
    def _adopted(test=False):
        return single("insync_redis.adopted", name=str(folders[1]), source=str(folders[0]), unit=UNIT, test=test)

    return _adopted


def log(folder):
    """Put an append-only file into ``folder``."""
    (folder / "appendonlydir").mkdir()
    (folder / "appendonlydir" / "appendonly.aof.1.incr.aof").write_text("writes")


def test_its_data_moves_and_its_unit_stays_off(adopted, former, folders, testmode):
    unit = former()
    log(folders[0])
    result = adopted(testmode)
    assert result["result"] is (None if testmode else True)
    assert result["changes"][UNIT] == "stop, disable"
    assert "appendonlydir" in result["changes"][str(folders[1])]
    assert unit["stopped"] is not testmode
    assert (folders[1] / "appendonlydir" / "appendonly.aof.1.incr.aof").exists() is not testmode
    assert (folders[0] / "appendonlydir").exists() is testmode
    again = adopted(testmode)
    assert bool(again["changes"]) is testmode


def test_what_it_writes_at_its_end_moves_too(adopted, former, folders):
    former()
    result = adopted()
    assert result["changes"] == {UNIT: "stop, disable", str(folders[1]): ["dump.rdb"]}
    assert (folders[1] / "dump.rdb").read_text() == "at its end"


def test_a_run_that_ended_before_the_move_is_made_up_for(adopted, former, folders):
    former(running=False)
    log(folders[0])
    assert adopted()["changes"] == {str(folders[1]): ["appendonlydir"]}


def test_what_the_instance_has_is_never_replaced(adopted, former, folders, testmode):
    """As after a run that was killed between the two, or where somebody has started the former unit by hand."""
    former()
    log(folders[0])
    log(folders[1])
    (folders[1] / "appendonlydir" / "appendonly.aof.1.incr.aof").write_text("newer")
    result = adopted(testmode)
    assert result["changes"] == {UNIT: "stop, disable"}
    assert (folders[1] / "appendonlydir" / "appendonly.aof.1.incr.aof").read_text() == "newer"
    assert (folders[0] / "appendonlydir").exists(), "it is kept, where it was"


def test_nothing_to_adopt(adopted, former, testmode):
    former(running=False)
    result = adopted(testmode)
    assert (result["result"], result["changes"]) == (True, {})


def test_a_unit_that_does_not_stop_keeps_its_data(adopted, former, folders, monkeypatch):
    former()
    log(folders[0])

    def refuses(*_):
        raise insync_systemd.UnitError("systemctl disable: no")

    monkeypatch.setattr(insync_systemd, "systemctl", refuses)
    result = adopted()
    assert (result["result"], result["changes"], result["comment"]) == (False, {}, "systemctl disable: no")
    assert (folders[0] / "appendonlydir").exists()


UNITS = ["redis-server@cache.service", "redis-server@main.service"]
FILES = [
    "etc/redis/redis-main.conf",
    "etc/redis/users-main.conf",
    "etc/systemd/system/redis-server@main.service.d/insync.conf",
]
KEPT = ["etc/redis/redis.conf", "etc/systemd/system/other.service.d/x.conf", "var/lib/redis/main/dump.rdb"]


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server with two instances, of which one only runs and the other is only enabled; return its root."""
    for file in FILES + KEPT:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("x")
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir()
    (wants / UNITS[0]).symlink_to("/nowhere")
    running, enabled = {UNITS[1]}, {UNITS[0]}

    def systemctl(verb, *arguments):
        if verb == "list-units":
            return "".join(f"{unit} loaded active running Redis\n" for unit in running)
        if verb == "disable":
            running.discard(arguments[-1])
            enabled.discard(arguments[-1])
            (wants / arguments[-1]).unlink(missing_ok=True)
        return ""

    monkeypatch.setattr(insync_systemd, "systemctl", systemctl)
    monkeypatch.setattr(insync_systemd, "state", lambda unit: {"active": "active" if unit in running else "inactive"})
    monkeypatch.setattr(insync_systemd, "enabled", lambda unit: "enabled" if unit in enabled else "disabled")
    return tmp_path


def test_instances_leave_and_their_data_stays(single, server, testmode):
    result = single("insync_redis.absent", name="redis-server@*.service", root=str(server), test=testmode)
    assert result["result"] is (None if testmode else True)
    gone = [str(server / file) for file in (*FILES[:2], FILES[2].rsplit("/", 1)[0])]
    assert result["changes"] == {**dict.fromkeys(UNITS, "stop, disable"), **dict.fromkeys(gone, "removed")}
    assert [file for file in FILES if (server / file).exists()] == (FILES if testmode else [])
    assert all((server / file).exists() for file in KEPT)
    again = single("insync_redis.absent", name="redis-server@*.service", root=str(server), test=testmode)
    assert bool(again["changes"]) is testmode


@pytest.fixture
def declared(single, server):
    def _declared(*instances, test=False):
        arguments = {"instances": list(instances), "data": "/var/lib/redis", "root": str(server)}
        return single("insync_redis.declared", name="redis-server@*.service", test=test, **arguments)

    return _declared


def test_an_instance_that_is_declared_no_more_leaves_and_its_data_stays(declared, server, testmode):
    result = declared("cache", test=testmode)
    assert result["result"] is (None if testmode else True)
    gone = [str(server / file) for file in (*FILES[:2], FILES[2].rsplit("/", 1)[0])]
    assert result["changes"] == {UNITS[1]: "stop, disable", **dict.fromkeys(gone, "removed")}
    assert result["comment"] == "declared no more; what stays: /var/lib/redis/main"
    assert [file for file in FILES if (server / file).exists()] == (FILES if testmode else [])
    assert all((server / file).exists() for file in KEPT)
    assert bool(declared("cache", test=testmode)["changes"]) is testmode


def test_declared_ones_and_those_that_were_made_by_hand_stay(declared, server, testmode):
    """The instance cache has no file of ours."""
    for instances in (["main"], ["main", "cache"]):
        result = declared(*instances, test=testmode)
        assert (result["result"], result["changes"]) == (True, {})
    assert all((server / file).exists() for file in FILES + KEPT)


def test_which_have_left_before_one_does_not_stop_is_told(declared, server, monkeypatch):
    drop_in = server / "etc/systemd/system/redis-server@other.service.d/insync.conf"
    drop_in.parent.mkdir()
    drop_in.write_text("x")
    systemctl = insync_systemd.systemctl

    def refuses(verb, *arguments):
        if arguments[-1:] == ("redis-server@other.service",):
            raise insync_systemd.UnitError("systemctl disable: no")
        return systemctl(verb, *arguments)

    monkeypatch.setattr(insync_systemd, "systemctl", refuses)
    monkeypatch.setattr(insync_systemd, "enabled", lambda unit: "enabled")
    result = declared("cache")
    assert (result["result"], result["comment"]) == (False, "systemctl disable: no")
    assert UNITS[1] in result["changes"] and not [one for one in result["changes"] if "other" in one]
    assert drop_in.exists(), "the next run does it"
