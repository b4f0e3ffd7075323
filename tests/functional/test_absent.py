"""What is left of a role: units, virtualenvs and users go, data and the user who owns it stay."""

import json

import insync_systemd
import pytest


@pytest.fixture
def systemd(monkeypatch, tmp_path):
    """A systemd with one file tree and two instances of a template; returns (folder, what it was told)."""
    folder, told = tmp_path / "system", []
    (folder / "multi-user.target.wants").mkdir(parents=True)
    (folder / "license@.service.d").mkdir()
    (folder / "license@.service.d" / "x.conf").touch()
    for name in ("license@.service", "licenses.service", "license.service"):
        (folder / name).touch()
    (folder / "multi-user.target.wants" / "license@blue.service").symlink_to(folder / "license@.service")
    (folder / "multi-user.target.wants" / "license.service").symlink_to(folder / "license.service")
    units = {"license@blue.service": "active", "license@green.service": "failed"}

    def systemctl(verb, *arguments, seconds=0):
        if verb == "list-units":
            return "".join(f"{unit} loaded {state} running x\n" for unit, state in units.items())
        told.append((verb, *arguments))
        if verb == "stop":
            units.pop("license@blue.service")
        if verb == "reset-failed":
            units.pop("license@green.service")
        return ""

    monkeypatch.setattr(insync_systemd, "FOLDER", folder)
    monkeypatch.setattr(insync_systemd, "systemctl", systemctl)
    monkeypatch.setattr(insync_systemd, "state", lambda unit: {"active": units.get(unit, "inactive")})
    return folder, told


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_template_goes_with_its_instances_and_nothing_of_a_like_name(single, systemd):
    folder, told = systemd
    before = names(folder)
    changes = {
        "license@blue.service": "stop",
        "license@green.service": "forget its failure",
        f"{folder}/multi-user.target.wants/license@blue.service": "remove",
        f"{folder}/license@.service": "remove",
        f"{folder}/license@.service.d": "remove",
    }
    result = single("insync_unit.absent", test=True, name="license@")
    assert (result["result"], result["changes"], names(folder), told) == (None, changes, before, [])
    result = single("insync_unit.absent", name="license@")
    assert (result["result"], result["changes"]) == (True, changes)
    left = ["license.service", "licenses.service", "multi-user.target.wants", "multi-user.target.wants/license.service"]
    assert names(folder) == left
    blue, green = "license@blue.service", "license@green.service"
    assert told == [("stop", blue, green), ("daemon-reload",), ("reset-failed", green)]
    for test in (True, False):
        result = single("insync_unit.absent", test=test, name="license@")
        assert (result["result"], result["changes"]) == (True, {})


def test_a_link_to_a_unit_whose_package_is_gone_goes_too(single, systemd):
    """A link that leads nowhere would enable the unit as soon as the package comes back."""
    folder, _ = systemd
    link = folder / "multi-user.target.wants" / "nginx.service"
    link.symlink_to("/lib/systemd/system/no-such.service")
    result = single("insync_unit.absent", name="nginx")
    assert (result["result"], result["changes"].get(str(link)), link.is_symlink()) == (True, "remove", False)


def test_a_unit_that_does_not_stop_is_told(single, systemd, monkeypatch):
    folder, _ = systemd

    def stuck(verb, *arguments):
        if verb == "list-units":
            return "license.service loaded active running x\n"
        raise insync_systemd.UnitError(f"systemctl {verb} {arguments[0]}: no end after 120 s")

    monkeypatch.setattr(insync_systemd, "systemctl", stuck)
    result = single("insync_unit.absent", name="license")
    assert (result["result"], result["changes"]) == (False, {})
    assert "systemctl stop license.service: no end" in result["comment"]
    assert (folder / "license.service").exists()


def test_a_virtualenv_goes_with_those_before_and_their_locks(single, tmp_path):
    opt = tmp_path / "opt"
    (opt / "devpi-0123456789ab").mkdir(parents=True)
    for name in ("devpi-0123456789ab.lock", "devpi-ba9876543210", "devpi-of-others"):
        (opt / name).touch()
    (opt / "devpi").symlink_to(opt / "devpi-0123456789ab")
    before = names(opt)
    result = single("insync_venv.absent", test=True, name=str(opt / "devpi"))
    assert (result["result"], len(result["changes"]), names(opt)) == (None, 4, before)
    assert single("insync_venv.absent", name=str(opt / "devpi"))["changes"] == result["changes"]
    assert names(opt) == ["devpi-of-others"]
    for test in (True, False):
        result = single("insync_venv.absent", test=test, name=str(opt / "devpi"))
        assert (result["result"], result["changes"]) == (True, {})


@pytest.fixture
def users(opts, tmp_path):
    """Users in a file, in the place of those of this machine."""
    file = tmp_path / "users"
    file.write_text("devpi\n")
    (tmp_path / "mods").mkdir()
    for module in ("user", "group"):
        text = f'import pathlib\nFILE = pathlib.Path("{file}")\n__virtualname__ = "{module}"\n'
        text += 'def info(name):\n    return {"name": name} if name in FILE.read_text().split() else {}\n'
        text += 'def delete(name):\n    FILE.write_text("")\n    return True\n'
        (tmp_path / "mods" / f"{module}.py").write_text(text)
    opts["module_dirs"] = [str(tmp_path / "mods"), *opts["module_dirs"]]
    return file


def test_a_user_stays_as_long_as_its_package_is_not_purged(users, single, opts, tmp_path):
    text = "__virtualname__ = 'pkg'\ndef __virtual__():\n    return 'pkg'\n"
    text += "def list_pkgs(removed=False, **_):\n    return {'redis-server': '1'} if removed else {}\n"
    (tmp_path / "mods" / "pkg.py").write_text(text)
    for test in (True, False):
        result = single("insync_user.absent", test=test, name="devpi", package="redis-server")
        assert (result["result"], result["changes"], users.read_text()) == (True, {}, "devpi\n")
        assert result["comment"] == "devpi stays: the package redis-server needs it until it is purged"
    assert single("insync_user.absent", name="devpi", package="other")["changes"] == {"devpi": "remove"}


def test_a_user_goes_unless_it_owns_data(users, single, tmp_path):
    data = [str(tmp_path / "data"), str(tmp_path / "never-made")]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").touch()
    for test in (True, False):
        result = single("insync_user.absent", test=test, name="devpi", data=data)
        assert (result["result"], result["changes"]) == (True, {})
        assert result["comment"] == f"devpi stays: its data in {data[0]} does"
    (tmp_path / "data" / "cache").touch()
    result = single("insync_user.absent", name="devpi", data=data, disposable=["cache"])
    assert (result["changes"], result["comment"][:12]) == ({f"{data[0]}/cache": "remove"}, "devpi stays:")
    (tmp_path / "data" / "file").rename(tmp_path / "data" / "cache")
    changes = {f"{data[0]}/cache": "remove", data[0]: "remove", "devpi": "remove"}
    result = single("insync_user.absent", test=True, name="devpi", data=data, disposable=["cache"])
    assert (result["result"], result["changes"], users.read_text()) == (None, changes, "devpi\n")
    assert (tmp_path / "data" / "cache").exists()
    result = single("insync_user.absent", name="devpi", data=data, disposable=["cache"])
    assert (result["result"], result["changes"], users.read_text()) == (True, changes, "")
    assert not (tmp_path / "data").exists()
    for test in (True, False):
        result = single("insync_user.absent", test=test, name="devpi", data=data)
        assert (result["result"], result["changes"]) == (True, {})


@pytest.fixture
def server(opts, tmp_path, monkeypatch):
    """A server with git, which needs git-man, and make; returns (what is removed, what tells what is on purpose)."""
    file, manual = tmp_path / "removed", tmp_path / "manual"
    (tmp_path / "mods").mkdir()
    text = f'import pathlib\nFILE = pathlib.Path("{file}")\n__virtualname__ = "pkg"\n'
    text += "def list_pkgs():\n    gone = FILE.read_text().split()\n"
    text += '    return {name: "1" for name in ("git", "git-man", "make") if name not in gone}\n'
    text += 'def remove(pkgs):\n    gone = sorted({*pkgs, *(["git"] if "git-man" in pkgs else [])})\n'
    text += '    FILE.write_text(" ".join(gone))\n    return {name: {"old": "1", "new": ""} for name in gone}\n'
    (tmp_path / "mods" / "pkg.py").write_text(text)
    opts["module_dirs"] = [str(tmp_path / "mods"), *opts["module_dirs"]]
    file.touch()
    manual.touch()
    for name, does in {
        "apt-get": 'for word; do case $word in git-man) echo "Remv git"; echo "Remv git-man" ;; -*|remove) ;; '
        '*) echo "Remv $word" ;; esac; done',
        "apt-mark": f"cat {manual}",
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return (lambda: file.read_text().split()), manual.write_text


def packages(*pkgs, stays=()):
    """What leaves ``pkgs`` and, by another role, installs ``stays``; as an SLS renders."""
    data = {"left": {"insync_package": ["absent", {"pkgs": list(pkgs)}]}}
    if stays:
        data["other"] = {"pkg": ["installed", {"pkgs": list(stays)}]}
    return data


@pytest.mark.parametrize(
    "pkgs, stays, gone",
    [
        (["git", "git-man"], [], ["git", "git-man"]),
        # git is nothing without it.
        (["git-man", "no-such-package"], [], ["git", "git-man"]),
        # No pattern: it may be somebody else's.
        (["git*"], [], []),
        # It is what the other role installs.
        (["git"], ["git"], []),
        # What that needs stays too.
        (["git-man", "make"], ["git"], ["make"]),
        (["no-such-package"], [], []),
    ],
)
def test_packages_go_unless_another_role_needs_them(high, server, pkgs, stays, gone):
    result = high(packages(*pkgs, stays=stays), test=True)["left"]
    assert (sorted(result["changes"]), result["result"]) == (gone, None if gone else True)


def test_what_the_real_apt_would_remove_is_understood(high):
    """Of this machine nothing is taken."""
    result = high(packages("git", "git-man"), test=True)["left"]
    assert result["result"] is None and {"git", "git-man"} <= set(result["changes"]), result["comment"]


def test_what_goes_along_is_told_before_and_after(high, server):
    removed, _ = server
    changes = {name: {"old": "1", "new": ""} for name in ("git-man", "git")}
    result = high(packages("git-man"), test=True)["left"]
    assert (result["result"], result["changes"], removed()) == (None, changes, [])
    assert result["comment"] == "to be removed: git-man, and with them git"
    result = high(packages("git-man"))["left"]
    assert (result["result"], result["changes"]) == (True, changes)
    assert (result["comment"], removed()) == ("removed: git-man, and with them git", ["git", "git-man"])
    for test in (True, False):
        result = high(packages("git-man"), test=test)["left"]
        assert (result["result"], result["changes"]) == (True, {})


def test_what_somebody_has_installed_on_purpose_is_not_removed_along(high, server, testmode):
    removed, on_purpose = server
    on_purpose("git")
    result = high(packages("git-man", "make"), test=testmode)["left"]
    assert (result["result"], result["changes"], removed()) == (False, {}, [])
    assert "apt would remove git too, which somebody has installed on purpose" in result["comment"]
    assert result["comment"].endswith("apt-mark auto git")


def test_what_another_state_removes_before_is_not_in_its_changes(high, server):
    """Nor in the way: in test mode it is still there."""
    server[1]("git")
    data = packages("git-man")
    first = {"first": {"insync_package": ["absent", {"pkgs": ["git"]}, {"order": 1}]}}
    results = high({**first, **data}, test=True)
    told = {name: list(result["changes"]) for name, result in results.items()}
    assert told == {"first": ["git"], "left": ["git-man"]}
    assert high(data, test=True)["left"]["result"] is False


@pytest.fixture
def highstate(opts, tmp_path):
    """Let the highstate of this server be what is given, as an SLS renders."""

    def _highstate(data):
        (tmp_path / "served" / "top.sls").write_text("base:\n  '*':\n    - whole\n")
        (tmp_path / "served" / "whole.sls").write_text(json.dumps(data))
        opts["state_top_saltenv"] = "base"

    return _highstate


def test_a_run_of_one_component_keeps_what_the_highstate_needs(highstate, high, server, testmode):
    """As ``state.apply buildbot.absent`` does on a server that has repositories, too."""
    highstate({"other": {"pkg": ["installed", {"pkgs": ["git"]}]}})
    result = high(packages("git", "git-man", "make"), test=testmode)["left"]
    assert (list(result["changes"]), server[0]()) == (["make"], [] if testmode else ["make"])


def test_nothing_is_removed_while_the_highstate_does_not_render(highstate, high, server, testmode):
    highstate({"other": {"pkg": ["installed", {"require": "no list"}]}})
    result = high(packages("make"), test=testmode)["left"]
    assert (result["result"], result["changes"], server[0]()) == (False, {}, [])
    assert "what the roles of this server need is not known: " in result["comment"]


def test_what_nobody_has_installed_costs_no_look_at_the_highstate(highstate, high, server):
    highstate({"other": {"pkg": ["installed", {"require": "no list"}]}})
    assert high(packages("no-such-package"))["left"]["result"] is True
