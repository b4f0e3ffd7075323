"""What is left of a role: units, virtualenvs and users go, data and the user who owns it stay."""

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


def packages(*pkgs, stays=()):
    """What leaves ``pkgs`` and, by another role, installs ``stays``; of this machine, which nothing is taken from."""
    data = {"left": {"insync_package": ["absent", {"pkgs": list(pkgs)}]}}
    if stays:
        data["other"] = {"pkg": ["installed", {"pkgs": list(stays)}]}
    return data


@pytest.mark.parametrize(
    "pkgs, stays, gone",
    [
        (["git", "git-man"], [], ["git", "git-man"]),
        (["git*-man", "no-such-package"], [], ["git-man"]),
        # It is what the other role installs.
        (["git"], ["git"], []),
        # What that needs stays too.
        (["git-man", "make"], ["git"], ["make"]),
        (["no-such-package"], [], []),
    ],
)
def test_packages_go_unless_another_role_needs_them(high, pkgs, stays, gone):
    result = high(packages(*pkgs, stays=stays), test=True)["left"]
    assert (sorted(result["changes"]), result["result"]) == (gone, None if gone else True)
