"""devpi itself, its data, users and indexes, on a real devpi-server."""

import insync_devpi
import pytest

from tests.functional.devpi import (
    ROOT_PASSWORD,
    free_port,
    initialise,
    serving,
    virtualenv,
    wheel,
)

PASSWORDS = {"root": ROOT_PASSWORD, "uploader": "up'load \"1 ü", "insync": None}
STABLE = {
    "type": "stage",
    "bases": ["root/pypi"],
    "volatile": False,
    "acl_upload": ["uploader"],
    "acl_toxresult_upload": [],
    "mirror_whitelist": [],
    "mirror_whitelist_inheritance": "intersection",
}
MIRROR = {"type": "mirror", "volatile": False, "mirror_no_project_list": True}
ROOT_SECRET = "pypi_server:root"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    data = tmp_path_factory.mktemp("devpi") / "data"
    initialise(data)
    with serving(data) as server:
        for user in ("uploader", "insync"):
            server.as_root("PUT", f"/{user}", {"password": PASSWORDS[user]})
        server.as_root("PUT", "/insync/stable", STABLE)
        server.as_root("PUT", "/insync/other", STABLE)
        yield server


def named(passwords=PASSWORDS):
    """Where the passwords are in the secrets, as the state is told."""
    return {user: password and f"pypi_server:{user}" for user, password in passwords.items()}


@pytest.fixture
def state(modules):
    """Apply one state; the passwords are in its pillar, each below the user's name."""

    def _state(function, test=False, secrets=PASSWORDS, **arguments):
        chunk = [function, *({key: value} for key, value in arguments.items())]
        data = {"devpi": {"insync_devpi": chunk, "__sls__": "devpi", "__env__": "base"}}
        results = modules["state.high"](data, test=test, pillar={"secrets": {"pypi_server": secrets}})
        assert isinstance(results, dict), results
        return next(iter(results.values()))

    return _state


@pytest.fixture
def users(state, server):
    def apply(passwords=PASSWORDS, test=False):
        arguments = {"name": server.url, "passwords": named(passwords), "data": str(server.data)}
        result = state("users", test, passwords, program=str(virtualenv()), **arguments)
        told = str(result)
        assert not [word for word in passwords.values() if word and (word in told or repr(word)[1:-1] in told)]
        return result

    return apply


@pytest.fixture
def index(state, server):
    def apply(name="insync/stable", settings=STABLE, test=False):
        arguments = {"url": server.url, "password": ROOT_SECRET, "settings": settings, "data": str(server.data)}
        return state("index", test, name=name, program=str(virtualenv()), **arguments)

    return apply


def logs_in(server, user, password):
    return server.call("POST", "/+login", {"user": user, "password": password})[0] == 200


def names(server):
    return set(server.call("GET", "/")[1]["result"])


def settings(server, name):
    return server.call("GET", f"/{name}?no_projects=")[1]["result"]


def same(apply):
    for test in (True, False):
        result = apply(test=test)
        assert (result["result"], result["changes"]) == (True, {}), result


def test_new_users(server, users):
    same(users)
    new = {**PASSWORDS, "alice": "hers", "bob": None}
    changes = {user: {"old": "absent", "new": "present"} for user in ("alice", "bob")}
    result = users(new, test=True)
    assert (result["result"], result["changes"]) == (None, changes)
    assert names(server) == set(PASSWORDS), "test mode touches nothing"
    result = users(new)
    assert (result["result"], result["changes"]) == (True, changes)
    assert names(server) == set(new)
    assert logs_in(server, "alice", "hers")
    assert not [word for word in ("", "None", "null") if logs_in(server, "bob", word)]


def test_a_user_that_is_not_declared_is_removed(server, users):
    server.as_root("PUT", "/mallory", {"password": "x"})
    change = {"old": "present", "new": "absent"}
    result = users(test=True)
    assert (result["result"], result["changes"]["mallory"]) == (None, change)
    assert "mallory" in names(server)
    result = users()
    assert (result["result"], result["changes"]["mallory"]) == (True, change)
    assert names(server) == set(PASSWORDS)


def test_passwords_that_differ_are_mended(server, users):
    """Changed by hand or new in pillar, root's too: only what pillar says lets anybody in."""
    both = ("root", "uploader")
    for user in both:
        server.as_root("PATCH", f"/{user}", {"password": f"{user} by hand"})
    changes = {user: {"old": "another password", "new": "the declared password"} for user in both}
    result = users(test=True)
    assert (result["result"], result["changes"]) == (None, changes)
    assert logs_in(server, "root", "root by hand"), "test mode touches nothing"
    result = users()
    assert (result["result"], result["changes"]) == (True, changes), result
    assert not [user for user in both if logs_in(server, user, f"{user} by hand")]
    same(users)


def test_packages_of_such_a_user_are_not_removed(server, users):
    server.as_root("PUT", "/mallory", {"password": "x"})
    server.as_root("PUT", "/mallory/own", {})
    result = users()
    assert (result["result"], result["changes"]) == (False, {})
    assert "the user mallory is not declared, but has mallory/own" in result["comment"]
    server.as_root("DELETE", "/mallory")


def test_new_index(server, index):
    result = index("insync/staging", test=True)
    assert (result["result"], result["changes"]["volatile"]) == (None, {"old": None, "new": False})
    assert server.call("GET", "/insync/staging")[0] == 404, "test mode touches nothing"
    result = index("insync/staging")
    assert (result["result"], set(result["changes"])) == (True, set(STABLE))
    assert settings(server, "insync/staging") == STABLE
    same(index)


DRIFT = [
    {"volatile": True},
    {"acl_upload": ["uploader", "insync"]},
    {"acl_upload": [":ANONYMOUS:"], "acl_toxresult_upload": [":ANONYMOUS:"]},
    {"bases": ["root/pypi", "insync/other"]},
    {"bases": [], "mirror_whitelist": ["*"], "title": "by hand"},
]


@pytest.mark.parametrize("by_hand", DRIFT, ids=lambda by_hand: "-".join(by_hand))
def test_a_setting_that_was_changed_by_hand_is_mended(server, index, by_hand):
    server.as_root("PATCH", "/insync/stable", by_hand)
    old = settings(server, "insync/stable")
    result = index(test=True)
    assert (result["result"], set(result["changes"])) == (None, set(by_hand))
    assert settings(server, "insync/stable") == old, "test mode touches nothing"
    result = index()
    assert (result["result"], set(result["changes"])) == (True, set(by_hand))
    assert settings(server, "insync/stable") == STABLE
    same(index)


def test_packages_stay_and_are_not_replaced(server, index, tmp_path):
    (tmp_path / "other").mkdir()
    first = wheel(tmp_path, "insync-web", "1.0")
    user = ("uploader", PASSWORDS["uploader"])
    assert server.upload("insync/stable", first, ("uploader", "wrong")) == 401
    assert server.upload("insync/stable", first, ("insync", "")) == 401
    assert server.upload("insync/stable", first, ("root", ROOT_PASSWORD)) == 403
    assert server.upload("insync/stable", first, user) == 200
    server.as_root("PATCH", "/insync/stable", {"volatile": True})
    assert index()["result"] is True
    assert server.upload("insync/stable", first, user) == 200, "the same file again does no harm"
    assert server.upload("insync/stable", wheel(tmp_path / "other", "insync-web", "1.0", "x"), user) == 409
    assert list(server.call("GET", "/insync/stable/insync-web")[1]["result"]) == ["1.0"]


def test_each_uploader_has_a_password_of_their_own_until_they_leave(server, users, index, tmp_path):
    both, acl = {**PASSWORDS, "alice": "hers"}, {**STABLE, "acl_upload": ["uploader", "alice"]}
    assert [users(both)["result"], index(settings=acl)["result"]] == [True, True]
    package = wheel(tmp_path, "insync-alice", "1.0")
    assert server.upload("insync/stable", package, ("alice", PASSWORDS["uploader"])) == 401
    assert server.upload("insync/stable", package, ("alice", "hers")) == 200
    assert users()["changes"] == {"alice": {"old": "present", "new": "absent"}}
    assert index()["changes"] == {"acl_upload": {"old": ["uploader", "alice"], "new": ["uploader"]}}
    assert server.upload("insync/stable", wheel(tmp_path, "insync-alice", "2.0"), ("alice", "hers")) == 401
    assert list(server.call("GET", "/insync/stable/insync-alice")[1]["result"]) == ["1.0"], "the package stays"


def test_only_root_makes_users_and_indexes(server):
    for user in (None, ("uploader", PASSWORDS["uploader"])):
        assert server.call("PUT", "/mallory", {"password": "x"}, user)[0] == 403
        assert server.call("PUT", "/uploader/own", {}, user)[0] == 403


def test_the_mirror_of_the_public_index(server, index):
    """Its address is known to devpi only; a mirror of another place is put right."""
    known = settings(server, "root/pypi")
    server.as_root("PATCH", "/root/pypi", {"mirror_url": "https://elsewhere.test/simple/"})
    result = index("root/pypi", MIRROR)
    assert (result["result"], set(result["changes"])) == (True, {"mirror_url", "mirror_no_project_list"})
    assert settings(server, "root/pypi") == {**known, **MIRROR}
    own = {**MIRROR, "mirror_url": "https://mirror.test/simple/"}
    result = index("root/pypi", own)
    assert set(result["changes"]) == {"mirror_url", "mirror_web_url_fmt", "title"}
    assert settings(server, "root/pypi") == own
    assert index("root/pypi", MIRROR)["result"] is True


@pytest.mark.parametrize(
    "name, declared, reason",
    [
        ("root/pypi", STABLE, "root/pypi: it is a mirror, and devpi cannot turn it into a stage"),
        ("insync/stable", {**STABLE, "bases": ["no/such"]}, "insync/stable: PATCH /insync/stable: HTTP 400: "),
        ("nobody/stable", STABLE, "nobody/stable: PUT /nobody/stable: HTTP 404: "),
    ],
)
def test_what_devpi_refuses_is_told(index, name, declared, reason):
    result = index(name, declared)
    assert (result["result"], result["changes"]) == (False, {})
    assert result["comment"].startswith(reason) and "\n" not in result["comment"]


@pytest.mark.parametrize("function", ["users", "index"])
def test_a_devpi_that_does_not_answer(state, monkeypatch, tmp_path, function, testmode):
    """In test mode it may be about to be started: with data there is nothing to foretell, without them all is new."""
    monkeypatch.setattr(insync_devpi, "SECONDS", 1)
    url = f"http://127.0.0.1:{free_port()}"
    own = {"users": {"name": url, "passwords": named()}, "index": {"name": "insync/stable", "url": url}}[function]
    own |= {} if function == "users" else {"password": ROOT_SECRET, "settings": STABLE}
    arguments = {**own, "data": str(tmp_path / "data"), "program": "/nonexistent"}
    result = state(function, testmode, **arguments)
    if testmode:
        assert (result["result"], bool(result["changes"])) == (None, True)
        (tmp_path / "data").mkdir()
        result = state(function, True, **arguments)
        assert (result["result"], result["changes"]) == (None, {})
    else:
        assert (result["result"], result["changes"]) == (False, {})
        assert f"devpi does not answer on {url}; see 'journalctl -u devpi'" in result["comment"]


def test_data_have_the_password_from_the_first_moment(state, tmp_path):
    data = tmp_path / "data"
    arguments = {"name": str(data), "program": str(virtualenv()), "user": "root", "password": ROOT_SECRET}
    change = {"data": {"old": "absent", "new": "present"}}
    result = state("initialised", True, **arguments)
    assert (result["result"], result["changes"], data.exists()) == (None, change, False)
    (tmp_path / "data.new").mkdir()
    (tmp_path / "data.new" / ".nodeinfo").touch()
    result = state("initialised", **arguments)
    assert (result["result"], result["changes"]) == (True, change), "what a killed run left is no hindrance"
    for test in (True, False):
        result = state("initialised", test, **arguments)
        assert (result["result"], result["changes"]) == (True, {})
    with serving(data) as server:
        assert logs_in(server, "root", ROOT_PASSWORD) and not logs_in(server, "root", "")


def test_data_that_cannot_be_made(state, tmp_path):
    arguments = {"program": "/nonexistent", "user": "root", "password": ROOT_SECRET}
    result = state("initialised", name=str(tmp_path / "data"), **arguments)
    assert (result["result"], result["changes"]) == (False, {})
    assert "/nonexistent/bin/python: No such file or directory" in result["comment"] and "\n" not in result["comment"]


@pytest.mark.parametrize(
    "function, own",
    [
        ("initialised", {"user": "root", "password": "pypi_server:none"}),
        ("users", {"passwords": {**named(), "uploader": "pypi_server:none"}, "data": "/nonexistent"}),
        ("index", {"url": "http://127.0.0.1:1", "password": "pypi_server:none", "settings": STABLE, "data": "/x"}),
    ],
)
def test_a_secret_that_is_missing(state, tmp_path, function, own, testmode):
    name = {"initialised": str(tmp_path / "data"), "users": "http://127.0.0.1:1", "index": "insync/stable"}[function]
    arguments = {"name": name, "program": "/nonexistent", **own}
    result = state(function, testmode, **arguments)
    assert (result["result"], result["changes"]) == (False, {})
    assert result["comment"].endswith("there is no secret pypi_server:none; see pillar/secrets/")
