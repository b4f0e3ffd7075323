"""Who listens on a server, who is connected, and what of that is declared."""

import socket

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
    assert found == {("0.0.0.0", 80): "web.socket", ("::", 81): "six.socket"}


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
    ):
        name = f"/lib/systemd/system/{unit}"
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
