"""Who listens on a server, who is connected, and what of that is declared."""

import contextlib
import os
import shutil
import socket
import subprocess

import insync_survey_lines
import insync_survey_sockets
import insync_survey_system
import pytest

from tests.unit.survey_server import MANAGED

ALLOW = {"service": "web", "unit": "web@blue.service", "address": "10.0.0.1", "protocol": "tcp", "port": 8101}


def test_a_listener_and_who_is_connected_are_found():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        port = server.getsockname()[1]
        rows = insync_survey_sockets.listeners(insync_survey_system.System())
    (row,) = [row for row in rows if row["port"] == port]
    assert (row["protocol"], row["address"], row["peers"]) == ("tcp", "127.0.0.1", {"127.0.0.1": 1})
    assert "python" in row["process"] and row["user"] == "root" and row["deleted"] is False


def test_a_socket_of_a_unit_is_the_units_and_not_systemds(monkeypatch):
    table = "0.0.0.0:80 web.socket web.service\n[::]:81 six.socket -\n/run/x x.socket x.service\n"
    monkeypatch.setattr(insync_survey_system.System, "run", lambda *_, **__: table)
    found = insync_survey_sockets._of_systemd(insync_survey_system.System())
    assert found == {("0.0.0.0", 80): "web.socket", ("::", 81): "six.socket", ("/run/x", 0): "x.socket"}


def test_a_process_that_ends_while_it_is_asked_about_is_looked_for_again(monkeypatch):
    looks, real = [], insync_survey_sockets._processes

    def processes(inodes):
        looks.append(inodes)
        return real(inodes) if len(looks) > 1 else {}

    monkeypatch.setattr(insync_survey_sockets, "_processes", processes)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        rows = insync_survey_sockets.listeners(insync_survey_system.System())
    (row,) = [row for row in rows if row["port"] == port]
    assert "python" in row["process"] and len(looks) > 1


def test_a_program_on_a_servers_own_port_is_not_taken_for_its_service():
    system = insync_survey_system.System(plan={"allow": [ALLOW]})
    row = {"protocol": "tcp", "port": 8101, "address": "10.0.0.1"}
    assert insync_survey_sockets._declared(system, row, {"unit": "web@blue.service"}) == {"by": "service web"}
    expected = {"by": "", "instead_of": "web@blue.service"}
    assert insync_survey_sockets._declared(system, row, {"unit": "other.service"}) == expected
    assert insync_survey_sockets._declared(system, {**row, "port": 1}, {"unit": "web@blue.service"}) == {"by": ""}
    assert insync_survey_sockets._declared(system, {**row, "address": "127.0.0.1"}, {"unit": ""})["by"] == ""


PUBLIC = {**ALLOW, "service": "hg-https", "address": "192.0.2.1"}


@pytest.mark.parametrize(
    "address, by",
    [
        ("10.0.0.1", "service web"),
        ("192.0.2.1", "service hg-https"),
        ("0.0.0.0", "service web, hg-https"),
        ("::", "service web, hg-https"),
        ("10.0.0.9", ""),
        ("127.0.0.1", ""),
    ],
)
def test_two_services_of_a_unit_and_a_port_are_told_apart_by_their_addresses(address, by):
    system = insync_survey_system.System(plan={"allow": [ALLOW, PUBLIC]})
    row = {"protocol": "tcp", "port": 8101, "address": address}
    declared = insync_survey_sockets._declared(system, row, {"unit": ALLOW["unit"]})
    assert declared == {"by": by}
    missing = insync_survey_lines.missing({"listeners": [declared]}, system.plan)
    assert [f"of {one['service']}:" for one in (ALLOW, PUBLIC) if one["service"] not in by] == [
        line.partition(" ")[2].rpartition(" web@")[0] for line in missing
    ]


@pytest.mark.parametrize(
    "process, by",
    [
        ({"unit": "cron.service", "package": "cron"}, "package cron"),
        ({"unit": "cron.service", "package": "python3.11-minimal"}, ""),
        ({"unit": "cron.service", "package": "python3.11-minimal", "script": "/srv/by-hand.py"}, ""),
        ({"unit": "cron.service", "package": ""}, ""),
        ({"unit": "rc-local.service", "package": "python3.11-minimal"}, ""),
        ({"unit": "nginx.service", "package": "nginx"}, "package nginx-common"),
        ({"unit": "certbot.service", "package": "python3.11-minimal", "script": "/usr/bin/certbot"}, "package certbot"),
        ({"unit": "postgresql@15-main.service", "package": "postgresql-15"}, "package postgresql-common"),
        ({"unit": "postgresql@15-main.service", "package": "python3.11-minimal"}, ""),
        ({"unit": "devpi.service", "package": ""}, "salt"),
        ({"unit": "mariadb.service", "package": "python3.11-minimal"}, "salt"),
        ({"unit": "agent.service", "package": ""}, "known: the provider's"),
        ({"unit": "tracker.service", "package": ""}, ""),
        # systemd waits for it.
        ({"unit": "dbus.socket", "package": "systemd"}, "package dbus"),
        ({"unit": "tracker.socket", "package": "systemd"}, ""),
        ({"unit": "pulse.service", "package": "pulse"}, "package pulse"),
        ({"unit": "session-1.scope", "package": "python3.11-minimal"}, ""),
        ({"unit": "", "package": "cron"}, ""),
    ],
)
def test_on_loopback_only_a_units_own_program_is_known(root, process, by):
    for package, unit, *others in (
        ("cron", "cron.service"),
        ("systemd", "rc-local.service"),
        ("nginx-common", "nginx.service"),
        ("certbot", "certbot.service", "/usr/bin/certbot"),
        ("postgresql-common", "postgresql@.service"),
        ("mariadb-server", "mariadb.service"),
        ("dbus", "dbus.socket"),
        ("pulse", "../user/pulse.service"),
    ):
        name = os.path.normpath(f"/lib/systemd/system/{unit}")
        root.package(package, [name, *others])
        root.write(f"/usr{name}")
    for name in (MANAGED, "/etc/systemd/system/agent.service", "/etc/systemd/system/tracker.service"):
        root.write(name)
    status = root.path / "var/lib/dpkg/status"
    status.write_text(
        status.read_text().replace("Package: nginx-common\n", "Package: nginx-common\nSource: nginx (1)\n")
    )
    known = {"/etc/systemd/system/agent.service": "the provider's"}
    plan = {"files": [MANAGED], "units": ["mariadb.service"], "known": known}
    system = insync_survey_system.System(root.path, plan)
    row = {"protocol": "tcp", "port": 1, "address": "127.0.0.1"}
    assert insync_survey_sockets._declared(system, row, {"script": "", **process}) == {"by": by}


SERVE = (
    "import socket, sys\nwith socket.socket(socket.AF_UNIX) as one:\n one.bind(sys.argv[1]); one.listen(); print()\n"
)
SERVE += " one.accept()"


@contextlib.contextmanager
def at_a_path(folder, path, program):
    """A process that waits at ``path``, started in ``folder``."""
    command = [program, "-c", SERVE, path, "--key=hunter2"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("name", ["own.sock", "a b.sock"])
def test_what_waits_at_a_path_is_found(tmp_path, monkeypatch, name):
    """Started by hand, as by nohup: in a session, or below what cron or a hand-made unit started."""
    program = shutil.which("python3")
    for unit in ("session-3.scope", "cron.service", "own.service", ""):
        monkeypatch.setattr(insync_survey_sockets, "unit_of", lambda _, unit=unit: unit)
        path = f"{tmp_path}/{unit}{name}"
        with at_a_path(tmp_path, path, program):
            rows = insync_survey_sockets.paths(insync_survey_system.System())
            declared = insync_survey_sockets.paths(insync_survey_system.System(plan={"units": ["own.service"]}))
        (row,) = [row for row in rows if row["path"] == path]
        assert (row["unit"], row["user"], row["by"]) == (unit, "root", "")
        assert "python" in row["process"] and "hunter2" not in str(row)
        assert [one["by"] for one in declared if one["path"] == path] == ["salt" if unit == "own.service" else ""]


def test_a_path_is_told_as_the_program_said_it_and_others_are_not(tmp_path):
    with at_a_path(tmp_path, "own.sock", shutil.which("python3")), contextlib.ExitStack() as stack:
        abstract, letters = (
            stack.enter_context(socket.socket(socket.AF_UNIX, kind)) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)
        )
        abstract.bind("\0insync-abstract")
        abstract.listen()
        letters.bind(f"{tmp_path}/letters")
        paths = [row["path"] for row in insync_survey_sockets.paths(insync_survey_system.System())]
    assert paths.count("own.sock") == 1
    assert not [path for path in paths if "insync-abstract" in path or "letters" in path]


def of(unit, package):
    return {"unit": unit, "package": package, "process": "/x", "script": "", "user": "root", "deleted": False}


@pytest.mark.parametrize(
    "process, told",
    [
        (of("init.scope", "systemd"), False),
        (of("session-3.scope", "openssh-server"), False),
        (of("apt-daily.service", "gpg-agent"), False),
        (of("init.scope", "python3.11-minimal"), True),
        (of("session-3.scope", "python3.11-minimal"), True),
        (of("", ""), True),
    ],
)
def test_what_systemd_and_people_have_for_themselves_is_no_service(monkeypatch, process, told):
    monkeypatch.setattr(
        insync_survey_sockets, "_looked", lambda *_: ([{"path": "/run/x", "inode": "1"}], [dict(process)])
    )
    rows = insync_survey_sockets.paths(insync_survey_system.System())
    assert [row["by"] for row in rows] == ([""] if told else [])


def test_a_socket_that_systemd_has_is_its_units(monkeypatch):
    monkeypatch.setattr(insync_survey_system.System, "run", lambda *_, **__: "/run/x own.socket own.service\n")
    row = ([{"path": "/run/x", "inode": "1"}], [of("init.scope", "systemd")])
    monkeypatch.setattr(insync_survey_sockets, "_looked", lambda *_: row)
    (row,) = insync_survey_sockets.paths(insync_survey_system.System())
    said = "socket /run/x: /x (unit own.socket, package systemd, user root)"
    assert (row["by"], insync_survey_lines.line("sockets", row)) == ("", said)


@pytest.mark.parametrize(
    "cgroups, unit",
    [
        ("0::/system.slice/ssh.service\n", "ssh.service"),
        (
            "1:name=systemd:/libpod_parent/libpod-0a/system.slice/system-redis.slice/redis@main.service\n",
            "redis@main.service",
        ),
        ("0::/user.slice/user-0.slice/session-3.scope", "session-3.scope"),
        ("0::/libpod_parent/libpod-0a.scope\n4:memory:/system.slice/x.service\n", ""),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/own.service", "own.service"),
    ],
)
def test_the_unit_of_a_process(cgroups, unit):
    assert insync_survey_sockets.unit_of(cgroups) == unit


def listener(port, by):
    row = {"protocol": "tcp", "address": "10.0.0.1", "port": port, "process": "/x", "user": "u", "unit": "x.service"}
    return {**row, "package": "", "deleted": True, "peers": {"10.0.0.2": 3, "10.0.0.3": 1}, "by": by}


def test_a_listener_tells_who_is_connected():
    said = insync_survey_lines.line("listeners", listener(80, ""), {"10.0.0.2": "web02"})
    assert said == (
        "listener tcp 10.0.0.1:80: /x (unit x.service, of no package, user u, its program was removed)"
        "; connected: web02, 10.0.0.3"
    )


@pytest.mark.parametrize(
    "served, missing",
    [
        (["web-blue"], ["tcp/22 of ssh: ssh.service does not listen"]),
        (["web-green", "ssh"], []),
        (
            ["ssh"],
            [
                f"tcp/{port} of web-{slot}: web@{slot}.service does not listen"
                for slot, port in (("blue", 1), ("green", 2))
            ],
        ),
    ],
)
def test_of_the_slots_of_a_pool_one_has_to_listen(served, missing):
    slots = {"blue": 1, "green": 2}
    allow = [{**ALLOW, "service": "ssh", "unit": "ssh.service", "port": 22}]
    allow += [{**ALLOW, "service": f"web-{slot}", "unit": f"web@{slot}.service", "port": slots[slot]} for slot in slots]
    found = {"listeners": [listener(1, f"service {name}") for name in served]}
    assert insync_survey_lines.missing(found, {"allow": allow, "slots": {"web": slots}}) == missing
