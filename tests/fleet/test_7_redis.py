"""The instances of redis as their users see them: who may do what, what is kept, and what happens when one is full."""

import pytest

from tests.fleet import web
from tests.fleet.conftest import INVENTORY

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
    assert web.redis(fleet, ["PING"], user) is True
    assert "Error" not in str(web.redis(fleet, own, user))
    every = (
        ["FLUSHALL"],
        ["CONFIG", "GET", "*"],
        ["KEYS", "*"],
        ["ACL", "LIST"],
        ["SHUTDOWN"],
        ["EVAL", "return 1", "0"],
    )
    for command in (*every, foreign):
        assert "NoPermissionError" in web.redis(fleet, command, user), command


@pytest.mark.parametrize("user", ["web", "license"])
def test_nobody_enters_without_the_right_name_and_password(fleet, user):
    secrets = {name: web.SECRETS["redis"][f"{name}_password"] for name in ("web", "license")}
    other = "license" if user == "web" else "web"
    logins = [
        {"username": user, "password": "wrong"},
        {"username": "default", "password": ""},
        {"username": None, "password": secrets[user]},
        # With its own password, but of the other instance.
        {"username": other, "password": secrets[other]},
    ]
    for login in logins:
        said = web.redis(fleet, ["PING"], user, **login)
        assert "AuthenticationError" in str(said), (login["username"], said)
    # Nobody at all.
    assert "Authentication" in str(web.redis(fleet, ["PING"], user, username=None, password=None))


@pytest.mark.parametrize("user", ["web", "license"])
def test_nothing_is_said_without_tls(fleet, user):
    server, service = web.REDIS_USERS[user]
    address = (INVENTORY["hosts"]["redis"]["private"], INVENTORY["services"][service]["port"])
    talk = f"import socket; s = socket.create_connection({address}, 5); s.sendall(b'PING\\r\\n'); print(s.recv(99))"
    done = fleet.run(server, "python3", "-c", talk)
    assert "PONG" not in done.stdout and "NOAUTH" not in done.stdout, done.stdout


def _kill(fleet, unit, user):
    fleet.ok("redis", "systemctl", "kill", "--signal=KILL", unit)
    fleet.eventually(lambda: web.redis(fleet, ["PING"], user) is True, 20, why=f"{unit} does not come back")


def test_what_is_durable_survives_a_kill(fleet):
    counted = [web.redis(fleet, ["INCR", "web:probe"]) for _ in range(3)][-1]
    _kill(fleet, DURABLE, "web")
    assert web.redis(fleet, ["INCR", "web:probe"]) == counted + 1


def test_a_cache_begins_empty(fleet):
    web.redis(fleet, ["SET", "license:probe", "kept", "EX", "60"], "license")
    assert web.redis(fleet, ["GET", "license:probe"], "license") == "kept"
    _kill(fleet, CACHE, "license")
    assert web.redis(fleet, ["GET", "license:probe"], "license") is None
    assert fleet.ok("redis", "find", "/var/lib/redis/cache", "-type", "f") == "", "nothing is written"


def test_a_full_one_refuses_what_is_new_and_keeps_what_it_has(fleet):
    fill = [["SET", f"periodic_mailer:full:{number}", MEGABYTE] for number in range(MANY)]
    assert "OutOfMemoryError" in web.redis_all(fleet, fill, "periodic_mailer")
    assert web.redis(fleet, ["GET", "periodic_mailer:full:0"], "periodic_mailer") == MEGABYTE
    assert "OutOfMemoryError" in web.redis(fleet, ["INCR", "web:probe"])
    web.redis_all(fleet, [["DEL", f"periodic_mailer:full:{number}"] for number in range(MANY)], "periodic_mailer")
    assert isinstance(web.redis(fleet, ["INCR", "web:probe"]), int)


def test_a_full_cache_forgets_what_is_oldest(fleet):
    fill = [["SET", f"license:full:{number}", MEGABYTE] for number in range(MANY)]
    assert web.redis_all(fleet, fill, "license") == [True] * MANY
    assert web.redis(fleet, ["GET", "license:full:0"], "license") is None
    assert web.redis(fleet, ["GET", f"license:full:{MANY - 1}"], "license") == MEGABYTE


def test_an_instance_sees_only_its_own_files(fleet):
    for unit, other in ((DURABLE, "cache"), (CACHE, "main")):
        pid = web.main_pid(fleet, "redis", unit)
        seen = fleet.ok("redis", "nsenter", "--target", pid, "--mount", "--", "ls", "/var/lib/redis").split()
        assert seen and other not in seen, (unit, seen)
