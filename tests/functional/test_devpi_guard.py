"""The attack by name: somebody uploads packages with our names to the public index, and our index is asked for them."""

import subprocess
import sys

import pytest

from tests.functional.devpi import GUARD, ROOT_PASSWORD, initialise, public_index, serving, wheel

UPLOADER = ("uploader", "secret")
SPELLINGS = ["insync-evil", "insync_evil", "Insync.Evil", "INSYNC-_evil"]


@pytest.fixture(scope="module")
def attacker(tmp_path_factory):
    """The public index, with an attacker's packages on it and a harmless one."""
    with public_index(tmp_path_factory.mktemp("public") / "index") as index:
        index.offer("insync-evil", "1.0")
        index.offer("insync-web", "99.0")
        index.offer("harmless", "1.0")
        index.offer("sync-tools", "99.0")
        yield index


def prepare(server, attacker, wheels):
    """The indexes as pillar declares them, but with the attacker's as the public one; insync-web 1.0 is ours."""
    server.as_root("PATCH", "/root/pypi", {"mirror_url": attacker.url, "mirror_no_project_list": True})
    server.as_root("PUT", "/uploader", {"password": UPLOADER[1]})
    server.as_root("PUT", "/insync", {"password": None})
    settings = {"bases": ["root/pypi"], "volatile": False, "acl_upload": ["uploader"], "acl_toxresult_upload": []}
    server.as_root("PUT", "/insync/stable", settings)
    server.as_root("PUT", "/insync/staging", {**settings, "bases": ["insync/stable"]})
    assert server.upload("insync/stable", wheel(wheels, "insync-web", "1.0"), UPLOADER) == 200
    return server


@pytest.fixture(scope="module")
def server(tmp_path_factory, attacker):
    folder = tmp_path_factory.mktemp("guarded")
    initialise(folder / "data")
    with serving(folder / "data") as server:
        yield prepare(server, attacker, folder)


def pip_gets(server, requirement, folder, index="insync/stable"):
    """What pip downloads from our index: the name of the file, or the last line that pip says."""
    command = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-cache-dir", "download"]
    command += ["--no-deps", "--dest", folder, "--index-url", f"{server.url}/{index}/+simple/", requirement]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return [path.name for path in folder.iterdir()] or done.stderr.strip().splitlines()[-1]


def push_to(attacker):
    """The order to devpi to send one of our packages to the attacker."""
    return {"name": "insync-web", "version": "1.0", "posturl": attacker.url, "username": "a", "password": "b"}


def test_without_the_plugin_the_attacks_succeed(tmp_path, attacker):
    """devpi itself protects the names that we have: insync-evil is none of them."""
    initialise(tmp_path / "data")
    with serving(tmp_path / "data", options=(), plugin=False) as server:
        prepare(server, attacker, tmp_path)
        assert "insync_evil-1.0-py3-none-any.whl" in server.call("GET", "/insync/stable/+simple/insync-evil/")[1]
        assert server.upload("insync/staging", wheel(tmp_path, "sync-tools", "1.0"), UPLOADER) == 200
        assert "sync_tools-99.0-" in server.call("GET", "/insync/stable/+simple/sync-tools/")[1]
        server.call("POST", "/insync/stable/", push_to(attacker))
        assert "/simple/" in attacker.asked, "anybody may order devpi to send packages anywhere"
    attacker.asked.clear()


def test_devpi_does_not_start_without_the_plugin(tmp_path):
    initialise(tmp_path / "data")
    with pytest.raises(AssertionError, match="unrecognized arguments: --reserved-prefixes"):
        with serving(tmp_path / "data", options=GUARD, plugin=False):
            pass


@pytest.mark.parametrize("index", ["insync/stable", "root/pypi"])
@pytest.mark.parametrize("name", SPELLINGS)
def test_a_reserved_name_is_never_asked_of_the_public_index(server, attacker, name, index):
    for path in (f"+simple/{name}/", name, f"{name}/1.0", "+f/012/3456789abcdef/insync_evil-1.0-py3-none-any.whl"):
        assert server.call("GET", f"/{index}/{path}")[0] == 404, path
    server.call("POST", f"/{index}/+simple/{name}/refresh")
    assert [path for path in attacker.asked if "insync" in path] == []


def test_pip_does_not_get_it(server, tmp_path):
    assert pip_gets(server, "insync-evil", tmp_path) == "ERROR: No matching distribution found for insync-evil"


def test_our_version_wins_over_a_higher_public_one(server, tmp_path):
    assert pip_gets(server, "insync-web", tmp_path) == ["insync_web-1.0-py3-none-any.whl"]
    page = server.call("GET", "/insync/stable/+simple/insync-web/")[1]
    assert "insync_web-1.0-" in page and "insync_web-99.0-" not in page


@pytest.mark.parametrize("action", ["file_upload", "submit", "doc_upload"])
@pytest.mark.parametrize("index", ["insync/stable", "insync/staging"])
@pytest.mark.parametrize("name", ["sync-tools", "insync", "insyncweb", "x-insync-web"])
def test_no_other_name_becomes_ours(server, tmp_path, name, index, action):
    """In staging it would be ours, and in stable whoever has it on the public index."""
    status, reason = server.submit(index, wheel(tmp_path, name, "1.0"), UPLOADER, action)
    assert (status, reason.startswith("invalid metadata: ")) == (400, True)
    assert reason.endswith("is refused, names of packages of ours begin with insync-")
    assert "1.0" not in str(server.call("GET", f"/{index}/{name}")[1])


def test_nor_is_one_moved_here_from_another_index(server):
    order = {"name": "harmless", "version": "1.0", "targetindex": "insync/stable"}
    server.call("GET", "/root/pypi/+simple/harmless/")
    status, reason = server.call("POST", "/root/pypi/", order, UPLOADER)
    assert (status, reason) != (200, None) and "names of packages of ours begin with insync-" in str(reason)


@pytest.mark.parametrize("name", ["insync-new", "Insync_New2"])
def test_what_is_ours_is_taken_and_moved_on(server, tmp_path, name):
    assert server.upload("insync/staging", wheel(tmp_path, name, "1.0"), UPLOADER) == 200
    order = {"name": name, "version": "1.0", "targetindex": "insync/stable"}
    assert server.call("POST", "/insync/staging/", order, UPLOADER)[0] == 200


def test_other_names_come_through_the_mirror(server, tmp_path):
    assert pip_gets(server, "harmless", tmp_path) == ["harmless-1.0-py3-none-any.whl"]


def test_nobody_makes_devpi_send_packages_elsewhere(server, attacker):
    for user in (None, UPLOADER, ("root", ROOT_PASSWORD)):
        status, answer = server.call("POST", "/insync/stable/", push_to(attacker), user)
        assert (status, answer["message"]) == (403, "packages are not pushed to other servers")
    assert "/simple/" not in attacker.asked
