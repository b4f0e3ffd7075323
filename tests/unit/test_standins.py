"""The stand-ins' wheels and locks."""

import re
import zipfile

import pytest

from lab import standins
from lab.errors import LabError


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Where the wheels are kept."""
    cache = tmp_path_factory.mktemp("cache")
    standins.build(cache)
    return cache


def member(wheel, name):
    """The text of a file in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (path,) = [path for path in archive.namelist() if path.endswith(name)]
        return archive.read(path).decode()


def test_every_package_is_built_in_every_version(built):
    names = {wheel.name for wheel in standins.build(built)}
    wanted = {(package, version) for package in standins.packages() for version in standins.versions()}
    assert names == {f"{package.replace('-', '_')}-{version}-py3-none-any.whl" for package, version in wanted}


def test_nobody_takes_them_for_the_real_ones(built):
    for wheel in standins.build(built):
        metadata = member(wheel, ".dist-info/METADATA")
        assert "\nSummary: LAB STAND-IN for " in metadata
        assert "\nClassifier: Private :: Do Not Upload\n" in metadata


def test_versions_differ_as_the_table_says(built):
    texts = {
        wheel.name.split("-")[1]: member(wheel, "/_build.py") for wheel in standins.build(built) if "web" in wheel.name
    }
    assert texts["1.0.0"] == "VERSION = '1.0.0'\nNOTE = ''\nFAULT = ''\n"
    assert texts["1.1.0"] == "VERSION = '1.1.0'\nNOTE = 'Shared folders are here.'\nFAULT = ''\n"
    assert texts["1.1.1"] == "VERSION = '1.1.1'\nNOTE = ''\nFAULT = 'unready'\n"


def test_the_same_source_gives_the_same_hashes(built, tmp_path):
    again = standins.build(tmp_path)
    assert {wheel.name: standins.sha256(wheel) for wheel in again} == {
        wheel.name: standins.sha256(wheel) for wheel in standins.build(built)
    }


def test_what_is_built_stays(built):
    before = {wheel: wheel.stat().st_mtime_ns for wheel in standins.build(built)}
    assert {wheel: wheel.stat().st_mtime_ns for wheel in standins.build(built)} == before


@pytest.mark.parametrize("app", standins.APPS)
def test_a_lock_pins_everything_with_hashes(built, app):
    text = standins.lock(app, "1.1.0", built)
    assert text == standins.lock(app, "1.1.0", built)
    pins = re.split(r"(?m)^(?=\w)", text)[1:]
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.]+( \\\n    --hash=sha256:[0-9a-f]{64})+\n", pin) for pin in pins), text
    hashes = {wheel.name.split("-py3")[0]: standins.sha256(wheel) for wheel in standins.build(built)}
    for package in (standins.CORE, standins.APPS[app]):
        name = f"{package.replace('-', '_')}-1.1.0"
        assert f"{package}==1.1.0 \\\n    --hash=sha256:{hashes[name]}\n" in pins


def test_a_lock_has_no_more_than_the_application_needs(built):
    names = {app: set(re.findall(r"(?m)^([\w-]+)==", standins.lock(app, "1.0.0", built))) for app in standins.APPS}
    assert names["mailer"] == {"async-timeout", "greenstalk", "insync-core", "insync-mailer", "pymysql", "redis"}
    assert names["license"] - names["web"] == {"insync-license"}
    assert names["web"] - names["license"] == {"insync-web", "sentry-sdk", "certifi", "urllib3"}
    assert not names["conf_server"] & {"pymysql", "redis", "greenstalk"}
    assert {"flask", "markupsafe", "gunicorn"} <= names["conf_server"]


def test_what_is_not_there_is_named(built):
    with pytest.raises(LabError, match="no version 9.9.9; it has 1.0.0, 1.1.0, 1.1.1"):
        standins.lock("web", "9.9.9", built)
    with pytest.raises(LabError, match="no application wiki; it has web,"):
        standins.lock("wiki", "1.0.0", built)


def test_a_requirement_that_is_not_pinned_is_named(built, monkeypatch, tmp_path):
    text = standins.REQUIREMENTS.read_text(encoding="utf-8").replace("markupsafe==", "other==")
    (tmp_path / "requirements.txt").write_text(text.replace("greenstalk==", "another=="), encoding="utf-8")
    monkeypatch.setattr(standins, "REQUIREMENTS", tmp_path / "requirements.txt")
    with pytest.raises(LabError, match="has no greenstalk; run 'make lock'"):
        standins.lock("mailer", "1.0.0", built)
