"""The instances of redis as their users see them: who may do what, what is kept, and what happens when one is full."""

import pytest

from tests.fleet import web
from tests.fleet.conftest import INVENTORY

pytestmark = pytest.mark.alone

DURABLE, CACHE = "redis-server@main", "redis-server@cache"
MEGABYTE = "x" * 2**20
# More than the lab lets either keep.
MANY = 20


@pytest.fixture(scope="module", autouse=True)
def clean(fleet):
    yield
    web.redis_all(fleet, [["DEL", f"periodic_mailer:full:{number}"] for number in range(MANY)], "periodic_mailer")
    # It has no right to delete: what it wrote runs out by itself.
    web.redis_all(fleet, [["SET", f"license:full:{number}", "", "PX", "1"] for number in range(MANY)], "license")


@pytest.mark.parametrize(
    "user, own, foreign",
    [
        ("web", ["INCR", "web:probe"], ["GET", "periodic_mailer:probe"]),
        ("periodic_mailer", ["SET", "periodic_mailer:probe", "x", "PX", "1"], ["GET", "web:signups"]),
        ("license", ["SET", "license:probe", "x", "PX", "1"], ["GET", "web:signups"]),
    ],
)
def test_a_user_can_do_what_it_needs_and_no_more(fleet, user, own, foreign):
    allowed = [["PING"], own]
    refused = [
        ["FLUSHALL"],
        ["CONFIG", "GET", "*"],
        ["KEYS", "*"],
        ["ACL", "LIST"],
        ["SHUTDOWN"],
        ["EVAL", "return 1", "0"],
        foreign,
    ]
    said = web.redis_all(fleet, allowed + refused, user)
    assert not [answer for answer in said[:2] if "Error" in str(answer)], said
    for command, answer in zip(refused, said[2:], strict=True):
        assert "NoPermissionError" in str(answer), command


@pytest.mark.parametrize("user, other", [("web", "license"), ("license", "web")])
def test_nobody_enters_without_the_right_name_and_password(fleet, user, other):
    right = web.SECRETS["redis"]
    logins = [
        {"username": user, "password": "wrong"},
        {"username": "default", "password": ""},
        {"username": None, "password": right[f"{user}_password"]},
        # With the right password, of the other instance.
        {"username": other, "password": right[f"{other}_password"]},
        {},
    ]
    for login, said in zip(logins, web.redis_as(fleet, [(one, [["PING"]]) for one in logins], user), strict=True):
        assert "Authentication" in str(said), (login.get("username"), said)


@pytest.mark.parametrize("user", ["web", "license"])
def test_nothing_is_said_without_tls(fleet, user):
    server, service = web.REDIS_USERS[user]
    address = (INVENTORY["hosts"]["redis"]["private"], INVENTORY["services"][service]["port"])
    talk = f"""
import socket
connection = socket.create_connection({address}, 5)
connection.sendall(b"PING\\r\\n")
try:
    print("connected", connection.recv(99))
except ConnectionResetError:
    print("connected", b"")
"""
    # An alert of TLS at most.
    said = fleet.ok(server, "python3", "-c", talk)
    assert said.startswith("connected") and "PONG" not in said and "NOAUTH" not in said, said


def _kill(fleet, unit, user):
    fleet.ok("redis", "systemctl", "kill", "--signal=KILL", unit)
    fleet.eventually(lambda: web.redis(fleet, ["PING"], user) is True, 20, why=f"{unit} does not come back")


def test_what_is_durable_survives_a_kill(fleet):
    counted = web.redis_all(fleet, [["INCR", "web:probe"]] * 3)[-1]
    _kill(fleet, DURABLE, "web")
    assert web.redis(fleet, ["INCR", "web:probe"]) == counted + 1


def test_a_cache_begins_empty(fleet):
    keep = [["SET", "license:probe", "kept", "EX", "60"], ["GET", "license:probe"]]
    assert web.redis_all(fleet, keep, "license") == [True, "kept"]
    _kill(fleet, CACHE, "license")
    assert web.redis(fleet, ["GET", "license:probe"], "license") is None
    assert fleet.ok("redis", "find", "/var/lib/redis/cache", "-type", "f") == "", "nothing is written"


def test_a_full_one_refuses_what_is_new_and_keeps_what_it_has(fleet):
    fill = [["SET", f"periodic_mailer:full:{number}", MEGABYTE] for number in range(MANY)]
    *said, kept = web.redis_all(fleet, [*fill, ["GET", "periodic_mailer:full:0"]], "periodic_mailer")
    assert (said[0], kept) == (True, MEGABYTE)
    assert "OutOfMemoryError" in str(said[-1])


def test_a_full_cache_forgets_what_is_oldest(fleet):
    fill = [["SET", f"license:full:{number}", MEGABYTE] for number in range(MANY)]
    look = [["GET", "license:full:0"], ["GET", f"license:full:{MANY - 1}"]]
    assert web.redis_all(fleet, fill + look, "license") == [True] * MANY + [None, MEGABYTE]


FORMER = """
set -eu
cd /etc/systemd/system; unit=redis-server@former.service.d
install -d -o redis -g redis /var/lib/redis/former; touch /var/lib/redis/former/kept
printf 'bind 127.0.0.1\\nport 6399\\ndir /var/lib/redis/former\\n' > /etc/redis/redis-former.conf
chmod 644 /etc/redis/redis-former.conf
cp -r redis-server@cache.service.d "$unit"; systemctl daemon-reload; systemctl enable --quiet --now redis-server@former
"""


def test_an_instance_that_is_declared_no_more_is_stopped_for_good_and_its_data_stays(fleet):
    fleet.ok("redis", "sh", "-c", FORMER)
    try:
        said = fleet.salt("redis", "state.sls_id", "redis-declared", "redis")["redis"]
        (state,) = [one for one in said.values() if one["__id__"] == "redis-declared"]
        assert state["result"] is True and state["changes"]["redis-server@former.service"] == "stop, disable", state
        assert fleet.run("redis", "systemctl", "is-active", "redis-server@former").stdout == "inactive\n"
        left = "ls -d /etc/redis/*former* /etc/systemd/system/*former* /etc/systemd/system/*.wants/*former* 2>/dev/null"
        assert fleet.run("redis", "sh", "-c", left).stdout == ""
        assert "kept" in fleet.ok("redis", "ls", "/var/lib/redis/former").split()
    finally:
        tidy = "rm -rf /var/lib/redis/former /etc/redis/redis-former.conf /etc/systemd/system/redis-server@former*"
        fleet.run("redis", "sh", "-c", f"systemctl disable --now redis-server@former; {tidy}")


def test_an_instance_sees_only_its_own_files(fleet):
    for unit, other in ((DURABLE, "cache"), (CACHE, "main")):
        pid = web.main_pid(fleet, "redis", unit)
        seen = fleet.ok("redis", "ls", f"/proc/{pid}/root/var/lib/redis").split()
        assert seen and other not in seen, (unit, seen)
